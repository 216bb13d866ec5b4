//! Cancellation from other threads, turns for others, stores that move, modules that are shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use cofferdam_engine::{
    CallBudget, CancelHandle, FuncType, HostError, HostFunc, Limit, Scheduler, Stop, StoreLimits, Value,
};

use super::{FIB, Program};
use crate::cell::Cell;
use crate::clause::Clause;
use crate::trouble::{Done, Trouble, same};

pub const ROWS: &[Program] = &[
    ("cancel.before-the-call", Clause::Cancellation, before_the_call),
    ("cancel.from-another-thread", Clause::Cancellation, from_another_thread),
    ("cancel.wakes-a-host-call-that-waits", Clause::Cancellation, wakes_a_waiting_call),
    ("cancel.through-the-parent", Clause::Cancellation, through_the_parent),
    ("tick.turns-for-others", Clause::Tick, turns_for_others),
    ("tick.turns-change-no-total", Clause::Tick, turns_change_no_total),
    ("tick.panicking-scheduler", Clause::Branches, panicking_scheduler),
    ("thread.stores-move", Clause::Border, stores_move),
    ("thread.modules-are-shared", Clause::Border, modules_are_shared),
];

/// Fuel that ends the guest on an engine that does not look.
const BOUND: u64 = 50_000_000;

/// For a guest that its scheduler ends at the first turn: turns come by the clock, a thousand of them within this fuel on
/// the fastest engine. The deadline ends it on an engine that gives none.
fn many_turns() -> CallBudget {
    CallBudget { timeout: Some(Duration::from_secs(5)), ..CallBudget::of_fuel(1 << 33) }
}

const SPIN: &str = r#"(module (import "h" "meet" (func $meet))
    (func (export "run") (call $meet) (loop (br 0)))
    (func (export "spin") (loop (br 0)))
    (func (export "count") (param i32)
        (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "one") (result i32) (i32.const 1)))"#;

fn spin(cell: &Cell<'_>, meet: HostFunc) -> Done<crate::cell::Guest> {
    let mut guest = cell.guest(&StoreLimits::default())?;
    guest.given.host("h", "meet", meet);
    guest.add("main", &*cell.compile(SPIN)?)?;
    Ok(guest)
}

fn nothing() -> HostFunc {
    HostFunc::new(FuncType::new([], []), |_, _, _| Ok(()))
}

fn is_limit(ended: &Result<Vec<Value>, Stop>, expected: Limit) -> Done {
    match ended {
        Err(Stop::Limit { limit, .. }) if *limit == expected => Ok(()),
        other => Err(Trouble::wrong(format!("expected the limit {expected:?}, found {other:?}"))),
    }
}

fn before_the_call(cell: &Cell<'_>) -> Done {
    let mut guest = spin(cell, nothing())?;
    let cancel = CancelHandle::new();
    cancel.cancel();
    let mut budget = CallBudget { cancel: Some(cancel), ..CallBudget::of_fuel(BOUND) };
    is_limit(&guest.call_with("spin", &[], &mut budget)?, Limit::Cancelled)?;
    same("a call with another handle", &guest.call("one", &[])?.ok(), &Some(vec![Value::I32(1)]))
}

fn through_the_parent(cell: &Cell<'_>) -> Done {
    let mut guest = spin(cell, nothing())?;
    let parent = CancelHandle::new();
    let mut budget = CallBudget { cancel: Some(parent.child()), ..CallBudget::of_fuel(BOUND) };
    parent.cancel();
    is_limit(&guest.call_with("spin", &[], &mut budget)?, Limit::Cancelled)
}

fn from_another_thread(cell: &Cell<'_>) -> Done {
    // The guest meets the other thread in a host call, which returns when the call has been cancelled.
    let (arrived, arrivals) = mpsc::channel();
    let over = arrived.clone();
    let (cancelled, cancellations) = mpsc::channel();
    let cancellations = parking_lot::Mutex::new(cancellations);
    let meet = HostFunc::new(FuncType::new([], []), move |_, _, _| {
        arrived.send(()).map_err(HostError::failed)?;
        cancellations.lock().recv_timeout(Duration::from_secs(60)).map_err(HostError::failed)
    });
    let mut guest = spin(cell, meet)?;
    let cancel = CancelHandle::new();
    let mut budget = CallBudget { cancel: Some(cancel.clone()), ..CallBudget::of_fuel(BOUND) };
    let ended = std::thread::scope(|scope| {
        scope.spawn(move || {
            if arrivals.recv_timeout(Duration::from_secs(60)).is_ok() {
                cancel.cancel();
                let _ = cancelled.send(());
            }
        });
        let ended = guest.call_with("run", &[], &mut budget);
        // An engine that did not come to the host call keeps nobody waiting.
        let _ = over.send(());
        ended
    })?;
    is_limit(&ended, Limit::Cancelled)?;
    same("a call afterwards", &guest.call("one", &[])?.ok(), &Some(vec![Value::I32(1)]))
}

fn wakes_a_waiting_call(cell: &Cell<'_>) -> Done {
    let (arrived, arrivals) = mpsc::channel();
    let over = arrived.clone();
    let meet = HostFunc::asynchronous(FuncType::new([], []), move |_, _| {
        arrived.send(()).map_err(HostError::failed)?;
        Ok(Box::pin(std::future::pending()))
    });
    let mut guest = spin(cell, meet)?;
    let cancel = CancelHandle::new();
    let mut budget = CallBudget { cancel: Some(cancel.clone()), ..CallBudget::of_fuel(BOUND) };
    // So that an engine that does not pass the handle on fails the row instead of waiting for ever.
    budget.timeout = Some(Duration::from_secs(5));
    let ended = std::thread::scope(|scope| {
        scope.spawn(move || {
            if arrivals.recv_timeout(Duration::from_secs(60)).is_ok() {
                cancel.cancel();
            }
        });
        let ended = guest.call_with("run", &[], &mut budget);
        let _ = over.send(());
        ended
    })?;
    is_limit(&ended, Limit::Cancelled)
}

#[derive(Default)]
struct Turns(AtomicU64);

impl Scheduler for Turns {
    fn turn(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn away(&self, wait: &mut dyn FnMut()) {
        wait();
    }
}

fn turns_for_others(cell: &Cell<'_>) -> Done {
    /// Whoever got the turn ends the guest.
    struct Ends(CancelHandle);
    impl Scheduler for Ends {
        fn turn(&self) {
            self.0.cancel();
        }
        fn away(&self, wait: &mut dyn FnMut()) {
            wait();
        }
    }
    let mut guest = spin(cell, nothing())?;
    let cancel = CancelHandle::new();
    let scheduler: Arc<dyn Scheduler> = Arc::new(Ends(cancel.clone()));
    let mut budget = CallBudget { scheduler: Some(scheduler), cancel: Some(cancel), ..many_turns() };
    is_limit(&guest.call_with("spin", &[], &mut budget)?, Limit::Cancelled)
}

fn turns_change_no_total(cell: &Cell<'_>) -> Done {
    let mut guest = spin(cell, nothing())?;
    let mut consumed = Vec::new();
    for scheduler in [None, Some(Arc::new(Turns::default()) as Arc<dyn Scheduler>)] {
        for timeout in [None, Some(Duration::from_secs(600))] {
            let mut budget = CallBudget { scheduler: scheduler.clone(), timeout, ..CallBudget::of_fuel(1 << 50) };
            guest.call_with("count", &[Value::I32(1_000_000)], &mut budget)?.map_err(Trouble::wrong)?;
            consumed.push(budget.consumed);
        }
    }
    same("all the same", &consumed.iter().all(|c| Some(c) == consumed.first()), &true)
}

fn panicking_scheduler(cell: &Cell<'_>) -> Done {
    struct Broken;
    impl Scheduler for Broken {
        fn turn(&self) {
            // Past the panic hook, so that nothing is printed.
            std::panic::resume_unwind(Box::new("as the row wants it"));
        }
        fn away(&self, wait: &mut dyn FnMut()) {
            wait();
        }
    }
    let mut guest = spin(cell, nothing())?;
    let mut budget = CallBudget { scheduler: Some(Arc::new(Broken)), ..many_turns() };
    match guest.call_with("spin", &[], &mut budget)? {
        Err(Stop::Host(_)) => {}
        other => return Err(Trouble::wrong(format!("a scheduler that panicked: {other:?}"))),
    }
    same("a call afterwards", &guest.call("one", &[])?.ok(), &Some(vec![Value::I32(1)]))
}

fn stores_move(cell: &Cell<'_>) -> Done {
    let wat = r#"(module (memory 1) (global $n (mut i32) (i32.const 0))
        (func (export "next") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))
        (func (export "trap") (i32.store (i32.const -1) (i32.const 1))))"#;
    let mut guest = cell.guest_of(wat)?;
    for i in 1..=8 {
        let moved = std::thread::scope(|scope| {
            let run = scope.spawn(move || {
                let next = guest.call("next", &[])?.ok();
                let trapped = matches!(guest.call("trap", &[])?, Err(Stop::Trap(_)));
                Done::Ok((guest, next, trapped))
            });
            run.join().unwrap_or_else(|_| Err(Trouble::wrong("it panicked on another thread")))
        })?;
        guest = moved.0;
        same("next", &moved.1, &Some(vec![Value::I32(i)]))?;
        same("it trapped", &moved.2, &true)?;
    }
    Ok(())
}

fn modules_are_shared(cell: &Cell<'_>) -> Done {
    let module = cell.compile(FIB)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for (n, expected) in [(10, 55), (12, 144), (14, 377)] {
                        let mut guest = cell.guest(&StoreLimits::default())?;
                        guest.add("main", &*module)?;
                        same("fib", &guest.call("fib", &[Value::I32(n)])?.ok(), &Some(vec![Value::I32(expected)]))?;
                        let short = guest.call_with("fib", &[Value::I32(n)], &mut CallBudget::of_fuel(50))?;
                        is_limit(&short, Limit::Fuel)?;
                    }
                    Done::Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().unwrap_or_else(|_| Err(Trouble::wrong("it panicked on another thread"))))
    })
}
