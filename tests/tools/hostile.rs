//! Hostile tools (`tests/guests/tools`) end as their first lines say, and good ones go on beside them.

use std::sync::Arc;

use cofferdam::audit::{EventKind, MemorySink};
use cofferdam::policy::{Fuel, Limits, MemoryBytes};
use cofferdam::sandbox::{CallOptions, ResourceConfig, Resources};
use cofferdam::tool::{FailureKind, JsonError, SchemaError, Tool, ToolBuildError, ToolError, ToolOutput, ToolRegistry};
use cofferdam::{Limit, TrapKind};
use serde_json::{Value, json};

use crate::matrix::matrix;
use crate::schema::text;
use crate::{builder, file, limits, no_tool, registry, sandbox, tool};

/// Arguments of so many bytes.
fn long(length: usize) -> Value {
    let value = match length {
        2 => json!({}),
        n => json!("x".repeat(n - 2)),
    };
    assert_eq!(value.to_string().len(), length);
    value
}

#[test]
fn a_schema_that_never_comes_is_not_waited_for() {
    for (engine, mode) in matrix() {
        let little = Limits { fuel: Fuel::new(1_000_000), timeout: None, ..limits() };
        let short = Limits { fuel: Fuel::UNLIMITED, timeout: Some(std::time::Duration::from_millis(50)), ..limits() };
        for (limits, limit) in [(little, Limit::Fuel), (short, Limit::Deadline)] {
            for name in ["endless_schema.wat", "endless_schema_start.wat"] {
                let error = no_tool(&sandbox(&engine, mode, limits.clone()), &file(name));
                // With unlimited fuel the schema's own budget may be spent before its time is.
                let stopped = matches!(error, ToolBuildError::SchemaStopped { limit: by, .. } if by == limit || by == Limit::Fuel);
                assert!(stopped, "{mode}: {name}: {error}");
            }
        }
    }
}

#[test]
fn a_schema_that_is_none_is_the_tools_error() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, limits());
        let refused = |schema: &str| no_tool(&sandbox, text(schema, "(i32.const 0) (i32.const 0)").as_bytes());
        assert!(matches!(refused("{"), ToolBuildError::SchemaJson(JsonError::Syntax(_))), "{mode}");
        assert!(matches!(refused(""), ToolBuildError::SchemaJson(_)));
        let not_object =
            |schema| matches!(refused(schema), ToolBuildError::Schema { error: SchemaError::NotObject(_), .. });
        assert!(not_object("[]") && not_object("5") && not_object(r#"{"parameters":[]}"#));
        assert!(not_object(r#"{"type":"function","function":7}"#));
        let invalid = refused(r#"{"type":"nothing"}"#);
        assert!(
            matches!(&invalid, ToolBuildError::Schema { which: "input", error: SchemaError::Invalid(_) }),
            "{invalid}"
        );
        let output = refused(r#"{"parameters":{},"output_schema":{"$ref":"http://127.0.0.1:1/"}}"#);
        assert!(matches!(output, ToolBuildError::Schema { which: "output", error: SchemaError::Reference { .. } }));

        assert!(matches!(
            no_tool(&sandbox, &file("huge_schema.wat")),
            ToolBuildError::SchemaTooLong { len: 1_048_576, .. }
        ));
        let bomb = no_tool(&sandbox, &file("schema_bomb.wat"));
        assert!(matches!(bomb, ToolBuildError::Schema { error: SchemaError::Cost, .. }), "{bomb}");
    }
}

#[test]
fn no_call_sees_anything_of_another() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, limits());
        let tools = registry(&sandbox, [tool(&sandbox, "remembers", &file("remembers.wat"))]);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let tools = &tools;
                scope.spawn(move || {
                    for n in 0..25 {
                        let output = tools.call("remembers", &json!({"secret": thread * 100 + n})).expect("it answers");
                        assert_eq!(output.value, json!(0), "{mode}");
                    }
                });
            }
        });
        assert_eq!(sandbox.resources().reserved_memory().get(), 0);
    }
}

#[test]
fn answers_above_the_caps_are_not_kept() {
    for (engine, mode) in matrix() {
        let limits = Limits { output: MemoryBytes::mib(2), message: MemoryBytes::mib(64), ..limits() };
        let sandbox = sandbox(&engine, mode, limits);
        let error = tool(&sandbox, "flood", &file("flood.wat")).call(&json!({})).expect_err("it is above the cap");
        assert_eq!((error.limit(), error.reason()), (Some(Limit::Output), "output"), "{mode}: {error}");
        assert!(error.to_string().contains("Limits::output"), "{error}");

        let values = builder(&sandbox, "values", &file("values.wat"));
        let values = values.fuel(Fuel::new(1_000_000_000)).build().expect("it is a tool");
        let error = values.call(&json!({})).expect_err("it is too many");
        let failure = error.failure().unwrap_or_else(|| panic!("{error}"));
        assert_eq!(failure.why, FailureKind::Json(JsonError::TooMany));

        // A gigabyte that is said to be there, and one that is.
        let claims = text("{}", "(i32.const 0) (i32.const 0x40000000)");
        let error = tool(&sandbox, "claims", claims.as_bytes()).call(&json!({})).expect_err("it is above the cap");
        assert_eq!(error.limit(), Some(Limit::Message), "{error}");
        let limits = Limits { message: MemoryBytes::mib(2048), ..Limits::tool() };
        let claims = builder(&sandbox, "claims", claims.as_bytes()).limits(limits).build().expect("it is a tool");
        let error = claims.call(&json!({})).expect_err("it is not there");
        assert_eq!(error.reason(), "memory_out_of_bounds", "{error}");
    }
}

#[test]
fn every_other_way_to_give_no_answer_is_named() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, limits());
        let audit = Arc::new(MemorySink::new(100));
        let tools = ToolRegistry::with(sandbox.resources().clone(), 10, audit.clone());
        tools.add(tool(&sandbox, "faults", &file("faults.wat"))).expect("it is free");
        tools.add(tool(&sandbox, "wild", &file("bad_allocator.wat"))).expect("it is free");
        let error = tools.call("wild", &json!({})).expect_err("there is no room");
        let trap = error.failure().and_then(|failure| failure.call.as_ref()?.trap());
        assert_eq!(trap.map(|trap| trap.kind), Some(TrapKind::MemoryOutOfBounds), "{mode}: {error}");
        let endings = [
            (2, "unreachable"),
            (3, "exit_code"),
            (4, "exit_code"),
            (5, "answer"),
            (6, "answer"),
            (7, "stack"),
            (8, "fuel"),
            (9, "answer"),
        ];
        for (length, reason) in endings {
            let error = tools.call("faults", &long(length)).expect_err("it gives no answer");
            assert_eq!(error.reason(), reason, "{mode}: {length}: {error}");
            assert!(error.receipt().is_some_and(|receipt| receipt.fuel > 0), "{length}");
        }
        assert_eq!(tools.call("faults", &long(4)).expect_err("it exits").exit_code(), Some(5));
        let refused = tools.call("faults", &long(9)).expect_err("it gives no answer");
        assert!(refused.receipt().is_some_and(|receipt| receipt.refused_growths == 1));
        let count = |kind| audit.count(kind);
        assert_eq!(count(EventKind::Trapped), 2, "{mode}");
        assert_eq!((count(EventKind::LimitReached), count(EventKind::Failed)), (2, 7));
        assert!(audit.events().iter().filter(|e| e.receipt.is_some()).count() == 11);
        // And a good one works beside them.
        tools.add(tool(&sandbox, "same", text("{}", "(local.get 0) (local.get 1)").as_bytes())).expect("it is free");
        assert_eq!(tools.call("same", &json!({"a": 1})).expect("it answers").value, json!({"a": 1}));
        assert!(!matches!(tools.call("same", &json!({"a": 1})), Err(ToolError::NotRun(_))));
    }
}

/// A tool that is no guest, and answers with what it is given.
struct Same(Value, Option<Value>);

impl Tool for Same {
    fn name(&self) -> &str {
        "same"
    }
    fn description(&self) -> &str {
        "for tests"
    }
    fn input_schema(&self) -> &Value {
        &self.0
    }
    fn output_schema(&self) -> Option<&Value> {
        self.1.as_ref()
    }
    fn call_with(&self, arguments: &Value, _: &CallOptions) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::new(arguments.clone()))
    }
}

/// The most memory that this process has had, in bytes.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// Schemas of a few kilobytes of which each value differs in a thousand ways. Compared in a process of its own, so
/// that its memory is that of the comparisons.
#[test]
fn reasons_do_not_eat_the_host() {
    const CHILD: &str = "COFFERDAM_TEST_REASONS";
    if std::env::var_os(CHILD).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().expect("it runs"));
        child.args(["--exact", "hostile::reasons_do_not_eat_the_host", "--nocapture"]).env(CHILD, "1");
        let output = child.output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let wrong = |k| json!({"items": {"allOf": vec![json!({"type": "string"}); k]}});
    let value = json!({"a": vec![0; 5_000]});
    for branches in ["anyOf", "oneOf"] {
        for k in [400, 1_000] {
            let schema = json!({"properties": {"a": {branches: [wrong(k)]}}});
            let tools = ToolRegistry::new(Resources::new(&ResourceConfig::default()));
            tools.add(Same(schema.clone(), None)).expect("it can be bounded");
            let refused = tools.call("same", &value).expect_err("it differs");
            assert!(matches!(refused, ToolError::Arguments(_)), "{refused}");
            // And the tool's own answer.
            tools.replace(Same(json!({}), Some(schema))).expect("it is there");
            let failed = tools.call("same", &value).expect_err("it differs");
            assert_eq!(failed.reason(), "answer", "{failed}");
        }
    }
    if let Some(peak) = peak() {
        assert!(peak < 256 << 20, "{} MiB", peak >> 20);
    }
}
