//! [`Refusal`]: why a guest's bytes never become a prepared module. Every message names the thing, where it
//! is, and what would allow it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize};

use crate::features::{FeatureSet, Proposal};

/// Why a module was refused before any engine saw it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// There are no bytes at all.
    #[error("the module is empty (0 bytes)")]
    Empty,
    /// The bytes are not WebAssembly.
    #[error("not a WebAssembly module: {found}")]
    NotWasm {
        /// What it looks like instead.
        #[serde(deserialize_with = "word")]
        found: Word,
    },
    /// The bytes are text that begins like WebAssembly's and is not.
    #[error("WebAssembly text, line {line}, column {column}: {message}")]
    Text {
        /// What is wrong; capped and escaped.
        message: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// The bytes are a component, which core engines cannot run.
    #[error(
        "this is a WebAssembly component, not a core module; only core modules can run (build for \
         `wasm32-wasip1`, or extract the core module)"
    )]
    Component,
    /// The module does not validate.
    #[error("invalid module at offset {offset:#x}{}: {}", InFunction(.function), Escaped(.message))]
    Invalid {
        /// Byte offset in the module.
        offset: u64,
        /// The function it is in.
        function: Option<FunctionRef>,
        /// What the validator says.
        message: String,
    },
    /// The module uses a proposal that the policy does not allow.
    #[error(
        "proposal `{proposal}` is used at offset {offset:#x}{} and policy level `{level}` does not allow it; \
         allow it with `--feature {proposal}`{}",
        InFunction(.function), LevelsWith(.proposal)
    )]
    Proposal {
        /// The proposal.
        proposal: Proposal,
        /// The function that uses it, if the use is inside one.
        function: Option<FunctionRef>,
        /// Byte offset in the module.
        offset: u64,
        /// Name of the policy level in force.
        level: Arc<str>,
    },
    /// The module uses something that no policy can allow, because limits could not be enforced on it.
    #[error("{what} at offset {offset:#x}{}: {why}; no policy can allow it", InFunction(.function))]
    Unsupported {
        /// What it uses.
        #[serde(deserialize_with = "word")]
        what: Word,
        /// Why it cannot run here.
        #[serde(deserialize_with = "word")]
        why: Word,
        /// The function it is in.
        function: Option<FunctionRef>,
        /// Byte offset in the module.
        offset: u64,
    },
    /// The module is larger than a module limit allows.
    #[error(
        "module limit `{limit}` reached at offset {offset:#x}: the module needs at least {need} {unit} and \
         the cap is {cap}; {}",
        Raise(limit)
    )]
    Limit {
        /// Name of the limit, a field of [`crate::ModuleLimits`].
        #[serde(deserialize_with = "word")]
        limit: Word,
        /// What is counted.
        #[serde(deserialize_with = "word")]
        unit: Word,
        /// What the module needs, at least.
        need: u64,
        /// The cap in force.
        cap: u64,
        /// Byte offset in the module.
        offset: u64,
    },
    /// The module imports or exports a name that belongs to Cofferdam; see [`crate::names`].
    #[error(
        "the {kind} `{}` uses a name that is reserved for metering; rename it (names that begin with \
         `cofferdam:` or `wasmer_metering_` are never available to guests)",
        Escaped(.name)
    )]
    ReservedName {
        /// `import` or `export`.
        #[serde(deserialize_with = "word")]
        kind: Word,
        /// The name, capped.
        name: Arc<str>,
    },
}

impl Refusal {
    /// One word for it, for reports that machines read.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotWasm { .. } => "not_wasm",
            Self::Text { .. } => "text",
            Self::Component => "component",
            Self::Invalid { .. } => "invalid",
            Self::Proposal { .. } => "proposal",
            Self::Unsupported { .. } => "unsupported",
            Self::Limit { .. } => "module_limit",
            Self::ReservedName { .. } => "reserved_name",
        }
    }
}

/// A function of the guest's own module, as a refusal names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionRef {
    /// Its index.
    pub index: u32,
    /// Its name, if the module gives one; capped.
    pub name: Option<Arc<str>>,
}

impl fmt::Display for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "function {}", self.index)?;
        match &self.name {
            Some(name) => write!(f, " `{}`", Escaped(name)),
            None => Ok(()),
        }
    }
}

struct InFunction<'a>(&'a Option<FunctionRef>);

impl fmt::Display for InFunction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |function| write!(f, " in {function}"))
    }
}

/// What to do about a module limit.
struct Raise<'a>(&'a str);

impl fmt::Display for Raise<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if ENGINES_OWN.contains(&self.0) {
            f.write_str("no engine takes more than the default cap")
        } else {
            write!(f, "raise `{}` in the module limits to allow it", self.0)
        }
    }
}

/// Module limits whose default caps are what every engine shares, so that raising them allows nothing.
pub const ENGINES_OWN: &[&str] = &["locals", "function_bytes"];

/// Which of the named levels would do, for the end of a message.
struct LevelsWith<'a>(&'a Proposal);

impl fmt::Display for LevelsWith<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lowest =
            [("strict", FeatureSet::STRICT), ("standard", FeatureSet::STANDARD), ("relaxed", FeatureSet::RELAXED)]
                .into_iter()
                .find(|(_, set)| set.has(*self.0));
        lowest.map_or(Ok(()), |(name, _)| write!(f, " or policy level `{name}` and above"))
    }
}

/// Text written by the guest, made safe for a terminal.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| write!(f, "{}", c.escape_debug()))
    }
}

/// A word of this program's own. The name keeps serde from tying what it reads to this lifetime.
type Word = &'static str;

/// One of the words that refusals are made of, read back from a file that this program authenticated. Each
/// distinct word is kept for good; the files hold no others than stand in this program.
fn word<'de, D: Deserializer<'de>>(from: D) -> Result<Word, D::Error> {
    static WORDS: Mutex<BTreeSet<Word>> = Mutex::new(BTreeSet::new());
    let text = String::deserialize(from)?;
    let mut words = WORDS.lock();
    if let Some(known) = words.get(&*text) {
        return Ok(known);
    }
    let new: Word = text.leak();
    words.insert(new);
    Ok(new)
}

/// `text` cut to at most `max` bytes, at a character's border.
pub(crate) fn capped(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}
