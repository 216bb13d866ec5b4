//! Runs rows on engines.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cofferdam_engine::{Engine, FuelMode};

use crate::cell::Cell;
use crate::report::{Line, Report, Status};
use crate::row::{Body, Row};
use crate::script;
use crate::skips::SKIPS;
use crate::trouble::{Done, Trouble};

/// A row that an engine is known not to pass, with the reason: an issue of the engine's, as a rule. The row
/// is run all the same, and the run fails when it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The engine's id.
    pub engine: &'static str,
    /// The row's name.
    pub row: &'static str,
    /// In one fuel mode only.
    pub mode: Option<FuelMode>,
    /// Why.
    pub reason: &'static str,
}

impl Skip {
    pub(crate) fn matches(&self, engine: &str, row: &Row, mode: FuelMode) -> bool {
        self.engine == engine && self.row == row.name && self.mode.is_none_or(|m| m == mode)
    }
}

/// Runs every row on `engine`, in every fuel mode that it claims, with the skips declared in [`SKIPS`].
#[must_use]
pub fn run(engine: &Arc<dyn Engine>) -> Report {
    run_with(engine, SKIPS)
}

/// The same with declared skips of the caller's own.
#[must_use]
pub fn run_with(engine: &Arc<dyn Engine>, skips: &[Skip]) -> Report {
    let descriptor = engine.descriptor();
    let mut lines = Vec::new();
    for mode in descriptor.capabilities.fuel_modes {
        for row in crate::rows().iter().filter(|r| *mode == FuelMode::Portable || !r.portable_only) {
            lines.push(run_row(engine, row, *mode, skips));
        }
    }
    Report { engine: descriptor.id.to_owned(), version: descriptor.version.to_owned(), lines }
}

/// Runs one row.
#[must_use]
pub fn run_row(engine: &Arc<dyn Engine>, row: &Row, mode: FuelMode, skips: &[Skip]) -> Line {
    let id = engine.descriptor().id;
    let skip = skips.iter().find(|s| s.matches(id, row, mode));
    let status = match (outcome(&Cell { engine, mode }, row), skip) {
        (Ok(()), None) => Status::Passed,
        (Ok(()), Some(skip)) => Status::PassesNow(skip.reason.to_owned()),
        (Err(Trouble::Lacks(what)), _) => Status::Lacks(what),
        (Err(Trouble::Wrong(_)), Some(skip)) => Status::Skipped(skip.reason.to_owned()),
        (Err(Trouble::Wrong(what)), None) => Status::Failed(what),
    };
    Line { row: row.name.clone(), clause: row.clause, mode, status }
}

fn outcome(cell: &Cell<'_>, row: &Row) -> Done {
    let work = || match &row.body {
        Body::Script(script) => script::run(cell, script),
        Body::Program(program) => program(cell),
        Body::Unreadable(trouble) => Err(Trouble::Wrong(format!("the row cannot be read: {trouble}"))),
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        Err(Trouble::Wrong(format!("it panicked: {}", said.unwrap_or("no message"))))
    })
}
