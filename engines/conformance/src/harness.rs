//! A test program for an adapter crate: one test for each row and fuel mode, with the options of `cargo test`.

use std::process::ExitCode;
use std::sync::Arc;

use cofferdam_engine::{Engine, FuelMode};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::report::explain;
use crate::run::{Skip, run_row};
use crate::{Status, rows};

/// Runs every row on `engines` as tests called `engine::mode::row`. A row that an engine cannot run counts as
/// passed, as does one that is declared as a skip and does fail; the report says which they are.
#[must_use]
pub fn main(engines: &[Arc<dyn Engine>], skips: &'static [Skip]) -> ExitCode {
    let mut trials = Vec::new();
    for engine in engines {
        for mode in engine.descriptor().capabilities.fuel_modes {
            for row in rows().iter().filter(|r| *mode == FuelMode::Portable || !r.portable_only) {
                let (engine, mode) = (engine.clone(), *mode);
                let id = engine.descriptor().id;
                let name = format!("{id}::{mode}::{}", row.name);
                let kind = row.clause.id();
                let skipped = skips.iter().any(|s| s.matches(id, row, mode));
                let trial = Trial::test(name, move || {
                    let line = run_row(&engine, row, mode, skips);
                    match line.status {
                        Status::Failed(_) | Status::PassesNow(_) => Err(Failed::from(explain(id, &line))),
                        Status::Passed | Status::Lacks(_) | Status::Skipped(_) => Ok(()),
                    }
                });
                trials.push(trial.with_kind(if skipped { "skipped" } else { kind }));
            }
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Makes a test program of every row on an engine. In the adapter's `Cargo.toml`:
///
/// ```toml
/// [dev-dependencies]
/// cofferdam-conformance = { version = "0.1", features = ["harness"] }
///
/// [[test]]
/// name = "conformance"
/// harness = false
/// ```
///
/// and in `tests/conformance.rs`:
///
/// ```ignore
/// cofferdam_conformance::conformance_tests!(my_adapter::MyEngine::new());
/// ```
///
/// Declared skips come after the engine: `conformance_tests!(engine, SKIPS)` with a `&'static [Skip]`.
#[macro_export]
macro_rules! conformance_tests {
    ($engine:expr) => {
        $crate::conformance_tests!($engine, $crate::SKIPS);
    };
    ($engine:expr, $skips:expr) => {
        fn main() -> ::std::process::ExitCode {
            $crate::harness::main(&[::std::sync::Arc::new($engine)], $skips)
        }
    };
}
