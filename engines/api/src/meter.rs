//! [`CallBudget`] and [`Meter`]: fuel in slices, the deadline, cancellation and fairness. All engines
//! share this arithmetic; an adapter only keeps the counter where its guests can reach it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::outcome::Limit;

/// Fuel that is never used up in practice: `i64::MAX`, because counters are signed 64-bit.
pub const UNLIMITED_FUEL: u64 = i64::MAX as u64;

/// Ends a call from another thread. Clones end the same call; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct CancelHandle(Arc<CancelState>);

#[derive(Debug, Default)]
struct CancelState {
    cancelled: AtomicBool,
    waiting: Mutex<Vec<Thread>>,
    /// Cancelled with any of these.
    parents: [Option<CancelHandle>; 2],
}

impl CancelState {
    fn leave(&self) {
        let me = std::thread::current().id();
        let mut waiting = self.waiting.lock();
        if let Some(at) = waiting.iter().position(|t| t.id() == me) {
            waiting.swap_remove(at);
        }
    }
}

impl CancelHandle {
    /// A handle that has not been used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle that is cancelled when this one is, and that can be cancelled alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(Arc::new(CancelState { parents: [Some(self.clone()), None], ..CancelState::default() }))
    }

    /// A handle that is cancelled when this one or `other` is, and that can be cancelled alone.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let parents = [Some(self.clone()), Some(other.clone())];
        Self(Arc::new(CancelState { parents, ..CancelState::default() }))
    }

    /// Whether `ask` says so of this handle or one that it is a child of.
    fn any(&self, ask: &mut dyn FnMut(&CancelState) -> bool) -> bool {
        ask(&self.0) || self.0.parents.iter().flatten().any(|parent| parent.any(ask))
    }

    /// Ends every call that was given this handle, now and later. A running guest stops at its next
    /// tick, a waiting one wakes up.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        for thread in self.0.waiting.lock().drain(..) {
            thread.unpark();
        }
    }

    /// Whether [`CancelHandle::cancel`] was called, here or on a handle that this one is a child of.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.any(&mut |state| state.cancelled.load(Ordering::Acquire))
    }

    /// Parks this thread until it is unparked, `until` comes, or the handle is cancelled.
    pub(crate) fn park(&self, until: Option<Instant>) {
        self.any(&mut |state| {
            state.waiting.lock().push(std::thread::current());
            false
        });
        // A cancellation from here on finds the thread in the list and leaves an unpark token.
        if !self.is_cancelled() {
            match until {
                None => std::thread::park(),
                Some(t) => std::thread::park_timeout(t.saturating_duration_since(Instant::now())),
            }
        }
        self.any(&mut |state| {
            state.leave();
            false
        });
    }
}

/// How guests share the processor. The runtime provides one; without it a guest simply runs on.
pub trait Scheduler: Send + Sync {
    /// The guest has used up a slice: lets others run and returns when it is this guest's turn again.
    fn turn(&self);

    /// Runs `wait`, which blocks on something outside, while the guest's turn goes to others.
    fn away(&self, wait: &mut dyn FnMut());
}

/// What one call may use, and afterwards what it did use.
#[derive(Clone, Default)]
pub struct CallBudget {
    /// Fuel, at most [`UNLIMITED_FUEL`].
    pub fuel: u64,
    /// Wall-clock time from the first guest instruction, host functions included. `None`: no deadline.
    pub timeout: Option<Duration>,
    /// Ends the call from outside.
    pub cancel: Option<CancelHandle>,
    /// Shares the processor with other guests.
    pub scheduler: Option<Arc<dyn Scheduler>>,
    /// Out: fuel consumed, never above `fuel`. Set however the call ended.
    pub consumed: u64,
}

impl CallBudget {
    /// A budget of `fuel`, with no deadline.
    #[must_use]
    pub fn of_fuel(fuel: u64) -> Self {
        Self { fuel: fuel.min(UNLIMITED_FUEL), ..Self::default() }
    }
}

impl std::fmt::Debug for CallBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallBudget")
            .field("fuel", &self.fuel)
            .field("timeout", &self.timeout)
            .field("consumed", &self.consumed)
            .finish_non_exhaustive()
    }
}

/// A slice aims at this much measured time.
const SLICE_TIME: Duration = Duration::from_millis(1);
/// First slice of a store: about 0.1 ms of compiled code and 1 ms of interpreted code.
const FIRST_SLICE: i64 = 100_000;
/// Bounds of a slice. The upper one bounds how long a guest can run unseen that first makes a slice large
/// with work that takes no time and then spends it on cache misses (100 ns for one unit of fuel); at nine
/// units a nanosecond, the fastest code seen, a tick then comes every 50 µs and costs about 0.1 µs.
const SLICE_BOUNDS: (i64, i64) = (10_000, 400_000);

/// The meter of one store while a call is under way.
///
/// The fuel left is `reserve` plus the counter in the guest. The guest takes from the counter; when it
/// turns negative the guest ticks, and the meter ends it or moves another slice over. How fuel is cut
/// into slices never changes how much of it is used.
#[derive(Default)]
pub struct Meter {
    budget: i64,
    reserve: i64,
    slice: i64,
    slice_began: Option<Instant>,
    turn_began: Option<Instant>,
    deadline: Option<Instant>,
    cancel: Option<CancelHandle>,
    scheduler: Option<Arc<dyn Scheduler>>,
}

impl Meter {
    /// Starts a call and returns the counter's first value.
    #[must_use]
    pub fn begin(&mut self, budget: &CallBudget) -> i64 {
        self.budget = i64::try_from(budget.fuel).unwrap_or(i64::MAX);
        if self.slice == 0 {
            self.slice = FIRST_SLICE;
        }
        let first = self.slice.min(self.budget);
        self.reserve = self.budget - first;
        self.cancel.clone_from(&budget.cancel);
        self.scheduler.clone_from(&budget.scheduler);
        if let Some(timeout) = budget.timeout {
            let now = Instant::now();
            self.slice_began = Some(now);
            self.turn_began = Some(now);
            // A timeout past the end of the clock is no deadline.
            self.deadline = now.checked_add(timeout);
        } else {
            self.slice_began = None;
            self.turn_began = None;
            self.deadline = None;
        }
        first
    }

    /// The guest's counter went negative, or cannot pay `need` more: refills it or names the limit.
    /// Returns the counter's new value, which is at least `need`.
    ///
    /// # Errors
    /// [`Limit::Fuel`], [`Limit::Deadline`] or [`Limit::Cancelled`].
    #[cold]
    pub fn tick(&mut self, counter: i64, need: i64) -> Result<i64, Limit> {
        let need = need.max(0);
        if self.left(counter) < need {
            return Err(Limit::Fuel);
        }
        let now = Instant::now();
        self.adapt(now);
        self.check_at(now)?;
        self.slice_began = Some(now);
        let used_up = self.turn_began.is_none_or(|began| now.saturating_duration_since(began) >= SLICE_TIME);
        if used_up && let Some(scheduler) = &self.scheduler {
            scheduler.turn();
            let now = Instant::now();
            self.check_at(now)?;
            self.slice_began = Some(now);
            self.turn_began = Some(now);
        }
        let wanted = self.slice.max(need).saturating_sub(counter);
        let give = wanted.min(self.reserve);
        self.reserve -= give;
        Ok(counter.saturating_add(give))
    }

    /// Whether the deadline has passed or the call was cancelled.
    ///
    /// # Errors
    /// [`Limit::Deadline`] or [`Limit::Cancelled`].
    pub fn check(&self) -> Result<(), Limit> {
        if self.deadline.is_none() && self.cancel.is_none() {
            return Ok(());
        }
        self.check_at(Instant::now())
    }

    pub(crate) fn check_at(&self, now: Instant) -> Result<(), Limit> {
        if self.cancel.as_ref().is_some_and(CancelHandle::is_cancelled) {
            return Err(Limit::Cancelled);
        }
        if self.deadline.is_some_and(|d| now >= d) {
            return Err(Limit::Deadline);
        }
        Ok(())
    }

    /// Moves the slice towards [`SLICE_TIME`], at most by a factor of two a tick.
    fn adapt(&mut self, now: Instant) {
        let Some(began) = self.slice_began else { return };
        let took = now.saturating_duration_since(began).as_nanos().max(1_000);
        let ideal = i128::from(self.slice) * SLICE_TIME.as_nanos() as i128 / took as i128;
        let ideal = i64::try_from(ideal).unwrap_or(i64::MAX);
        self.slice = ideal.clamp(self.slice / 2, self.slice * 2).clamp(SLICE_BOUNDS.0, SLICE_BOUNDS.1);
    }

    /// Takes back what the counter holds, so that the guest ticks at its next charge. Returns the counter's new
    /// value; what was charged too much stays in it.
    #[must_use]
    pub fn recall(&mut self, counter: i64) -> i64 {
        self.reserve = self.reserve.saturating_add(counter.max(0));
        counter.min(0)
    }

    /// Fuel left, given the counter. Negative when more was charged than there was.
    #[must_use]
    pub fn left(&self, counter: i64) -> i64 {
        self.reserve.saturating_add(counter)
    }

    /// Fuel consumed so far, at most the budget.
    #[must_use]
    pub fn consumed(&self, counter: i64) -> u64 {
        (self.budget - self.left(counter).max(0)).max(0).cast_unsigned()
    }

    /// Whether anything but fuel can end the call.
    pub(crate) fn is_watched(&self) -> bool {
        self.deadline.is_some() || self.cancel.is_some()
    }

    /// When the call must end.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What ends the call from outside, if anything can.
    #[must_use]
    pub fn cancel_handle(&self) -> Option<&CancelHandle> {
        self.cancel.as_ref()
    }

    /// Lets other guests run, as at the end of a slice.
    ///
    /// # Errors
    /// [`Limit::Deadline`] or [`Limit::Cancelled`].
    pub fn give_turn(&mut self) -> Result<(), Limit> {
        if let Some(scheduler) = &self.scheduler {
            scheduler.turn();
            self.turn_began = Some(Instant::now());
        }
        self.check()
    }

    /// Waits, off the processor, until `ready` says so. `ready` is asked first, then again after each
    /// `wake` (or unpark of this thread); it may block for a short time itself.
    ///
    /// # Errors
    /// [`Limit::Deadline`] or [`Limit::Cancelled`], whichever comes first.
    pub fn wait<T>(&self, wake: Wake, mut ready: impl FnMut() -> Option<T>) -> Result<T, Limit> {
        let mut result = Err(Limit::Cancelled);
        let mut body = || {
            result = loop {
                if let Some(value) = ready() {
                    break Ok(value);
                }
                let now = Instant::now();
                if let Err(limit) = self.check_at(now) {
                    break Err(limit);
                }
                let wake_at = match wake {
                    Wake::Unpark => None,
                    Wake::At(t) => Some(t),
                    Wake::Every(interval) => Some(now + interval),
                };
                let until = match (wake_at, self.deadline) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                match &self.cancel {
                    Some(cancel) => cancel.park(until),
                    None => match until {
                        Some(t) => std::thread::park_timeout(t.saturating_duration_since(now)),
                        None => std::thread::park(),
                    },
                }
            };
        };
        match &self.scheduler {
            Some(scheduler) => scheduler.away(&mut body),
            None => body(),
        }
        result
    }
}

/// When a waiting guest looks again.
#[derive(Clone, Copy, Debug)]
pub enum Wake {
    /// Only when its thread is unparked.
    Unpark,
    /// At this moment.
    At(Instant),
    /// Again and again, this far apart: for things that cannot wake a thread.
    Every(Duration),
}
