//! Every engine of the build, in every fuel mode it has.

use std::sync::Arc;

use cofferdam::{Engine, FuelMode, engines};

/// Every engine of this build in both fuel modes: each test of behaviour runs on all of them.
pub fn matrix() -> Vec<(Arc<dyn Engine>, FuelMode)> {
    let mut cells = Vec::new();
    for engine in engines::all() {
        for mode in engine.descriptor().capabilities.fuel_modes {
            cells.push((engine.clone(), *mode));
        }
    }
    assert!(!cells.is_empty(), "this build has no engine to test");
    cells
}
