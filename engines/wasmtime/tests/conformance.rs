//! The contract on Wasmtime, row by row; what is skipped is declared in the kit, with the reason.

cofferdam_conformance::conformance_tests!(cofferdam_wasmtime::WasmtimeEngine::new());
