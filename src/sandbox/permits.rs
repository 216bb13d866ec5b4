//! [`RunPermits`]: how guests share the processor. A guest makes progress only while it holds a permit;
//! after each slice it gives the permit back and queues for the next one. Waiting guests hold none. So
//! an endless loop never starves anybody, on any engine, without switching stacks.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;

use cofferdam_engine::Scheduler;
use parking_lot::Mutex;

/// How many guests that just arrived may go ahead of one that has used up a slice. Above zero, so that a
/// short call among endless loops waits for one slice and not for all of them; bounded, so that a flood
/// of short calls cannot starve a long one.
const FRESH_IN_A_ROW: u32 = 4;

/// A fixed number of permits, handed from guest to guest: first those that just arrived, then those that
/// have used up a slice, each in the order they came.
pub struct RunPermits {
    most: usize,
    queues: Mutex<Queues>,
    waiting: AtomicUsize,
}

struct Queues {
    free: usize,
    fresh: VecDeque<Arc<Waiter>>,
    tired: VecDeque<Arc<Waiter>>,
    fresh_in_a_row: u32,
}

struct Waiter {
    thread: Thread,
    granted: AtomicBool,
}

impl Waiter {
    fn here() -> Arc<Self> {
        Arc::new(Self { thread: std::thread::current(), granted: AtomicBool::new(false) })
    }

    fn grant(&self) {
        self.granted.store(true, Ordering::Release);
        self.thread.unpark();
    }

    fn wait(&self) {
        while !self.granted.load(Ordering::Acquire) {
            std::thread::park();
        }
    }
}

impl Queues {
    fn next(&mut self) -> Option<Arc<Waiter>> {
        let fresh_first = self.tired.is_empty() || self.fresh_in_a_row < FRESH_IN_A_ROW;
        let fresh = if fresh_first { self.fresh.pop_front() } else { None };
        match fresh {
            Some(waiter) => {
                self.fresh_in_a_row += 1;
                Some(waiter)
            }
            None => {
                self.fresh_in_a_row = 0;
                self.tired.pop_front().or_else(|| self.fresh.pop_front())
            }
        }
    }
}

thread_local! {
    /// The permits of which this thread holds one, by address; 0 for none. A host function that calls
    /// another guest does so on its own guest's permit: queueing for a second one could wait for ever.
    static HELD: Cell<usize> = const { Cell::new(0) };
    static INTERLUDE: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
}

/// What is to be done whenever a guest on this thread has used up a slice or waits outside: for whoever gave the
/// thread more than this one guest to do.
pub(crate) fn set_interlude(act: Option<Rc<dyn Fn()>>) {
    INTERLUDE.set(act);
}

fn interlude() {
    if let Some(act) = INTERLUDE.with_borrow(Clone::clone) {
        act();
    }
}

/// A permit held by this thread; given back when dropped.
pub struct Permit<'a> {
    permits: &'a RunPermits,
    held_before: usize,
    /// Not to be dropped by another thread.
    _here: PhantomData<*const ()>,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        HELD.set(self.held_before);
        if self.held_before != self.permits.address() {
            self.permits.release();
        }
    }
}

impl RunPermits {
    /// `permits` guests at once; at least one.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        let most = permits.max(1);
        let queues = Queues { free: most, fresh: VecDeque::new(), tired: VecDeque::new(), fresh_in_a_row: 0 };
        Self { most, queues: Mutex::new(queues), waiting: AtomicUsize::new(0) }
    }

    /// Guests that may run at once.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// Waits for a permit; a thread that holds one already goes on with it.
    #[must_use]
    pub fn acquire(&self) -> Permit<'_> {
        let held_before = HELD.get();
        if held_before != self.address() {
            self.take();
            HELD.set(self.address());
        }
        Permit { permits: self, held_before, _here: PhantomData }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn take(&self) {
        let waiter = {
            let mut queues = self.queues.lock();
            if queues.free > 0 {
                queues.free -= 1;
                return;
            }
            let waiter = Waiter::here();
            queues.fresh.push_back(waiter.clone());
            self.waiting.fetch_add(1, Ordering::Relaxed);
            waiter
        };
        waiter.wait();
    }

    fn release(&self) {
        let mut queues = self.queues.lock();
        match queues.next() {
            None => queues.free += 1,
            Some(waiter) => {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                drop(queues);
                waiter.grant();
            }
        }
    }
}

impl Scheduler for RunPermits {
    fn turn(&self) {
        interlude();
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let (next, me) = {
            let mut queues = self.queues.lock();
            let Some(next) = queues.next() else { return };
            let me = Waiter::here();
            queues.tired.push_back(me.clone());
            // One leaves the queues and one enters: `waiting` stays as it is.
            (next, me)
        };
        next.grant();
        me.wait();
    }

    fn away(&self, wait: &mut dyn FnMut()) {
        struct Back<'a>(&'a RunPermits, usize);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.take();
                HELD.set(self.1);
            }
        }
        interlude();
        self.release();
        // The caller's permit guard gives a permit back later, also when `wait` panics.
        let _back = Back(self, HELD.replace(0));
        wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_run_at_once_than_there_are_permits() {
        let permits = Arc::new(RunPermits::new(2));
        let running = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _permit = permits.acquire();
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        running.fetch_sub(1, Ordering::SeqCst);
                        permits.turn();
                    }
                });
            }
        });
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
        assert_eq!(permits.queues.lock().free, 2, "every permit came back");
        assert_eq!(permits.waiting.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_guest_that_waits_outside_holds_no_permit() {
        let permits = RunPermits::new(1);
        let _mine = permits.acquire();
        let mut other_ran = false;
        permits.away(&mut || {
            // Would never return if the permit were still held.
            let _other = permits.acquire();
            other_ran = true;
        });
        assert!(other_ran);
    }

    #[test]
    fn a_nested_call_goes_on_with_the_permit_of_its_thread() {
        let permits = RunPermits::new(1);
        let outer = permits.acquire();
        drop(permits.acquire());
        assert_eq!(permits.queues.lock().free, 0, "the outer one is still held");
        drop(outer);
        assert_eq!(permits.queues.lock().free, 1);
    }

    #[test]
    fn a_newcomer_goes_ahead_of_every_tired_guest() {
        let tired: VecDeque<_> = (0..16).map(|_| Waiter::here()).collect();
        let newcomer = Waiter::here();
        let mut queues =
            Queues { free: 0, fresh: VecDeque::from([newcomer.clone()]), tired: tired.clone(), fresh_in_a_row: 0 };
        assert!(Arc::ptr_eq(&queues.next().expect("somebody waits"), &newcomer));
        for waiter in tired {
            assert!(Arc::ptr_eq(&queues.next().expect("somebody waits"), &waiter), "in the order they came");
        }
        assert!(queues.next().is_none());
    }

    #[test]
    fn a_flood_of_newcomers_does_not_starve_a_tired_guest() {
        let mut queues =
            Queues { free: 0, fresh: VecDeque::new(), tired: VecDeque::from([Waiter::here()]), fresh_in_a_row: 0 };
        let tired = queues.tired[0].clone();
        for turn in 0..=FRESH_IN_A_ROW {
            queues.fresh.push_back(Waiter::here());
            queues.fresh.push_back(Waiter::here());
            let next = queues.next().expect("somebody waits");
            assert_eq!(Arc::ptr_eq(&next, &tired), turn == FRESH_IN_A_ROW, "turn {turn}");
        }
    }
}
