//! [`ToolBuilder`]: what a tool is given and how much it may use. [`WasmTool`]: the tool that comes of it.

use std::time::Duration;

use cofferdam_engine::ExternType;
use serde_json::{Value, json};

use super::check::Check;
use super::error::{ToolBuildError, ToolError};
use super::{Tool, ToolOutput, command, is_name, schema};
use crate::host::wasi::{Output, Preopen, Stdin, WasiConfig, WasiLimits};
use crate::policy::{Fuel, Limits, MemoryBytes};
use crate::sandbox::{COMMAND, CallOptions, Module, Printable, Sandbox};

/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 4_096;

/// In which way a module is a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ToolKind {
    /// Exports `__tool_schema() -> (i32, i32)` and `__tool_execute(i32, i32) -> (i32, i32)`, pointer and length
    /// each; either may be an `i64`, `pointer << 32 | length`, instead.
    Schema,
    /// A WASI program.
    Command,
}

impl ToolKind {
    /// What `module` is, by what it exports.
    ///
    /// # Errors
    /// It is no tool, or a schema tool with something missing.
    pub fn of(module: &Module) -> Result<Self, ToolBuildError> {
        if module.has_function(schema::EXECUTE) {
            schema::check_exports(module)?;
            return Ok(Self::Schema);
        }
        if module.has_function(COMMAND) {
            return Ok(Self::Command);
        }
        let functions = module.prepared().exports().iter().filter(|e| matches!(e.ty, ExternType::Func(_)));
        Err(ToolBuildError::NotTool(functions.take(10).map(|e| Printable::new(&e.name).to_string()).collect()))
    }

    /// `schema` or `command`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Command => "command",
        }
    }
}

/// How the standard output of a command becomes an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// JSON if it is JSON, else text: a JSON string of all of it. Nothing at all is `null`.
    #[default]
    Auto,
    /// JSON, or the call has failed.
    Json,
    /// Always a JSON string of all of it.
    Text,
}

/// A tool that is about to be made; see [`Sandbox::tool`].
///
/// There is no switch for the network: a tool has none.
#[derive(Clone)]
#[must_use = "it is not made yet"]
pub struct ToolBuilder {
    sandbox: Sandbox,
    module: Module,
    name: String,
    description: Option<String>,
    input: Option<Value>,
    output: Option<Value>,
    given: Given,
}

/// What each call of a tool is given.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub preopens: Vec<Preopen>,
    pub limits: Limits,
    pub answer: Answer,
}

impl Given {
    /// For one call, with `stdin`.
    pub fn wasi(&self, name: &str, stdin: Stdin, limits: &Limits) -> WasiConfig {
        let args = std::iter::once(name.to_owned()).chain(self.args.iter().cloned()).collect();
        WasiConfig {
            args,
            env: self.env.clone(),
            stdin,
            stdout: Output::Capture,
            stderr: Output::Capture,
            preopens: self.preopens.clone(),
            limits: WasiLimits {
                output_bytes: limits.output.get(),
                open_files: limits.open_files,
                scratch_bytes: limits.scratch.get(),
                disk_bytes: limits.disk.get(),
                ..WasiLimits::default()
            },
            ..WasiConfig::default()
        }
    }

    /// The limits of one call under `options`.
    pub fn limits(&self, options: &CallOptions) -> Limits {
        let mut limits = self.limits.clone();
        limits.fuel = options.fuel.unwrap_or(limits.fuel);
        limits.timeout = options.timeout.or(limits.timeout);
        limits
    }
}

impl Sandbox {
    /// A tool called `name`, to be made of `module`, under the policy's limits. For a WASI command the policy
    /// must grant WASI ([`SandboxBuilder::wasi`](crate::sandbox::SandboxBuilder::wasi)).
    pub fn tool(&self, name: impl Into<String>, module: &Module) -> ToolBuilder {
        let limits = self.policy().limits.clone();
        ToolBuilder {
            sandbox: self.clone(),
            module: module.clone(),
            name: name.into(),
            description: None,
            input: None,
            output: None,
            given: Given { args: Vec::new(), env: Vec::new(), preopens: Vec::new(), limits, answer: Answer::default() },
        }
    }
}

impl ToolBuilder {
    /// What the tool is for. A schema tool may say so itself.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The JSON Schema of its arguments, in place of its own. A command without one takes any object.
    pub fn input_schema(mut self, schema: Value) -> Self {
        self.input = Some(schema);
        self
    }

    /// The JSON Schema of its answers, in place of its own.
    pub fn output_schema(mut self, schema: Value) -> Self {
        self.output = Some(schema);
        self
    }

    /// How the standard output of a command becomes an answer.
    pub fn answer(mut self, answer: Answer) -> Self {
        self.given.answer = answer;
        self
    }

    /// Linear memory of one call.
    pub fn memory(mut self, memory: MemoryBytes) -> Self {
        self.given.limits.memory = memory;
        self
    }

    /// Wall-clock time of one call.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.given.limits.timeout = Some(timeout);
        self
    }

    /// Fuel of one call.
    pub fn fuel(mut self, fuel: Fuel) -> Self {
        self.given.limits.fuel = fuel;
        self
    }

    /// All limits of one call.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.given.limits = limits;
        self
    }

    /// The host's directory `host`, to be read only, under the name `guest`.
    pub fn dir(self, host: impl Into<std::path::PathBuf>, guest: impl Into<String>) -> Self {
        self.preopen(Preopen::read_only(host, guest))
    }

    /// A directory, with what may be done in it. One of memory is empty again at each call but for what it was
    /// given with.
    pub fn preopen(mut self, preopen: Preopen) -> Self {
        self.given.preopens.push(preopen);
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.given.env.push((name.into(), value.into()));
        self
    }

    /// An argument of the program, after its name.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.given.args.push(arg.into());
        self
    }

    /// Makes it. A schema tool is asked for its schema, on this thread, under limits of its own.
    ///
    /// # Errors
    /// The module is no tool, or its schema cannot be had or used.
    pub fn build(self) -> Result<WasmTool, ToolBuildError> {
        if !is_name(&self.name) {
            return Err(ToolBuildError::Name(Printable::new(&self.name)));
        }
        let kind = ToolKind::of(&self.module)?;
        let told = match kind {
            ToolKind::Schema => schema::ask(&self.sandbox, &self.module, &self.name, &self.given)?,
            ToolKind::Command => schema::Told::default(),
        };
        let input = self.input.or(told.input).unwrap_or_else(|| json!({"type": "object"}));
        let output = self.output.or(told.output);
        let wrong = |which| move |error| ToolBuildError::Schema { which, error };
        Check::new(&input).map_err(wrong("input"))?;
        output.as_ref().map(Check::new).transpose().map_err(wrong("output"))?;
        let description = self.description.or(told.description).unwrap_or_default();
        let description: String = description.chars().take(MAX_DESCRIPTION).collect();
        Ok(WasmTool {
            kind,
            sandbox: self.sandbox,
            module: self.module,
            name: self.name,
            description: Printable::whole(&description).to_string(),
            input,
            output,
            given: self.given,
        })
    }

    /// [`ToolBuilder::build`] on a worker.
    ///
    /// # Errors
    /// As [`ToolBuilder::build`], and [`ToolBuildError::NotRun`].
    pub async fn build_async(self) -> Result<WasmTool, ToolBuildError> {
        let resources = self.sandbox.resources().clone();
        crate::sandbox::work_on(&resources, move || self.build()).await?
    }
}

/// A tool that is a module. Calls may be made from many threads at once; each has an instance of its own.
pub struct WasmTool {
    kind: ToolKind,
    sandbox: Sandbox,
    module: Module,
    name: String,
    description: String,
    input: Value,
    output: Option<Value>,
    given: Given,
}

impl std::fmt::Debug for WasmTool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasmTool").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl WasmTool {
    /// In which way its module is a tool.
    #[must_use]
    pub fn kind(&self) -> ToolKind {
        self.kind
    }

    /// What each call may use.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.given.limits
    }
}

impl Tool for WasmTool {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn input_schema(&self) -> &Value {
        &self.input
    }

    fn output_schema(&self) -> Option<&Value> {
        self.output.as_ref()
    }

    fn call_with(&self, arguments: &Value, options: &CallOptions) -> Result<ToolOutput, ToolError> {
        match self.kind {
            ToolKind::Command => {
                command::call(&self.sandbox, &self.module, &self.name, &self.given, arguments, options)
            }
            ToolKind::Schema => schema::call(&self.sandbox, &self.module, &self.name, &self.given, arguments, options),
        }
    }
}
