use std::sync::Arc;
use cofferdam_engine::{Engine, FuelMode};
use cofferdam_conformance::{report::*, *};
#[path = "../../conformance/tests/broken/engine.rs"] mod engine;
#[path = "../../conformance/tests/broken/fault.rs"] mod fault;
#[path = "../../conformance/tests/broken/store.rs"] mod store;
fn main() {
    let eager: Arc<dyn Engine> = Arc::new(cofferdam_wasmi::WasmiEngine::eager());
    if std::env::args().any(|a| a == "broken") {
        for (fault, expected) in fault::FAULTS {
            let began = std::time::Instant::now();
            let broken = engine::Broken::new(eager.clone(), *fault);
            let noticed: Vec<_> = rows().iter().filter(|r| run_row(&broken, r, FuelMode::Portable, &[]).status.is_failure()).map(|r| &*r.name).collect();
            println!("{}{fault:?} {expected}: {} {:?} {:?}", if noticed.contains(expected) { "" } else { "MISSED " }, noticed.len(), &noticed[..noticed.len().min(4)], began.elapsed());
        }
        return;
    }
    for (r, m) in rows().iter().flat_map(|r| [(r, FuelMode::Portable), (r, FuelMode::Native)]) {
        let began = std::time::Instant::now();
        run_row(&eager, r, m, &[]);
        if began.elapsed().as_millis() > 200 { println!("{} {m} {:?}", r.name, began.elapsed()); }
    }
    let lazy: Arc<dyn Engine> = Arc::new(cofferdam_wasmi::WasmiEngine::lazy());
    println!("{}", terminal(&[run(&eager), run(&lazy)]));
}
