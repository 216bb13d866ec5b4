//! What runs the specification suite, on files that say wrong things: each has to be found.

mod engines;

use cofferdam_conformance::spec::{File, Known, SUITES, files, run_file};
use cofferdam_engine::FuelMode;

const MODULE: &str = r#"(module
    (global (export "g") i32 (i32.const 7))
    (memory 1)
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "nan") (result f32) (f32.const nan:0x200000))
    (func (export "null") (result funcref) (ref.null func))
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
    (func (export "boom") (unreachable))
    (func $deep (export "deep") (call $deep)))
"#;

/// What runs after [`MODULE`] comes out right.
const RIGHT: &[&str] = &[
    r#"(assert_return (invoke "add" (i32.const 1) (i32.const 2)) (i32.const 3))"#,
    r#"(assert_return (get "g") (i32.const 7))"#,
    r#"(assert_return (invoke "null") (ref.null func))"#,
    r#"(assert_trap (invoke "load" (i32.const -1)) "out of bounds memory access")"#,
    r#"(assert_trap (invoke "boom") "unreachable")"#,
    r#"(assert_exhaustion (invoke "deep") "call stack exhausted")"#,
    r#"(assert_invalid (module (func (result i32))) "type mismatch")"#,
    r#"(assert_malformed (module quote "(func") "unexpected token")"#,
    r#"(assert_unlinkable (module (import "m" "f" (func))) "unknown import")"#,
    r#"(assert_unlinkable (module (import "spectest" "print" (func (param i32)))) "incompatible import type")"#,
    r#"(assert_trap (module (func $f (unreachable)) (start $f)) "unreachable")"#,
];

/// What says something else than what comes out.
const WRONG: &[&str] = &[
    r#"(assert_return (invoke "add" (i32.const 1) (i32.const 2)) (i32.const 4))"#,
    r#"(assert_return (invoke "add" (i32.const 1) (i32.const 2)))"#,
    r#"(assert_return (get "g") (i32.const 8))"#,
    r#"(assert_return (invoke "nan") (f32.const nan:canonical))"#,
    r#"(assert_return (invoke "null") (ref.func))"#,
    r#"(assert_return (invoke "null") (ref.null extern))"#,
    r#"(assert_return (invoke "boom"))"#,
    r#"(assert_return (invoke "nobody"))"#,
    r#"(assert_trap (invoke "add" (i32.const 1) (i32.const 2)) "unreachable")"#,
    r#"(assert_trap (invoke "boom") "integer overflow")"#,
    r#"(assert_trap (invoke "deep") "unreachable")"#,
    r#"(assert_exhaustion (invoke "boom") "call stack exhausted")"#,
    r#"(assert_invalid (module (func (result i32) (i32.const 1))) "type mismatch")"#,
    r#"(assert_malformed (module quote "(func)") "unexpected token")"#,
    r#"(assert_unlinkable (module) "unknown import")"#,
    r#"(assert_unlinkable (module (import "m" "f" (func))) "incompatible import type")"#,
    r#"(assert_unlinkable (module (import "spectest" "print" (func (param i32)))) "unknown import")"#,
    r#"(module (func (result i32)))"#,
    r#"(register "other" $nobody)"#,
];

fn file(text: String) -> File {
    let suite = SUITES.iter().find(|s| s.name == "wasm-v2").expect("it is there");
    File { suite, name: "made-up.wast", text: text.leak() }
}

#[test]
fn every_wrong_directive_is_found_and_no_right_one() {
    let right = file(format!("{MODULE}{}", RIGHT.join("\n")));
    let wrong = file(format!("{MODULE}{}", WRONG.join("\n")));
    // The module is one directive and ends its last line.
    let first = 1 + MODULE.lines().count();
    for engine in engines::all() {
        for mode in [FuelMode::Portable, FuelMode::Native] {
            let report = run_file(&engine, mode, &right, &[]);
            assert_eq!((report.passed, report.failures), (1 + RIGHT.len(), Vec::new()));
            let report = run_file(&engine, mode, &wrong, &[]);
            let found: Vec<_> = report.failures.iter().filter_map(|f| f.split(':').next()).collect();
            let wanted: Vec<_> = (0..WRONG.len()).map(|i| format!("line {}", first + i)).collect();
            assert_eq!(found, wanted, "{:#?}", report.failures);
            assert_eq!(report.passed, 1);
        }
    }
}

#[test]
fn what_is_declared_to_fail_has_to_fail() {
    let line = 1 + MODULE.lines().count();
    let text = format!("{MODULE}{}", WRONG[0]);
    let file = file(text);
    let known = |line| Known {
        engine: None,
        mode: None,
        suite: file.suite.name,
        file: file.name,
        lines: line..=line,
        reason: "to see what happens",
    };
    let wasmi = engines::all().pop().expect("there are engines");
    let report = run_file(&wasmi, FuelMode::Portable, &file, &[known(line)]);
    assert_eq!((report.passed, report.known, report.failures), (1, 1, Vec::new()));
    let report = run_file(&wasmi, FuelMode::Portable, &file, &[known(line), known(1)]);
    assert!(matches!(&*report.failures, [one] if one.contains("remove the entry")), "{:?}", report.failures);
}

#[test]
fn what_an_engine_does_not_offer_is_counted_by_its_name() {
    let file = files().iter().find(|f| f.suite.name == "memory64" && f.name == "load64.wast").expect("it is there");
    let wasmi = engines::all().pop().expect("there are engines");
    let report = run_file(&wasmi, FuelMode::Portable, file, &[]);
    let named: Vec<_> = report.not_offered.keys().map(String::as_str).collect();
    assert_eq!((named, report.failures), (vec!["proposal `memory64`"], Vec::new()));
}

#[test]
fn every_suite_has_files() {
    for suite in SUITES {
        assert!(files().iter().any(|f| f.suite.name == suite.name), "{}", suite.name);
    }
}
