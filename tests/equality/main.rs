//! Real programs on every engine of the build, in portable mode and with determinism: output, results, exit code,
//! fuel, frames, memory and globals are equal, with all the fuel they need and at any smaller budget.
//! Programs made at random are compared in `engines/conformance`.
#![cfg(feature = "any-engine")]

mod command;
mod downloads;
mod hostile;
mod observe;
mod programs;

use cofferdam::engines;
use cofferdam_conformance::compare::SplitMix;
use observe::{Loaded, Observed, Program, difference};

/// Budgets drawn for each program, beside the ones at the edges.
const RANDOM: usize = 24;

/// Runs `program` on every engine with all the fuel it wants, and then with less. Returns what all of them did.
fn equal(program: &Program, seed: u64) -> Observed {
    let engines = engines::all();
    let loaded: Vec<_> = engines.iter().map(|engine| Loaded::new(engine, program)).collect();
    let (first, others) = loaded.split_first().expect("this build has an engine");
    let full = first.run(program.fuel);
    let mut random = SplitMix(seed);
    let needed = full.fuel();
    let edges = [program.fuel, needed, needed.saturating_sub(1), 1, 0];
    let budgets = edges.into_iter().chain((0..RANDOM).map(|_| random.up_to(needed)));
    let mut stopped = 0;
    for budget in budgets {
        // Once more on the first engine, too: a run must not depend on the one before.
        let expected = first.run(budget);
        assert!(expected.fuel() <= budget, "{}: {} of {budget} consumed", program.name, expected.fuel());
        if expected.stopped_by_fuel() {
            assert_eq!(expected.fuel(), budget, "{}: all of the budget is consumed", program.name);
            stopped += 1;
        }
        for other in others {
            let found = other.run(budget);
            if let Some(what) = difference(&expected, &found) {
                panic!("{}: {first} and {other} differ at a budget of {budget}:\n{what}", program.name);
            }
        }
    }
    assert!(stopped > RANDOM / 2, "{}: only {stopped} runs were stopped", program.name);
    full
}

#[test]
fn programs_that_ship_with_us_are_equal_on_every_engine() {
    for (at, program) in programs::shipped().iter().enumerate() {
        let full = equal(program, at as u64);
        (program.expect)(&full);
    }
}

/// One test for each, so that they run side by side and a missing one is seen by name.
macro_rules! downloaded {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let Some(program) = programs::$name() else { return };
            let full = equal(&program, 99);
            (program.expect)(&full);
        }
    )*};
}

downloaded! { quickjs graphviz pii_shield }
