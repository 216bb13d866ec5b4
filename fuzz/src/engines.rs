//! The engines under test, by name.

use std::sync::Arc;

use anyhow::bail;
use cofferdam_engine::{Engine, FeatureSet, Proposal};
use cofferdam_wasmer::WasmerEngine;
use cofferdam_wasmi::WasmiEngine;
use cofferdam_wasmtime::WasmtimeEngine;

/// What is tested where nothing else is said.
pub const DEFAULT: [&str; 3] = ["wasmer-cranelift", "wasmtime", "wasmi"];

/// The engine called `name`.
///
/// # Errors
/// There is none.
pub fn by_name(name: &str) -> anyhow::Result<Arc<dyn Engine>> {
    Ok(match name {
        "wasmer-cranelift" => Arc::new(WasmerEngine::cranelift()),
        "wasmtime" => Arc::new(WasmtimeEngine::new()),
        "wasmi" => Arc::new(WasmiEngine::eager()),
        "wasmi-lazy" => Arc::new(WasmiEngine::lazy()),
        #[cfg(feature = "wasmer-singlepass")]
        "wasmer-singlepass" => Arc::new(WasmerEngine::singlepass()),
        #[cfg(not(feature = "wasmer-singlepass"))]
        "wasmer-singlepass" => bail!("engine `{name}` is not in this build; build with `--features {name}`"),
        _ => bail!("no engine is called `{name}`; there are {DEFAULT:?}, `wasmi-lazy` and `wasmer-singlepass`"),
    })
}

/// Every proposal that at least two of `engines` offer: what one alone offers cannot be compared, but for its modes.
#[must_use]
pub fn shared_features(engines: &[Arc<dyn Engine>]) -> FeatureSet {
    let offers = |p: Proposal| engines.iter().filter(|e| e.descriptor().capabilities.features.has(p)).count();
    Proposal::ALL.iter().copied().filter(|p| offers(*p) >= engines.len().min(2)).collect()
}
