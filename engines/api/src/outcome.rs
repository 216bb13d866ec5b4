//! One vocabulary for how a call ends: the guest's fault, a limit, the host's fault, the engine's.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

pub use cofferdam_prepare::Place;

/// The guest's fault: what it did that WebAssembly does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrapKind {
    /// It executed `unreachable`.
    Unreachable,
    /// A load, store or bulk operation went past the end of a memory.
    MemoryOutOfBounds,
    /// A table access went past the end of a table.
    TableOutOfBounds,
    /// `call_indirect` through an empty table slot.
    IndirectCallToNull,
    /// `call_indirect` to a function of another type.
    BadSignature,
    /// Integer overflow, such as `i32::MIN / -1`.
    IntegerOverflow,
    /// Integer division by zero.
    IntegerDivisionByZero,
    /// A float that no integer of the wanted type can hold.
    InvalidConversionToInteger,
    /// A null reference where a value was needed.
    NullReference,
    /// An atomic access that was not aligned.
    UnalignedAtomic,
    /// An exception that nothing caught.
    UncaughtException,
    /// A cast to a type that the value does not have.
    CastFailure,
    /// An array access past its end.
    ArrayOutOfBounds,
}

impl TrapKind {
    /// The contract's word for it, as in `reason` of the JSON report.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::MemoryOutOfBounds => "memory_out_of_bounds",
            Self::TableOutOfBounds => "table_out_of_bounds",
            Self::IndirectCallToNull => "indirect_call_to_null",
            Self::BadSignature => "bad_signature",
            Self::IntegerOverflow => "integer_overflow",
            Self::IntegerDivisionByZero => "integer_division_by_zero",
            Self::InvalidConversionToInteger => "invalid_conversion_to_integer",
            Self::NullReference => "null_reference",
            Self::UnalignedAtomic => "unaligned_atomic",
            Self::UncaughtException => "uncaught_exception",
            Self::CastFailure => "cast_failure",
            Self::ArrayOutOfBounds => "array_out_of_bounds",
        }
    }
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the guest executed `unreachable`",
            Self::MemoryOutOfBounds => "memory access out of bounds",
            Self::TableOutOfBounds => "table access out of bounds",
            Self::IndirectCallToNull => "indirect call to null",
            Self::BadSignature => "indirect call to a function of another signature",
            Self::IntegerOverflow => "integer overflow",
            Self::IntegerDivisionByZero => "integer division by zero",
            Self::InvalidConversionToInteger => "invalid conversion to integer",
            Self::NullReference => "null reference",
            Self::UnalignedAtomic => "unaligned atomic access",
            Self::UncaughtException => "uncaught exception",
            Self::CastFailure => "cast failure",
            Self::ArrayOutOfBounds => "array access out of bounds",
        })
    }
}

/// A trap and where it happened, innermost frame first, in the guest's own function indices and offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// What happened.
    pub kind: TrapKind,
    /// The call stack, at most [`Trap::MAX_FRAMES`] of it.
    pub frames: Vec<Place>,
}

impl Trap {
    /// Frames kept; deeper ones are cut, because a guest chooses how deep it recurses.
    pub const MAX_FRAMES: usize = 64;

    /// A trap with no frames.
    #[must_use]
    pub const fn new(kind: TrapKind) -> Self {
        Self { kind, frames: Vec::new() }
    }
}

/// A limit that a guest reached while it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Limit {
    /// The fuel budget is spent.
    Fuel,
    /// The wall-clock deadline has passed.
    Deadline,
    /// Somebody cancelled the call.
    Cancelled,
    /// The stack budget is spent.
    Stack,
    /// Memory: at instantiation, the minimum is above the cap.
    Memory,
    /// Table elements: at instantiation, the minimum is above the cap.
    TableElements,
    /// Instances in one store.
    Instances,
    /// Bytes written to stdout or stderr.
    Output,
    /// Bytes of one message.
    Message,
    /// Calls of host functions.
    HostCalls,
}

impl Limit {
    /// The contract's word for it, as in `reason` of the JSON report.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Fuel => "fuel",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::Stack => "stack",
            Self::Memory => "memory",
            Self::TableElements => "table_elements",
            Self::Instances => "instances",
            Self::Output => "output",
            Self::Message => "message",
            Self::HostCalls => "host_calls",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fuel => "fuel budget spent",
            Self::Deadline => "deadline passed",
            Self::Cancelled => "cancelled",
            Self::Stack => "stack budget spent",
            Self::Memory => "memory cap reached",
            Self::TableElements => "table element cap reached",
            Self::Instances => "instance cap reached",
            Self::Output => "output cap reached",
            Self::Message => "message cap reached",
            Self::HostCalls => "host call cap reached",
        })
    }
}

/// Something inside an engine or its adapter went wrong; never shown as the guest's doing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("engine fault while {doing}: {detail}")]
pub struct EngineFault {
    /// What was being done.
    pub doing: &'static str,
    /// The engine's own words, for people only: never parsed, never compared.
    pub detail: String,
}

impl EngineFault {
    /// A fault met while `doing` something.
    pub fn new(doing: &'static str, detail: impl fmt::Display) -> Self {
        Self { doing, detail: detail.to_string() }
    }
}

/// What a host function may end with instead of results.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HostError {
    /// The host function failed: the host's fault.
    #[error("host function failed: {0}")]
    Failed(Arc<str>),
    /// A limit was reached inside it.
    #[error("{0}")]
    Limit(Limit),
    /// The guest did what the host function's contract does not allow, in a way that must end it.
    #[error("{0}")]
    Trap(TrapKind),
    /// The guest asked to end, with this exit code.
    #[error("exit with code {0}")]
    Exit(u32),
}

impl HostError {
    /// The host function failed, for the reason given.
    pub fn failed(why: impl fmt::Display) -> Self {
        Self::Failed(why.to_string().into())
    }
}

/// Why a call did not return.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stop {
    /// The guest's fault.
    #[error("{}", .0.kind)]
    Trap(Trap),
    /// A limit, with the frames at that point where the engine can tell them.
    #[error("{limit}")]
    Limit {
        /// Which limit.
        limit: Limit,
        /// The call stack, innermost first.
        frames: Vec<Place>,
    },
    /// The guest ended itself with this exit code: a completion, not a fault.
    #[error("exit with code {0}")]
    Exit(u32),
    /// The host's fault: a host function failed.
    #[error("host function failed: {0}")]
    Host(Arc<str>),
    /// The caller's fault: the arguments are not what the function takes.
    #[error("the function takes {expected}, not these arguments")]
    BadArguments {
        /// Its signature.
        expected: String,
    },
    /// The engine's fault.
    #[error(transparent)]
    Engine(#[from] EngineFault),
}

impl Stop {
    /// A limit, with no frames.
    #[must_use]
    pub const fn limit(limit: Limit) -> Self {
        Self::Limit { limit, frames: Vec::new() }
    }
}

impl From<HostError> for Stop {
    fn from(e: HostError) -> Self {
        match e {
            HostError::Failed(why) => Self::Host(why),
            HostError::Limit(limit) => Self::limit(limit),
            HostError::Trap(kind) => Self::Trap(Trap::new(kind)),
            HostError::Exit(code) => Self::Exit(code),
        }
    }
}

/// Why a prepared module could not be compiled.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// It uses a proposal that this engine cannot run.
    #[error("engine `{engine}` cannot run proposal `{proposal}`")]
    Unsupported {
        /// The engine's id.
        engine: &'static str,
        /// The proposal.
        proposal: cofferdam_prepare::Proposal,
    },
    /// The policy asks for determinism (or another capability) that this engine does not have.
    #[error("engine `{engine}` cannot enforce {what}")]
    CannotEnforce {
        /// The engine's id.
        engine: &'static str,
        /// What it lacks.
        what: &'static str,
    },
    /// Two different function types that this engine would take for the same; see `SignatureClash`.
    #[error(transparent)]
    SignatureClash(#[from] SignatureClash),
    /// The module is larger than this engine takes, in a way that the policy's own limits allow.
    #[error("the module is past a limit of engine `{engine}`: {what}")]
    Limit {
        /// The engine's id.
        engine: &'static str,
        /// What is too large, for people.
        what: String,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineFault),
}

/// Two different function types with the same engine-internal hash. An engine that tells types apart
/// by hash alone would let a wrong-typed indirect call succeed, so the module is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "function types `{first}` and `{second}` have the same hash in engine `{engine}`; it could not tell them apart, so the module is refused"
)]
pub struct SignatureClash {
    /// The engine's id.
    pub engine: &'static str,
    /// One type.
    pub first: String,
    /// The other.
    pub second: String,
}

/// Why an artefact could not be loaded. The caller recompiles.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Made by another engine, version, CPU or for another module.
    #[error("the artefact is for another engine, version, processor or module")]
    Foreign,
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineFault),
}

/// Why a module could not be instantiated.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstantiateError {
    /// Its minimum memory is above the cap.
    #[error("memory cap reached: the module needs {need} bytes at start and the cap is {cap} bytes")]
    Memory {
        /// Bytes it needs beside what the store already holds.
        need: u64,
        /// The cap in bytes.
        cap: u64,
    },
    /// Its minimum of table elements is above the cap.
    #[error("table cap reached: the module needs {need} table elements at start and the cap is {cap}")]
    TableElements {
        /// Elements it needs beside what the store already holds.
        need: u64,
        /// The cap in elements.
        cap: u64,
    },
    /// The store already holds as many instances as it may.
    #[error("instance cap reached: the store holds {cap} instances already")]
    Instances {
        /// The cap.
        cap: u32,
    },
    /// An import is not in the imports given.
    #[error("import `{module}.{name}` ({kind}) is not provided")]
    MissingImport {
        /// Module half of the name.
        module: String,
        /// Field half of the name.
        name: String,
        /// What it should have been.
        kind: &'static str,
    },
    /// An import is given and is of another type.
    #[error("import `{module}.{name}` is {given}, but the module wants {wanted}")]
    ImportType {
        /// Module half of the name.
        module: String,
        /// Field half of the name.
        name: String,
        /// What was given.
        given: String,
        /// What the module wants.
        wanted: String,
    },
    /// An active segment does not fit (before bulk memory: a link error, since then a trap).
    #[error("while its segments were written: {}", .0.kind)]
    Trap(Trap),
    /// See [`SignatureClash`].
    #[error(transparent)]
    SignatureClash(#[from] SignatureClash),
    /// The engine failed, or the module belongs to another engine.
    #[error(transparent)]
    Engine(#[from] EngineFault),
}
