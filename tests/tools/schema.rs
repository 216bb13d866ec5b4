//! Schema tools.

use std::sync::Arc;

use cofferdam::Limit;
use cofferdam::audit::{EventKind, MemorySink};
use cofferdam::policy::MemoryBytes;
use cofferdam::tool::{Tool as _, ToolBuildError, ToolError, ToolKind, ToolRegistry};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::matrix::matrix;
use crate::{STATISTICS, builder, limits, no_tool, registry, sandbox, tool};

#[test]
fn a_schema_tool_says_what_it_takes_and_is_held_to_it() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, limits());
        let statistics = tool(&sandbox, "statistics", STATISTICS);
        assert_eq!(statistics.kind(), ToolKind::Schema);
        assert_eq!(statistics.description(), "Count, sum, least, greatest and rounded mean of whole numbers.");
        assert_eq!(statistics.input_schema()["required"], json!(["numbers"]));
        let tools = registry(&sandbox, [statistics]);
        let output = tools.call("statistics", &json!({"numbers": [3, -5, 14]})).expect("it answers");
        assert_eq!(output.value, json!({"count": 3, "sum": 12, "min": -5, "max": 14, "mean": 4}), "{mode}");
        for (wrong, word) in [(json!({}), "numbers"), (json!({"numbers": ["1"]}), "/numbers/0"), (json!([]), "object")]
        {
            let error = tools.call("statistics", &wrong).expect_err("it takes something else");
            assert!(matches!(&error, ToolError::Arguments(said) if said.contains(word)), "{error}");
        }
    }
}

/// A schema tool in so many words: what it says of itself, and the body of `__tool_execute`.
pub fn text(schema: &str, execute: &str) -> String {
    let (escaped, length) = (schema.replace('"', "\\22"), schema.len());
    format!(
        r#"(module (memory (export "memory") 1)
          (data (i32.const 1024) "{escaped}")
          (func (export "__tool_schema") (result i32 i32) (i32.const 1024) (i32.const {length}))
          (func (export "__tool_execute") (param $ptr i32) (param $len i32) (result i32 i32) {execute}))"#
    )
}

/// Gives back what it was given.
const SAME: &str = "(local.get $ptr) (local.get $len)";

#[test]
fn without_an_allocator_arguments_stand_in_fresh_pages() {
    // Answers whether its one page is as it was, whatever the arguments are.
    let untouched = r#"(local $at i32) (local $sum i32)
      (block $end (loop $next
        (br_if $end (i32.ge_u (local.get $at) (i32.const 65536)))
        (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
      (if (i32.or (i32.ne (local.get $sum) (i32.const 248)) (i32.lt_u (local.get $ptr) (i32.const 65536))) (then unreachable))
      (local.get $ptr) (local.get $len)"#;
    assert_eq!("{}".bytes().map(u32::from).sum::<u32>(), 248);
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, limits());
        let checks = tool(&sandbox, "checks", text("{}", untouched).as_bytes());
        for length in [0, 1, 65_000, 65_526, 65_527, 200_000] {
            let given = json!({"x": "y".repeat(length)});
            assert_eq!(checks.call(&given).expect("it answers").value, given, "{mode}: {length}");
        }
        let given = json!({"x": "y".repeat(1 << 20)});
        let error = checks.call(&given).expect_err("it is above the cap of a message");
        assert!(matches!(&error, ToolError::Arguments(said) if said.contains("Limits::message")), "{error}");
        // A memory that may not grow has no room.
        let fixed = text("{}", SAME).replace("\"memory\") 1)", "\"memory\") 1 1)");
        let error = tool(&sandbox, "fixed", fixed.as_bytes()).call(&json!({})).expect_err("there is no room");
        assert!(matches!(&error, ToolError::Tool(_)) && error.to_string().contains("memory.grow"), "{error}");
        assert!(error.limit().is_none() && !error.to_string().contains("Limits::memory"), "{error}");
        // Nor has one at its cap.
        let capped = builder(&sandbox, "capped", text("{}", SAME).as_bytes()).memory(MemoryBytes::kib(64));
        let audit = Arc::new(MemorySink::new(10));
        let tools = ToolRegistry::with(sandbox.resources().clone(), 1, audit.clone());
        tools.add(capped.build().expect("it is a tool")).expect("it is free");
        let error = tools.call("capped", &json!({})).expect_err("there is no room");
        assert_eq!((error.limit(), error.reason()), (Some(Limit::Memory), "memory"), "{error}");
        assert!(error.to_string().contains("raise it with `Limits::memory`"), "{error}");
        assert_eq!(audit.count(EventKind::LimitReached), 1);
    }
}

#[test]
fn schemas_come_in_the_shapes_that_are_in_use() {
    let input = r#"{"type":"object","required":["a"]}"#;
    let shapes = [
        (input.to_owned(), ""),
        (format!(r#"{{"description":"d","input_schema":{input}}}"#), "d"),
        (format!(r#"{{"name":"x","description":"d","inputSchema":{input},"outputSchema":{{"type":"object"}}}}"#), "d"),
        (format!(r#"{{"type":"function","function":{{"name":"x","description":"d","parameters":{input}}}}}"#), "d"),
    ];
    let (engine, mode) = matrix().remove(0);
    let sandbox = sandbox(&engine, mode, limits());
    for (schema, description) in shapes {
        let same = tool(&sandbox, "same", text(&schema, SAME).as_bytes());
        assert_eq!(same.description(), description, "{schema}");
        assert_eq!(same.input_schema()["required"], json!(["a"]), "{schema}");
        let tools = registry(&sandbox, [same]);
        assert_eq!(tools.call("same", &json!({"a": 1})).expect("it answers").value, json!({"a": 1}));
        assert!(matches!(tools.call("same", &json!({})), Err(ToolError::Arguments(_))), "{schema}");
    }
    // What the builder says stands above what the tool says.
    let stated = builder(&sandbox, "same", text(input, SAME).as_bytes()).description("mine");
    let stated = stated.input_schema(json!({"type": "object"})).output_schema(json!({"required": ["b"]}));
    let tools = registry(&sandbox, [stated.build().expect("it is a tool")]);
    let error = tools.call("same", &json!({"a": 1})).expect_err("the answer has no b");
    assert!(error.reason() == "answer" && error.to_string().contains("output schema"), "{error}");
    assert_eq!(tools.list()[0].description(), "mine");
}

#[test]
fn pairs_and_packed_numbers_are_understood_and_nothing_else() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, limits());
        let packed = r#"(module (memory (export "memory") 1) (data (i32.const 0) "{}7")
          (func (export "__tool_schema") (result i64) (i64.const 2))
          (func (export "__tool_execute") (param i32 i32) (result i64) (i64.const 0x2_0000_0001)))"#;
        assert_eq!(tool(&sandbox, "packed", packed.as_bytes()).call(&json!({})).expect("it answers").value, json!(7));
        let other = |from: &str, to: &str| {
            let module = text("{}", SAME).replacen(from, to, 1);
            assert_ne!(module, text("{}", SAME), "{from}");
            no_tool(&sandbox, module.as_bytes())
        };
        let wide = other(
            "(param $ptr i32) (param $len i32) (result i32 i32) (local.get $ptr)",
            "(param $ptr i64) (param $len i32) (result i32 i32) (i32.const 0)",
        );
        assert!(matches!(&wide, ToolBuildError::Export { name: "__tool_execute", .. }), "{wide}");
        let one = other("(result i32 i32) (i32.const 1024)", "(result i32)");
        assert!(matches!(&one, ToolBuildError::Export { name: "__tool_schema", .. }), "{one}");
        assert!(matches!(other("\"__tool_schema\"", "\"schema\""), ToolBuildError::Missing("__tool_schema")));
        assert!(matches!(other("\"memory\"", "\"mem\""), ToolBuildError::Missing("memory")));
        let neither = other("\"__tool_execute\"", "\"run\\u{1b}\"").to_string();
        assert!(neither.contains("`_start`") && neither.contains("run\\u{1b}"), "{neither}");
    }
}

/// Whatever pointer and length a tool gives, it is either exactly those bytes or the tool's error.
#[test]
fn no_pointer_and_no_length_is_believed() {
    const SIZE: u64 = 65_536;
    let near = |edge: u64| (edge.saturating_sub(9)..=edge + 9).prop_map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let number = || {
        prop_oneof![
            near(0),
            near(1024),
            near(SIZE),
            near(2 * SIZE),
            near(1 << 31),
            near(u64::from(u32::MAX)),
            any::<u32>()
        ]
    };
    // Page 0 holds a quote at every even and every odd place in turn, so that many answers are JSON.
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, limits());
        let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
        let property = |(ptr, len): (u32, u32)| {
            let module = format!(
                r#"(module (memory (export "memory") 1) (data (i32.const 1024) "\22xxxx\22")
                  (func (export "__tool_schema") (result i32 i32) (i32.const {0}) (i32.const {1}))
                  (func (export "__tool_execute") (param i32 i32) (result i32 i32) (i32.const {0}) (i32.const {1})))"#,
                ptr.cast_signed(),
                len.cast_signed()
            );
            let inside = u64::from(ptr) + u64::from(len) <= SIZE;
            // The same pair as a schema: never a panic, and never bytes from outside.
            let schema = no_tool(&sandbox, module.as_bytes());
            let wild = matches!(schema, ToolBuildError::SchemaMemory(_) | ToolBuildError::SchemaTooLong { .. });
            prop_assert_eq!(wild, !inside || len > 256 << 10, "{} of {} at {}", schema, len, ptr);

            let execute = format!("(i32.const {}) (i32.const {})", ptr.cast_signed(), len.cast_signed());
            let module = text("{}", &execute).replace(
                "(func (export \"__tool_schema\")",
                "(data (i32.const 0) \"\\22xx\\22\") (func (export \"__tool_schema\")",
            );
            let called = tool(&sandbox, "pair", module.as_bytes()).call(&json!({}));
            // One fresh page holds the arguments.
            let inside = u64::from(ptr) + u64::from(len) <= 2 * SIZE;
            match called {
                Ok(output) => prop_assert!(inside && output.value.to_string().len() <= len as usize),
                Err(ToolError::Tool(failure)) => prop_assert!(!inside || failure.call.is_none(), "{}", failure),
                Err(ToolError::Stopped(call)) => prop_assert!(u64::from(len) > limits().message.get(), "{}", call),
                Err(other) => prop_assert!(false, "{}", other),
            }
            Ok(())
        };
        runner.run(&(number(), number()), property).unwrap_or_else(|e| panic!("{mode}: {e}"));
    }
}
