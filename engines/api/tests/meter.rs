//! The arithmetic that every engine shares: however fuel is cut into slices, the same is consumed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam_engine::{CallBudget, CancelHandle, Limit, Meter, Scheduler, UNLIMITED_FUEL, Wake};
use proptest::prelude::*;

/// A guest that makes `charges`, each checked, as portable fuel does.
fn portable(meter: &mut Meter, budget: u64, charges: &[u32]) -> (Result<(), Limit>, u64) {
    let mut counter = meter.begin(&CallBudget::of_fuel(budget));
    for charge in charges {
        counter -= i64::from(*charge);
        if counter < 0 {
            match meter.tick(counter, 0) {
                Ok(refilled) => counter = refilled,
                Err(limit) => return (Err(limit), meter.consumed(counter)),
            }
        }
    }
    (Ok(()), meter.consumed(counter))
}

/// The same guest as an engine's own meter runs it: asks before it takes.
fn native(meter: &mut Meter, budget: u64, charges: &[u32]) -> (Result<(), Limit>, u64) {
    let mut counter = meter.begin(&CallBudget::of_fuel(budget));
    for charge in charges {
        let need = i64::from(*charge);
        if counter < need {
            match meter.tick(counter, need) {
                Ok(refilled) => counter = refilled,
                Err(limit) => return (Err(limit), meter.consumed(counter)),
            }
        }
        counter -= need;
    }
    (Ok(()), meter.consumed(counter))
}

proptest! {
    #[test]
    fn slices_never_change_what_is_consumed(
        charges in proptest::collection::vec(0u32..3_000_000, 0..200),
        budget in 0u64..400_000_000,
        warm in proptest::collection::vec(0u32..5_000_000, 0..20),
    ) {
        let total: u64 = charges.iter().map(|c| u64::from(*c)).sum();
        let mut meter = Meter::default();
        // Earlier calls adapt the slice by measured time: it is never the same twice.
        let _ = portable(&mut meter, UNLIMITED_FUEL, &warm);
        let (ended, consumed) = portable(&mut meter, budget, &charges);
        if total <= budget {
            prop_assert_eq!((ended, consumed), (Ok(()), total));
        } else {
            prop_assert_eq!((ended, consumed), (Err(Limit::Fuel), budget));
        }
        let (ended, consumed) = native(&mut meter, budget, &charges);
        prop_assert_eq!(ended.is_ok(), total <= budget);
        prop_assert!(consumed <= budget && (ended.is_err() || consumed == total));
    }
}

#[test]
fn extreme_charges_do_not_wrap() {
    let mut meter = Meter::default();
    let counter = meter.begin(&CallBudget::of_fuel(u64::MAX));
    assert_eq!(meter.left(counter), i64::MAX);
    assert_eq!(meter.tick(i64::MIN, 0), Err(Limit::Fuel));
    assert_eq!(meter.consumed(i64::MIN), UNLIMITED_FUEL);
    assert_eq!(meter.tick(counter, i64::MAX), Ok(i64::MAX));
    let counter = meter.begin(&CallBudget::of_fuel(0));
    assert_eq!((counter, meter.tick(counter, 1)), (0, Err(Limit::Fuel)));
}

#[test]
fn the_deadline_and_cancellation_come_before_more_fuel() {
    let mut meter = Meter::default();
    let cancel = CancelHandle::new();
    let budget = CallBudget { timeout: Some(Duration::ZERO), ..CallBudget::of_fuel(1_000_000_000) };
    let _ = meter.begin(&budget);
    assert_eq!(meter.tick(-1, 0), Err(Limit::Deadline));
    let budget = CallBudget { cancel: Some(cancel.clone()), ..CallBudget::of_fuel(1_000_000_000) };
    let _ = meter.begin(&budget);
    assert!(meter.tick(-1, 0).is_ok() && meter.check().is_ok());
    cancel.cancel();
    assert_eq!((meter.tick(-1, 0), meter.check()), (Err(Limit::Cancelled), Err(Limit::Cancelled)));
    let (parent, sibling) = (CancelHandle::new(), CancelHandle::new());
    let child = parent.child();
    sibling.cancel();
    assert!(!child.is_cancelled());
    child.cancel();
    assert!(child.is_cancelled() && !parent.is_cancelled(), "a child ends alone");
    parent.cancel();
    assert!(parent.child().is_cancelled(), "and with its parent");
    // A timeout past the end of the clock is no deadline.
    let _ = meter.begin(&CallBudget { timeout: Some(Duration::MAX), ..CallBudget::of_fuel(1) });
    assert_eq!(meter.deadline(), None);
}

#[test]
fn a_wait_ends_with_the_value_the_deadline_or_the_cancellation() {
    let mut meter = Meter::default();
    let _ = meter.begin(&CallBudget { timeout: Some(Duration::from_millis(5)), ..CallBudget::of_fuel(1) });
    assert_eq!(meter.wait(Wake::Unpark, || None::<()>), Err(Limit::Deadline));
    assert_eq!(meter.wait(Wake::Unpark, || Some(3)), Ok(3), "what is ready needs no time");

    let cancel = CancelHandle::new();
    let _ = meter.begin(&CallBudget { cancel: Some(cancel.clone()), ..CallBudget::of_fuel(1) });
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| meter.wait(Wake::Unpark, || None::<()>));
        cancel.cancel();
        assert_eq!(waiting.join().expect("it does not panic"), Err(Limit::Cancelled));
    });

    let _ = meter.begin(&CallBudget::of_fuel(1));
    let until = Instant::now() + Duration::from_millis(3);
    let slept = meter.wait(Wake::At(until), || (Instant::now() >= until).then_some(()));
    assert!(slept.is_ok() && Instant::now() >= until);
}

#[test]
fn a_waiting_guest_is_away_and_a_ticking_one_takes_turns() {
    #[derive(Default)]
    struct Log(parking_lot::Mutex<Vec<&'static str>>);
    impl Scheduler for Log {
        fn turn(&self) {
            self.0.lock().push("turn");
        }
        fn away(&self, wait: &mut dyn FnMut()) {
            self.0.lock().push("away");
            wait();
            self.0.lock().push("back");
        }
    }
    let log = Arc::new(Log::default());
    let mut meter = Meter::default();
    let _ = meter.begin(&CallBudget { scheduler: Some(log.clone()), ..CallBudget::of_fuel(1_000_000) });
    assert!(meter.tick(-1, 0).is_ok());
    assert_eq!(meter.wait(Wake::Unpark, || Some(())), Ok(()));
    assert_eq!(*log.0.lock(), ["turn", "away", "back"]);
    assert_eq!(meter.give_turn(), Ok(()));
    assert_eq!(log.0.lock().last(), Some(&"turn"), "whoever only yields has not been away");
}
