//! The clauses of the contract that are about engines: what rows are sorted by, and the lines of the report.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! clauses {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $section:literal, $title:literal;)*) => {
        /// A clause of the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Clause { $($(#[$doc])* $variant,)* }

        impl Clause {
            /// Every clause, in the contract's order.
            pub const ALL: &'static [Clause] = &[$(Clause::$variant,)*];

            /// Its name in row files and JSON, such as `fuel.prices`.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Clause::$variant => $id,)* }
            }

            /// The section of the contract, such as `§2`.
            #[must_use]
            pub const fn section(self) -> &'static str {
                match self { $(Clause::$variant => $section,)* }
            }

            /// What it demands, in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Clause::$variant => $title,)* }
            }
        }
    };
}

clauses! {
    /// Each proposal is run as specified, or refused by name.
    Proposals = "gate.proposals", "§1", "proposals run, or refused by name";
    /// What `prepare` adds can be neither seen nor replaced.
    Hidden = "gate.hidden", "§1", "names of our own stay hidden";
    /// Imports are matched by name and type.
    Imports = "gate.imports", "§1", "imports matched by name and type";
    /// Fuel consumed follows the price list.
    Prices = "fuel.prices", "§2", "the price list";
    /// Segments are charged in full, and nothing is given back.
    Charging = "fuel.charging", "§2", "charged by segment, never refunded";
    /// Every smaller budget stops the guest with all of it consumed.
    Exhaustion = "fuel.exhaustion", "§2", "stopped at exactly the budget";
    /// Linked instances have one fuel counter.
    SharedFuel = "fuel.linked", "§2", "one counter for linked modules";
    /// Slices change nothing, and others get their turn.
    Tick = "fuel.tick", "§2", "slices change no total";
    /// The start function is a call like others.
    Start = "fuel.start", "§2", "the start function is an ordinary call";
    /// Linear memory is capped and counted.
    Memory = "caps.memory", "§3", "memory cap, exact bytes and peak";
    /// Table elements are capped and counted.
    Tables = "caps.tables", "§3", "table cap";
    /// The stack budget decides how deep a guest gets.
    Stack = "caps.stack", "§3", "stack budget in deterministic units";
    /// Linked instances share every cap.
    SharedCaps = "caps.linked", "§3", "linked modules share every cap";
    /// Instances and host calls are capped.
    Counts = "caps.counts", "§3", "instances and host calls";
    /// The deadline holds, in guest code and in host functions.
    Deadline = "caps.deadline", "§3", "the deadline";
    /// A cancelled call ends.
    Cancellation = "caps.cancel", "§3", "cancellation";
    /// Each trap has its own name, on every engine the same.
    Traps = "outcomes.traps", "§4", "one name for each trap";
    /// Limits, exits, host errors and bad arguments are told apart.
    Branches = "outcomes.branches", "§4", "whose fault it was";
    /// Frames point into the guest's own module.
    Frames = "outcomes.frames", "§4", "frames in the original module";
    /// Values, memories, tables, globals and handles on the border.
    Border = "outcomes.border", "§4", "values and handles on the border";
    /// Canonical NaNs, host calls in guest order, the same memory.
    Determinism = "determinism", "§5", "the same bits everywhere";
    /// Saved code is the same code; foreign code is not loaded.
    Artefacts = "artefacts", "§6", "artefacts, own and foreign";
}

impl Clause {
    /// The clause called `id`.
    #[must_use]
    pub fn by_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.id() == id)
    }
}

/// Section and title.
impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.section(), self.title())
    }
}

impl Serialize for Clause {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.id())
    }
}
