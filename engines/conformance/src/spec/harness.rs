//! A test program of the suite: one test for each file, engine and fuel mode, with the options of `cargo test`.

use std::sync::Arc;

use cofferdam_engine::Engine;
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use parking_lot::Mutex;

use super::{EngineReport, FileReport, Known, files, run_file};

/// Failures of one file that are printed.
const SHOWN: usize = 20;

/// Runs the files that the command line asks for (all, if it does not say) as tests called
/// `engine::mode::suite/file`.
pub fn run(engines: &[Arc<dyn Engine>], known: &'static [Known]) -> (Conclusion, Vec<EngineReport>) {
    let done: Arc<Mutex<Vec<(usize, usize, FileReport)>>> = Arc::default();
    let mut trials = Vec::new();
    for (engine_at, engine) in engines.iter().enumerate() {
        let descriptor = engine.descriptor();
        for mode in descriptor.capabilities.fuel_modes {
            for (file_at, file) in files().iter().enumerate() {
                let (engine, mode, done) = (engine.clone(), *mode, done.clone());
                let name = format!("{}::{mode}::{}/{}", descriptor.id, file.suite.name, file.name);
                trials.push(Trial::test(name, move || {
                    let report = run_file(&engine, mode, file, known);
                    let verdict = verdict(&report);
                    done.lock().push((engine_at, file_at, report));
                    verdict
                }));
            }
        }
    }
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    let mut done = std::mem::take(&mut *done.lock());
    done.sort_by_key(|(engine, file, report)| (*engine, *file, report.mode));
    let mut reports: Vec<_> = engines
        .iter()
        .map(|e| EngineReport { engine: e.descriptor().id, version: e.descriptor().version, files: Vec::new() })
        .collect();
    for (engine, _, report) in done {
        reports[engine].files.push(report);
    }
    (conclusion, reports)
}

fn verdict(report: &FileReport) -> Result<(), Failed> {
    if report.failures.is_empty() {
        return Ok(());
    }
    let shown = report.failures.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
    Err(format!("{} failures:\n{shown}", report.failures.len()).into())
}
