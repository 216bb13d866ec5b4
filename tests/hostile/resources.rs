//! Guests that want all the memory, tables and stack there are.

use cofferdam::policy::{Fuel, Limits, MemoryBytes};
use cofferdam::sandbox::{GuestError, LoadError};
use cofferdam::{FuelMode, Proposal, Value};
use cofferdam_engine::{CompileError, InstantiateError};

use super::support::{Refused, closed_wasi, guest_with, hostile, tight};
use super::{Cell, cells, little_fuel, number};

#[test]
fn memory_grows_to_the_cap_and_not_a_byte_further() {
    let cap = tight().memory.get();
    for cell in cells() {
        assert_eq!(cell.returns("memory_grow.wat", "run", tight()), (cap / 65_536) as i64, "{cell}");
        let (guest, _) = cell.call("memory_grow.wat", "run", &[], tight());
        assert_eq!(guest.usage().peak_memory_bytes, cap, "{cell}");
        assert!(guest.usage().refused_growths > 0, "{cell}");
        for export in ["run_steps", "touch_all"] {
            let (guest, report) = cell.call("memory_grow.wat", export, &[], tight());
            assert!(report.outcome.values().is_some(), "{cell} {export}: {}", report.outcome);
            assert!(guest.usage().peak_memory_bytes <= cap, "{cell} {export}");
        }
        let (_, report) = cell.call("memory_grow.wat", "grow", &[Value::I32(-1)], tight());
        assert_eq!(number(&report.outcome), Some(-1), "{cell}");
    }
}

#[test]
fn a_minimum_above_the_cap_is_not_instantiated() {
    for cell in cells() {
        let refused = |file| match guest_with(&cell.engine, cell.policy(tight()), &hostile(file), closed_wasi()) {
            Err(refused) => refused,
            Ok(_) => panic!("{cell} {file}: it was instantiated"),
        };
        match refused("memory_minimum.wat") {
            Refused::Guest(GuestError::Instantiate(InstantiateError::Memory { need, cap })) => {
                assert!(need > cap && cap == tight().memory.get(), "{cell}: {need} of {cap}");
            }
            Refused::Load(LoadError::Refused(refusal)) => assert_eq!(refusal.reason(), "module_limit", "{cell}"),
            other => panic!("{cell}: {other:?}"),
        }
        match refused("table_minimum.wat") {
            Refused::Guest(GuestError::Instantiate(InstantiateError::TableElements { need, cap })) => {
                assert!(need > cap && cap == tight().table_elements, "{cell}: {need} of {cap}");
            }
            Refused::Load(LoadError::Refused(refusal)) => assert_eq!(refusal.reason(), "module_limit", "{cell}"),
            other => panic!("{cell}: {other:?}"),
        }
    }
}

#[test]
fn tables_grow_to_the_cap_over_all_of_them() {
    let limits = Limits { table_elements: 5_000, ..tight() };
    for cell in cells() {
        for export in ["run", "run_one", "run_two"] {
            let elements = cell.returns("table_grow.wat", export, limits.clone());
            assert!((1..=5_000).contains(&elements), "{cell} {export}: {elements}");
        }
        let (guest, report) = cell.call("table_grow.wat", "run_two", &[], limits.clone());
        assert!(report.outcome.values().is_some() && guest.usage().table_elements <= 5_000, "{cell}");
        let (guest, report) = cell.call("start_grow.wat", "run", &[], limits.clone());
        assert!(report.outcome.values().is_some(), "{cell}: {}", report.outcome);
        let usage = guest.usage();
        assert!(usage.peak_memory_bytes <= limits.memory.get() && usage.table_elements <= 5_000, "{cell}: {usage:?}");
    }
}

#[test]
fn bulk_operations_are_paid_for_by_length_before_they_run() {
    const CANARY: i64 = 0x0A0B_0C0D;
    let poor = Limits { fuel: Fuel::new(1_000), ..tight() };
    for cell in cells() {
        for export in ["fill_all", "copy_all", "init_all"] {
            let (mut guest, report) = cell.call("memory_fill_huge.wat", export, &[], poor.clone());
            assert_eq!((report.outcome.reason(), report.receipt.fuel), (Some("fuel"), 1_000), "{cell} {export}");
            let mut first = [0; 4];
            guest.memory("memory").and_then(|m| m.read_into(0, &mut first)).expect("it has memory");
            let (mut rich, report) = cell.call("memory_fill_huge.wat", export, &[], tight());
            assert_eq!(report.outcome.reason(), Some("memory_out_of_bounds"), "{cell} {export}: {}", report.outcome);
            let mut after = [0; 4];
            rich.memory("memory").and_then(|m| m.read_into(0, &mut after)).expect("it has memory");
            assert_eq!(first, after, "{cell} {export}: nothing was written");
            assert_eq!(cell.returns("memory_fill_huge.wat", "canary", tight()), CANARY, "{cell} {export}");
        }
        cell.ends("memory_fill_huge.wat", "fill_nothing_at_end", tight(), "completed");
        cell.ends("memory_fill_huge.wat", "fill_nothing_past_end", tight(), "memory_out_of_bounds");
        cell.ends("memory_fill_huge.wat", "copy_overflow", tight(), "memory_out_of_bounds");
        cell.ends("memory_fill_huge.wat", "fill_from_end", tight(), "memory_out_of_bounds");
        for export in ["fill_all", "copy_all", "init_all"] {
            let (_, report) = cell.call("table_bulk.wat", export, &[], poor.clone());
            assert_eq!((report.outcome.reason(), report.receipt.fuel), (Some("fuel"), 1_000), "{cell} {export}");
            cell.ends("table_bulk.wat", export, tight(), "table_out_of_bounds");
        }
    }
}

fn depth(cell: &Cell, units: u32) -> i64 {
    // The deepest recursion that returns, found by bisection.
    let limits = Limits { stack_units: units, ..tight() };
    let returns = |n: i64| {
        let (_, report) = cell.call("recurse_small.wat", "depth", &[Value::I32(n as i32)], limits.clone());
        match number(&report.outcome) {
            Some(result) => {
                assert_eq!(result, n, "{cell}");
                true
            }
            None => {
                assert_eq!(report.outcome.reason(), Some("stack"), "{cell}: {}", report.outcome);
                false
            }
        }
    };
    let (mut works, mut fails) = (0, 1_000_000);
    while fails - works > 1 {
        let middle = (works + fails) / 2;
        if returns(middle) { works = middle } else { fails = middle }
    }
    works
}

#[test]
fn the_stack_ends_at_the_same_call_everywhere() {
    let depths: Vec<_> = cells().map(|cell| depth(&cell, Limits::agent().stack_units)).collect();
    assert!(depths[0] > 1_000 && depths.iter().all(|d| *d == depths[0]), "{depths:?}");
    let half: Vec<_> = cells().map(|cell| depth(&cell, Limits::agent().stack_units / 2)).collect();
    assert!(half.iter().all(|d| (d * 2 - depths[0]).abs() <= 2), "{half:?} of {depths:?}");
}

/// Recurses within a loop; so many values are the same in each pass, and an optimiser computes them once and keeps
/// them over the call, where no local or operand holds them.
fn keeps(values: i64) -> String {
    let kept = (0..values).map(|i| {
        let value = format!("(i64.mul (i64.xor (local.get 0) (i64.const {})) (i64.const {}))", i * 7_919, i * 2 + 3);
        format!("(i64.store (i32.const {}) {value})", i * 8)
    });
    format!(
        "(module (memory 1) (func $f (export \"run\") (param i64)
            (loop (call $f (local.get 0)) {} (br_if 0 (i64.eqz (local.get 0))))))",
        kept.collect::<String>()
    )
}

#[test]
fn values_that_an_optimiser_keeps_spend_the_counted_stack_or_are_refused() {
    for values in [10, 100, 200, 400, 2_000] {
        let mut fuel = Vec::new();
        for cell in cells() {
            let module = keeps(values);
            match guest_with(&cell.engine, cell.policy(tight()), module.as_bytes(), closed_wasi()) {
                Ok(mut guest) => {
                    let report = guest.call("run", &[Value::I64(5)]);
                    assert_eq!(report.outcome.reason(), Some("stack"), "{cell} {values}: {}", report.outcome);
                    if cell.mode == FuelMode::Portable {
                        fuel.push((cell.engine.descriptor().id, report.receipt.fuel));
                    }
                }
                // Its frames would be so large that other guests' traps might find no machine stack.
                Err(Refused::Load(LoadError::Compile(CompileError::Limit { engine, what }))) => {
                    assert!(values > 200 && what.contains("machine stack"), "{cell} {values}: {what}");
                    assert_eq!(engine, cell.engine.descriptor().id);
                }
                Err(other) => panic!("{cell} {values}: {other}"),
            }
        }
        assert!(fuel.windows(2).all(|two| two[0].1 == two[1].1), "{values}: the same depth everywhere: {fuel:?}");
    }
}

#[test]
fn endless_recursion_ends_on_the_counted_stack_whatever_the_frames() {
    let large = Limits { stack_units: 16 << 20, memory: MemoryBytes::mib(16), ..tight() };
    for cell in cells() {
        for limits in [tight(), large.clone()] {
            for (file, export) in [
                ("recurse_small.wat", "run"),
                ("recurse_small.wat", "run_deep_wide"),
                ("recurse_mutual.wat", "run"),
                ("recurse_big_frame.wat", "run"),
                ("recurse_params.wat", "run"),
                ("recurse_results.wat", "run"),
            ] {
                cell.ends(file, export, limits.clone(), "stack");
            }
            let policy = cell.policy(limits).allow(Proposal::Simd);
            let guest = guest_with(&cell.engine, policy, &hostile("recurse_v128.wat"), closed_wasi());
            match guest {
                Ok(mut guest) => {
                    let report = guest.call("run", &[]);
                    assert_eq!(report.outcome.reason(), Some("stack"), "{cell}: {}", report.outcome);
                }
                // Singlepass has no vectors, and says so.
                Err(Refused::Load(LoadError::Lacks { engine, .. })) => assert_eq!(engine, "wasmer-singlepass"),
                Err(other) => panic!("{cell}: {other}"),
            }
        }
        let poor = Limits { fuel: Fuel::new(1_000), ..little_fuel() };
        let (_, report) = cell.call("recurse_small.wat", "run", &[], poor);
        assert_eq!((report.outcome.reason(), report.receipt.fuel), (Some("fuel"), 1_000), "{cell}");
        match guest_with(&cell.engine, cell.policy(tight()), &hostile("recurse_v128.wat"), closed_wasi()) {
            Err(Refused::Load(LoadError::Refused(refusal))) => assert!(refusal.to_string().contains("`simd`")),
            other => panic!("{cell}: {:?}", other.map(drop)),
        }
    }
}
