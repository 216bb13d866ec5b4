//! `cofferdam call` as a person or a script meets it.
#![cfg(feature = "any-engine")]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// `cofferdam call OPTIONS`, with `input` on standard input.
fn call(options: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cofferdam"))
        .current_dir(root())
        .env("COFFERDAM_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
        .arg("call")
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    // It may end before it has read everything.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("the command ends")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it prints text")
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The object on the last line of standard error.
fn report(output: &Output) -> Value {
    let text = err(output);
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|e| panic!("{e} in {text}"))
}

const WORDS: &str = "examples/guests/words.wasm";
const STATISTICS: &str = "examples/guests/statistics.wasm";
const SCALE: &str = "examples/guests/scale.wasm";

#[test]
fn both_kinds_answer_and_the_answer_is_alone_on_standard_output() {
    let output = call(&[STATISTICS, r#"{"numbers": [3, 5, 4]}"#], "");
    assert_eq!(
        (out(&output).as_str(), err(&output).as_str()),
        ("{\"count\":3,\"max\":5,\"mean\":4,\"min\":3,\"sum\":12}\n", "")
    );
    assert_eq!(output.status.code(), Some(0));
    let output = call(&[WORDS, "-"], r#"{"text": "from standard input"}"#);
    assert_eq!((out(&output).as_str(), output.status.code()), ("{\"numbers\":[4,8,5]}\n", Some(0)));

    let scale = r#"{"min":1,"mean":2,"max":3}"#;
    assert_eq!(out(&call(&[SCALE, scale], "")), "\".=|=\\n\"\n");
    assert_eq!(out(&call(&["--raw", SCALE, scale], "")), ".=|=\n");
    assert_eq!(call(&["--answer", "json", SCALE, scale], "").status.code(), Some(1));
    let output = call(&["--json", "--stats", STATISTICS, r#"{"numbers": [1]}"#], "");
    let report = report(&output);
    assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("completed"), &json!(0)));
    assert!(report["fuel"].as_u64().is_some_and(|fuel| fuel > 0) && err(&output).contains("peak memory"));
}

#[test]
fn the_schema_is_printed_and_nothing_is_called() {
    let output = call(&["--schema", STATISTICS], "");
    let schema: Value = serde_json::from_str(&out(&output)).expect("it is JSON");
    assert_eq!((&schema["name"], &schema["kind"]), (&json!("statistics"), &json!("schema")));
    assert_eq!(schema["input_schema"]["properties"]["numbers"]["minItems"], 1);
    let output = call(&["--schema", "--json", STATISTICS], "");
    let report = report(&output);
    assert_eq!((&report["outcome"], &report["fuel"], output.status.code()), (&json!("completed"), &json!(0), Some(0)));
    assert!(serde_json::from_str::<Value>(&out(&output)).is_ok());
    let schema: Value = serde_json::from_str(&out(&call(&["--schema", WORDS], ""))).expect("it is JSON");
    assert_eq!((&schema["kind"], &schema["input_schema"]), (&json!("command"), &json!({"type": "object"})));
}

#[test]
fn every_ending_has_its_exit_code_and_its_word() {
    let hostile = |name: &str| format!("tests/guests/tools/{name}");
    let faults = hostile("faults.wat");
    let text = |n: usize| format!("\"{}\"", "x".repeat(n - 2));
    let cases: &[(&[&str], u8, &str, &str, &str)] = &[
        (&[WORDS], 1, "failed", "exit_code", "exit code 1"),
        (&[&faults, &text(4)], 1, "failed", "exit_code", "exit code 5"),
        (&[&faults, &text(6)], 1, "failed", "answer", "no JSON"),
        (&[&faults, "{}"], 121, "trapped", "unreachable", "unreachable"),
        (&[&faults, &text(7)], 122, "stopped", "stack", "--stack"),
        (&["--fuel", "10k", &faults, &text(8)], 122, "stopped", "fuel", "--fuel"),
        (&["--output", "1MiB", &hostile("flood.wat")], 122, "stopped", "output", "--output"),
        (&["--memory", "64KiB", STATISTICS, "{}"], 122, "stopped", "memory", "--memory"),
        (&["--fuel", "100k", &hostile("endless_schema.wat")], 122, "stopped", "fuel", "--fuel"),
        (&["--timeout", "5ms", &hostile("endless_schema.wat")], 122, "stopped", "deadline", "--timeout"),
        (&[&hostile("schema_bomb.wat")], 120, "refused", "tool", "too large"),
        (&[&hostile("bad_allocator.wat")], 121, "trapped", "memory_out_of_bounds", "65535"),
        (&["examples/guests/mathlib.wasm"], 120, "refused", "tool", "`__tool_execute`"),
        (&[STATISTICS, r#"{"numbers": "many"}"#], 120, "refused", "arguments", "/numbers"),
        (&[STATISTICS, "{"], 120, "refused", "arguments", "no JSON"),
        (&["--no-wasi", WORDS], 120, "refused", "import", "--grant"),
        (&["nothing.wasm"], 2, "refused", "usage", "nothing.wasm"),
    ];
    for (options, code, outcome, reason, word) in cases {
        let output = call(&[&["--json"], *options].concat(), "");
        let report = report(&output);
        assert_eq!((&report["outcome"], &report["reason"]), (&json!(outcome), &json!(reason)), "{options:?}: {report}");
        assert_eq!(output.status.code(), Some((*code).into()), "{options:?}: {report}");
        assert!(report["message"].as_str().is_some_and(|said| said.contains(word)), "{options:?}: {report}");
        assert_eq!(out(&output), "", "{options:?}");
    }
    // The tool's own code is in the report.
    assert_eq!(report(&call(&["--json", &faults, &text(4)], ""))["exit_code"], 5);
    // Arguments on standard input are read no further than they may be long.
    let output = call(&["--message", "10", STATISTICS, "-"], &" ".repeat(1 << 20));
    assert!(output.status.code() == Some(120) && err(&output).contains("--message"), "{}", err(&output));
}

/// A schema tool that takes anything, in a file.
fn same(memory: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::with_suffix(".wat").expect("there is room");
    write!(
        file,
        r#"(module (memory (export "memory") {memory}) (data (i32.const 8) "{{}}")
          (func (export "__tool_schema") (result i32 i32) (i32.const 8) (i32.const 2))
          (func (export "__tool_execute") (param i32 i32) (result i32 i32) (local.get 0) (local.get 1)))"#
    )
    .expect("there is room");
    file
}

#[test]
fn what_raises_a_limit_is_named_where_something_does() {
    let told = |options: &[&str]| {
        let output = call(&[&["--json"], options].concat(), "");
        let report = report(&output);
        let said = report["message"].as_str().unwrap_or_default().to_owned();
        (output.status.code(), report["reason"].as_str().unwrap_or_default().to_owned(), said)
    };
    let (small, fixed) = (same("1"), same("1 1"));
    let path = |file: &tempfile::NamedTempFile| file.path().to_str().expect("it is text").to_owned();
    let (code, reason, said) = told(&["--memory", "64KiB", &path(&small)]);
    assert_eq!((code, reason.as_str()), (Some(122), "memory"), "{said}");
    assert!(said.contains("--memory") && !said.contains("Limits::"), "{said}");
    assert_eq!(call(&["--memory", "128KiB", &path(&small)], "").status.code(), Some(0));
    // Its own maximum is raised by nothing.
    let (code, _, said) = told(&[&path(&fixed)]);
    assert!(code == Some(120) && !said.contains("--memory") && !said.contains("Limits::"), "{said}");
    // Nor is what a schema may take.
    let (code, _, said) = told(&["--fuel", "2G", "tests/guests/tools/endless_schema.wat"]);
    assert!(code == Some(122) && said.contains("no tool has more") && !said.contains("--"), "{said}");
    // Too long is too long, from wherever it comes.
    let long = format!("\"{}\"", "x".repeat(100));
    for (arguments, input) in [(long.as_str(), ""), ("-", long.as_str())] {
        let output = call(&["--json", "--message", "10", &path(&small), arguments], input);
        let report = report(&output);
        assert_eq!((output.status.code(), &report["reason"]), (Some(120), &json!("arguments")), "{report}");
        assert!(report["message"].as_str().is_some_and(|said| said.contains("--message")), "{report}");
    }
}

#[test]
fn what_a_tool_says_cannot_change_the_terminal() {
    let mut file = tempfile::NamedTempFile::with_suffix(".wat").expect("there is room");
    write!(
        file,
        r#"(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1) (data (i32.const 0) "\10\00\00\00\09\00\00\00") (data (i32.const 16) "\1b[2J\e2\80\ae\c2\9b2J")
          (func (export "_start")
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
            (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 64)))))"#
    )
    .expect("there is room");
    let output = call(&[file.path().to_str().expect("it is text")], "");
    assert_eq!(out(&output), "\"\\u001b[2J\\u202e\\u009b\"\n");
    assert_eq!(err(&output), "tool: \\u{1b}[2J\\u{202e}\\u{9b}\n");
}

#[test]
fn the_help_and_the_page_say_the_same_exit_codes() {
    let help = out(&call(&["--help"], ""));
    let rows = help.split_once("Exit codes:\n").expect("the help lists them").1;
    let page = std::fs::read_to_string(root().join("docs/exit-codes.md")).expect("the page is there");
    let page = page.split_once("## Exit codes of `cofferdam call`").expect("it has a part about it").1;
    let rows: Vec<_> = rows.lines().take_while(|row| row.starts_with("  ")).collect();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let (code, meaning) = row.trim().split_once("  ").expect("code, blanks, meaning");
        assert!(page.contains(&format!("| {code} | {} |", meaning.trim())), "{row}");
    }
}
