//! What an engine is and what it can enforce.

use serde::Serialize;

use cofferdam_prepare::{FeatureSet, FuelMode};

/// Who an engine is. Every part of it belongs in a cache key, because any of it changes machine code.
#[derive(Clone, Debug, Serialize)]
pub struct EngineDescriptor {
    /// Stable name, as given to `--engine`, such as `mock`.
    pub id: &'static str,
    /// Version of the engine behind the adapter.
    pub version: &'static str,
    /// How it runs code: the compiler's or interpreter's name.
    pub compiler: &'static str,
    /// SPDX licence expression of the engine and compiler.
    pub licence: &'static str,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// What an engine can enforce and run. A limit or a determinism that it lacks and a policy needs is an
/// error when the runtime is built; a proposal it lacks refuses the modules that use it.
#[derive(Clone, Debug, Serialize)]
pub struct Capabilities {
    /// Proposals it can run.
    #[serde(serialize_with = "names")]
    pub features: FeatureSet,
    /// Fuel modes it can meter by.
    pub fuel_modes: &'static [FuelMode],
    /// Whether the total bytes of linear memory can be capped and counted exactly.
    pub memory_cap: bool,
    /// Whether table elements can be capped.
    pub table_cap: bool,
    /// Whether a call can be stopped at a deadline or by cancellation.
    pub deadline: bool,
    /// Whether the bits of computed NaNs can be made the same everywhere.
    pub nan_canonicalisation: bool,
    /// Whether compiled modules can be saved and loaded.
    pub artefacts: bool,
    /// Whether several instances can live and be linked in one store.
    pub linking: bool,
    /// Whether traps carry call frames.
    pub trap_frames: bool,
}

fn names<S: serde::Serializer>(set: &FeatureSet, s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(set.iter().map(cofferdam_prepare::Proposal::name))
}
