//! The official specification suite on every engine of the project, in both fuel modes. After a run of all files
//! the tables of `docs/engines.md` must be what came out; `COFFERDAM_BLESS=1` rewrites them.

#[path = "../engines/mod.rs"]
mod engines;

use std::path::Path;
use std::process::ExitCode;

use cofferdam_conformance::spec::{EngineReport, KNOWN, files, harness, markdown};

const BEGIN: &str = "<!-- generated: spec -->\n";
const END: &str = "<!-- end -->";

fn main() -> ExitCode {
    let engines = engines::all();
    let (conclusion, reports) = harness::run(&engines, KNOWN);
    let everything = engines
        .iter()
        .zip(&reports)
        .all(|(e, r)| r.files.len() == files().len() * e.descriptor().capabilities.fuel_modes.len());
    if everything && !conclusion.has_failed() {
        match page(&reports) {
            Ok(()) => println!("docs/engines.md shows this run"),
            Err(trouble) => {
                eprintln!("{trouble}");
                return ExitCode::FAILURE;
            }
        }
    }
    conclusion.exit_code()
}

/// Compares the tables with what `docs/engines.md` shows, or rewrites them there.
fn page(reports: &[EngineReport]) -> Result<(), String> {
    let table = markdown(reports, KNOWN);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/engines.md");
    let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
    let start = text.find(BEGIN).ok_or("docs/engines.md has no marker for the suite")? + BEGIN.len();
    let stop = start + text[start..].find(END).ok_or("docs/engines.md has no end marker")?;
    if std::env::var_os("COFFERDAM_BLESS").is_some() {
        let new = format!("{}{table}{}", &text[..start], &text[stop..]);
        return std::fs::write(&path, new).map_err(|e| e.to_string());
    }
    if text[start..stop] != table {
        return Err(format!("docs/engines.md is out of date; COFFERDAM_BLESS=1 rewrites it:\n{table}"));
    }
    Ok(())
}
