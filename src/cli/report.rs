//! How a run ended, for people (standard error, in words), for machines (`--json`, one object) and for
//! shells (the exit code).

use std::fmt::Write as _;

use cofferdam::engines::NoEngine;
use cofferdam::host::wasi::FileUsage;
use cofferdam::inspect::MOST_UNMET;
use cofferdam::policy::file::PolicyFileError;
use cofferdam::policy::{Limits, SecurityPolicy, Unmet};
use cofferdam::sandbox::{GuestError, ImportRefusal, LoadError, Outcome, Printable, Receipt};
use cofferdam::tool::{FailureKind, ToolFailure, ToolOutput};
use cofferdam::{FuelMode, Limit, Value};
use cofferdam_engine::{AccessError, CompileError, InstantiateError as E, ModuleHash};
use cofferdam_prepare::{ENGINES_OWN, Refusal};
use serde_json::{Map, Value as Json, json};

use super::say::visible;

/// Exit codes of our own. A guest may use the same; `--json` tells them apart.
pub mod exit {
    /// A tool failed by its own account.
    pub const FAILED: u8 = 1;
    /// The options make no sense, or name what is not there.
    pub const USAGE: u8 = 2;
    /// The module, its imports or the call were refused; nothing ran.
    pub const REFUSED: u8 = 120;
    /// The guest trapped.
    pub const TRAPPED: u8 = 121;
    /// A limit stopped the guest.
    pub const STOPPED: u8 = 122;
    /// A host function failed.
    pub const HOST_FAULT: u8 = 123;
    /// The engine failed.
    pub const ENGINE_FAULT: u8 = 124;
}

/// Reasons of refusals that `explain` has more to say about.
const EXPLAINED: &[&str] = &["proposal", "unsupported", "import", "module_limit", "declaration"];

/// How a run ended: an outcome, or why it never came to one.
pub struct Ending {
    outcome: &'static str,
    reason: Option<&'static str>,
    message: Option<String>,
    guest_exit: Option<u32>,
    values: Vec<Value>,
    frames: Vec<String>,
    receipt: Option<Receipt>,
    files: FileUsage,
    /// What the guest was told, so that people are told too.
    notes: Vec<String>,
}

impl Ending {
    fn before_call(outcome: &'static str, reason: &'static str, message: String) -> Self {
        Self {
            outcome,
            reason: Some(reason),
            message: Some(tame(&message)),
            guest_exit: None,
            values: Vec::new(),
            frames: Vec::new(),
            receipt: None,
            files: FileUsage::default(),
            notes: Vec::new(),
        }
    }

    /// The module did not get as far as an instance.
    pub fn refused(reason: &'static str, message: impl ToString) -> Self {
        Self::before_call("refused", reason, message.to_string())
    }

    /// A limit was reached before the call proper.
    pub fn stopped(reason: &'static str, message: impl ToString) -> Self {
        Self::before_call("stopped", reason, message.to_string())
    }

    /// A tool answered.
    pub fn answered(output: &ToolOutput) -> Self {
        Self {
            outcome: "completed",
            reason: None,
            message: None,
            guest_exit: Some(0),
            values: Vec::new(),
            frames: Vec::new(),
            receipt: output.receipt.clone(),
            files: FileUsage::default(),
            notes: Vec::new(),
        }
    }

    /// A tool failed by its own account.
    pub fn failed(failure: &ToolFailure) -> Self {
        let reason = if matches!(failure.why, FailureKind::Exit(_)) { "exit_code" } else { "answer" };
        let guest_exit = if let FailureKind::Exit(code) = failure.why { Some(code) } else { None };
        let message = failure.why.to_string();
        Self { guest_exit, receipt: failure.receipt.clone(), ..Self::before_call("failed", reason, message) }
    }

    /// The same in other words.
    pub fn saying(mut self, message: &str) -> Self {
        self.message = Some(tame(message));
        self
    }

    /// The options make no sense, or name what is not there.
    pub fn unusable(error: &anyhow::Error) -> Self {
        Self::before_call("refused", "usage", format!("{error:#}"))
    }

    /// The guest's results could not be written.
    pub fn unsaid(error: &std::io::Error) -> Self {
        Self::before_call("host_fault", "output", format!("the results could not be written: {error}"))
    }

    /// What the module declares that it needs cannot be read.
    pub fn not_declared(error: &PolicyFileError) -> Self {
        let message = format!("the module's declaration cannot be used: {error}; --ignore-declared runs it without");
        Self::before_call("refused", "declaration", message)
    }

    /// The module declares that it requires what was not granted.
    pub fn required(unmet: &[Unmet]) -> Self {
        let mut lines: Vec<_> = unmet.iter().take(MOST_UNMET).map(ToString::to_string).collect();
        if unmet.len() > MOST_UNMET {
            lines.push(format!("… and {} more", unmet.len() - MOST_UNMET));
        }
        let message = format!("{}; --ignore-declared runs it all the same", lines.join("\n  "));
        Self::before_call("refused", "declaration", message)
    }

    /// No engine of this build runs the module.
    pub fn no_engine(none: &NoEngine) -> Self {
        let message = format!("{none}; `cofferdam engines` lists what each engine can run");
        Self::before_call("refused", "proposal", message)
    }

    /// The module was not loaded.
    pub fn not_loaded(error: &LoadError, bounds: &Bounds) -> Self {
        let outcome = if error.is_engine_fault() { "engine_fault" } else { "refused" };
        let mut message = error.to_string();
        match error {
            LoadError::Lacks { .. } | LoadError::Compile(CompileError::Unsupported { .. }) => {
                message.push_str("; `cofferdam engines` lists what each engine can run");
            }
            LoadError::Refused(Refusal::Proposal { proposal, .. }) if bounds.granted.features.has(*proposal) => {
                // Allowing it once more would change nothing.
                let used = message.split("; allow it with").next().unwrap_or_default();
                message = format!("{used}: {LEFT_OUT}");
            }
            LoadError::Imports(refused) if refused.iter().any(|r| bounds.left_out(r)) => {
                let _ = write!(message, "; {LEFT_OUT}");
            }
            _ => {}
        }
        if let LoadError::Refused(Refusal::Limit { limit, need, cap, .. }) = error
            && !ENGINES_OWN.contains(limit)
        {
            // What is counted stops at the first thing too many, so `need` is seldom all of it: who raises a
            // cap by doubling it is there after a few steps.
            let enough = (*need).max(cap.saturating_mul(2));
            let _ = write!(message, " (--module-limit {limit}={enough})");
        }
        Self::before_call(outcome, error.reason(), message)
    }

    /// The guest was not made.
    pub fn no_guest(error: &GuestError, bounds: &Bounds) -> Self {
        let message = error.to_string();
        let memory = bounds.raise("--memory", bounds.limits.memory < bounds.granted.limits.memory);
        let elements =
            bounds.raise("--table-elements", bounds.limits.table_elements < bounds.granted.limits.table_elements);
        match error {
            GuestError::Instantiate(E::Memory { .. }) => {
                Self::before_call("stopped", Limit::Memory.reason(), format!("{message}; {memory}"))
            }
            GuestError::Instantiate(E::TableElements { .. }) => {
                Self::before_call("stopped", Limit::TableElements.reason(), format!("{message}; {elements}"))
            }
            GuestError::Instantiate(E::Instances { .. }) => {
                Self::before_call("stopped", Limit::Instances.reason(), message)
            }
            GuestError::Instantiate(E::Trap(trap)) => Self::before_call("trapped", trap.kind.reason(), message),
            GuestError::StandIn { kind: "memory", error: AccessError::Refused, .. } => {
                Self::before_call("stopped", Limit::Memory.reason(), format!("{message}; {memory}"))
            }
            GuestError::StandIn { kind: "table", error: AccessError::Refused, .. } => {
                Self::before_call("stopped", Limit::TableElements.reason(), format!("{message}; {elements}"))
            }
            GuestError::CacheWithinReach { .. } => {
                Self::before_call("refused", "cache_within_reach", format!("{message} (--cache-dir)"))
            }
            GuestError::HostMemory(_) => Self::before_call("refused", "host_memory", message),
            GuestError::Instantiate(E::Engine(_)) | GuestError::Engine(_) => {
                Self::before_call("engine_fault", "engine", message)
            }
            GuestError::Instantiate(E::SignatureClash(_)) => Self::before_call("refused", "signature_clash", message),
            _ => Self::before_call("refused", "import", message),
        }
    }

    /// The guest was called.
    pub fn called(outcome: &Outcome, receipt: Receipt, bounds: &Bounds) -> Self {
        let (values, guest_exit) = match outcome {
            Outcome::Completed { values, exit_code } => (values.clone(), *exit_code),
            _ => (Vec::new(), None),
        };
        let message = match outcome {
            Outcome::Completed { .. } => None,
            Outcome::Stopped { limit, .. } => Some(format!("{outcome}{}", raise(*limit, bounds))),
            _ => Some(outcome.to_string()),
        };
        let frames = outcome.frames().iter().map(|place| {
            let name = place.name.as_deref().map_or_else(|| "?".to_owned(), |n| Printable::new(n).to_string());
            match place.offset {
                Some(offset) => format!("{name} (function {}, offset 0x{offset:x})", place.function),
                None => format!("{name} (function {})", place.function),
            }
        });
        Self {
            outcome: outcome.name(),
            reason: outcome.reason(),
            message,
            guest_exit,
            values,
            frames: frames.collect(),
            receipt: Some(receipt),
            files: FileUsage::default(),
            notes: Vec::new(),
        }
    }

    /// What files took, and whether the guest was refused more.
    pub fn with_files(mut self, files: FileUsage, bounds: &Bounds) -> Self {
        let (limits, granted) = (&bounds.limits, &bounds.granted.limits);
        let refused = [
            (files.disk_refusals, "write to host directories", limits.disk, granted.disk, "--disk"),
            (files.scratch_refusals, "write to files in memory", limits.scratch, granted.scratch, "--scratch"),
        ];
        for (_, what, cap, granted, flag) in refused.into_iter().filter(|(times, ..)| *times > 0) {
            let how = bounds.raise(flag, cap < granted);
            self.notes.push(format!("the guest was refused a {what}: the cap was {cap}; {how}"));
        }
        self.files = files;
        self
    }

    /// The process's exit code. A guest's code above 255 cannot be said to a shell and becomes 255, so
    /// that no failure looks like success.
    pub fn exit_code(&self) -> u8 {
        match self.outcome {
            "completed" => self.guest_exit.map_or(0, |code| u8::try_from(code).unwrap_or(u8::MAX)),
            "failed" => exit::FAILED,
            "trapped" => exit::TRAPPED,
            "stopped" => exit::STOPPED,
            "host_fault" => exit::HOST_FAULT,
            "engine_fault" => exit::ENGINE_FAULT,
            _ if self.reason == Some("usage") => exit::USAGE,
            _ => exit::REFUSED,
        }
    }

    /// What the called function returned.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// For people: what happened, where, and what to do. `None` if there is nothing to say.
    pub fn words(&self) -> Option<String> {
        let mut lines = Vec::new();
        if let Some(message) = &self.message {
            lines.push(format!("cofferdam: {}: {message}", self.outcome.replace('_', " ")));
            lines.extend(self.frames.iter().enumerate().map(|(i, frame)| format!("  {i:>2}: {frame}")));
            if self.outcome == "refused" && EXPLAINED.iter().any(|reason| self.reason == Some(reason)) {
                lines.push("  All that is missing, and how to grant it: cofferdam explain MODULE".to_owned());
            }
        }
        lines.extend(self.notes.iter().map(|note| format!("cofferdam: note: {note}")));
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// For people who asked with `--stats`.
    pub fn stats(&self, context: &Context) -> Option<String> {
        let r = self.receipt.as_ref()?;
        let because = match &*context.engine_because {
            Context::NAMED => String::new(),
            auto => format!(" ({auto})"),
        };
        let rows = [
            ("engine", format!("{} {}{because}", r.engine, r.engine_version)),
            ("fuel", format!("{} ({}, price list {})", r.fuel, r.fuel_mode, r.price_version)),
            ("peak memory", cofferdam::policy::MemoryBytes::new(r.peak_memory_bytes).to_string()),
            ("refused growths", r.refused_growths.to_string()),
            ("host calls", r.host_calls.to_string()),
            ("written to disk", cofferdam::policy::MemoryBytes::new(self.files.disk_bytes).to_string()),
            ("files in memory", cofferdam::policy::MemoryBytes::new(self.files.scratch_bytes).to_string()),
            ("wall time", format!("{:.3?}", r.wall)),
            ("module", r.module_hash.to_string()),
        ];
        let mut text = String::from("cofferdam: statistics");
        for (name, value) in rows {
            let _ = write!(text, "\n  {name:<16} {value}");
        }
        Some(text)
    }

    /// For machines: one object, on one line. `context` says under which rules it ran, or would have.
    pub fn json(&self, context: &Context) -> String {
        let mut object = Map::new();
        object.insert("outcome".into(), json!(self.outcome));
        object.insert("reason".into(), json!(self.reason));
        let exit_code = self.guest_exit.unwrap_or_else(|| u32::from(self.exit_code()));
        object.insert("exit_code".into(), json!(exit_code));
        object.insert("values".into(), self.values.iter().map(value).collect());
        object.insert("message".into(), json!(self.message));
        object.insert("frames".into(), json!(self.frames));
        object.insert("engine_because".into(), json!(context.engine_because));
        object.insert("disk_bytes".into(), json!(self.files.disk_bytes));
        object.insert("disk_refusals".into(), json!(self.files.disk_refusals));
        object.insert("scratch_bytes".into(), json!(self.files.scratch_bytes));
        object.insert("scratch_refusals".into(), json!(self.files.scratch_refusals));
        match self.receipt.as_ref().and_then(|r| serde_json::to_value(r).ok()) {
            Some(Json::Object(receipt)) => object.extend(receipt),
            // Nothing ran, so nothing was used.
            _ => {
                object.insert("fuel".into(), json!(0));
                object.insert("fuel_mode".into(), json!(context.fuel_mode));
                object.insert("price_version".into(), json!(cofferdam_prepare::PRICE_VERSION));
                object.insert("prepare_version".into(), json!(cofferdam_prepare::PREPARE_VERSION));
                object.insert("peak_memory_bytes".into(), json!(0));
                object.insert("wall_ns".into(), json!(0));
                object.insert("engine".into(), json!(context.engine));
                object.insert("module_hash".into(), json!(context.module.map(|hash| hash.to_string())));
            }
        }
        visible(&Json::Object(object).to_string())
    }
}

/// Under which rules a run took place, or would have.
pub struct Context {
    /// The engine's id.
    pub engine: String,
    /// Why that one: [`Context::NAMED`], or what `auto` says.
    pub engine_because: String,
    /// Who counts fuel.
    pub fuel_mode: FuelMode,
    /// The module, if it was loaded.
    pub module: Option<ModuleHash>,
}

impl Context {
    /// The user named the engine.
    pub const NAMED: &str = "named";
}

/// `text` without control characters but line ends: messages may quote what a guest wrote.
fn tame(text: &str) -> String {
    text.split('\n').map(|line| Printable::whole(line).to_string()).collect::<Vec<_>>().join("\n")
}

/// A value for machines: numbers as numbers, what JSON has no number for as text.
fn value(v: &Value) -> Json {
    let float = |f: f64, text: String| serde_json::Number::from_f64(f).map_or(Json::String(text), Json::Number);
    match v {
        Value::I32(n) => json!(n),
        Value::I64(n) => json!(n),
        Value::F32(bits) => float(f32::from_bits(*bits).into(), v.to_string()),
        Value::F64(bits) => float(f64::from_bits(*bits), v.to_string()),
        Value::FuncRef(None) | Value::ExternRef(None) => Json::Null,
        _ => json!(v.to_string()),
    }
}

/// Which limit it was and what raises it.
pub fn raise(limit: Limit, bounds: &Bounds) -> String {
    let (limits, granted) = (&bounds.limits, &bounds.granted.limits);
    let (now, flag, lowered) = match limit {
        Limit::Fuel => (format!("the budget was {}", limits.fuel.get()), "--fuel", limits.fuel < granted.fuel),
        Limit::Deadline => (
            limits
                .timeout
                .map_or_else(String::new, |t| format!("the call was given {}", humantime::format_duration(t))),
            "--timeout",
            limits.timeout != granted.timeout,
        ),
        Limit::Stack => (
            format!("the budget was {} units", limits.stack_units),
            "--stack",
            limits.stack_units < granted.stack_units,
        ),
        Limit::Output => (format!("the cap was {}", limits.output), "--output", limits.output < granted.output),
        Limit::Message => (format!("the cap was {}", limits.message), "--message", limits.message < granted.message),
        Limit::HostCalls => {
            (format!("the cap was {}", limits.host_calls), "--host-calls", limits.host_calls < granted.host_calls)
        }
        Limit::Memory => (format!("the cap was {}", limits.memory), "--memory", limits.memory < granted.memory),
        Limit::TableElements => (
            format!("the cap was {}", limits.table_elements),
            "--table-elements",
            limits.table_elements < granted.table_elements,
        ),
        _ => return String::new(),
    };
    format!(": {now}; {}", bounds.raise(flag, lowered))
}

/// What stands in a message where an option alone would change nothing.
const LEFT_OUT: &str = "the module's own declaration leaves it out; --ignore-declared runs it without the declaration";

/// What a guest runs within, and what was granted before its declaration took something away.
pub struct Bounds {
    /// The limits in force.
    pub limits: Limits,
    /// The policy without the declaration.
    pub granted: SecurityPolicy,
}

impl Bounds {
    /// How to raise a limit, which the declaration may have `lowered`.
    pub fn raise(&self, flag: &str, lowered: bool) -> String {
        if lowered {
            "the module's own declaration lowers it to that; --ignore-declared runs it without the declaration"
                .to_owned()
        } else {
            format!("raise it with {flag}")
        }
    }

    /// Whether an import is refused only because the declaration does not name it.
    fn left_out(&self, refusal: &ImportRefusal) -> bool {
        matches!(refusal, ImportRefusal::NotGranted { module, name, .. }
            if self.granted.grants.allows(&module.to_string(), &name.to_string()))
    }
}
