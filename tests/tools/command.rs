//! WASI commands as tools.

use cofferdam::host::wasi::{MemoryDir, Preopen};
use cofferdam::policy::{Fuel, Limits, MemoryBytes};
use cofferdam::tool::{Answer, Tool as _, ToolError, ToolKind};
use cofferdam::{Limit, Sandbox};
use serde_json::{Value, json};

use crate::matrix::matrix;
use crate::{SCALE, WORDS, builder, limits, registry, sandbox, tool};

#[test]
fn a_command_is_given_json_and_answers_with_json_or_text() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, limits());
        let words = tool(&sandbox, "words", WORDS);
        assert_eq!((words.kind(), words.name()), (ToolKind::Command, "words"));
        let output = words.call(&json!({"text": "a few wörds\n\"quoted\""})).expect("it answers");
        assert_eq!(output.value, json!({"numbers": [1, 3, 5, 8]}), "{mode}");
        assert!(output.receipt.is_some_and(|receipt| receipt.fuel > 0) && output.stderr.is_empty());

        let scale = tool(&sandbox, "scale", SCALE);
        let output = scale.call(&json!({"min": 2, "max": 5, "mean": 3})).expect("it answers");
        assert_eq!(output.value, json!("..=|==\n"));
    }
}

#[test]
fn its_exit_code_and_standard_error_say_how_it_failed() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, limits());
        let error = tool(&sandbox, "words", WORDS).call(&json!({})).expect_err("there is no text");
        assert_eq!((error.exit_code(), error.reason()), (Some(1), "exit_code"), "{mode}: {error}");
        assert_eq!(error.to_string(), "the tool failed with exit code 1; it wrote: words: there is no string \"text\"");
        assert!(error.receipt().is_some_and(|receipt| receipt.fuel > 0));
        for code in [0, 1, 3, 255, 256, 70_000, u32::MAX] {
            let module = format!(
                r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                  (memory (export "memory") 1)
                  (func (export "_start") (call $exit (i32.const {}))))"#,
                code.cast_signed()
            );
            let called = tool(&sandbox, "exits", module.as_bytes()).call(&json!({}));
            match called {
                Ok(output) => assert_eq!((code, output.value), (0, Value::Null)),
                Err(error) => assert_eq!(error.exit_code(), Some(code).filter(|code| *code != 0)),
            }
        }
    }
}

/// Writes its input, and to standard error whatever it is told, with one of its arguments at the end.
const ECHO: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "\00\01\00\00\00\f0\00\00")
  (data (i32.const 32) "\1b[2Jlook\ff")
  (data (i32.const 48) "\20\00\00\00\09\00\00\00")
  (func (export "_start")
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
    (i32.store (i32.const 4) (i32.load (i32.const 16)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
    (drop (call $write (i32.const 2) (i32.const 48) (i32.const 1) (i32.const 16)))))"#;

#[test]
fn what_it_writes_is_kept_whole_and_what_it_logs_is_escaped() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, limits());
        let given = json!({"b": [1, 2.5, null], "a": "é\n"});
        let echo = || builder(&sandbox, "echo", ECHO.as_bytes());
        let output = echo().build().expect("it is a tool").call(&given).expect("it answers");
        assert_eq!((&output.value, output.stderr.as_str()), (&given, "\\u{1b}[2Jlook\u{fffd}"), "{mode}");
        let text = echo().answer(Answer::Text).build().expect("it is a tool").call(&given).expect("it answers");
        assert_eq!(text.value, json!(given.to_string()));
        let scale = builder(&sandbox, "scale", SCALE).answer(Answer::Json).build().expect("it is a tool");
        let error = scale.call(&json!({"min": 2, "max": 5, "mean": 3})).expect_err("a line is no JSON");
        assert_eq!(error.reason(), "answer", "{error}");
    }
}

#[test]
fn numbers_are_exact_as_far_as_the_page_says() {
    let (engine, mode) = matrix().remove(0);
    let sandbox = sandbox(&engine, mode, limits());
    let echo = |answer| builder(&sandbox, "echo", ECHO.as_bytes()).answer(answer).build().expect("it is a tool");
    let given =
        br#"{"b":18446744073709551616, "a":[18446744073709551615,-9223372036854775808], "b":18446744073709551617}"#;
    let given = cofferdam::tool::parse(given).expect("it is JSON");
    let seen = echo(Answer::Text).call(&given).expect("it answers").value;
    let text = r#"{"a":[18446744073709551615,-9223372036854775808],"b":1.8446744073709552e+19}"#;
    assert_eq!(seen, json!(text));
    assert_eq!(echo(Answer::Json).call(&given).expect("it answers").value.to_string(), text);
}

#[test]
fn it_reaches_what_it_is_given_and_each_call_begins_anew() {
    // Counts on in a file: the number of bytes that are there, after one more is written.
    let counter = r#"(module
      (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_filestat_get" (func $stat (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "\10\00\00\00\01\00\00\00")
      (data (i32.const 16) "0count")
      (func (export "_start")
        (if (call $open (i32.const 3) (i32.const 0) (i32.const 17) (i32.const 5) (i32.const 1)
              (i64.const 0x200042) (i64.const 0) (i32.const 1) (i32.const 32))
          (then (call $exit (i32.const 9))))
        (drop (call $write (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i32.const 40)))
        (drop (call $stat (i32.load (i32.const 32)) (i32.const 64)))
        (i32.store8 (i32.const 16) (i32.add (i32.const 48) (i32.load8_u (i32.const 96))))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 40)))))"#;
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, limits());
        let given = |sandbox: &Sandbox, preopen| builder(sandbox, "counter", counter.as_bytes()).preopen(preopen);
        let memory = given(&sandbox, Preopen::memory(MemoryDir::new(), "/")).build().expect("it is a tool");
        for _ in 0..3 {
            assert_eq!(memory.call(&json!({})).expect("it answers").value, json!(1), "{mode}");
        }
        let dir = tempfile::tempdir().expect("there is room");
        let disk = given(&sandbox, Preopen::read_write(dir.path(), "/")).build().expect("it is a tool");
        for n in 1..4 {
            assert_eq!(disk.call(&json!({})).expect("it answers").value, json!(n), "{mode}");
        }
        let without = tool(&sandbox, "counter", counter.as_bytes());
        assert_eq!(without.call(&json!({})).expect_err("there is no directory").exit_code(), Some(9));
    }
}

#[test]
fn limits_stop_it_and_are_named() {
    let spin = r#"(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))"#;
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, Limits { timeout: None, ..limits() });
        let spin = builder(&sandbox, "spin", spin.as_bytes()).fuel(Fuel::new(5_000)).build().expect("it is a tool");
        let error = registry(&sandbox, [spin]).call("spin", &json!({})).expect_err("it never ends");
        assert!(matches!(error, ToolError::Stopped(_)), "{error:?}");
        assert_eq!((error.limit(), error.reason()), (Some(Limit::Fuel), "fuel"), "{mode}");
        assert_eq!(error.to_string(), "the tool was stopped: fuel budget spent (raise it with `Limits::fuel`)");
        assert_eq!(error.receipt().map(|receipt| receipt.fuel), Some(5_000));
        let words = builder(&sandbox, "words", WORDS).limits(Limits { message: MemoryBytes::new(20), ..limits() });
        let words = words.build().expect("it is a tool");
        assert!(words.call(&json!({"text": "12345678"})).is_ok());
        let error = words.call(&json!({"text": "1234567890"})).expect_err("it is above the cap");
        assert!(matches!(&error, ToolError::Arguments(said) if said.contains("Limits::message")), "{error}");
        let large = r#"(module (memory (export "memory") 9) (func (export "_start")))"#;
        let limits = Limits { memory: MemoryBytes::kib(512), ..limits() };
        let large = builder(&sandbox, "large", large.as_bytes()).limits(limits).build().expect("it is a tool");
        let error = large.call(&json!({})).expect_err("it needs more");
        assert_eq!(error.limit(), Some(Limit::Memory), "{error}");
    }
}
