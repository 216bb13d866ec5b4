//! All engines in one process: faults that the machine finds on many threads at once, on every engine and in both
//! fuel modes, whichever engine was first to install its handlers. Each order of first use has a process of its own.
//! `COFFERDAM_TRAPS` is how many traps each thread takes in each order; 2,000 if it is not set.
#![cfg(feature = "any-engine")]

#[path = "support/faults.rs"]
mod faults;
#[path = "support/mod.rs"]
mod support;

use std::process::Command;
use std::sync::{Arc, Barrier};

use cofferdam::policy::{Fuel, Limits};
use cofferdam::sandbox::Module;
use cofferdam::{Engine, FuelMode, FuncType, GuestState, HostError, HostFunc, Report, Sandbox, Value, engines};
use faults::FAULTS;
use support::{closed_wasi, guest_with, hostile, policy, tight};

/// The test that starts itself once for each order.
const NAME: &str = "faults_are_right_in_every_order_of_first_use";
/// In such a process: the engines in order, with commas between.
const ORDER: &str = "COFFERDAM_COEXISTENCE_ORDER";
/// Threads of each engine in each fuel mode.
const THREADS: usize = 2;

#[test]
fn faults_are_right_in_every_order_of_first_use() {
    if let Ok(order) = std::env::var(ORDER) {
        return storm(&order.split(',').collect::<Vec<_>>());
    }
    let orders = permutations(&engines::names());
    for order in &orders {
        let order = order.join(",");
        let this = std::env::current_exe().expect("it runs from somewhere");
        let output = Command::new(this).args([NAME, "--exact", "--nocapture"]).env(ORDER, &order).output();
        let output = output.expect("it starts");
        let [said, wrong] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert!(output.status.success(), "{order}: {}\n{said}\n{wrong}", output.status);
        let line = said.lines().find(|line| line.contains(" traps on ")).unwrap_or_else(|| panic!("{order}: {said}"));
        println!("{line}");
    }
    assert_eq!(orders.len(), (1..=engines::names().len()).product::<usize>());
}

fn permutations(names: &[&'static str]) -> Vec<Vec<&'static str>> {
    if names.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, first) in names.iter().enumerate() {
        let rest: Vec<_> = names.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, name)| *name).collect();
        all.extend(permutations(&rest).into_iter().map(|rest| [vec![*first], rest].concat()));
    }
    all
}

/// One engine in one fuel mode, with the guests that fault.
struct Ground {
    id: &'static str,
    mode: FuelMode,
    engine: Arc<dyn Engine>,
    sandbox: Sandbox,
    traps: Module,
    recurse: Module,
    spin: Module,
}

/// How a call must end.
struct Case {
    module: fn(&Ground) -> &Module,
    export: &'static str,
    reason: &'static str,
}

fn cases() -> Vec<Case> {
    let faults = FAULTS.iter().flat_map(|(reason, exports)| exports.iter().map(|export| (*reason, *export)));
    let mut cases: Vec<_> = faults.map(|(reason, export)| Case { module: |g| &g.traps, export, reason }).collect();
    // Limits among them: they end calls another way, through host calls and unwinding.
    cases.push(Case { module: |g| &g.recurse, export: "run", reason: "stack" });
    cases.push(Case { module: |g| &g.spin, export: "run", reason: "fuel" });
    cases
}

impl Ground {
    fn new(engine: &Arc<dyn Engine>, mode: FuelMode) -> Self {
        let limits = Limits { fuel: Fuel::new(200_000), timeout: None, ..tight() };
        let sandbox = Sandbox::builder(engine.clone()).policy(policy(mode, limits)).build().expect("it is enforced");
        let load = |name| sandbox.load(&hostile(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (traps, recurse, spin) = (load("traps.wat"), load("recurse_small.wat"), load("loop_forever.wat"));
        Self { id: engine.descriptor().id, mode, engine: engine.clone(), traps, recurse, spin, sandbox }
    }

    fn call(&self, case: &Case) -> Report {
        let wasi = closed_wasi().build().expect("the configuration is good");
        let mut guest = self.sandbox.guest((case.module)(self), GuestState::with_wasi(wasi)).expect("there is room");
        guest.call(case.export, &[])
    }

    /// What must be the same each time: why it ended, where, and what it cost.
    fn seen(&self, case: &Case) -> String {
        let report = self.call(case);
        let frames: Vec<_> = report.outcome.frames().iter().map(|f| (f.function, f.offset)).collect();
        let reason = report.outcome.reason().unwrap_or("completed");
        assert_eq!(reason, case.reason, "{} {} {}: {}", self.id, self.mode, case.export, report.outcome);
        format!("{reason} {frames:?} {}", report.receipt.fuel)
    }
}

/// Uses the engines in `order` for the first time, then takes traps on all of them at once.
fn storm(order: &[&str]) {
    let cases = cases();
    let mut grounds = Vec::new();
    for id in order {
        // Not `engines::all`, which would make all of them at once.
        let engine = engines::by_name(id).unwrap_or_else(|e| panic!("{e}"));
        for mode in engine.descriptor().capabilities.fuel_modes {
            let ground = Ground::new(&engine, *mode);
            // Its handlers are in place, and are used, before the next engine is touched.
            let alone: Vec<_> = cases.iter().map(|case| ground.seen(case)).collect();
            grounds.push((ground, alone));
        }
    }
    // What the first said while it was alone holds beside the others, too.
    for (ground, alone) in &grounds {
        let beside: Vec<_> = cases.iter().map(|case| ground.seen(case)).collect();
        assert_eq!(*alone, beside, "{} {}", ground.id, ground.mode);
    }
    let traps: usize = std::env::var("COFFERDAM_TRAPS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000);
    let threads = THREADS * grounds.len();
    let start = Barrier::new(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (grounds, cases, start) = (&grounds, &cases, &start);
            scope.spawn(move || {
                start.wait();
                for turn in 0..traps {
                    // Half of the time on one engine, half on all in turn.
                    let at = if turn % 2 == 0 { thread } else { thread + turn / 2 };
                    let (ground, alone) = &grounds[at % grounds.len()];
                    let case = (thread * 7 + turn) % cases.len();
                    assert_eq!(ground.seen(&cases[case]), alone[case], "{} {}", ground.id, ground.mode);
                    if turn % 50 == 0 {
                        within(grounds, at, turn, cases);
                    }
                }
            });
        }
    });
    // And each still loads and runs what is good.
    for (ground, _) in &grounds {
        let policy = policy(ground.mode, tight());
        let mut guest = guest_with(&ground.engine, policy, &hostile("traps.wat"), closed_wasi())
            .unwrap_or_else(|e| panic!("{} {}: {e}", ground.id, ground.mode));
        assert_eq!(guest.call("ok", &[]).outcome.values(), Some(&[Value::I32(7)][..]), "{}", ground.id);
    }
    println!("{} traps on {threads} threads, first use in the order {}", traps * threads, order.join(", "));
}

/// A guest whose host function runs a guest of another engine that faults; then the outer one faults itself.
fn within(grounds: &[(Ground, Vec<String>)], at: usize, turn: usize, cases: &[Case]) {
    let outer = at % grounds.len();
    std::thread::scope(|scope| {
        // On a thread of its own: the first fault of a thread is a case of its own.
        scope.spawn(|| {
            let ran = Arc::new(parking_lot::Mutex::new(None));
            let inner = (outer + 1 + turn / 50) % grounds.len();
            let (ground, alone) = &grounds[inner];
            let case = turn % cases.len();
            let (sandbox, module, keep) = (ground.sandbox.clone(), (cases[case].module)(ground).clone(), ran.clone());
            let export = cases[case].export;
            let host = HostFunc::new(FuncType::new([], []), move |_, _, _| {
                let wasi = closed_wasi().build().map_err(HostError::failed)?;
                let mut guest = sandbox.guest(&module, GuestState::with_wasi(wasi)).map_err(HostError::failed)?;
                *keep.lock() = Some(guest.call(export, &[]).outcome.reason());
                Ok(())
            });
            let (ground, _) = &grounds[outer];
            // Permits of its own, or the inner calls could wait for the outer ones.
            let sandbox = Sandbox::builder(ground.engine.clone()).func("env", "inner", host);
            // How long it waits for its turn among the others is not what is looked at.
            let sandbox = sandbox.limits(Limits { timeout: None, ..tight() }).build().expect("it is enforced");
            let module = sandbox.load(OUTER).expect("it is good");
            let mut guest = sandbox.guest(&module, GuestState::default()).expect("there is room");
            let report = guest.call("run", &[Value::I32(70_000)]);
            assert_eq!(report.outcome.reason(), Some("memory_out_of_bounds"), "{}: {}", ground.id, report.outcome);
            assert_eq!(*ran.lock(), Some(Some(cases[case].reason)), "{}: {}", ground.id, alone[case]);
        });
    });
}

const OUTER: &[u8] = br#"(module (import "env" "inner" (func $inner)) (memory 1)
    (func (export "run") (param i32) (result i32) (call $inner) (i32.load (local.get 0))))"#;
