//! The figures of a run, as they are kept in `docs/performance/measured.json`: tables and plots are made from these.

use serde::{Deserialize, Serialize};

use crate::column::Column;
use crate::machine::Machine;
use crate::task::Task;

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What it ran on.
    pub machine: Machine,
    /// Rounds of every task.
    pub rounds: u32,
    /// Engine by engine.
    pub engines: Vec<EngineReport>,
}

/// Everything of one engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EngineReport {
    /// Its name.
    pub engine: String,
    /// Its version.
    pub version: String,
    /// Task by task.
    pub tasks: Vec<TaskReport>,
}

/// One task on one engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskReport {
    /// Its name.
    pub task: String,
    /// How often it was done in each round.
    pub times: u32,
    /// Column by column.
    pub cells: Vec<Cell>,
}

/// One task in one column on one engine; times are of one unit of the task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// The column's name.
    pub column: String,
    /// The shortest round, in nanoseconds.
    pub least_ns: f64,
    /// The middle one.
    pub median_ns: f64,
    /// What nine rounds of ten stayed below.
    pub p90_ns: f64,
}

impl EngineReport {
    /// One of its tasks, if it was measured.
    #[must_use]
    pub fn task(&self, task: Task) -> Option<&TaskReport> {
        self.tasks.iter().find(|report| report.task == task.name())
    }

    /// The geometric mean over the eight kernels of `column` ÷ `base`, if all were measured.
    #[must_use]
    pub fn mean(&self, column: Column, base: Column) -> Option<f64> {
        let mut logarithms = Vec::new();
        for task in Task::all().filter(|task| task.is_of_the_eight()) {
            logarithms.push(self.task(task)?.ratio(column, base)?.ln());
        }
        Some((logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp())
    }
}

impl TaskReport {
    /// The cell of `column`.
    #[must_use]
    pub fn cell(&self, column: Column) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.column == column.name())
    }

    /// The least time of `column` ÷ that of `base`.
    #[must_use]
    pub fn ratio(&self, column: Column, base: Column) -> Option<f64> {
        Some(self.cell(column)?.least_ns / self.cell(base)?.least_ns)
    }

    /// Median ÷ least, in the worst column: how much rounds differed.
    #[must_use]
    pub fn spread(&self) -> f64 {
        self.cells.iter().map(|cell| cell.median_ns / cell.least_ns).fold(1.0, f64::max)
    }
}

impl Report {
    /// What came out for the raw engine measured twice: how far the ratios are from 1, as a part of it, the smallest
    /// first.
    #[must_use]
    pub fn noise(&self) -> Vec<f64> {
        let tasks = self.engines.iter().flat_map(|engine| &engine.tasks);
        let mut noise: Vec<f64> =
            tasks.filter_map(|task| Some(task.ratio(Column::Again, Column::Raw)?.ln().abs().exp() - 1.0)).collect();
        noise.sort_by(f64::total_cmp);
        noise
    }
}
