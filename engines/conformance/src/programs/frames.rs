//! Frames with offsets in the module as it came in.

use cofferdam_engine::{CallBudget, FeatureSet, Limit, Place, Stop, StoreLimits, Trap, Value};
use cofferdam_prepare::{ModuleLimits, recognise};

use super::Program;
use crate::cell::Cell;
use crate::clause::Clause;
use crate::trouble::{Done, Trouble, same};

pub const ROWS: &[Program] = &[
    ("frames.offsets", Clause::Frames, offsets),
    ("frames.offsets-of-bulk-operators", Clause::Frames, offsets_of_bulk_operators),
    ("frames.deep-traces-are-cut", Clause::Frames, deep_traces_are_cut),
    ("frames.of-a-stack-that-is-spent", Clause::Frames, of_a_spent_stack),
];

/// Where `needle` stands in the binary form of `wat`.
fn offset_of(wat: &str, needle: &[u8]) -> Done<u32> {
    let module = recognise(wat.as_bytes(), &ModuleLimits::default()).map_err(Trouble::wrong)?;
    let mut found = (0..module.bytes().len()).filter(|at| module.bytes()[*at..].starts_with(needle));
    match (found.next(), found.next()) {
        (Some(at), None) => u32::try_from(at).map_err(Trouble::wrong),
        _ => Err(Trouble::wrong("the row's needle is not there once")),
    }
}

fn trap_of(ended: Result<Vec<Value>, Stop>) -> Done<Trap> {
    match ended {
        Err(Stop::Trap(trap)) => Ok(trap),
        other => Err(Trouble::wrong(format!("no trap: {other:?}"))),
    }
}

fn place(function: u32, name: &str, offset: u32) -> Place {
    Place { function, name: Some(name.into()), offset: Some(offset) }
}

fn needed(cell: &Cell<'_>) -> Done {
    cell.needs(cell.engine.descriptor().capabilities.trap_frames, "trap frames")
}

fn offsets(cell: &Cell<'_>) -> Done {
    needed(cell)?;
    let wat = r#"(module (import "h" "nop" (func)) (memory 1)
        (func $inner (param i32) (result i32)
            (drop (i32.const 77777)) (i32.load offset=8 align=1 (local.get 0)))
        (func $middle (param i32) (result i32) (local i64)
            (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
            (i32.const 1234567) (i32.add (call $inner (local.get 0))))
        (func (export "run") (param i32) (result i32)
            (loop (br_if 0 (i32.const 0)))
            (call $middle (local.get 0)) (i32.add (i32.const 7654321))))"#;
    // `i32.load align=1 offset=8`; `call $inner; i32.add`; `call $middle; i32.const 7654321`.
    let load = offset_of(wat, &[0x28, 0x00, 0x08])?;
    let call_inner = offset_of(wat, &[0x10, 0x01, 0x6a])?;
    let call_middle = offset_of(wat, &[0x10, 0x02, 0x41])?;
    let trap = trap_of(cell.guest_of(wat)?.call("run", &[Value::I32(-1)])?)?;
    let expected = vec![place(1, "inner", load), place(2, "middle", call_inner), place(3, "run", call_middle)];
    same("frames", &trap.frames, &expected)
}

fn offsets_of_bulk_operators(cell: &Cell<'_>) -> Done {
    needed(cell)?;
    let wat = r#"(module (memory 1) (table 1 funcref) (type $v (func))
        (func (export "fill") (param i32) (memory.fill (i32.const 0) (i32.const 7) (local.get 0)))
        (func (export "copy") (param i32) (memory.copy (i32.const 0) (i32.const 9) (local.get 0)))
        (func (export "call") (param i32) (call_indirect (type $v) (local.get 0)))
        (func (export "div") (param i32) (drop (i32.div_s (i32.const 5) (local.get 0)))))"#;
    let cases = [
        ("fill", 70_000, &[0xfc, 0x0b, 0x00][..]),
        ("copy", 70_000, &[0xfc, 0x0a, 0x00, 0x00]),
        ("call", 0, &[0x11, 0x00, 0x00]),
        ("div", 0, &[0x6d, 0x1a]),
    ];
    let mut guest = cell.guest_of(wat)?;
    for ((name, argument, needle), function) in cases.into_iter().zip(0..) {
        let trap = trap_of(guest.call(name, &[Value::I32(argument)])?)?;
        same("frames", &trap.frames, &vec![place(function, name, offset_of(wat, needle)?)])?;
    }
    Ok(())
}

fn deep_traces_are_cut(cell: &Cell<'_>) -> Done {
    needed(cell)?;
    let wat = r#"(module (func $f (export "run") (param i32)
        (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))) (else (unreachable)))))"#;
    let trap = trap_of(cell.guest_of(wat)?.call("run", &[Value::I32(1000)])?)?;
    same("frames kept", &trap.frames.len(), &Trap::MAX_FRAMES)
}

fn of_a_spent_stack(cell: &Cell<'_>) -> Done {
    needed(cell)?;
    let wat = r#"(module (func $f (call $f)) (func (export "run") (call $f)))"#;
    let limits = StoreLimits { stack_units: 1024, ..StoreLimits::default() };
    let mut guest = cell.guest(&limits)?;
    let prepared = cell.prepared(wat.as_bytes(), FeatureSet::STANDARD, false).map_err(Trouble::wrong)?;
    guest.add("main", &*cell.compile_prepared(&prepared)?)?;
    match guest.call_with("run", &[], &mut CallBudget::of_fuel(100_000))? {
        Err(Stop::Limit { limit: Limit::Stack, frames }) => {
            // run and $f weigh 64 each: 1,024 hold run and 15 of $f, and the one more that did not fit.
            let functions: Vec<_> = frames.iter().map(|f| (f.function, f.name.as_deref())).collect();
            let mut expected = vec![(0, Some("f")); 16];
            expected.push((1, Some("run")));
            same("frames", &functions, &expected)
        }
        other => Err(Trouble::wrong(format!("endless recursion ended as {other:?}"))),
    }
}
