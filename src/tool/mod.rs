//! Guests that are called once with JSON and answer with JSON: tools. A [`Tool`] has a name, a description and
//! JSON Schemas for what goes in and comes out; a [`ToolRegistry`] holds many and checks every call against
//! them. [`WasmTool`] makes one of a module, in one of two ways:
//!
//! | kind | what the module exports | how it is called |
//! |---|---|---|
//! | [schema tool](ToolKind::Schema) | `__tool_schema`, `__tool_execute`, `memory` | with pointer and length of the arguments as JSON |
//! | [WASI command](ToolKind::Command) | `_start` | the arguments as JSON on standard input; the answer on standard output |
//!
//! Each call has an instance of its own, made for it and gone after it, so that no call sees anything of
//! another. A tool reaches no directory and no variable but those it is given, and no network at all.
//!
//! ```
//! use cofferdam::tool::ToolRegistry;
//! use cofferdam::{engines, policy::Limits, Sandbox};
//! use serde_json::json;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if engines::names().is_empty() { return Ok(()); }
//! let sandbox = Sandbox::builder(engines::by_name("auto")?).wasi().limits(Limits::tool()).build()?;
//! let module = sandbox.load(&std::fs::read("examples/guests/statistics.wasm")?)?;
//! let tools = ToolRegistry::new(sandbox.resources().clone());
//! tools.add(sandbox.tool("statistics", &module).build()?)?;
//!
//! let answer = tools.call("statistics", &json!({"numbers": [3, 5, 4]}))?.value;
//! assert_eq!(answer, json!({"count": 3, "sum": 12, "min": 3, "max": 5, "mean": 4}));
//! let refused = tools.call("statistics", &json!({"numbers": "many"})).unwrap_err();
//! assert!(refused.to_string().starts_with("the arguments are refused: /numbers: "), "{refused}");
//! # Ok(())
//! # }
//! ```

mod agents;
mod builder;
mod check;
mod command;
mod error;
mod json;
mod registry;
mod schema;

use serde_json::Value;

use crate::sandbox::{CallOptions, Receipt};

pub use builder::{Answer, ToolBuilder, ToolKind, WasmTool};
pub use check::{Check, SchemaError};
pub use error::{FailureKind, ToolBuildError, ToolError, ToolFailure};
pub use json::{JsonError, MAX_VALUES, parse};
pub use registry::{RegistryError, ToolRegistry};

/// Longest name of a tool, in bytes.
pub const MAX_NAME: usize = 64;

/// Something that is called by name with JSON and answers with JSON.
pub trait Tool: Send + Sync {
    /// Its name: 1 to [`MAX_NAME`] of `[A-Za-z0-9._-]`.
    fn name(&self) -> &str;

    /// What it is for, in words.
    fn description(&self) -> &str;

    /// The JSON Schema of its arguments: an object.
    fn input_schema(&self) -> &Value;

    /// The JSON Schema of its answers, if it says.
    fn output_schema(&self) -> Option<&Value> {
        None
    }

    /// Calls it. The [`ToolRegistry`] compares `arguments` and the answer with the schemas; nothing here does.
    ///
    /// # Errors
    /// There is no answer.
    fn call_with(&self, arguments: &Value, options: &CallOptions) -> Result<ToolOutput, ToolError>;

    /// Calls it with its own limits.
    ///
    /// # Errors
    /// There is no answer.
    fn call(&self, arguments: &Value) -> Result<ToolOutput, ToolError> {
        self.call_with(arguments, &CallOptions::default())
    }
}

/// What a call of a tool gave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ToolOutput {
    /// The answer.
    pub value: Value,
    /// What the call cost; `None` for a tool that is no guest.
    pub receipt: Option<Receipt>,
    /// What it wrote to standard error: cut to [`MAX_STDERR`] bytes, and escaped but for line ends and tabs.
    pub stderr: String,
}

impl ToolOutput {
    /// The answer `value`, which cost nothing that is counted.
    #[must_use]
    pub fn new(value: Value) -> Self {
        Self { value, receipt: None, stderr: String::new() }
    }
}

/// Most of a tool's standard error that is kept, in bytes.
pub const MAX_STDERR: usize = 16 << 10;

/// Whether `name` may be a tool's.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(good)
}
