//! [`FeatureSet`]: which WebAssembly proposals a module may use, one flag each, with no engine in sight.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use wasmparser::WasmFeatures;

macro_rules! proposals {
    ($($(#[$doc:meta])* $variant:ident = $name:literal => $flag:ident,)*) => {
        /// One WebAssembly proposal that a policy can allow or refuse.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum Proposal { $($(#[$doc])* $variant,)* }

        impl Proposal {
            /// Every proposal, in the order in which they are listed to users.
            pub const ALL: &'static [Proposal] = &[$(Proposal::$variant,)*];

            /// The name used in flags, policies and messages, such as `bulk-memory`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Proposal::$variant => $name,)* }
            }

            /// The validator's own switch for this proposal.
            #[must_use]
            pub(crate) const fn switch(self) -> WasmFeatures {
                match self { $(Proposal::$variant => WasmFeatures::$flag,)* }
            }
        }
    };
}

proposals! {
    /// Import and export of mutable globals.
    MutableGlobals = "mutable-globals" => MUTABLE_GLOBAL,
    /// `i32.extend8_s` and its siblings.
    SignExtension = "sign-extension" => SIGN_EXTENSION,
    /// `i32.trunc_sat_f32_s` and its siblings.
    SaturatingFloatToInt = "saturating-float-to-int" => SATURATING_FLOAT_TO_INT,
    /// Several results, and blocks with parameters.
    MultiValue = "multi-value" => MULTI_VALUE,
    /// `memory.copy`, `memory.fill`, `memory.init`, `table.copy`, passive segments.
    BulkMemory = "bulk-memory" => BULK_MEMORY,
    /// `funcref`/`externref` values, several tables, `table.grow`.
    ReferenceTypes = "reference-types" => REFERENCE_TYPES,
    /// Arithmetic in constant expressions.
    ExtendedConst = "extended-const" => EXTENDED_CONST,
    /// Fixed-width 128-bit vectors.
    Simd = "simd" => SIMD,
    /// Vector operators whose results the hardware may choose. Never deterministic across CPUs.
    RelaxedSimd = "relaxed-simd" => RELAXED_SIMD,
    /// `return_call` and `return_call_indirect`.
    TailCalls = "tail-calls" => TAIL_CALL,
    /// More than one linear memory.
    MultiMemory = "multi-memory" => MULTI_MEMORY,
    /// 64-bit memories and tables.
    Memory64 = "memory64" => MEMORY64,
    /// The withdrawn form of exceptions (`try`, `catch`, `delegate`).
    LegacyExceptions = "legacy-exceptions" => LEGACY_EXCEPTIONS,
    /// Exceptions with `try_table` and `exnref`.
    Exceptions = "exceptions" => EXCEPTIONS,
    /// Shared memories and atomic operators.
    Threads = "threads" => THREADS,
    /// `call_ref` and typed function references.
    FunctionReferences = "function-references" => FUNCTION_REFERENCES,
    /// Structs, arrays and `i31ref`.
    Gc = "gc" => GC,
    /// `i64.add128` and its siblings.
    WideArithmetic = "wide-arithmetic" => WIDE_ARITHMETIC,
    /// Memories whose page is not 64 KiB.
    CustomPageSizes = "custom-page-sizes" => CUSTOM_PAGE_SIZES,
    /// `f32` and `f64`. Part of the MVP; a policy may refuse them.
    Floats = "floats" => FLOATS,
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A proposal name that is not in [`Proposal::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no WebAssembly proposal is called `{0}`")]
pub struct UnknownProposal(pub String);

impl FromStr for Proposal {
    type Err = UnknownProposal;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|p| p.name() == s).ok_or_else(|| UnknownProposal(s.chars().take(64).collect()))
    }
}

/// A set of proposals.
///
/// ```
/// use cofferdam_prepare::{FeatureSet, Proposal};
/// let set = FeatureSet::MVP.with(Proposal::Simd);
/// assert!(set.has(Proposal::Simd) && !set.has(Proposal::Threads));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FeatureSet(u32);

impl FeatureSet {
    /// Nothing at all, not even floating point.
    pub const NONE: Self = Self(0);
    /// WebAssembly 1.0 as first shipped: floating point and nothing later.
    pub const MVP: Self = Self::NONE.with(Proposal::Floats);
    /// Level *strict*: the MVP and the four small proposals that every toolchain has long relied on.
    pub const STRICT: Self = Self::MVP
        .with(Proposal::MutableGlobals)
        .with(Proposal::SignExtension)
        .with(Proposal::SaturatingFloatToInt)
        .with(Proposal::MultiValue);
    /// Level *standard*: what today's compilers emit by default.
    pub const STANDARD: Self =
        Self::STRICT.with(Proposal::BulkMemory).with(Proposal::ReferenceTypes).with(Proposal::ExtendedConst);
    /// Level *relaxed*: standard and SIMD, tail calls, several memories, exceptions.
    pub const RELAXED: Self = Self::STANDARD
        .with(Proposal::Simd)
        .with(Proposal::TailCalls)
        .with(Proposal::MultiMemory)
        .with(Proposal::Exceptions);

    /// This set with `proposal` added.
    #[must_use]
    pub const fn with(self, proposal: Proposal) -> Self {
        Self(self.0 | 1 << proposal as u32)
    }

    /// This set with `proposal` taken out.
    #[must_use]
    pub const fn without(self, proposal: Proposal) -> Self {
        Self(self.0 & !(1 << proposal as u32))
    }

    /// Whether `proposal` is in the set.
    #[must_use]
    pub const fn has(self, proposal: Proposal) -> bool {
        self.0 & 1 << proposal as u32 != 0
    }

    /// What is in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The proposals in the set, in listing order.
    pub fn iter(self) -> impl Iterator<Item = Proposal> {
        Proposal::ALL.iter().copied().filter(move |p| self.has(*p))
    }

    /// A stable encoding for cache keys.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The validator's switches for exactly this set, every one explicit.
    #[must_use]
    pub fn validator(self) -> WasmFeatures {
        let mut features = WasmFeatures::empty();
        // `GC_TYPES` only says that the build of the validator can represent reference types at all.
        features.set(WasmFeatures::GC_TYPES, true);
        // The small part of bulk memory and reference types that later proposals lean on.
        features.set(WasmFeatures::BULK_MEMORY_OPT, self.has(Proposal::BulkMemory));
        features.set(WasmFeatures::CALL_INDIRECT_OVERLONG, self.has(Proposal::ReferenceTypes));
        for p in Proposal::ALL {
            features.set(p.switch(), self.has(*p));
        }
        features
    }
}

impl FromIterator<Proposal> for FeatureSet {
    fn from_iter<I: IntoIterator<Item = Proposal>>(iter: I) -> Self {
        iter.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
