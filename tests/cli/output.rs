//! What the command writes where: the guest's words, ours, and JSON.

use super::*;

#[test]
fn with_json_an_object_comes_of_what_makes_no_sense_too() {
    let senseless: &[&[&str]] = &[
        &["run", "--json", "--fuel", "-1", "a.wasm"],
        &["run", "--json", "--policy", "lenient", "a.wasm"],
        &["call", "--json", "--no-such-option", "a.wasm"],
        &["up", "--json", "no-such-file.toml"],
        &["agent", "--json", "bogus"],
        &["inspect", "--json", "no-such-file.wasm"],
    ];
    for args in senseless {
        let output = command().args(*args).output().expect("the command starts");
        let report = json(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(
            (report["outcome"].as_str(), report["reason"].as_str()),
            (Some("refused"), Some("usage")),
            "{args:?}"
        );
        let message = report["message"].as_str().expect("words");
        assert!(!message.is_empty() && !message.contains("Usage:"), "{message}");
        assert!(err(&output).lines().count() > 1, "people are told as well");
    }
    let silent = command().args(["run", "--no-such-option", "a.wasm", "--", "--json"]).output().expect("it starts");
    assert!(!err(&silent).contains("\"outcome\""), "what is behind `--` is the guest's");
    let help = command().args(["run", "--help", "--json"]).output().expect("it starts");
    assert_eq!((help.status.code(), err(&help)), (Some(0), String::new()));
}

#[test]
fn standard_output_is_the_guests_alone() {
    let output = run(&["--stats", "--json"], &hostile("stdout_flood.wat"), &[]);
    assert!(!out(&output).contains("cofferdam"));
    assert_eq!(json(&output)["reason"], "output");
    assert!(output.stdout.len() <= 64 << 20, "{}", output.stdout.len());
}

#[test]
fn the_last_line_is_json_whatever_came_before() {
    // The guest leaves a line open on standard error.
    let module =
        wat(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
           (memory (export "memory") 1) (data (i32.const 0) "\10\00\00\00\03\00\00\00") (data (i32.const 16) "abc")
           (func (export "_start") (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))))"#);
    let output = run(&["--json"], module.path(), &[]);
    assert_eq!(json(&output)["outcome"], "completed");
    assert!(err(&output).starts_with("abc\n{"), "{}", err(&output));
    // Nothing was run at all.
    for options in
        [&["--json", "--dir", "no-such-dir"][..], &["--json", "--engine", "v9"], &["--json", "--stdin", "nope"]]
    {
        let output = run(options, module.path(), &[]);
        assert_eq!((output.status.code(), json(&output)["reason"].as_str()), (Some(2), Some("usage")), "{options:?}");
    }
    let missing = run(&["--json"], Path::new("no-such-file.wasm"), &[]);
    assert!(json(&missing)["message"].as_str().is_some_and(|m| m.contains("no-such-file.wasm")));
}

#[test]
fn a_standard_stream_that_takes_nothing_is_no_panic() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("it is there");
    let add = |command: &mut Command| {
        command.args(["run", "--json", "--stats", "--invoke", "add"]).arg(example("mathlib.wasm")).args(["1", "2"]);
        command.output().expect("it starts")
    };
    let output = add(command().stderr(full()));
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(0), "3\n"));
    let output = add(command().stdout(full()));
    assert_eq!((output.status.code(), json(&output)["outcome"].as_str()), (Some(123), Some("host_fault")));
}
