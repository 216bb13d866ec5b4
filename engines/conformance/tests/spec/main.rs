//! The official specification suite on every engine of the project, in both fuel modes. After a run of all files
//! the tables of `docs/engines.md` must be what came out; `COFFERDAM_BLESS=1` rewrites them.

#[path = "../engines/mod.rs"]
mod engines;
#[path = "../page/mod.rs"]
mod page;

use std::path::Path;
use std::process::ExitCode;

use cofferdam_conformance::spec::{EngineReport, KNOWN, files, harness, markdown};

fn main() -> ExitCode {
    let engines = engines::all();
    let (conclusion, mut reports) = harness::run(&engines, KNOWN);
    let everything = engines
        .iter()
        .zip(&reports)
        .all(|(e, r)| r.files.len() == files().len() * e.descriptor().capabilities.fuel_modes.len());
    if everything && !conclusion.has_failed() {
        for (which, engines) in page::tables(engines) {
            let rest = reports.split_off(engines.len());
            if let Err(trouble) = compare(&format!("spec{which}"), &reports) {
                eprintln!("{trouble}");
                return ExitCode::FAILURE;
            }
            reports = rest;
        }
        println!("docs/engines.md shows this run");
    }
    conclusion.exit_code()
}

/// Compares the table called `name` with what `docs/engines.md` shows, or rewrites it there.
fn compare(name: &str, reports: &[EngineReport]) -> Result<(), String> {
    let table = markdown(reports, KNOWN);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/engines.md");
    let mut text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
    let place = page::place_of(name, &text)?;
    if std::env::var_os("COFFERDAM_BLESS").is_some() {
        text.replace_range(place, &table);
        return std::fs::write(&path, text).map_err(|e| e.to_string());
    }
    if text[place] != table {
        return Err(format!("docs/engines.md is out of date; COFFERDAM_BLESS=1 rewrites it:\n{table}"));
    }
    Ok(())
}
