//! The engines that the kit's own tests run on.

use std::sync::Arc;

use cofferdam_engine::Engine;
use cofferdam_wasmer::WasmerEngine;
use cofferdam_wasmi::WasmiEngine;
use cofferdam_wasmtime::WasmtimeEngine;

/// All of them, the preferred one first.
pub fn all() -> Vec<Arc<dyn Engine>> {
    tables().into_iter().flat_map(|(_, engines)| engines).collect()
}

/// The same by the table of `docs/engines.md` that they have a column in, with the end of the table's name. An engine
/// that some builds of these tests leave out has a table of its own.
pub fn tables() -> Vec<(&'static str, Vec<Arc<dyn Engine>>)> {
    vec![
        (
            "",
            vec![Arc::new(WasmerEngine::cranelift()), Arc::new(WasmtimeEngine::new()), Arc::new(WasmiEngine::eager())],
        ),
        #[cfg(feature = "singlepass")]
        (" of singlepass", vec![Arc::new(WasmerEngine::singlepass())]),
    ]
}
