//! The rows themselves, and every row on every engine that the project has.

mod engines;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use cofferdam_conformance::report::{json, markdown, terminal};
use cofferdam_conformance::{Body, Clause, Skip, Status, rows, run, run_with};
use cofferdam_engine::Engine;

#[test]
fn every_engine_passes_every_row() {
    let mut engines = engines::all();
    engines.push(Arc::new(cofferdam_wasmi::WasmiEngine::lazy()));
    let reports: Vec<_> = engines.iter().map(run).collect();
    println!("{}", terminal(&reports));
    assert!(reports.iter().all(|r| r.passed()), "{}", terminal(&reports));
    for report in &reports {
        for clause in Clause::ALL {
            let counts = report.clause(*clause);
            assert!(counts.passed + counts.lacking > 0, "{}: no row of {clause}", report.engine);
        }
    }
}

#[test]
fn rows_can_be_read_and_have_names_of_their_own() {
    let mut names = BTreeSet::new();
    for row in rows() {
        assert!(names.insert(&row.name), "{} is there twice", row.name);
        assert!(!matches!(row.body, Body::Unreadable(_)), "{row:?}");
    }
    let with_rows: BTreeSet<_> = rows().iter().map(|r| r.clause).collect();
    assert_eq!(with_rows.len(), Clause::ALL.len());
    for clause in Clause::ALL {
        assert_eq!(Clause::by_id(clause.id()), Some(*clause));
    }
}

#[test]
fn every_row_file_is_read() {
    let source = include_str!("../src/lib.rs");
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("rows")).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a plain name");
        assert!(!name.ends_with(".rows") || source.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn a_skip_of_a_row_that_passes_fails_the_run() {
    let wasmer: Arc<dyn Engine> = engines::all().remove(0);
    let id = wasmer.descriptor().id;
    let skip = [Skip { engine: id, row: "price.add", mode: None, reason: "to see what happens" }];
    let report = run_with(&wasmer, &skip);
    let failures: Vec<_> = report.failures().collect();
    assert!(failures.iter().all(|l| l.row == "price.add" && matches!(l.status, Status::PassesNow(_))));
    assert_eq!(failures.len(), wasmer.descriptor().capabilities.fuel_modes.len());
    assert!(!report.passed());
    let text = terminal(std::slice::from_ref(&report));
    assert!(text.contains("remove the skip") && text.contains("2 failed"), "{text}");
    let parsed: serde_json::Value =
        serde_json::from_str(&json(std::slice::from_ref(&report)).expect("it can be written")).expect("JSON");
    assert_eq!((parsed[0]["engine"].as_str(), parsed[0]["failed"].as_u64()), (Some(id), Some(2)));
    assert!(markdown(&[report]).contains("2 FAILED"));
}
