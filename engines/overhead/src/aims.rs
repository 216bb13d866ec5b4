//! What the figures are meant to be, and whether they are.

use crate::column::Column;
use crate::report::{EngineReport, Report};
use crate::task::Task;

/// What an aim is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// One task.
    Task(Task),
    /// The geometric mean over the eight kernels.
    Mean,
}

/// A ratio that is not to be passed.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    /// What of.
    pub of: Of,
    /// The engine it is for; all of them if none.
    pub engine: Option<&'static str>,
    /// The ratio.
    pub most: f64,
}

/// All aims.
pub const AIMS: &[Aim] = &[
    Aim { of: Of::Task(Task::Call), engine: None, most: 1.3 },
    Aim { of: Of::Task(Task::HostCall), engine: None, most: 1.5 },
    Aim { of: Of::Task(Task::Instantiate), engine: None, most: 1.3 },
    Aim { of: Of::Mean, engine: Some("wasmer-cranelift"), most: 1.1 },
    Aim { of: Of::Mean, engine: Some("wasmtime"), most: 1.15 },
    Aim { of: Of::Mean, engine: Some("wasmi"), most: 1.45 },
];

impl Aim {
    /// The aim in words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.of {
            Of::Task(task) => task.name(),
            Of::Mean => "eight kernels, geometric mean",
        }
    }

    /// What came out on `engine` for `column` ÷ `base`, if the aim is for that engine and it was measured.
    #[must_use]
    pub fn got(&self, engine: &EngineReport, column: Column, base: Column) -> Option<f64> {
        if self.engine.is_some_and(|name| name != engine.engine) {
            return None;
        }
        match self.of {
            Of::Task(task) => engine.task(task)?.ratio(column, base),
            Of::Mean => engine.mean(column, base),
        }
    }
}

/// Every aim with every engine that it is for.
pub fn of(report: &Report) -> impl Iterator<Item = (&'static Aim, &EngineReport)> {
    AIMS.iter()
        .flat_map(|aim| report.engines.iter().map(move |engine| (aim, engine)))
        .filter(|(aim, engine)| aim.engine.is_none_or(|name| name == engine.engine))
}
