//! The registry: tools that come, change and go while they serve, and what the audit hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use cofferdam::audit::{AuditSink as _, EventKind, MemorySink};
use cofferdam::sandbox::{CallOptions, ResourceConfig, Resources};
use cofferdam::tool::{RegistryError, Tool, ToolError, ToolOutput, ToolRegistry};
use cofferdam::{CancelHandle, Limit};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::matrix::matrix;
use crate::{STATISTICS, WORDS, limits, sandbox, tool};

/// A tool that is no guest. It answers with its number when it is let.
struct Native {
    name: String,
    number: u32,
    schema: Value,
    /// Says that a call has begun, and waits.
    gate: Option<Mutex<(Sender<()>, Receiver<()>)>>,
}

impl Native {
    fn new(name: &str, number: u32) -> Self {
        Self { name: name.to_owned(), number, schema: json!({"type": "object"}), gate: None }
    }
}

impl Tool for Native {
    fn name(&self) -> &str {
        &self.name
    }
    fn description(&self) -> &str {
        "for tests"
    }
    fn input_schema(&self) -> &Value {
        &self.schema
    }
    fn call_with(&self, arguments: &Value, _: &CallOptions) -> Result<ToolOutput, ToolError> {
        if let Some(gate) = &self.gate {
            let gate = gate.lock();
            gate.0.send(()).map_err(ToolError::failed)?;
            gate.1.recv().map_err(ToolError::failed)?;
        }
        if arguments["fail"] == json!(true) {
            Err(ToolError::failed("as told"))
        } else {
            Ok(ToolOutput::new(json!(self.number)))
        }
    }
}

fn resources() -> Arc<Resources> {
    Resources::new(&ResourceConfig::default())
}

#[test]
fn names_are_taken_once_and_there_is_only_so_much_room() {
    let audit = Arc::new(MemorySink::new(100));
    let tools = ToolRegistry::with(resources(), 2, audit.clone());
    assert!(tools.is_empty());
    tools.add(Native::new("a", 1)).expect("it is free");
    assert_eq!(tools.add(Native::new("a", 2)), Err(RegistryError::Exists("a".into())));
    assert_eq!(tools.call("a", &json!({})).expect("the first one stays").value, json!(1));
    tools.add(Native::new("b", 1)).expect("it is free");
    assert_eq!(tools.add(Native::new("c", 1)), Err(RegistryError::Full(2)));
    assert_eq!(tools.replace(Native::new("a", 3)).map(|old| old.name().to_owned()), Ok("a".into()));
    assert_eq!(tools.call("a", &json!({})).expect("the new one answers").value, json!(3));
    assert!(matches!(tools.replace(Native::new("c", 1)), Err(RegistryError::Unknown(_))));
    let names = || tools.list().iter().map(|tool| tool.name().to_owned()).collect::<Vec<_>>();
    assert_eq!((names(), tools.len(), tools.has("b")), (vec!["a".into(), "b".into()], 2, true));
    assert!(tools.remove("b").is_ok() && !tools.has("b") && tools.get("b").is_none());
    assert!(matches!(tools.remove("b"), Err(RegistryError::Unknown(_))));
    let error = tools.call("b\u{1b}", &json!({})).expect_err("it is gone");
    assert_eq!((error.to_string().as_str(), error.reason()), ("there is no tool `b\\u{1b}`", "unknown_tool"));
    assert_eq!(tools.call("a", &json!({"fail": true})).expect_err("it fails").to_string(), "the tool failed: as told");

    let kinds: Vec<_> = audit.events().iter().map(|event| event.kind).collect();
    use EventKind::{DeniedCall, Deployed, Failed, Removed, Replaced};
    assert_eq!(kinds, [Deployed, Deployed, Replaced, Removed, DeniedCall, Failed]);
    assert_eq!(audit.lost(), 0);
}

#[test]
fn names_and_schemas_are_checked_when_a_tool_is_added() {
    let tools = ToolRegistry::new(resources());
    for name in ["", "a b", "ä", "a/b", "a\n", &"a".repeat(65)] {
        assert!(matches!(tools.add(Native::new(name, 1)), Err(RegistryError::Name(_))), "{name:?}");
    }
    for schema in [json!([]), json!({"type": 5}), json!({"$ref": "http://127.0.0.1:1/"}), json!({"$ref": "#"})] {
        let tool = Native { schema: schema.clone(), ..Native::new("a", 1) };
        assert!(matches!(tools.add(tool), Err(RegistryError::Schema { which: "input", .. })), "{schema}");
    }
    assert!(tools.is_empty());
    tools.add(Native::new(&"a.B_9-".repeat(10), 1)).expect("it is a good name");
}

#[test]
fn calls_under_way_come_to_their_end_on_the_tool_they_began_with() {
    let tools = ToolRegistry::new(resources());
    let (began, has_begun) = channel();
    let (release, released) = channel();
    let gate = Some(Mutex::new((began, released)));
    tools.add(Native { gate, ..Native::new("a", 1) }).expect("it is free");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| tools.call("a", &json!({})));
        has_begun.recv().expect("it begins");
        tools.replace(Native::new("a", 2)).expect("it is there");
        assert_eq!(tools.call("a", &json!({})).expect("the new one answers").value, json!(2));
        tools.remove("a").expect("it is there");
        assert!(matches!(tools.call("a", &json!({})), Err(ToolError::Unknown(_))));
        release.send(()).expect("it waits");
        assert_eq!(first.join().expect("no panic").expect("it answers").value, json!(1));
    });
}

/// Ends the call that it is called with.
struct Cancels(Value, AtomicUsize);

impl Tool for Cancels {
    fn name(&self) -> &str {
        "cancels"
    }
    fn description(&self) -> &str {
        "for tests"
    }
    fn input_schema(&self) -> &Value {
        &self.0
    }
    fn output_schema(&self) -> Option<&Value> {
        Some(&self.0)
    }
    fn call_with(&self, _: &Value, options: &CallOptions) -> Result<ToolOutput, ToolError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        options.cancel.as_ref().map(CancelHandle::cancel);
        Ok(ToolOutput::new(json!("no object")))
    }
}

#[test]
fn nothing_is_compared_for_a_call_that_was_cancelled() {
    let (tools, tool) = (ToolRegistry::new(resources()), Arc::new(Cancels(json!({"type": "object"}), 0.into())));
    tools.add_shared(tool.clone()).expect("it is free");
    let cancel = CancelHandle::new();
    let options = CallOptions::default().cancel(&cancel);
    // The first is cancelled by the tool, and its answer is not looked at; the second before it begins.
    for arguments in [json!({}), json!("no object")] {
        let error = tools.call_with("cancels", &arguments, &options).expect_err("it is cancelled");
        assert!(matches!(error, ToolError::Cancelled), "{error}");
        assert_eq!((error.limit(), error.reason()), (Some(Limit::Cancelled), "cancelled"));
    }
    assert_eq!(tool.1.load(Ordering::SeqCst), 1);
    assert!(matches!(tools.call("cancels", &json!("no object")), Err(ToolError::Arguments(_))));
}

#[test]
fn tools_come_and_go_while_others_call_them() {
    let (engine, mode) = matrix().remove(0);
    let sandbox = sandbox(&engine, mode, limits());
    let tools = ToolRegistry::new(sandbox.resources().clone());
    let answered = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while done.load(Ordering::Acquire) == 0 {
                    match tools.call("t", &json!({"numbers": [1, 2], "text": "one"})) {
                        Ok(output) => {
                            let good =
                                [json!({"numbers": [3]}), json!({"count": 2, "sum": 3, "min": 1, "max": 2, "mean": 2})];
                            assert!(good.contains(&output.value), "{}", output.value);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(ToolError::Unknown(_)) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 50 {
            tools.add(tool(&sandbox, "t", WORDS)).expect("nobody else adds");
            tools.replace(tool(&sandbox, "t", STATISTICS)).expect("it is there");
            tools.remove("t").expect("it is there");
        }
        done.store(1, Ordering::Release);
    });
}
