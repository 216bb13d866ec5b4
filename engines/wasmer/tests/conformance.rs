//! The contract on Wasmer with Cranelift, row by row. Nothing is skipped.

cofferdam_conformance::conformance_tests!(cofferdam_wasmer::WasmerEngine::cranelift());
