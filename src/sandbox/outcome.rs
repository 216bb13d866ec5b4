//! [`Report`]: how a call ended and what it cost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_engine::{EngineFault, FuelMode, Limit, ModuleHash, Place, Stop, Trap, Value};
use serde::Serialize;

use crate::policy::MemoryBytes;

/// How a call ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The guest returned, or ended itself with an exit code.
    Completed {
        /// What it returned; empty if it exited.
        values: Vec<Value>,
        /// The code it gave to `proc_exit`, if it did.
        exit_code: Option<u32>,
    },
    /// The guest's fault.
    Trapped(Trap),
    /// A limit.
    Stopped {
        /// Which one.
        limit: Limit,
        /// Where the guest was, innermost frame first, if the engine can tell.
        frames: Vec<Place>,
    },
    /// Nothing ran: the caller asked for something that is not there.
    Refused(CallRefusal),
    /// A host function failed.
    HostFault(Arc<str>),
    /// The engine failed.
    EngineFault(EngineFault),
}

/// Why a call was not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallRefusal {
    /// No function is exported under that name.
    #[error("the module exports no function `{name}`{}", Available(available))]
    MissingExport {
        /// The name asked for.
        name: String,
        /// Functions that it does export, the first few.
        available: Vec<String>,
    },
    /// The arguments do not fit the signature.
    #[error("function `{name}` is {expected}; these arguments do not fit")]
    BadArguments {
        /// The function.
        name: String,
        /// Its signature.
        expected: String,
    },
    /// The function is there, with another signature.
    #[error("function `{name}` is {found}, not {wanted}")]
    Signature {
        /// The function.
        name: String,
        /// Its signature.
        found: String,
        /// The signature asked for.
        wanted: String,
    },
    /// No memory is exported under that name.
    #[error("the module exports no memory `{name}`")]
    MissingMemory {
        /// The name asked for.
        name: String,
    },
    /// The function was looked up in another guest.
    #[error("function `{name}` belongs to another guest; look it up in this one")]
    OtherGuest {
        /// The function.
        name: String,
    },
    /// A message is longer than the guest may be given.
    #[error("the message of {len} bytes is above the cap of {cap}; `Limits::message` raises it")]
    MessageTooLong {
        /// Its length.
        len: u64,
        /// The cap.
        cap: MemoryBytes,
    },
    /// The guest's allocator found no room for a message.
    #[error(
        "the guest's `{allocator}` has no room for {len} bytes; if its memory is at the cap, `Limits::memory` raises it"
    )]
    NoRoom {
        /// The export that was asked.
        allocator: String,
        /// The bytes wanted.
        len: u64,
    },
    /// An earlier call was stopped in the middle or ended the guest.
    #[error("the guest has ended: make a new one from the same module")]
    Poisoned,
}

struct Available<'a>(&'a [String]);

impl fmt::Display for Available<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("; it exports none")
        } else {
            write!(f, "; it exports {}", self.0.join(", "))
        }
    }
}

impl CallRefusal {
    /// The word for it in reports.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::MissingExport { .. } | Self::MissingMemory { .. } => "missing_export",
            Self::BadArguments { .. } | Self::Signature { .. } => "bad_arguments",
            Self::OtherGuest { .. } => "other_guest",
            Self::MessageTooLong { .. } => "message",
            Self::NoRoom { .. } => "no_room",
            Self::Poisoned => "poisoned",
        }
    }
}

impl From<CallRefusal> for Outcome {
    fn from(refusal: CallRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Outcome {
    /// `completed`, `trapped`, `stopped`, `refused`, `host_fault` or `engine_fault`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Completed { .. } => "completed",
            Self::Trapped(_) => "trapped",
            Self::Stopped { .. } => "stopped",
            Self::Refused(_) => "refused",
            Self::HostFault(_) => "host_fault",
            Self::EngineFault(_) => "engine_fault",
        }
    }

    /// The contract's word for why it did not complete; `None` if it did.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Completed { .. } => None,
            Self::Trapped(trap) => Some(trap.kind.reason()),
            Self::Stopped { limit, .. } => Some(limit.reason()),
            Self::Refused(refusal) => Some(refusal.reason()),
            Self::HostFault(_) => Some("host_function"),
            Self::EngineFault(_) => Some("engine"),
        }
    }

    /// Where the guest was, innermost frame first.
    #[must_use]
    pub fn frames(&self) -> &[Place] {
        match self {
            Self::Trapped(trap) => &trap.frames,
            Self::Stopped { frames, .. } => frames,
            _ => &[],
        }
    }

    /// What a completed call returned.
    #[must_use]
    pub fn values(&self) -> Option<&[Value]> {
        if let Self::Completed { values, .. } = self { Some(values) } else { None }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed { exit_code: Some(code), .. } => write!(f, "exit with code {code}"),
            Self::Completed { .. } => f.write_str("completed"),
            Self::Trapped(trap) => trap.kind.fmt(f),
            Self::Stopped { limit, .. } => limit.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::HostFault(why) => write!(f, "a host function failed: {why}"),
            Self::EngineFault(fault) => fault.fmt(f),
        }
    }
}

/// Turns an engine's stop into an outcome. `name` is the function that was called.
pub(super) fn stopped(stop: Stop, name: &str) -> Outcome {
    match stop {
        Stop::Trap(trap) => Outcome::Trapped(trap),
        Stop::Limit { limit, frames } => Outcome::Stopped { limit, frames },
        Stop::Exit(code) => Outcome::Completed { values: Vec::new(), exit_code: Some(code) },
        Stop::Host(why) => Outcome::HostFault(why),
        Stop::BadArguments { expected } => {
            Outcome::Refused(CallRefusal::BadArguments { name: name.to_owned(), expected })
        }
        Stop::Engine(fault) => Outcome::EngineFault(fault),
    }
}

/// What a call cost and under which rules it was counted.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// The engine's id.
    pub engine: &'static str,
    /// The engine's version.
    pub engine_version: &'static str,
    /// BLAKE3 of the module as it came in.
    #[serde(serialize_with = "hex")]
    pub module_hash: ModuleHash,
    /// Fuel consumed.
    pub fuel: u64,
    /// Who counted it.
    pub fuel_mode: FuelMode,
    /// By which price list.
    pub price_version: u32,
    /// By which way of cutting code into segments.
    pub prepare_version: u32,
    /// The most linear memory that the guest has held at any moment of its life, in bytes.
    pub peak_memory_bytes: u64,
    /// Growths of memory that the cap has refused in the guest's life.
    pub refused_growths: u64,
    /// Host calls in the guest's life.
    pub host_calls: u64,
    /// Wall-clock time of the call.
    #[serde(rename = "wall_ns", serialize_with = "nanos")]
    pub wall: Duration,
}

fn hex<S: serde::Serializer>(hash: &ModuleHash, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(hash)
}

fn nanos<S: serde::Serializer>(wall: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_u64(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX))
}

/// How a call ended and what it cost.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What it cost.
    pub receipt: Receipt,
}
