//! The contract on Wasmer with Singlepass, row by row.

cofferdam_conformance::conformance_tests!(cofferdam_wasmer::WasmerEngine::singlepass());
