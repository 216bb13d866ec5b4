//! [`Report`]: what came of a run, as a table for the terminal, as JSON, and as a table for `docs/`.

use std::fmt::Write as _;

use cofferdam_engine::FuelMode;
use serde::Serialize;

use crate::clause::Clause;

/// What came of one row in one fuel mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "status", content = "detail")]
pub enum Status {
    /// As the contract says.
    Passed,
    /// The engine says openly what it lacks, and refused by name where it had to.
    Lacks(String),
    /// A declared skip, and the row does fail: the reason.
    Skipped(String),
    /// Other than the contract says.
    Failed(String),
    /// A declared skip of a row that passes: the skip must go.
    PassesNow(String),
}

impl Status {
    /// Whether the run fails with this.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::PassesNow(_))
    }
}

/// One row in one fuel mode.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Its name.
    pub row: String,
    /// The clause it is about.
    pub clause: Clause,
    /// The fuel mode.
    pub mode: FuelMode,
    /// What came of it.
    #[serde(flatten)]
    pub status: Status,
}

/// What came of all rows on one engine.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The engine's id.
    pub engine: String,
    /// Its version.
    pub version: String,
    /// One line for each row and fuel mode.
    pub lines: Vec<Line>,
}

/// How many lines came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Passed.
    pub passed: usize,
    /// The engine lacks what they need.
    pub lacking: usize,
    /// Declared skips.
    pub skipped: usize,
    /// Failed, or passing in spite of a skip.
    pub failed: usize,
}

impl Counts {
    fn of<'a>(lines: impl Iterator<Item = &'a Line>) -> Self {
        let mut counts = Self::default();
        for line in lines {
            match line.status {
                Status::Passed => counts.passed += 1,
                Status::Lacks(_) => counts.lacking += 1,
                Status::Skipped(_) => counts.skipped += 1,
                Status::Failed(_) | Status::PassesNow(_) => counts.failed += 1,
            }
        }
        counts
    }
}

impl Report {
    /// How many lines came out how.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(self.lines.iter())
    }

    /// The same for one clause.
    #[must_use]
    pub fn clause(&self, clause: Clause) -> Counts {
        Counts::of(self.lines.iter().filter(|l| l.clause == clause))
    }

    /// The lines that fail the run.
    pub fn failures(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|l| l.status.is_failure())
    }

    /// Whether nothing fails.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }
}

/// One line in words: engine, row, mode, what came of it.
#[must_use]
pub fn explain(engine: &str, line: &Line) -> String {
    let what = match &line.status {
        Status::Passed => "passed".to_owned(),
        Status::Lacks(what) => format!("cannot run: {what}"),
        Status::Skipped(reason) => format!("skipped: {reason}"),
        Status::Failed(trouble) => format!("FAILED: {trouble}"),
        Status::PassesNow(reason) => format!("FAILED: declared as skipped ({reason}) and passes; remove the skip"),
    };
    format!("{engine}, {} fuel, {} ({}): {what}", line.mode, line.row, line.clause.id())
}

/// A table for the terminal, then every failure.
#[must_use]
pub fn terminal(reports: &[Report]) -> String {
    let mut out = String::new();
    let width = Clause::ALL.iter().map(|c| c.to_string().len()).max().unwrap_or(0);
    // Writing to a string cannot fail.
    let _ = write!(out, "{:width$}", "clause");
    for report in reports {
        let _ = write!(out, "  {:>18}", report.engine);
    }
    out.push('\n');
    for clause in Clause::ALL {
        // `§` is two bytes and one column.
        let _ = write!(out, "{:width$}", clause.to_string(), width = width - 1);
        for report in reports {
            let _ = write!(out, "  {:>18}", cell(report.clause(*clause)));
        }
        out.push('\n');
    }
    for report in reports {
        for line in report.failures() {
            let _ = writeln!(out, "{}", explain(&report.engine, line));
        }
    }
    let mut sum = Counts::default();
    for report in reports {
        let counts = report.counts();
        sum.passed += counts.passed;
        sum.lacking += counts.lacking;
        sum.skipped += counts.skipped;
        sum.failed += counts.failed;
    }
    let rows = crate::rows().len();
    let _ = writeln!(
        out,
        "{rows} rows on {} engine(s): {} passed, {} the engine cannot run, {} skipped, {} failed",
        reports.len(),
        sum.passed,
        sum.lacking,
        sum.skipped,
        sum.failed
    );
    out
}

fn cell(counts: Counts) -> String {
    let mut text = counts.passed.to_string();
    for (much, word) in [(counts.lacking, "n/a"), (counts.skipped, "skipped"), (counts.failed, "FAILED")] {
        if much > 0 {
            let _ = write!(text, ", {much} {word}");
        }
    }
    text
}

/// A Markdown table, engine × clause, and under it what each engine cannot run and what is skipped.
#[must_use]
pub fn markdown(reports: &[Report]) -> String {
    let mut out = String::from("| clause |");
    for report in reports {
        let _ = write!(out, " {} {} |", report.engine, report.version);
    }
    out.push_str("\n|---|");
    out.push_str(&"---|".repeat(reports.len()));
    out.push('\n');
    for clause in Clause::ALL {
        let _ = write!(out, "| {clause} |");
        for report in reports {
            let _ = write!(out, " {} |", cell(report.clause(*clause)));
        }
        out.push('\n');
    }
    let _ = write!(out, "| all |");
    for report in reports {
        let _ = write!(out, " {} |", cell(report.counts()));
    }
    out.push('\n');
    for report in reports {
        let mut notes: Vec<String> = report
            .lines
            .iter()
            .filter_map(|l| match &l.status {
                Status::Lacks(what) => Some(what.clone()),
                Status::Skipped(reason) => Some(format!("{} ({reason})", l.row)),
                _ => None,
            })
            .collect();
        notes.sort();
        notes.dedup();
        if !notes.is_empty() {
            let _ = writeln!(out, "\n`{}` cannot run: {}.", report.engine, notes.join(", "));
        }
    }
    out
}

/// All of it as JSON, with the counts of each engine.
///
/// # Errors
/// Writing JSON failed.
pub fn json(reports: &[Report]) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct WithCounts<'a> {
        #[serde(flatten)]
        counts: Counts,
        #[serde(flatten)]
        report: &'a Report,
    }
    let all: Vec<_> = reports.iter().map(|report| WithCounts { counts: report.counts(), report }).collect();
    serde_json::to_string_pretty(&all)
}
