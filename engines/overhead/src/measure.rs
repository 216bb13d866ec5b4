//! How it is measured: every round does a task once in every column, and the order turns, so that whatever else the
//! machine does disturbs all alike; the shortest round of a column is the one that was disturbed least. From time to time
//! everything is set up anew.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::column::Column;
use crate::report::{Cell, EngineReport, TaskReport};
use crate::subject::{self, Subject};
use crate::task::{Guests, KERNELS, Task};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Rounds of every task.
    pub rounds: u32,
    /// How often everything is set up anew, rounds divided among them: where code happens to lie decides how well
    /// branches are predicted, and should not decide a figure.
    pub setups: u32,
    /// How long the raw engine is to take for its part of a round.
    pub round: Duration,
}

impl Settings {
    /// What the page is made of.
    pub const FULL: Self = Self { rounds: 60, setups: 5, round: Duration::from_micros(1_500) };
    /// Enough to see that all of it runs.
    pub const QUICK: Self = Self { rounds: 5, setups: 1, round: Duration::from_micros(200) };
}

/// Every column on one engine.
pub struct Subjects {
    engine: String,
    all: Vec<(Column, Box<dyn Subject>)>,
}

impl Subjects {
    /// Makes them, beginning with another column for another `setup`: memory that one setup gives back is what the next
    /// one gets, in the same order, and would otherwise be the same column's again.
    ///
    /// # Errors
    /// An unknown engine, or the engine's own failure.
    pub fn new(engine: &str, guests: &Guests, setup: u32) -> Result<Self> {
        let mut columns = Column::ALL;
        // Three and the number of columns have no common factor.
        let first = setup as usize * 3 % columns.len();
        columns.rotate_left(first);
        let make = |column| Ok((column, subject::subject(engine, column, guests)?));
        let mut all = columns.into_iter().map(make).collect::<Result<Vec<_>>>()?;
        all.rotate_right(first);
        Ok(Self { engine: engine.to_owned(), all })
    }

    /// Does `task` in every column and gives the answer, which must be the same in all.
    ///
    /// # Errors
    /// A column that failed, or gave another answer.
    pub fn agree(&mut self, task: Task, times: u32) -> Result<i64> {
        let mut first = None;
        for (column, subject) in &mut self.all {
            let place = || format!("{}, {}, {}", self.engine, column.name(), task.name());
            let answer = subject.run(task, times).with_context(place)?.answer;
            let expected = *first.get_or_insert(answer);
            ensure!(answer == expected, "{}: the answer is {answer} and not {expected}", place());
        }
        first.context("there are no columns")
    }

    /// Checks that every column answers every task alike, and the kernels as they are known to. This also is the
    /// first run of everything, which is not measured.
    ///
    /// # Errors
    /// As [`Subjects::agree`]; a kernel's wrong answer.
    pub fn check(&mut self) -> Result<()> {
        for task in subject::tasks(&self.engine) {
            let answer = self.agree(task, 1)?;
            if let Task::Kernel(at) = task {
                let known = KERNELS[at].answer;
                ensure!(answer == known, "{}: `{}` gives {answer} and not {known}", self.engine, task.name());
            }
        }
        Ok(())
    }

    /// How often the raw engine does `task` in the time of a round.
    fn times(&mut self, task: Task, settings: &Settings) -> Result<u32> {
        let (_, raw) = self.all.first_mut().context("there are no columns")?;
        let mut times = 1;
        while times < task.most() {
            let took = raw.run(task, times)?.took;
            if took >= settings.round {
                break;
            }
            let wanted = settings.round.as_secs_f64() / took.as_secs_f64().max(1e-7) * f64::from(times);
            // A short first go says little, so it is not trusted with more than tenfold.
            times = (wanted.ceil() as u32).clamp(times + 1, times.saturating_mul(10)).min(task.most());
        }
        Ok(times)
    }

    /// Adds rounds of one task to `samples`.
    ///
    /// # Errors
    /// A column that failed, or gave another answer than the first.
    fn rounds(&mut self, samples: &mut Samples, rounds: u32) -> Result<()> {
        let Samples { task, times, took } = samples;
        let expected = self.agree(*task, *times)?;
        let columns = self.all.len();
        for round in 0..rounds as usize {
            for at in 0..columns {
                // Turned by one each round, and every other round backwards, so that all have all neighbours' caches.
                let at = (if round % 2 == 0 { at } else { columns - 1 - at } + round / 2) % columns;
                let (column, subject) = &mut self.all[at];
                let done = subject.run(*task, *times)?;
                ensure!(done.answer == expected, "{}: {} answers {}", task.name(), column.name(), done.answer);
                took[at].push(done.took.as_nanos() as f64 / f64::from(*times) / f64::from(task.units()));
            }
        }
        Ok(())
    }
}

/// What every round of one task took, for one unit of it.
struct Samples {
    task: Task,
    times: u32,
    /// For each column.
    took: Vec<Vec<f64>>,
}

impl Samples {
    fn report(self) -> TaskReport {
        let cells = Column::ALL.into_iter().zip(self.took).map(|(column, took)| cell(column, took)).collect();
        TaskReport { task: self.task.name().to_owned(), times: self.times, cells }
    }
}

/// Least, median and 90th percentile.
fn cell(column: Column, mut took: Vec<f64>) -> Cell {
    took.sort_by(f64::total_cmp);
    let at = |part: f64| took.get(((took.len() as f64 * part) as usize).min(took.len().saturating_sub(1)));
    // Hundredths of a nanosecond are more than is known.
    let at = |part| at(part).map_or(0.0, |ns| (ns * 100.0).round() / 100.0);
    Cell { column: column.name().to_owned(), least_ns: at(0.0), median_ns: at(0.5), p90_ns: at(0.9) }
}

/// Measures those tasks on one engine that are `wanted`; `each` is told of every task of every setup before it begins.
///
/// # Errors
/// An unknown engine; anything that failed or answered wrongly.
pub fn engine(
    name: &str,
    guests: &Guests,
    settings: &Settings,
    wanted: impl Fn(Task) -> bool,
    mut each: impl FnMut(u32, Task),
) -> Result<EngineReport> {
    let mut all: Vec<Samples> = Vec::new();
    let tasks: Vec<Task> = subject::tasks(name).filter(|task| wanted(*task)).collect();
    let setups = settings.setups.clamp(1, settings.rounds.max(1));
    for setup in 0..setups {
        let mut subjects = Subjects::new(name, guests, setup)?;
        subjects.check()?;
        let rounds = settings.rounds / setups + u32::from(setup < settings.rounds % setups);
        for (at, task) in tasks.iter().enumerate() {
            each(setup, *task);
            if setup == 0 {
                let times = subjects.times(*task, settings)?;
                all.push(Samples { task: *task, times, took: vec![Vec::new(); Column::ALL.len()] });
            }
            subjects.rounds(&mut all[at], rounds)?;
        }
    }
    let engine = cofferdam::engines::by_name(name)?;
    let tasks = all.into_iter().map(Samples::report).collect();
    Ok(EngineReport { engine: name.to_owned(), version: engine.descriptor().version.to_owned(), tasks })
}
