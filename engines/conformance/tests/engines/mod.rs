//! The engines that the kit's own tests run on.

use std::sync::Arc;

use cofferdam_engine::Engine;
use cofferdam_wasmer::WasmerEngine;
use cofferdam_wasmi::WasmiEngine;
use cofferdam_wasmtime::WasmtimeEngine;

/// All of them, the preferred one first, and those last that some builds of these tests leave out.
pub fn all() -> Vec<Arc<dyn Engine>> {
    vec![
        Arc::new(WasmerEngine::cranelift()),
        Arc::new(WasmtimeEngine::new()),
        Arc::new(WasmiEngine::eager()),
        #[cfg(feature = "singlepass")]
        Arc::new(WasmerEngine::singlepass()),
    ]
}
