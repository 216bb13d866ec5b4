//! What each of Cofferdam's limits costs on each engine: engine × column × task, as ratios to the raw engine in the
//! same run. `cargo run --release -p cofferdam-overhead -- --help`
//!
//! | part | what is in it |
//! |---|---|
//! | [`task`] | what is measured: operations, kernels |
//! | [`mod@column`] | what it is measured on: from the raw engine to a guest of a sandbox |
//! | [`subject`] | one column on one engine, made and run |
//! | [`measure`] | alternating rounds, minima, spread |
//! | [`machine`] | what it ran on, and how noisy that was |
//! | [`report`] | the figures, as they are kept |
//! | [`aims`] | what the figures are meant to be |
//! | [`table`], [`plot`], [`page`] | from figures to `docs/performance.md` |

pub mod aims;
pub mod column;
pub mod machine;
pub mod measure;
pub mod page;
pub mod plot;
pub mod report;
pub mod subject;
pub mod table;
pub mod task;

/// How this program is run to measure anew, as it is told to readers of the page.
pub const COMMAND: &str = "cargo run --release -p cofferdam-overhead -- --write";
