//! The kit against engines that are wrong: every fault is noticed, and every clause has a row that notices one.

mod engine;
mod fault;
mod store;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cofferdam_conformance::{Clause, Status, rows, run_row};
use cofferdam_engine::{Engine, FuelMode};
use cofferdam_wasmer::WasmerEngine;
use parking_lot::Mutex;

use engine::Broken;
use fault::{FAULTS, Fault};

fn sound() -> Arc<dyn Engine> {
    Arc::new(WasmerEngine::cranelift())
}

/// The rows that fail because of `fault`.
fn noticed_by(fault: Fault) -> Vec<(&'static str, Clause)> {
    let engine = Broken::around(sound(), fault);
    // The largest frames take long to compile, and see nothing that other rows of the stack do not.
    let small = rows().iter().filter(|row| !row.name.starts_with("stack.frames-of-"));
    let lines = small.map(|row| (row, run_row(&engine, row, FuelMode::Portable, &[])));
    lines.filter(|(_, line)| line.status.is_failure()).map(|(row, _)| (&*row.name, row.clause)).collect()
}

#[test]
fn every_fault_is_noticed_and_every_clause_notices_one() {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((fault, expected)) = FAULTS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let noticed = noticed_by(*fault);
                    found.lock().push((*fault, *expected, noticed));
                }
            });
        }
    });
    let found = found.into_inner();
    let mut missed = Vec::new();
    let mut clauses = BTreeSet::new();
    let mut useful = BTreeSet::new();
    for (fault, expected, noticed) in &found {
        println!("{fault:?}: {} rows, first {:?}", noticed.len(), noticed.first());
        if !noticed.iter().any(|(row, _)| row == expected) {
            missed.push(format!("{fault:?}: expected {expected}, noticed by {noticed:?}"));
        }
        clauses.extend(noticed.iter().map(|(_, clause)| *clause));
        useful.extend(noticed.iter().map(|(row, _)| *row));
    }
    let idle: Vec<_> = rows()
        .iter()
        .filter(|r| !r.name.starts_with("stack.frames-of-") && !useful.contains(&*r.name))
        .map(|r| &*r.name)
        .collect();
    println!("{} faults, {} of {} rows notice one; the others: {idle:?}", found.len(), useful.len(), rows().len());
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    let blind: Vec<_> = Clause::ALL.iter().filter(|c| !clauses.contains(c)).collect();
    assert!(blind.is_empty(), "no fault is noticed by a row of {blind:?}");
}

#[test]
fn the_wrapper_itself_is_sound() {
    // A fault that no row can meet: what the wrapper does besides is right.
    let engine = Broken::around(
        sound(),
        Fault::Traps(cofferdam_engine::TrapKind::ArrayOutOfBounds, cofferdam_engine::TrapKind::Unreachable),
    );
    for mode in [FuelMode::Portable, FuelMode::Native] {
        for row in rows() {
            let line = run_row(&engine, row, mode, &[]);
            let portable_only = row.portable_only && mode == FuelMode::Native;
            let fine = matches!(line.status, Status::Passed | Status::Lacks(_)) || portable_only;
            assert!(fine, "{line:?}");
        }
    }
}
