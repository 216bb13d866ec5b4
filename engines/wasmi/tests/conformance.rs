//! The contract on Wasmi, row by row; what is skipped is declared in the kit, with the reason.

cofferdam_conformance::conformance_tests!(cofferdam_wasmi::WasmiEngine::eager());
