//! Why a tool gave no answer, and whose doing that was.

use std::fmt;
use std::time::Duration;

use cofferdam_engine::{InstantiateError, Limit};

use super::check::SchemaError;
use super::json::JsonError;
use crate::host::wasi::WasiConfigError;
use crate::policy::Fuel;
use crate::sandbox::{
    CallError, CallErrorKind, CallRefusal, GuestError, MemoryError, NotRun, Outcome, Printable, Receipt,
};

/// Why a tool gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// Nobody has added a tool of this name, or it was removed.
    #[error("there is no tool `{0}`")]
    Unknown(Printable),
    /// The caller's fault: the arguments are no JSON, too large, or not what the tool takes.
    #[error("the arguments are refused: {0}")]
    Arguments(String),
    /// The tool's fault.
    #[error("{0}")]
    Tool(Box<ToolFailure>),
    /// It was cancelled before or after the tool itself ran.
    #[error("the call was cancelled")]
    Cancelled,
    /// A limit stopped it. The error names the limit and what raises it.
    #[error("the tool was stopped: {0}")]
    Stopped(CallError),
    /// A host function or the engine failed.
    #[error("{0}")]
    Fault(CallError),
    /// No instance could be made of it.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// Something that it was to be given cannot be given.
    #[error(transparent)]
    Wasi(#[from] WasiConfigError),
    /// It was to be run on a worker, and was not.
    #[error(transparent)]
    NotRun(#[from] NotRun),
}

/// How a tool failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ToolFailure {
    /// In what way.
    pub why: FailureKind,
    /// What it wrote to standard error: capped and escaped.
    pub stderr: String,
    /// What the call cost all the same, if it came to one.
    pub receipt: Option<Receipt>,
    /// The call, if it did not return.
    pub call: Option<CallError>,
}

/// In what way a tool failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FailureKind {
    /// It said so itself.
    #[error("the tool failed with exit code {0}")]
    Exit(u32),
    /// It trapped, handed out pointers that lie outside of its memory, or could not be called.
    #[error("the tool failed: {0}")]
    Trapped(String),
    /// It has no room for its arguments.
    #[error("the tool failed: its `{allocator}` has no room for {len} bytes{}", Capped(*.capped))]
    NoRoom {
        /// What was asked for room: an export, or `memory.grow` where there is none.
        allocator: String,
        /// The bytes wanted.
        len: u64,
        /// Whether the cap of its memory was in the way. If not, the tool itself is.
        capped: bool,
    },
    /// Its answer is no JSON.
    #[error("the tool's answer is {0}")]
    Json(JsonError),
    /// Its answer is no text.
    #[error("the tool's answer is no UTF-8")]
    NotText,
    /// Its answer is not what its output schema says.
    #[error("the tool's answer is not what its output schema says: {0}")]
    Schema(Printable),
    /// A tool that is no guest failed.
    #[error("the tool failed: {0}")]
    Other(Printable),
}

struct Capped(bool);

impl fmt::Display for Capped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 { f.write_str(": its memory is at the cap (raise it with `Limits::memory`)") } else { Ok(()) }
    }
}

/// Most of standard error that stands in a message, in characters.
const QUOTED: usize = 300;

impl fmt::Display for ToolFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)?;
        let said = self.stderr.trim();
        if said.is_empty() {
            return Ok(());
        }
        // The last of it says why, as a rule.
        let from = said.char_indices().rev().nth(QUOTED - 1).map_or(0, |(at, _)| at);
        let cut = if from > 0 { "…" } else { "" };
        write!(f, "; it wrote: {cut}{}", said[from..].replace('\n', " | "))
    }
}

impl ToolError {
    /// A failure of a tool that is no guest.
    #[must_use]
    pub fn failed(why: impl fmt::Display) -> Self {
        Self::tool(FailureKind::Other(Printable::new(&why.to_string())), String::new(), None)
    }

    pub(super) fn tool(why: FailureKind, stderr: String, receipt: Option<Receipt>) -> Self {
        Self::Tool(Box::new(ToolFailure { why, stderr, receipt, call: None }))
    }

    /// What a call that gave nothing means.
    pub(super) fn call(error: CallError, stderr: String) -> Self {
        let why = match (error.kind(), error.outcome()) {
            (CallErrorKind::Limit, _) => return Self::Stopped(error),
            (CallErrorKind::Host | CallErrorKind::Engine, _) => return Self::Fault(error),
            (_, Outcome::Refused(refusal @ CallRefusal::MessageTooLong { .. })) => {
                return Self::Arguments(refusal.to_string());
            }
            (_, Outcome::Refused(CallRefusal::NoRoom { allocator, len })) => FailureKind::NoRoom {
                allocator: allocator.clone(),
                len: *len,
                capped: error.receipt().refused_growths > 0,
            },
            (CallErrorKind::Exit, _) => FailureKind::Exit(error.exit_code().unwrap_or_default()),
            _ => FailureKind::Trapped(error.to_string()),
        };
        let receipt = Some(error.receipt().clone());
        Self::Tool(Box::new(ToolFailure { why, stderr, receipt, call: Some(error) }))
    }

    /// The word for it in reports.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown_tool",
            Self::Arguments(_) => "arguments",
            Self::Cancelled => Limit::Cancelled.reason(),
            Self::Tool(failure) => match failure.why {
                FailureKind::Exit(_) => "exit_code",
                FailureKind::NoRoom { capped: true, .. } => Limit::Memory.reason(),
                FailureKind::Json(_) | FailureKind::NotText | FailureKind::Schema(_) => "answer",
                _ => failure.call.as_ref().and_then(|call| call.outcome().reason()).unwrap_or("failed"),
            },
            Self::Stopped(call) | Self::Fault(call) => call.outcome().reason().unwrap_or("failed"),
            Self::Guest(_) => self.limit().map_or("instance", Limit::reason),
            Self::Wasi(_) => "wasi",
            Self::NotRun(_) => "not_run",
        }
    }

    /// The limit that was reached, if one was.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::Stopped(call) => call.limit(),
            Self::Cancelled => Some(Limit::Cancelled),
            Self::Tool(failure) if matches!(failure.why, FailureKind::NoRoom { capped: true, .. }) => {
                Some(Limit::Memory)
            }
            Self::Guest(GuestError::Instantiate(error)) => match error {
                InstantiateError::Memory { .. } => Some(Limit::Memory),
                InstantiateError::TableElements { .. } => Some(Limit::TableElements),
                InstantiateError::Instances { .. } => Some(Limit::Instances),
                _ => None,
            },
            _ => None,
        }
    }

    /// The tool's own failure, if it was one.
    #[must_use]
    pub fn failure(&self) -> Option<&ToolFailure> {
        if let Self::Tool(failure) = self { Some(failure) } else { None }
    }

    /// The exit code of a tool that failed with one.
    #[must_use]
    pub fn exit_code(&self) -> Option<u32> {
        if let FailureKind::Exit(code) = self.failure()?.why { Some(code) } else { None }
    }

    /// What the call cost all the same, if it came to one.
    #[must_use]
    pub fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::Tool(failure) => failure.receipt.as_ref(),
            Self::Stopped(call) | Self::Fault(call) => Some(call.receipt()),
            _ => None,
        }
    }
}

/// Why no tool could be made of a module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolBuildError {
    /// Nothing can be called by that name.
    #[error("`{0}` can be no tool's name: 1 to 64 letters, digits, `.`, `_` and `-` can")]
    Name(Printable),
    /// The module is none.
    #[error(
        "the module is no tool: it exports neither `__tool_execute`, as a schema tool does, nor `_start`, as a WASI \
         command does{}", Exports(.0)
    )]
    NotTool(Vec<String>),
    /// An export has another type.
    #[error("the module is no schema tool: its `{name}` is {found}, not {wanted}")]
    Export {
        /// The export.
        name: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        wanted: &'static str,
    },
    /// An export is missing.
    #[error("the module is no schema tool: it exports `__tool_execute`, but no {0}")]
    Missing(&'static str),
    /// It did not give its schema.
    #[error("the tool did not give its schema: {0}")]
    SchemaCall(ToolError),
    /// It took too long over it.
    #[error("the tool did not give its schema within {} fuel and {time:?}: {limit}", fuel.get())]
    SchemaStopped {
        /// The limit that was reached.
        limit: Limit,
        /// The fuel it had.
        fuel: Fuel,
        /// The time it had.
        time: Duration,
    },
    /// What it gave lies outside of its memory.
    #[error("the tool did not give its schema: {0}")]
    SchemaMemory(MemoryError),
    /// What it gave is too long.
    #[error("the tool's schema has {len} bytes; at most {cap} are read")]
    SchemaTooLong {
        /// The length that it gave.
        len: u64,
        /// The most there may be.
        cap: u64,
    },
    /// What it gave is no JSON.
    #[error("the tool's schema is {0}")]
    SchemaJson(JsonError),
    /// A schema cannot be used.
    #[error("the tool's {which} schema cannot be used: {error}")]
    Schema {
        /// `input` or `output`.
        which: &'static str,
        /// Why.
        error: SchemaError,
    },
    /// It was to be made on a worker, and was not.
    #[error(transparent)]
    NotRun(#[from] NotRun),
}

struct Exports<'a>(&'a [String]);

impl fmt::Display for Exports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (its functions: {})", self.0.join(", ")) }
    }
}
