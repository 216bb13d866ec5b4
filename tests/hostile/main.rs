//! Every hostile guest ends as `tests/guests/README.md` says, on every engine and in both fuel modes; the
//! host survives and the next guest works. Nothing here measures time: a guest that is not stopped hangs
//! the test.
#![cfg(feature = "any-engine")]

#[path = "../support/faults.rs"]
mod faults;
#[path = "../support/matrix.rs"]
mod matrix;
#[path = "../support/mod.rs"]
mod support;

mod endless;
mod host_functions;
mod linking;
mod made;
mod resources;
mod traps;

use std::sync::Arc;
use std::time::Duration;

use cofferdam::host::wasi::WasiConfig;
use cofferdam::policy::{Fuel, Limits, SecurityPolicy};
use cofferdam::{Engine, FuelMode, Guest, Outcome, Report, Value};
use matrix::matrix;
use support::{closed_wasi, guest_with, hostile, policy, tight};

/// One engine in one fuel mode.
struct Cell {
    engine: Arc<dyn Engine>,
    mode: FuelMode,
}

fn cells() -> impl Iterator<Item = Cell> {
    matrix().into_iter().map(|(engine, mode)| Cell { engine, mode })
}

/// Unlimited fuel and a short time: only the deadline ends an endless guest.
fn short_time() -> Limits {
    Limits { timeout: Some(Duration::from_millis(200)), ..tight() }
}

/// Little fuel and no deadline: only the budget ends an endless guest.
fn little_fuel() -> Limits {
    Limits { fuel: Fuel::new(3_000_000), timeout: None, ..tight() }
}

impl Cell {
    fn policy(&self, limits: Limits) -> SecurityPolicy {
        policy(self.mode, limits)
    }

    fn guest(&self, module: &[u8], limits: Limits, wasi: WasiConfig) -> Guest {
        guest_with(&self.engine, self.policy(limits), module, wasi).unwrap_or_else(|e| panic!("{self}: {e:?}"))
    }

    /// A fresh guest of `file`, called once.
    fn call(&self, file: &str, export: &str, args: &[Value], limits: Limits) -> (Guest, Report) {
        let mut guest = self.guest(&hostile(file), limits, closed_wasi());
        let report = guest.call(export, args);
        // What must hold however it ended.
        let receipt = &report.receipt;
        assert!(receipt.peak_memory_bytes <= tight().memory.get().max(64 << 20), "{self} {file} {export}");
        (guest, report)
    }

    /// Calls `export` of `file` and compares how it ended with the contract's word: a reason, or `completed`.
    fn ends(&self, file: &str, export: &str, limits: Limits, word: &str) -> Report {
        let (_, report) = self.call(file, export, &[], limits);
        assert_eq!(report.outcome.reason().unwrap_or("completed"), word, "{self} {file} {export}: {}", report.outcome);
        if word == "fuel" {
            assert_eq!(report.receipt.fuel, little_fuel().fuel.get(), "{self} {file} {export}: all of it is consumed");
        }
        report
    }

    /// The same, for a guest that is called with nothing and returns one number.
    fn returns(&self, file: &str, export: &str, limits: Limits) -> i64 {
        let (_, report) = self.call(file, export, &[], limits);
        number(&report.outcome).unwrap_or_else(|| panic!("{self} {file} {export}: {}", report.outcome))
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.engine.descriptor().id, self.mode)
    }
}

/// The one number that a call returned.
fn number(outcome: &Outcome) -> Option<i64> {
    match outcome.values()? {
        [Value::I32(n)] => Some((*n).into()),
        [Value::I64(n)] => Some(*n),
        _ => None,
    }
}
