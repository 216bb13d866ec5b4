//! The contract between Cofferdam and its engines, as rows that any adapter crate can run.
//!
//! | to | look at |
//! |---|---|
//! | run every row on an engine | [`run`], [`run_with`] |
//! | make them the tests of an adapter crate | `conformance_tests!` (feature `harness`) |
//! | read a row, or write one | `rows/README.md`, [`Row`] |
//! | declare what an engine is known not to pass | [`Skip`] |
//! | show what came of it | [`report`] |
//! | run the same program on several engines | [`compare`] |
//! | run the official specification suite | `spec` (feature `spec`) |
//!
//! Nothing here knows an engine.
#![forbid(unsafe_code)]

mod cell;
mod clause;
pub mod compare;
#[cfg(feature = "generate")]
pub mod generate;
#[cfg(feature = "harness")]
pub mod harness;
mod literal;
mod palette;
mod programs;
mod read;
pub mod report;
mod row;
mod run;
mod script;
mod skips;
#[cfg(feature = "spec")]
pub mod spec;
mod trouble;

use std::sync::LazyLock;

pub use cell::{Cell, Guest};
pub use clause::Clause;
pub use palette::KitState;
pub use report::{Counts, Line, Report, Status};
pub use row::{AccessEnd, Body, Call, CallEnd, Cap, Frame, HostMade, MadeEnd, Row, Script, Step, Target, UsageField};
pub use run::{Skip, run, run_row, run_with};
pub use skips::SKIPS;
pub use trouble::{Done, Trouble};

macro_rules! files {
    ($($name:literal)*) => { &[$(($name, include_str!(concat!("../rows/", $name)))),*] };
}

/// The row files.
const FILES: &[(&str, &str)] = files![
    "gate.rows" "prices.rows" "fuel.rows" "caps.rows" "time.rows" "outcomes.rows" "frames.rows" "border.rows" "determinism.rows"
];

/// Every row: those of the row files, and those that are functions.
#[must_use]
pub fn rows() -> &'static [Row] {
    static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
        let mut rows: Vec<Row> = FILES.iter().flat_map(|(file, text)| read::rows(file, text)).collect();
        rows.extend(programs::rows());
        rows
    });
    &ROWS
}
