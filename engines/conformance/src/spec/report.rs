//! [`EngineReport`]s as tables for `docs/`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cofferdam_engine::FuelMode;

use super::{FileReport, Known, SUITES};

/// What came of the files that were run on one engine.
#[derive(Clone, Debug)]
pub struct EngineReport {
    /// The engine's id.
    pub engine: &'static str,
    /// Its version.
    pub version: &'static str,
    /// One for each file and fuel mode.
    pub files: Vec<FileReport>,
}

/// Directives that came out how, in one fuel mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    not_offered: usize,
    known: usize,
    failures: usize,
}

impl Counts {
    fn of<'a>(files: impl Iterator<Item = &'a FileReport>) -> Self {
        files.fold(Self::default(), |sum, file| Self {
            passed: sum.passed + file.passed,
            not_offered: sum.not_offered + file.not_offered.values().sum::<usize>(),
            known: sum.known + file.known,
            failures: sum.failures + file.failures.len(),
        })
    }

    fn cell(self) -> String {
        let mut text = self.passed.to_string();
        for (much, word) in [(self.not_offered, "n/a"), (self.known, "known"), (self.failures, "FAILED")] {
            if much > 0 {
                // Writing to a string cannot fail.
                let _ = write!(text, ", {much} {word}");
            }
        }
        text
    }
}

impl EngineReport {
    fn counts(&self, suite: Option<&str>, mode: FuelMode) -> Counts {
        Counts::of(self.files.iter().filter(|f| f.mode == mode && suite.is_none_or(|s| s == f.suite)))
    }

    /// The figures of one suite, or of all: once if both modes have the same, else one after the other.
    fn cell(&self, suite: Option<&str>) -> String {
        let portable = self.counts(suite, FuelMode::Portable);
        let native = self.counts(suite, FuelMode::Native);
        if portable == native {
            return portable.cell();
        }
        format!("{} (native: {})", portable.cell(), native.cell())
    }

    /// Whether nothing fails that is not declared.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.files.iter().all(|f| f.failures.is_empty())
    }
}

/// Markdown: a table of suites and engines, what each engine does not offer, and what they are known to fail.
#[must_use]
pub fn markdown(reports: &[EngineReport], known: &[Known]) -> String {
    let mut out = String::from("| suite | policy | files |");
    for report in reports {
        let _ = write!(out, " {} {} |", report.engine, report.version);
    }
    out.push_str("\n|---|---|---|");
    out.push_str(&"---|".repeat(reports.len()));
    out.push('\n');
    for suite in SUITES {
        let files = super::files().iter().filter(|f| f.suite.name == suite.name).count();
        let _ = write!(out, "| {} | {} | {files} |", suite.name, suite.policy);
        for report in reports {
            let _ = write!(out, " {} |", report.cell(Some(suite.name)));
        }
        out.push('\n');
    }
    let _ = write!(out, "| all | | {} |", super::files().len());
    for report in reports {
        let _ = write!(out, " {} |", report.cell(None));
    }
    out.push('\n');
    for report in reports {
        let mut lacks: BTreeMap<&str, usize> = BTreeMap::new();
        for file in report.files.iter().filter(|f| f.mode == FuelMode::Portable) {
            for (what, much) in &file.not_offered {
                *lacks.entry(what).or_default() += much;
            }
        }
        let lacks: Vec<_> = lacks.iter().map(|(what, much)| format!("{what} ({much})")).collect();
        if !lacks.is_empty() {
            let _ = writeln!(out, "\n`{}` does not offer: {}.", report.engine, lacks.join(", "));
        }
    }
    let of_these = |entry: &&Known| entry.engine.is_none_or(|engine| reports.iter().any(|r| r.engine == engine));
    out.push_str(&known_table(known.iter().filter(of_these)));
    out
}

/// What is known to fail, one row for each reason and engine.
fn known_table<'a>(known: impl Iterator<Item = &'a Known>) -> String {
    let mut rows: Vec<(&str, &str, Vec<String>)> = Vec::new();
    for entry in known {
        let engine = entry.engine.unwrap_or("all");
        let mode = entry.mode.map(|m| format!(" in {m} mode")).unwrap_or_default();
        let lines = match (entry.lines.start(), entry.lines.end()) {
            (first, last) if first == last => first.to_string(),
            (first, &usize::MAX) => format!("{first} and after"),
            (first, last) => format!("{first} to {last}"),
        };
        let place = format!("{}/{}:{lines}{mode}", entry.suite, entry.file);
        match rows.iter_mut().find(|(e, why, _)| (*e, *why) == (engine, entry.reason)) {
            Some((.., places)) => places.push(place),
            None => rows.push((engine, entry.reason, vec![place])),
        }
    }
    let mut out = String::new();
    if !rows.is_empty() {
        out.push_str("\n| engine | known to fail | why |\n|---|---|---|\n");
    }
    for (engine, why, places) in rows {
        let _ = writeln!(out, "| {engine} | {} | {why} |", places.join(", "));
    }
    out
}
