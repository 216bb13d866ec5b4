//! The soak itself: phases of work that leave nothing behind, and whoever looks whether that is so. The test runs few
//! rounds of it and `cargo bench --bench soak` as many as there is time for.

mod agents;
mod figures;
mod guests;
mod rule;
mod stored;
mod tools;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam::{Engine, FuelMode, SecurityPolicy};
use serde::{Deserialize, Serialize};

pub use figures::Figures;

/// What was done, by its name, and how often.
pub type Tally = BTreeMap<String, u64>;

/// Counts one more.
pub fn did(tally: &mut Tally, what: &str, times: u64) {
    *tally.entry(what.to_owned()).or_default() += times;
}

/// Work of one kind, in rounds that are all alike. Dropping it drops all that it made.
pub trait Phase: Send {
    /// One round, which adds what it did.
    fn round(&mut self, tally: &mut Tally);

    /// The sums that the runtime keeps, each of which is zero between rounds.
    fn sums(&self) -> Vec<(&'static str, u64)>;
}

/// How to begin a phase, on an engine, with a directory of its own.
type Open = fn(&Arc<dyn Engine>, &Path) -> Box<dyn Phase>;

/// A kind of work: its name, how to begin it, and how many rounds of it the short form has.
pub struct Kind {
    pub name: &'static str,
    open: Open,
    rounds: u32,
}

/// All kinds of work.
pub const KINDS: [Kind; 7] = [
    Kind { name: "compile", open: guests::Compile::open, rounds: 20 },
    Kind { name: "guests", open: guests::Guests::open, rounds: 20 },
    Kind { name: "ends", open: guests::Ends::open, rounds: 20 },
    Kind { name: "stored", open: stored::Stored::open, rounds: 15 },
    Kind { name: "agents", open: agents::Agents::open, rounds: 15 },
    Kind { name: "messages", open: agents::Messages::open, rounds: 15 },
    Kind { name: "tools", open: tools::Tools::open, rounds: 15 },
];

/// How long each phase is: the rounds that its kind has, divided by a number, and more until a time is over.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    pub divided_by: u32,
    pub time: Duration,
}

/// One phase, seen from outside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub phase: String,
    pub rounds: u64,
    pub did: Tally,
    pub before: Figures,
    /// The highest figures of the first quarter after warming up, and of the last.
    pub first: Figures,
    pub last: Figures,
    pub after: Figures,
    /// What is not as it should be.
    pub wrong: Vec<String>,
}

/// Runs every kind of work on `engines`: on one alone, or on all of them at the same time.
pub fn soak(engines: &[Arc<dyn Engine>], length: Length, mut told: impl FnMut(&Report)) -> Vec<Report> {
    let mut reports = Vec::new();
    for kind in &KINDS {
        let open = || -> Box<dyn Phase> { Box::new(Together::open(kind, engines)) };
        let least = kind.rounds / length.divided_by;
        let report = watch(kind.name, &open, engines.len() as u64, least, length.time);
        told(&report);
        reports.push(report);
    }
    reports
}

/// Runs one phase of `width` engines, `least` rounds and then until `time` is over, and looks at what it leaves.
pub fn watch(name: &str, open: &dyn Fn() -> Box<dyn Phase>, width: u64, least: u32, time: Duration) -> Report {
    let mut tally = Tally::new();
    // From end to end once, so that what is made once for each process is there.
    let mut first = open();
    for _ in 0..3 {
        first.round(&mut tally);
    }
    drop(first);
    let before = Figures::still();
    tally.clear();

    let mut phase = open();
    let (began, mut rounds, mut wrong) = (Instant::now(), Vec::new(), Vec::new());
    while rounds.len() < least as usize || began.elapsed() < time {
        phase.round(&mut tally);
        rounds.push(Figures::now());
        for (sum, is) in phase.sums() {
            if is != 0 && wrong.len() < 8 {
                wrong.push(format!("{sum} is {is} after round {}", rounds.len()));
            }
        }
    }
    drop(phase);
    let after = Figures::back_at(&before);
    wrong.extend(rule::judge(&before, &rounds, &after, width));
    let (first, last) = rule::quarters(&rounds);
    let (first, last) = (Figures::highest(first), Figures::highest(last));
    Report { phase: name.to_owned(), rounds: rounds.len() as u64, did: tally, before, first, last, after, wrong }
}

/// The same work on each engine, at the same time if there are several, each with a directory of its own.
struct Together(Vec<(Box<dyn Phase>, tempfile::TempDir)>);

impl Together {
    fn open(kind: &Kind, engines: &[Arc<dyn Engine>]) -> Self {
        let phase = |engine| {
            let dir = directory();
            ((kind.open)(engine, dir.path()), dir)
        };
        Self(engines.iter().map(phase).collect())
    }
}

impl Phase for Together {
    fn round(&mut self, tally: &mut Tally) {
        if let [(only, _)] = &mut *self.0 {
            return only.round(tally);
        }
        let tallies: Vec<_> = std::thread::scope(|scope| {
            let rounds = self.0.iter_mut().map(|(phase, _)| {
                scope.spawn(|| {
                    let mut tally = Tally::new();
                    phase.round(&mut tally);
                    tally
                })
            });
            // All begin before the first is waited for.
            let rounds: Vec<_> = rounds.collect();
            rounds.into_iter().map(|round| round.join().expect("the round says what is wrong")).collect()
        });
        tallies.into_iter().flatten().for_each(|(what, times)| did(tally, &what, times));
    }

    fn sums(&self) -> Vec<(&'static str, u64)> {
        self.0.iter().flat_map(|(phase, _)| phase.sums()).collect()
    }
}

/// A directory that others cannot read, as the cache and the storage want it.
fn directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let private = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(private).tempdir().expect("there is room")
}

/// The policies of one engine: one for each way it counts fuel.
fn policies(engine: &Arc<dyn Engine>) -> Vec<SecurityPolicy> {
    let modes: &[FuelMode] = engine.descriptor().capabilities.fuel_modes;
    modes.iter().map(|mode| SecurityPolicy::standard().fuel_mode(*mode)).collect()
}

/// An async runtime that ends with its phase.
fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("it starts")
}
