//! [`PreparedModule`]: what an engine is given to compile. Only [`crate::prepare`] can make one, and only an
//! authenticated artefact can bring one back, so a module that was not validated, gated and metered cannot
//! reach an engine.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::code_map::CodeMap;
use crate::features::FeatureSet;
use crate::metering::Spaces;
use crate::types::{ExportType, ExternType, FuncType, ImportType};

/// Who counts fuel. Named in every result; figures of different modes are never mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FuelMode {
    /// The module counts for itself, by code that this crate wrote into it: the same number and the
    /// same stopping point on every engine.
    #[default]
    Portable,
    /// The engine's own meter counts, by our price list. Completed runs consume the same; stopping
    /// points may differ between engines.
    Native,
}

impl FuelMode {
    /// `portable` or `native`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Native => "native",
        }
    }
}

impl fmt::Display for FuelMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FuelMode {
    type Err = &'static str;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "portable" => Ok(Self::Portable),
            "native" => Ok(Self::Native),
            _ => Err("the fuel modes are `portable` and `native`"),
        }
    }
}

/// BLAKE3 of the module as it came in (after text was turned into binary).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModuleHash(pub [u8; 32]);

impl ModuleHash {
    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for ModuleHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for ModuleHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where `prepare` put its own things in the rewritten module. Adapters need it; nobody else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Function index of the imported tick, `(i64) -> ()`: the last of the imported functions.
    pub tick: u32,
    /// Global index of the imported fuel counter, a mutable `i64`.
    pub fuel: u32,
    /// Global index of the imported stack counter, a mutable `i32` that holds the units left.
    pub stack: u32,
    /// Function imports of the original module; rewritten indices from here on are one higher.
    pub imported_functions: u32,
}

/// A module that was validated, gated and rewritten, ready for any engine. Cheap to clone.
#[derive(Clone)]
pub struct PreparedModule(pub(crate) Arc<Inner>);

#[derive(Serialize, Deserialize)]
pub(crate) struct Inner {
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
    pub hash: ModuleHash,
    pub original_len: usize,
    pub mode: FuelMode,
    pub allowed: FeatureSet,
    pub used: FeatureSet,
    pub canonical_nans: bool,
    pub imports: Vec<ImportType>,
    pub exports: Vec<ExportType>,
    pub signatures: Vec<FuncType>,
    pub has_start: bool,
    pub layout: Layout,
    pub code_map: CodeMap,
    pub spaces: Spaces,
    pub plans: Vec<FunctionPlan>,
}

/// What was decided for one defined function; native fuel inserts the same numbers that portable fuel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionPlan {
    /// Fuel charged on entry.
    pub entry_price: u64,
    /// Stack units that one activation takes.
    pub stack_weight: u32,
    /// Local that holds the stack units left; appended by `prepare`.
    pub stack_local: u32,
    /// Scratch local for a 32-bit length, appended by `prepare` where a bulk operator needs it.
    pub scratch32: Option<u32>,
    /// Scratch local for a 64-bit length, likewise.
    pub scratch64: Option<u32>,
}

impl PreparedModule {
    /// The rewritten module, to be compiled.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The hash of the module before it was rewritten.
    #[must_use]
    pub fn hash(&self) -> ModuleHash {
        self.0.hash
    }

    /// Size in bytes before rewriting.
    #[must_use]
    pub fn original_len(&self) -> usize {
        self.0.original_len
    }

    /// Who counts fuel.
    #[must_use]
    pub fn mode(&self) -> FuelMode {
        self.0.mode
    }

    /// The proposals that the policy allowed when the module was gated.
    #[must_use]
    pub fn allowed(&self) -> FeatureSet {
        self.0.allowed
    }

    /// The proposals that the module really uses.
    #[must_use]
    pub fn used(&self) -> FeatureSet {
        self.0.used
    }

    /// Whether the engine must make the bits of every computed NaN the same.
    #[must_use]
    pub fn canonical_nans(&self) -> bool {
        self.0.canonical_nans
    }

    /// The guest's own imports, in order; what `prepare` added is not among them.
    #[must_use]
    pub fn imports(&self) -> &[ImportType] {
        &self.0.imports
    }

    /// The guest's own exports, in order; what `prepare` added is not among them.
    #[must_use]
    pub fn exports(&self) -> &[ExportType] {
        &self.0.exports
    }

    /// The export called `name`, if the guest has one.
    #[must_use]
    pub fn export(&self, name: &str) -> Option<&ExternType> {
        self.0.exports.iter().find(|e| &*e.name == name).map(|e| &e.ty)
    }

    /// Every distinct function type of the module that can cross the host border.
    #[must_use]
    pub fn signatures(&self) -> &[FuncType] {
        &self.0.signatures
    }

    /// Whether there is a start function, exported as [`crate::names::START`] for the runtime to call.
    #[must_use]
    pub fn has_start(&self) -> bool {
        self.0.has_start
    }

    /// Where the added imports are.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.0.layout
    }

    /// From positions in the rewritten module to positions in the original.
    #[must_use]
    pub fn code_map(&self) -> &CodeMap {
        &self.0.code_map
    }

    /// Shapes of the memories and tables, which bulk operators are priced by; see [`crate::metering`].
    #[must_use]
    pub fn spaces(&self) -> &Spaces {
        &self.0.spaces
    }

    /// The plan of each defined function, in order.
    #[must_use]
    pub fn function_plans(&self) -> &[FunctionPlan] {
        &self.0.plans
    }
}

impl fmt::Debug for PreparedModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedModule")
            .field("hash", &self.0.hash)
            .field("mode", &self.0.mode)
            .field("bytes", &self.0.bytes.len())
            .finish_non_exhaustive()
    }
}
