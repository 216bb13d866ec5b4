//! Schema tools: modules that say what they take (`__tool_schema`) and are called with pointer and length of
//! JSON in their own memory (`__tool_execute`). Nothing they say of pointers, lengths or types is believed.

use std::time::Duration;

use cofferdam_engine::{ExternType, ValType, Value as Number};
use serde_json::Value;

use super::builder::Given;
use super::check::{SchemaError, kind};
use super::command::logged;
use super::error::{FailureKind, ToolBuildError, ToolError};
use super::json::parse;
use super::{MAX_STDERR, ToolOutput};
use crate::host::GuestState;
use crate::host::wasi::Stdin;
use crate::policy::{Fuel, Limits};
use crate::sandbox::{BytesAbi, CallOptions, Guest, Module, Sandbox};

/// The export that gives the schema.
pub(super) const SCHEMA: &str = "__tool_schema";
/// The export that is called.
pub(super) const EXECUTE: &str = "__tool_execute";
const MEMORY: &str = "memory";

/// Largest schema that is read, in bytes.
const MAX_SCHEMA: u64 = 256 << 10;
/// Most that giving the schema may cost: a tool that computes for seconds before it says what it takes is none.
const SCHEMA_FUEL: Fuel = Fuel::new(1_000_000_000);
const SCHEMA_TIME: Duration = Duration::from_secs(5);

const PAIR: &[ValType] = &[ValType::I32, ValType::I32];
const PACKED: &[ValType] = &[ValType::I64];

/// What a tool says of itself.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub description: Option<String>,
    pub input: Option<Value>,
    pub output: Option<Value>,
}

/// Whether `module` has all that a schema tool needs, of the right types.
pub(super) fn check_exports(module: &Module) -> Result<(), ToolBuildError> {
    let prepared = module.prepared();
    let function = |name, wanted, params: &[ValType]| match prepared.export(name) {
        None => Err(ToolBuildError::Missing(SCHEMA)),
        Some(ExternType::Func(Some(ty))) if ty.params() == params && matches!(ty.results(), PAIR | PACKED) => Ok(()),
        Some(ExternType::Func(Some(ty))) => Err(ToolBuildError::Export { name, found: ty.to_string(), wanted }),
        Some(other) => Err(ToolBuildError::Export { name, found: format!("a {}", other.kind()), wanted }),
    };
    function(SCHEMA, "() -> (i32, i32)", &[])?;
    function(EXECUTE, "(i32, i32) -> (i32, i32)", PAIR)?;
    match prepared.export(MEMORY) {
        Some(ExternType::Memory(_)) => Ok(()),
        _ => Err(ToolBuildError::Missing(MEMORY)),
    }
}

fn guest(sandbox: &Sandbox, module: &Module, name: &str, given: &Given, limits: Limits) -> Result<Guest, ToolError> {
    let wasi = given.wasi(name, Stdin::Empty, &limits).build()?;
    Ok(sandbox.guest_with(module, GuestState::with_wasi(wasi), limits)?)
}

/// What `guest` wrote: it has no standard output, so that both streams are for the log.
fn written(guest: &mut Guest, name: &str) -> String {
    let Some(wasi) = guest.state().and_then(|state| state.wasi.as_ref()) else { return String::new() };
    let most = |bytes: &[u8]| bytes[..bytes.len().min(MAX_STDERR)].to_vec();
    let mut both = most(wasi.stdout_bytes());
    both.extend(most(wasi.stderr_bytes()));
    logged(name, &both)
}

/// Has the tool say what it takes.
pub(super) fn ask(sandbox: &Sandbox, module: &Module, name: &str, given: &Given) -> Result<Told, ToolBuildError> {
    let limits = &given.limits;
    let fuel = limits.fuel.min(SCHEMA_FUEL);
    let time = limits.timeout.map_or(SCHEMA_TIME, |time| time.min(SCHEMA_TIME));
    let limits = Limits { fuel, timeout: Some(time), ..limits.clone() };
    let mut guest = guest(sandbox, module, name, given, limits).map_err(ToolBuildError::SchemaCall)?;
    let report = guest.call(SCHEMA, &[]);
    let stderr = written(&mut guest, name);
    let values = report.into_result().map_err(|error| match error.limit() {
        Some(limit) => ToolBuildError::SchemaStopped { limit, fuel, time },
        None => ToolBuildError::SchemaCall(ToolError::call(error, stderr)),
    })?;
    let (ptr, len) = match *values {
        [Number::I32(ptr), Number::I32(len)] => (ptr.cast_unsigned(), len.cast_unsigned()),
        [Number::I64(both)] => BytesAbi::default().unpack(both),
        // It ended itself with exit code 0.
        _ => return Err(ToolBuildError::SchemaCall(ToolError::tool(FailureKind::Exit(0), String::new(), None))),
    };
    if u64::from(len) > MAX_SCHEMA {
        return Err(ToolBuildError::SchemaTooLong { len: len.into(), cap: MAX_SCHEMA });
    }
    let memory = guest.memory(MEMORY).map_err(ToolBuildError::SchemaMemory)?;
    let bytes = memory.read(ptr.into(), len.into()).map_err(ToolBuildError::SchemaMemory)?;
    told(parse(&bytes).map_err(ToolBuildError::SchemaJson)?)
}

/// A schema is the JSON Schema of the arguments, or a description of the tool with that in it, by any of the
/// names that are in use; either may stand in `{"type": "function", "function": …}`.
fn told(schema: Value) -> Result<Told, ToolBuildError> {
    let not_object =
        |found: &Value| ToolBuildError::Schema { which: "input", error: SchemaError::NotObject(kind(found)) };
    let Value::Object(mut schema) = schema else { return Err(not_object(&schema)) };
    if schema.get("type").is_some_and(|ty| ty == "function") {
        match schema.remove("function") {
            Some(Value::Object(inner)) => schema = inner,
            Some(other) => return Err(not_object(&other)),
            None => {}
        }
    }
    let text = |value: Option<Value>| if let Some(Value::String(text)) = value { Some(text) } else { None };
    let mut first = |names: &[&str]| names.iter().find_map(|name| schema.remove(*name));
    // A schema of arguments has none of these at its top.
    let input = first(&["input_schema", "inputSchema", "parameters"]);
    if input.is_some() {
        let (output, description) = (first(&["output_schema", "outputSchema"]), first(&["description"]));
        return Ok(Told { description: text(description), input, output });
    }
    let description = text(schema.get("description").cloned());
    Ok(Told { description, input: Some(Value::Object(schema)), output: None })
}

/// One call.
pub(super) fn call(
    sandbox: &Sandbox,
    module: &Module,
    name: &str,
    given: &Given,
    arguments: &Value,
    options: &CallOptions,
) -> Result<ToolOutput, ToolError> {
    let mut guest = guest(sandbox, module, name, given, given.limits(options))?;
    // The instance is gone after the call: nothing need be freed.
    let abi = BytesAbi::default().or_fresh_pages().never_free();
    let called = guest.call_bytes_counted(EXECUTE, arguments.to_string().as_bytes(), &abi, options);
    let stderr = written(&mut guest, name);
    let (bytes, receipt) = match called {
        Ok(given) => given,
        Err(error) => return Err(ToolError::call(error, stderr)),
    };
    // Work like a guest's.
    let _turn = sandbox.resources().permit();
    match parse(&bytes) {
        Ok(value) => Ok(ToolOutput { value, receipt: Some(receipt), stderr }),
        Err(error) => Err(ToolError::tool(FailureKind::Json(error), stderr, Some(receipt))),
    }
}
