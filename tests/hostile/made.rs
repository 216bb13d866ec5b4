//! Guests that are too large to keep as text, and bytes that are no guests.

use std::path::PathBuf;

use cofferdam::sandbox::LoadError;
use cofferdam::{Outcome, Sandbox};
use cofferdam_engine::ExternType;
use proptest::test_runner::{Config, TestRunner};

use super::support::{Refused, closed_wasi, guest_with, tight};
use super::{Cell, cells, little_fuel, policy};

fn load(cell: &Cell, module: &[u8]) -> Result<cofferdam::Module, LoadError> {
    let sandbox = Sandbox::builder(cell.engine.clone()).policy(policy(cell.mode, tight())).build();
    sandbox.expect("it can be enforced").load(module)
}

/// Refused by a module limit, or compiled; then called, it must end as a guest does.
fn bounded(cell: &Cell, what: &str, text: &str) {
    let binary = wat::parse_str(text).unwrap_or_else(|e| panic!("{what}: {e}"));
    match guest_with(&cell.engine, cell.policy(little_fuel()), &binary, closed_wasi()) {
        Err(Refused::Load(LoadError::Refused(refusal))) => {
            assert_eq!(refusal.reason(), "module_limit", "{cell} {what}: {refusal}");
            assert!(refusal.to_string().contains("cap is"), "{cell} {what}: {refusal}");
        }
        Err(other) => panic!("{cell} {what}: {other:?}"),
        Ok(mut guest) => {
            let report = guest.call("run", &[]);
            let fine = matches!(report.outcome, Outcome::Completed { .. } | Outcome::Stopped { .. });
            assert!(fine, "{cell} {what}: {}", report.outcome);
        }
    }
}

fn stack(cell: &Cell, what: &str, text: &str) {
    let binary = wat::parse_str(text).unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut guest = match guest_with(&cell.engine, cell.policy(tight()), &binary, closed_wasi()) {
        Ok(guest) => guest,
        // An engine may take less than the policy allows, and then says so.
        Err(Refused::Load(error)) if error.reason() == "engine_limit" => return,
        Err(e) => panic!("{cell} {what}: {e:?}"),
    };
    assert_eq!(guest.call("run", &[]).outcome.reason(), Some("stack"), "{cell} {what}");
}

#[test]
fn almost_fifty_thousand_locals() {
    let locals = "i64 ".repeat(49_990);
    let set: String = (0..2_000).map(|i| format!("(local.set {} (i64.const {i}))", i * 25)).collect();
    let sum: String =
        (0..2_000).map(|i| format!("(local.set 0 (i64.add (local.get 0) (local.get {})))", i * 25)).collect();
    for cell in cells() {
        let most = format!("(module (func $f (export \"run\") (local {}) (call $f)))", "i64 ".repeat(50_000));
        bounded(&cell, "fifty thousand", &most);
        stack(&cell, "unused", &format!("(module (func $f (export \"run\") (local {locals}) (call $f)))"));
        stack(&cell, "used", &format!("(module (func $f (export \"run\") (local {locals}) {set} (call $f) {sum}))"));
    }
}

#[test]
fn a_thousand_parameters_and_results() {
    let types = "i64 ".repeat(1_000);
    let zeros = "(i64.const 0)".repeat(1_000);
    let gets: String = (0..1_000).map(|i| format!("(local.get {i})")).collect();
    let drops = "drop ".repeat(1_000);
    for cell in cells() {
        let params =
            format!("(module (func $f (param {types}) (call $f {gets})) (func (export \"run\") (call $f {zeros})))");
        stack(&cell, "parameters", &params);
        let results =
            format!("(module (func $f (result {types}) (call $f)) (func (export \"run\") (call $f) {drops}))");
        stack(&cell, "results", &results);
    }
}

#[test]
fn compile_bombs_are_refused_or_bounded() {
    let deep = |open: &str, close: &str| {
        format!("(module (func (export \"run\") {} nop {}))", open.repeat(100_000), close.repeat(100_000))
    };
    let table = |targets: usize| format!("(block (br_table {} (i32.const 0)))", "0 ".repeat(targets));
    let bombs = [
        ("br_table of a million", format!("(module (func (export \"run\") {}))", table(1_000_000))),
        ("ten thousand br_tables", format!("(module (func (export \"run\") {}))", table(1_000).repeat(10_000))),
        ("deep blocks", deep("block ", "end ")),
        ("deep loops", deep("loop ", "end ")),
        ("deep ifs", deep("i32.const 0 if ", "end ")),
        ("many functions", format!("(module (func (export \"run\")) {})", "(func)".repeat(100_000))),
        (
            "many exports",
            format!(
                "(module (func (export \"run\")) {})",
                (0..60_000).map(|i| format!("(export \"{i}\" (func 0))")).collect::<String>()
            ),
        ),
        ("many globals", format!("(module (func (export \"run\")) {})", "(global i32 (i32.const 0))".repeat(60_000))),
        ("a long body", format!("(module (func (export \"run\") {}))", "i32.const 0 drop ".repeat(1_500_000))),
        (
            "a long sum",
            format!("(module (func (export \"run\") i32.const 0 {} drop))", "i32.const 1 i32.add ".repeat(300_000)),
        ),
    ];
    for cell in cells() {
        for (what, text) in &bombs {
            bounded(&cell, what, text);
        }
    }
}

#[test]
fn what_is_no_module_is_named_for_what_it_is() {
    let rows: [(&[u8], &str); 9] = [
        (b"", "empty"),
        (b"hello", "not_wasm"),
        (b"#!/bin/sh\nexit 0\n", "not_wasm"),
        (b"\x7fELF\x02\x01\x01", "not_wasm"),
        (b"\0as", "not_wasm"),
        (b"\0asm\x0d\0\x01\0", "component"),
        (b"(component)", "component"),
        (b"(module (func", "text"),
        (b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\x0f", "invalid"),
    ];
    for cell in cells() {
        for (bytes, reason) in rows {
            match load(&cell, bytes) {
                Err(error) => assert_eq!(error.reason(), reason, "{cell} {bytes:?}: {error}"),
                Ok(_) => panic!("{cell} {bytes:?} was loaded"),
            }
        }
        // A header alone is a module with nothing in it; another version is none.
        assert!(load(&cell, b"\0asm\x01\0\0\0").is_ok(), "{cell}");
        assert!(load(&cell, b"\0asm\x02\0\0\0").is_err(), "{cell}");
    }
}

fn example(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/guests").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Where sections end, the header's end first.
fn section_borders(module: &[u8]) -> Vec<usize> {
    let mut borders = vec![8];
    let mut at = 8;
    while at < module.len() {
        let (mut size, mut shift) = (0, 0);
        loop {
            at += 1;
            size |= usize::from(module[at] & 0x7f) << shift;
            shift += 7;
            if module[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1 + size;
        borders.push(at);
    }
    borders
}

#[test]
fn truncated_modules_are_refused() {
    let module = example("mathlib.wasm");
    // Cut between two sections it may still be a module, only with less in it.
    let borders = section_borders(&module);
    assert!(borders.len() > 5 && borders.last() == Some(&module.len()), "{borders:?}");
    for cell in cells() {
        for cut in (0..module.len()).filter(|cut| !borders.contains(cut)) {
            assert!(load(&cell, &module[..cut]).is_err(), "{cell} cut at {cut}");
        }
    }
}

#[test]
fn flipped_bits_never_get_past_the_walls() {
    let module = example("mathlib.wasm");
    let sites = (0..module.len() * 8, 0..module.len() * 8);
    for cell in cells() {
        let mut runner = TestRunner::new_with_rng(
            Config { cases: 300, failure_persistence: None, ..Config::default() },
            proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
        );
        let run = runner.run(&sites, |(first, second)| {
            let mut bad = module.clone();
            bad[first / 8] ^= 1 << (first % 8);
            bad[second / 8] ^= 1 << (second % 8);
            let Ok(mut guest) = guest_with(&cell.engine, cell.policy(little_fuel()), &bad, closed_wasi()) else {
                return Ok(());
            };
            let exports: Vec<_> = guest.module().prepared().exports().to_vec();
            for export in exports {
                if let ExternType::Func(Some(ty)) = &export.ty {
                    let args: Vec<_> = ty.params().iter().map(|t| cofferdam::Value::default_of(*t)).collect();
                    let outcome = guest.call(&export.name, &args).outcome;
                    proptest::prop_assert!(
                        !matches!(outcome, Outcome::EngineFault(_) | Outcome::HostFault(_)),
                        "{}",
                        outcome
                    );
                }
            }
            Ok(())
        });
        run.unwrap_or_else(|e| panic!("{cell}: {e}"));
    }
}
