//! The negative control: an engine with one fault in it, from the kit's own tests, beside the same engine without. Every
//! fault that a single module can meet must be found within a minute, and nothing where there is none.

#[path = "../../engines/conformance/tests/broken/engine.rs"]
mod engine;
#[path = "../../engines/conformance/tests/broken/fault.rs"]
mod fault;
#[path = "../../engines/conformance/tests/broken/store.rs"]
mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam_engine::{Engine, TrapKind};
use cofferdam_fuzz::case::Case;
use cofferdam_fuzz::differ::{Finding, check};
use cofferdam_fuzz::engines;

use engine::Broken;
use fault::{FAULTS, Fault};

/// Any seed will do.
const SEED: u64 = 77;
const WITHIN: Duration = Duration::from_secs(60);

/// Faults that one instance and its calls cannot meet, because the fuzzer does not link, cancel, wait, load or touch
/// guests from outside. The rows of the kit are for those.
fn is_out_of_reach(fault: Fault) -> bool {
    use Fault::*;
    matches!(
        fault,
        DropsInstanceCap
            | FuelByInstance
            | SlicesCost
            | NoTurns
            | IgnoresDeadline
            | IgnoresCancellation
            | StopsAtOnce
            | DeadlineAsFuel
            | CancelAsDeadline
            | ExportsStart
            | ExportsFuel
            | LinksOurNames
            | ForgetsMissingImports
            | Claims(_)
            | Denies(_)
            | RefusesWithoutName
            | TakesAnyArguments
            | TakesForeignHandles
            | TakesMadeUpHandles
            | ReadsPastTheEnd
            | WritesPastTheEnd
            | LosesWrites
            | SetsConstants
            | LoadsForeign
            | LoadsAnother
            | CannotLoad
    )
}

/// Faults in frames, which Wasmi does not have.
fn is_in_frames(fault: Fault) -> bool {
    use Fault::*;
    matches!(fault, ShiftsFunctions | ShiftsOffsets | DropsFrames | DropsNames | ReversesFrames | OneFrameMore)
}

/// The first case that shows `fault`, and after how long.
fn find(fault: Fault, within: Duration) -> Option<(u64, Finding)> {
    let name = if is_in_frames(fault) { "wasmtime" } else { "wasmi" };
    let sound = engines::by_name(name).expect("there is one");
    let pair: [Arc<dyn Engine>; 2] = [sound.clone(), Broken::around(sound, fault)];
    let features = engines::shared_features(&pair);
    let began = Instant::now();
    let cases = (0..).take_while(|_| began.elapsed() < within);
    let mut found = cases.filter_map(|index| Some((index, check(&pair, &Case::of(SEED, index, features)?).finding?)));
    found.next()
}

#[test]
fn every_fault_in_reach_is_found_within_a_minute() {
    let began = Instant::now();
    let mut missed = Vec::new();
    for (fault, _) in FAULTS.iter().filter(|(fault, _)| !is_out_of_reach(*fault)) {
        match find(*fault, WITHIN) {
            Some((index, finding)) => println!("{fault:?}: case {index}, {}, {:?}", finding.what, began.elapsed()),
            None => missed.push(*fault),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn nothing_is_found_where_there_is_no_fault() {
    // A fault that nothing can meet: no engine here has arrays.
    let none = Fault::Traps(TrapKind::ArrayOutOfBounds, TrapKind::Unreachable);
    assert_eq!(find(none, Duration::from_secs(5)), None);
}
