//! [`Timers`]: one thread that wakes whoever asked for it, for all agents of a runtime.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::actor::Actor;
use super::error::RequestError;
use super::message::HostRequest;
use super::scheduler::Scheduler;

/// What is to happen.
pub(super) enum Alarm {
    /// `on_timer(token)`, for the timer of this number.
    Timer(Weak<Actor>, u64, i64),
    /// A request of an agent has waited long enough.
    Request(Weak<Actor>, u64),
    /// A request of the host has waited long enough.
    HostRequest(Arc<HostRequest>),
    /// An agent's debt is paid.
    Paid(Weak<Actor>),
    /// An agent has been draining long enough, in its life of this number.
    Drained(Weak<Actor>, u64),
    /// Somebody who waits is to look again.
    Wake(Waker),
    /// There was no worker; there may be one now.
    Launch(Weak<Scheduler>),
}

impl Alarm {
    fn ring(self) {
        match self {
            Self::Timer(actor, number, token) => with(&actor, |actor| actor.timer(number, token)),
            Self::Request(actor, correlation) => with(&actor, |actor| actor.no_reply(correlation)),
            Self::HostRequest(request) => {
                request.answer(Err(RequestError::TimedOut));
            }
            Self::Paid(actor) => with(&actor, Actor::paid),
            Self::Drained(actor, life) => with(&actor, |actor| actor.drain_is_over(life)),
            Self::Wake(waker) => waker.wake(),
            Self::Launch(scheduler) => {
                if let Some(scheduler) = scheduler.upgrade() {
                    scheduler.launch_again();
                }
            }
        }
    }
}

fn with(actor: &Weak<Actor>, act: impl FnOnce(&Arc<Actor>)) {
    if let Some(actor) = actor.upgrade() {
        act(&actor);
    }
}

/// `time` from `now`, or as good as never.
pub(super) fn far(now: Instant, time: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(86_400 * 365);
    now.checked_add(time).or_else(|| now.checked_add(YEAR)).unwrap_or(now)
}

/// An alarm that somebody waits for: taken back when it is dropped.
pub(super) struct Set<'a>(pub &'a Timers, pub AlarmId);

impl Drop for Set<'_> {
    fn drop(&mut self) {
        self.0.cancel(self.1);
    }
}

/// Names an alarm, so that it can be taken back.
pub(super) type AlarmId = (Instant, u64);

/// A thread that wakes whoever asked for it. It begins and ends with the runtime: what is to happen when no thread can be
/// had must not wait for one.
pub(super) struct Timers(Arc<Inner>);

#[derive(Default)]
struct Inner {
    alarms: Mutex<Alarms>,
    earlier: Condvar,
}

#[derive(Default)]
struct Alarms {
    due: BTreeMap<AlarmId, Alarm>,
    next: u64,
    /// When the thread looks next; `None` while it looks.
    looks_at: Option<Instant>,
    closed: bool,
}

/// The thread looks at least so often.
const LONGEST: Duration = Duration::from_secs(60);

impl Timers {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start() -> std::io::Result<Self> {
        let inner = Arc::new(Inner::default());
        let thread = inner.clone();
        std::thread::Builder::new().name("cofferdam-timers".into()).spawn(move || thread.run())?;
        Ok(Self(inner))
    }

    /// Rings `alarm` at `at` or soon after.
    pub fn at(&self, at: Instant, alarm: Alarm) -> AlarmId {
        let mut alarms = self.0.alarms.lock();
        alarms.next += 1;
        let id = (at, alarms.next);
        if alarms.closed {
            return id;
        }
        alarms.due.insert(id, alarm);
        if alarms.looks_at.is_some_and(|looks| at < looks) {
            self.0.earlier.notify_one();
        }
        id
    }

    /// Takes an alarm back, if it has not rung.
    pub fn cancel(&self, id: AlarmId) {
        let alarm = self.0.alarms.lock().due.remove(&id);
        drop(alarm);
    }

    /// Alarms that have not rung.
    pub fn pending(&self) -> usize {
        self.0.alarms.lock().due.len()
    }
}

impl Inner {
    fn run(&self) {
        let mut alarms = self.alarms.lock();
        while !alarms.closed {
            let now = Instant::now();
            match alarms.due.first_entry() {
                Some(first) if first.key().0 <= now => {
                    let alarm = first.remove();
                    parking_lot::MutexGuard::unlocked(&mut alarms, || {
                        // One that panics, as a waker of somebody else's may, must not end the others.
                        if catch_unwind(AssertUnwindSafe(|| alarm.ring())).is_err() {
                            tracing::error!("an alarm panicked");
                        }
                    });
                }
                first => {
                    let until = first.map_or(now + LONGEST, |first| first.key().0.min(now + LONGEST));
                    alarms.looks_at = Some(until);
                    self.earlier.wait_until(&mut alarms, until);
                    alarms.looks_at = None;
                }
            }
        }
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        let mut alarms = self.0.alarms.lock();
        alarms.closed = true;
        let due = std::mem::take(&mut alarms.due);
        drop(alarms);
        self.0.earlier.notify_one();
        drop(due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    struct Tell(Sender<u8>, u8);
    impl std::task::Wake for Tell {
        fn wake(self: Arc<Self>) {
            self.0.send(self.1).expect("the test receives");
        }
    }

    #[test]
    fn alarms_ring_in_order_and_not_when_taken_back() {
        let timers = Timers::start().expect("a thread can be had");
        let (send, receive) = channel();
        let now = Instant::now();
        let set =
            |ms, n| timers.at(now + Duration::from_millis(ms), Alarm::Wake(Arc::new(Tell(send.clone(), n)).into()));
        let never = set(40, 9);
        set(60, 3);
        set(20, 1);
        set(30, 2);
        timers.cancel(never);
        assert_eq!(receive.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(timers.pending(), 0);
    }

    #[test]
    fn an_alarm_that_panics_ends_no_other() {
        struct Panics;
        impl std::task::Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("a waker of somebody else's");
            }
        }
        let timers = Timers::start().expect("a thread can be had");
        let (send, receive) = channel();
        timers.at(Instant::now(), Alarm::Wake(Arc::new(Panics).into()));
        timers.at(Instant::now() + Duration::from_millis(1), Alarm::Wake(Arc::new(Tell(send, 1)).into()));
        assert_eq!(receive.recv(), Ok(1));
    }
}
