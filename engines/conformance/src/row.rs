//! What a row is: a named case of one clause, as data read from a row file or as a function.

use cofferdam_engine::{FeatureSet, Limit, StoreLimits, TrapKind};

use crate::cell::Cell;
use crate::clause::Clause;
use crate::trouble::Done;

/// One case of the contract, run on every engine in every fuel mode it has.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name, unique among all rows.
    pub name: String,
    /// The clause it is about.
    pub clause: Clause,
    /// Whether it is about stopping points, which are the same on every engine in portable mode alone.
    pub portable_only: bool,
    /// What it does.
    pub body: Body,
}

/// What a row does.
#[derive(Clone, Debug)]
pub enum Body {
    /// Modules, limits, steps and what is expected of them.
    Script(Box<Script>),
    /// What data cannot say: other threads, saved code, generated modules.
    Program(fn(&Cell<'_>) -> Done),
    /// The row file could not be read: the row fails with this.
    Unreadable(String),
}

/// A row as data.
#[derive(Clone, Debug)]
pub struct Script {
    /// Modules by name, as text.
    pub modules: Vec<(String, String)>,
    /// What the policy allows.
    pub features: FeatureSet,
    /// Whether NaNs are canonical.
    pub canonical_nans: bool,
    /// Caps of the store.
    pub limits: StoreLimits,
    /// Which caps the row set: an engine must be able to enforce them.
    pub caps: Vec<Cap>,
    /// What is done, in order, with the line it stands on.
    pub steps: Vec<(usize, Step)>,
}

/// A cap that a row sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// Bytes of memory.
    Memory,
    /// Table elements.
    Tables,
}

/// One step of a script.
#[derive(Clone, Debug)]
pub enum Step {
    /// Instantiates a module under its own name.
    Instantiate {
        /// The module.
        module: String,
        /// How it ends.
        end: MadeEnd,
    },
    /// Calls an export.
    Call(Call),
    /// For every budget below `fuel` the call is stopped with all of it consumed; with `fuel` it completes
    /// and has consumed it. Each in a store of its own. In native mode the number is the engine's own.
    Exhaust {
        /// The call; its budget is not used.
        call: Call,
        /// What it consumes.
        fuel: u64,
    },
    /// Usage of the store: field and number.
    Usage(Vec<(UsageField, u64)>),
    /// An exported global has a value.
    Global {
        /// The global.
        target: Target,
        /// Its value.
        value: String,
    },
    /// The host sets an exported global.
    SetGlobal {
        /// The global.
        target: Target,
        /// The value, with its type: `i32:5`.
        value: String,
        /// How it ends.
        end: AccessEnd,
    },
    /// An exported memory holds `bytes` at `at`.
    Memory {
        /// The memory.
        target: Target,
        /// Where.
        at: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// An exported memory has `bytes` bytes.
    MemorySize {
        /// The memory.
        target: Target,
        /// Its size.
        bytes: u64,
    },
    /// The host writes into an exported memory.
    WriteMemory {
        /// The memory.
        target: Target,
        /// Where.
        at: u64,
        /// What.
        bytes: Vec<u8>,
        /// How it ends.
        end: AccessEnd,
    },
    /// The host grows an exported memory.
    GrowMemory {
        /// The memory.
        target: Target,
        /// By how many pages.
        pages: u64,
        /// Pages before, or how it ends.
        end: Result<u64, AccessEnd>,
    },
    /// An exported table has `elements` elements.
    TableSize {
        /// The table.
        target: Target,
        /// Its size.
        elements: u64,
    },
    /// An element of an exported table.
    TableAt {
        /// The table.
        target: Target,
        /// Which.
        index: u64,
        /// Its value, or how reading it ends.
        value: Result<String, AccessEnd>,
    },
    /// The instance exports nothing under this name.
    NoExport(Target),
    /// A host-made thing, to be imported from module `host`.
    Host {
        /// Its name.
        name: String,
        /// What it is.
        what: HostMade,
        /// How making it ends.
        end: AccessEnd,
    },
    /// What the host function `h.log` was told since the last such step.
    Trace(Vec<i32>),
    /// The gate refuses a module, for the reason named by `Refusal::reason`.
    Gate {
        /// The module.
        module: String,
        /// The reason.
        reason: String,
    },
}

/// Something the host makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostMade {
    /// A memory: least and most pages.
    Memory(u64, Option<u64>),
    /// A table of `funcref`: least and most elements.
    Table(u64, Option<u64>),
    /// A mutable `i64` global.
    Global(i64),
}

/// `instance.name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The instance: the name of its module.
    pub instance: String,
    /// What it exports.
    pub name: String,
}

/// One call and what is expected of it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function; `None` is the start function of the instance.
    pub function: Option<String>,
    /// The instance: the name of its module.
    pub instance: String,
    /// Arguments, as literals of the parameter types, or with a type of their own (`i64:5`).
    pub args: Vec<String>,
    /// Fuel given.
    pub budget: u64,
    /// Wall-clock time given, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How it ends.
    pub end: CallEnd,
    /// Fuel consumed, in portable mode.
    pub fuel: Option<u64>,
    /// Frames, innermost first.
    pub frames: Option<Vec<Frame>>,
}

/// One expected frame: original function index, name, and offset where the row says one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Function index in the original module.
    pub function: u32,
    /// Its name.
    pub name: Option<String>,
    /// Offset in the original module.
    pub offset: Option<u32>,
}

/// How a call is expected to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// With these results, as literals of the result types.
    Completed(Vec<String>),
    /// With a trap.
    Trap(TrapKind),
    /// With a limit.
    Limit(Limit),
    /// With an exit code.
    Exit(u32),
    /// As the host's fault.
    Host,
    /// As the caller's fault.
    BadArguments,
}

/// How instantiating is expected to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MadeEnd {
    /// Well.
    Made,
    /// Over the memory cap: need and cap in bytes.
    Memory(u64, u64),
    /// Over the table cap: need and cap in elements.
    TableElements(u64, u64),
    /// Over the instance cap.
    Instances(u32),
    /// For want of an import: module and name.
    MissingImport(String, String),
    /// For an import of another type: module and name.
    ImportType(String, String),
    /// With a trap.
    Trap(TrapKind),
}

/// How an access of the host's is expected to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessEnd {
    /// Well.
    Fine,
    /// Past the end.
    OutOfBounds,
    /// With another type.
    WrongType,
    /// At an immutable global.
    Immutable,
    /// By a cap or the thing's own maximum.
    Refused,
}

/// A field of `Usage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageField {
    /// Bytes of memory now.
    Memory,
    /// The most bytes there were.
    Peak,
    /// Table elements.
    Tables,
    /// Instances.
    Instances,
    /// Growths refused.
    Refused,
    /// Host calls.
    HostCalls,
}
