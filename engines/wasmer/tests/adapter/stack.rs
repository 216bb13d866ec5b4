//! The stack budget fires, never the machine stack; and it fires at the same depth in both modes.

use std::fmt::Write;

use cofferdam_engine::{FuelMode, Limit, Proposal, Stop, StoreLimits, Trap, Value};

use crate::common::{Guest, MODES, PLENTY, runs};

/// A module whose `run` recurses without end, counting its depth in an exported global.
fn recursion(params: &str, locals: &str, body: &str, results: &str) -> String {
    format!(
        r#"(module (global $depth (export "depth") (mut i32) (i32.const 0))
            (func $f {params} {results} {locals}
                (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
                {body})
            (func (export "run") {})
            (func (export "ok") (result i32) (i32.const 1)))"#,
        // `run` calls with zeros and drops what comes back.
        {
            let zeros = params.split_whitespace().filter_map(zero).collect::<String>();
            let drops = "(drop)".repeat(results.split_whitespace().filter(|w| zero(w).is_some()).count());
            format!("{zeros} (call $f) {drops}")
        }
    )
}

fn zero(word: &str) -> Option<&'static str> {
    Some(match word.trim_matches(|c| c == '(' || c == ')') {
        "i32" => "(i32.const 0) ",
        "i64" => "(i64.const 0) ",
        "v128" => "(v128.const i64x2 0 0) ",
        _ => return None,
    })
}

fn depth(guest: &mut Guest) -> i32 {
    let Some(cofferdam_engine::Extern::Global(global)) = guest.store.export(guest.instance, "depth") else {
        panic!("there is a global")
    };
    match guest.store.global_get(global) {
        Ok(Value::I32(depth)) => depth,
        other => panic!("{other:?}"),
    }
}

/// Runs out of stack under `limits` and returns how deep it got.
fn overflow(name: &str, wat: &str, mode: FuelMode, limits: StoreLimits) -> i32 {
    let mut guest = Guest::limited(wat, mode, limits);
    let Err(Stop::Limit { limit: Limit::Stack, frames }) = guest.fueled("run", &[], PLENTY) else {
        panic!("{name}, {mode}: the recursion is without end")
    };
    // A machine stack that ended has no frames to show: these are from our own check.
    assert!(!frames.is_empty() && frames.len() <= Trap::MAX_FRAMES, "{name}, {mode}");
    assert_eq!(guest.call("ok", &[]).expect("the store survives"), [Value::I32(1)]);
    depth(&mut guest)
}

#[test]
fn endless_recursion_ends_with_the_stack_limit_whatever_its_frames() {
    let many_locals = format!("(local {})", "i64 ".repeat(49_000));
    let many_vectors = format!("(local {})", "v128 ".repeat(20_000));
    // Locals that are all live across the call cannot be kept in registers.
    let mut spread = String::new();
    let mut gather = String::new();
    for i in 0..200 {
        write!(spread, "(local.set {i} (i64.extend_i32_u (i32.mul (global.get $depth) (i32.const {}))))", i + 3)
            .expect("fits");
        write!(gather, "(drop (i64.add (local.get {i}) (i64.const 1)))").expect("fits");
    }
    let gather_kept =
        (0..200).map(|i| format!("(i64.store (i32.const {}) (local.get {i}))", i * 8)).collect::<String>();
    let params = format!("(param {})", "i64 ".repeat(1000));
    let results = format!("(result {})", "i64 ".repeat(1000));
    let pass = (0..1000).map(|i| format!("(local.get {i}) ")).collect::<String>();
    let vectors = format!("(param {})", "v128 ".repeat(1000));

    let with_memory = |wat: String| wat.replace("(module ", "(module (memory 1) ");
    let cases = [
        ("nothing", recursion("", "", "(call $f)", "")),
        ("one parameter", recursion("(param i32)", "", "(call $f (local.get 0))", "")),
        ("49,000 locals", recursion("", &many_locals, "(call $f)", "")),
        ("vectors", recursion("", &many_vectors, "(call $f)", "")),
        (
            "live locals",
            with_memory(recursion(
                "",
                "(local i64)".repeat(200).as_str(),
                &format!("{spread} (call $f) {gather_kept}"),
                "",
            )),
        ),
        ("1,000 parameters", recursion(&params, "", &format!("{pass} (call $f)"), "")),
        ("1,000 vectors", recursion(&vectors, "", &format!("{pass} (call $f)"), "")),
        ("1,000 results", recursion("", "", "(call $f)", &results)),
        (
            "indirect",
            recursion("", "", "(call_indirect (i32.const 0))", "")
                .replace("(module ", "(module (table funcref (elem $f)) "),
        ),
    ];
    for (name, wat) in cases.iter().filter(|(_, wat)| runs(Proposal::Simd) || !wat.contains("v128")) {
        let depths = MODES.map(|mode| overflow(name, wat, mode, StoreLimits::default()));
        assert!(depths[0] > 0 || *name == "vectors" || *name == "49,000 locals", "{name}");
        assert_eq!(depths[0], depths[1], "{name}: the same depth in both modes");
    }
}

#[test]
fn the_budget_decides_how_deep() {
    let wat = recursion("(param i32)", "", "(call $f (local.get 0))", "");
    let depths = [1 << 10, 64 << 10, 512 << 10, 4 << 20].map(|stack_units| {
        overflow("budgets", &wat, FuelMode::Portable, StoreLimits { stack_units, ..StoreLimits::default() })
    });
    assert!(depths.is_sorted() && depths[0] > 1, "{depths:?}");
    let per_frame = (512 << 10) / depths[2];
    assert_eq!((4 << 20) / depths[3], per_frame, "{depths:?}");
}

#[test]
fn a_frame_heavier_than_the_budget_is_refused_before_it_runs() {
    let wat = recursion("", &format!("(local {})", "i64 ".repeat(49_000)), "(call $f)", "");
    for mode in MODES {
        let limits = StoreLimits { stack_units: 4096, ..StoreLimits::default() };
        assert_eq!(overflow("heavy", &wat, mode, limits), 0);
    }
}

#[test]
fn the_budget_is_whole_again_for_the_next_call() {
    let wat = r#"(module (func $f (export "down") (param i32)
        (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))))))"#;
    for mode in MODES {
        let mut guest = Guest::new(wat, mode);
        for _ in 0..50 {
            guest.call("down", &[Value::I32(2000)]).expect("2,000 calls fit");
        }
    }
}
