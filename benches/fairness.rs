//! How long a small call takes while 64 endless loops run, against the same call on an idle host.
//! `cargo bench --bench fairness`

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam::policy::{Fuel, Limits, SecurityPolicy};
use cofferdam::sandbox::CallOptions;
use cofferdam::{CancelHandle, Engine, FuelMode, GuestState, Sandbox, engines};

const MODULE: &[u8] = br#"(module (func (export "loop") (loop (br 0)))
    (func (export "small") (result i32) (i32.const 1)))"#;
const LOOPS: usize = 64;
const CALLS: usize = 500;

fn latencies(sandbox: &Sandbox) -> Vec<Duration> {
    let module = sandbox.load(MODULE).expect("the module is good");
    let mut guest = sandbox.guest(&module, GuestState::default()).expect("it fits");
    let mut times: Vec<_> = (0..CALLS)
        .map(|_| {
            let began = Instant::now();
            assert!(guest.call("small", &[]).outcome.values().is_some());
            began.elapsed()
        })
        .collect();
    times.sort();
    times
}

fn measure(engine: &Arc<dyn Engine>, mode: FuelMode) {
    let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
    let policy = SecurityPolicy::standard().limits(limits).fuel_mode(mode);
    let sandbox = Sandbox::builder(engine.clone()).policy(policy).build().expect("it can be enforced");
    let idle = latencies(&sandbox);
    let cancel = CancelHandle::new();
    let options = CallOptions { cancel: Some(cancel.clone()), ..CallOptions::default() };
    let module = sandbox.load(MODULE).expect("the module is good");
    let busy = std::thread::scope(|scope| {
        for _ in 0..LOOPS {
            let mut guest = sandbox.guest(&module, GuestState::default()).expect("it fits");
            let options = options.clone();
            scope.spawn(move || guest.call_with("loop", &[], &options));
        }
        std::thread::sleep(Duration::from_millis(200));
        let busy = latencies(&sandbox);
        cancel.cancel();
        busy
    });
    println!("{} {mode}: small call, idle against {LOOPS} endless loops", engine.descriptor().id);
    for (name, part) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        println!(
            "  {name}: {:>10.1?} against {:>10.1?}",
            support::quantile(&idle, part),
            support::quantile(&busy, part)
        );
    }
}

fn main() {
    for engine in engines::all() {
        for mode in engine.descriptor().capabilities.fuel_modes {
            measure(&engine, *mode);
        }
    }
}
