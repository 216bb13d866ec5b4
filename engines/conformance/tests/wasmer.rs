//! Every row on Wasmer.

use std::sync::Arc;

use cofferdam_conformance::report::terminal;
use cofferdam_conformance::run;
use cofferdam_engine::Engine;
use cofferdam_wasmer::WasmerEngine;

#[test]
fn wasmer_passes_every_row() {
    let engine: Arc<dyn Engine> = Arc::new(WasmerEngine::cranelift());
    let report = run(&engine);
    println!("{}", terminal(std::slice::from_ref(&report)));
    assert!(report.passed(), "{}", terminal(std::slice::from_ref(&report)));
}
