//! Load of every kind, and nothing that grows or is left: the short form of `cargo bench --bench soak`, with leaks made
//! on purpose to see that each would be found. Every engine has a process of its own, and all together have one.
#![cfg(all(feature = "any-engine", target_os = "linux"))]

#[path = "../../benches/soak/body/mod.rs"]
mod body;
mod leaks;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use body::{Length, Report};
use cofferdam::{Engine, engines};

/// Set for the process that does the work: whose figures are looked at is all alone.
const ALONE: &str = "COFFERDAM_TEST_ALONE";

/// Runs `test` of this program again, in a process that does nothing else, with `about` as what it is to do. If this
/// is that process, gives what it is to do instead.
fn alone(test: &str, about: &str) -> Option<String> {
    if let Ok(about) = std::env::var(ALONE) {
        return Some(about);
    }
    let me = std::env::current_exe().expect("it runs");
    let test = ["--exact", test, "--test-threads", "1", "--nocapture"];
    // Arenas of the allocator by the dozen would hide what grows.
    let done = Command::new(me).args(test).env(ALONE, about).env("MALLOC_ARENA_MAX", "2").output();
    let done = done.expect("it can be run");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{about}: {said}{}", String::from_utf8_lossy(&done.stderr));
    print!("{said}");
    None
}

fn show(report: &Report) {
    let Report { phase, rounds, before, first, last, after, wrong, .. } = report;
    println!(
        "{phase}: {rounds} rounds\n  before {before:?}\n  first  {first:?}\n  last   {last:?}\n  after  {after:?}"
    );
    wrong.iter().for_each(|wrong| println!("  wrong: {wrong}"));
}

/// `divided_by` of the rounds on `engines`, in this process.
fn holds(engines: &[Arc<dyn Engine>], divided_by: u32) {
    let reports = body::soak(engines, Length { divided_by, time: Duration::ZERO }, show);
    assert_eq!(reports.len(), body::KINDS.len());
    let wrong: Vec<_> =
        reports.iter().flat_map(|r| r.wrong.iter().map(|wrong| format!("{}: {wrong}", r.phase))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_grows_and_nothing_is_left_on_each_engine() {
    for name in engines::names() {
        if let Some(name) = alone("nothing_grows_and_nothing_is_left_on_each_engine", name) {
            return holds(&[engines::by_name(&name).expect("it is in this build")], 1);
        }
    }
}

#[test]
fn nothing_grows_and_nothing_is_left_with_all_engines_at_once() {
    if alone("nothing_grows_and_nothing_is_left_with_all_engines_at_once", "all").is_some() {
        holds(&engines::all(), 1);
    }
}
