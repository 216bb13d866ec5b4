//! [`Scheduler`]: which agent runs next, and where. Agents with work stand in one queue; a few runners on the
//! shared workers take them from it, as many as guests may run at once. An agent that got a message from the
//! guest that runs is run next by the same runner. A runner whose guest takes longer than a slice or waits
//! outside leaves its place to another.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::actor::{Actor, After};
use super::timers::{Alarm, Timers};
use crate::sandbox::{Counted, Resources, set_interlude};

/// How many agents may follow each other out of the sender's hand before the queue has its turn.
const IN_A_ROW: u32 = 64;
/// A runner gives its permit to whoever waits after this long.
const SHIFT: Duration = Duration::from_millis(1);
/// When no worker could be had, one is asked for again after this.
const AGAIN: Duration = Duration::from_millis(1);

/// Which agent runs next, and where.
pub(super) struct Scheduler {
    queue: Mutex<Queue>,
    /// Runners that may be in place at once.
    width: usize,
    resources: Arc<Resources>,
    timers: Arc<Timers>,
    /// In which tools of agents run.
    tokio: Option<tokio::runtime::Handle>,
    me: Weak<Self>,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<Arc<Actor>>,
    /// Runners that are in place, or asked for.
    in_place: usize,
    /// No thread could be had, and one will be asked for again.
    launching: bool,
}

/// What the runner on this thread has in hand.
struct Hand {
    scheduler: *const Scheduler,
    next: Option<Arc<Actor>>,
    in_place: bool,
    /// Leave to keep its thread out of its place.
    away: Option<Counted>,
}

thread_local! {
    static HAND: RefCell<Option<Hand>> = const { RefCell::new(None) };
}

impl Scheduler {
    pub fn new(resources: Arc<Resources>, timers: Arc<Timers>) -> Arc<Self> {
        let width = resources.run_permits();
        let tokio = tokio::runtime::Handle::try_current().ok();
        Arc::new_cyclic(|me| Self { queue: Mutex::default(), width, resources, timers, tokio, me: me.clone() })
    }

    /// `actor` has work. It is in no queue and does not run.
    pub fn ready(&self, actor: Arc<Actor>) {
        let elsewhere = HAND.with_borrow_mut(|hand| match hand {
            Some(hand) if std::ptr::eq(hand.scheduler, self) && hand.in_place && hand.next.is_none() => {
                hand.next = Some(actor);
                None
            }
            _ => Some(actor),
        });
        if let Some(actor) = elsewhere {
            self.push(actor);
        }
    }

    fn push(&self, actor: Arc<Actor>) {
        let mut queue = self.queue.lock();
        queue.ready.push_back(actor);
        self.fill(queue);
    }

    /// Asks for a runner if one is missing.
    fn fill(&self, mut queue: parking_lot::MutexGuard<'_, Queue>) {
        if queue.ready.is_empty() || queue.in_place >= self.width || queue.launching {
            return;
        }
        queue.in_place += 1;
        drop(queue);
        let Some(me) = self.me.upgrade() else { return };
        if self.resources.submit_runner(move || me.run()).is_err() {
            let mut queue = self.queue.lock();
            queue.in_place -= 1;
            // One alarm, however many ask.
            if !std::mem::replace(&mut queue.launching, true) {
                self.timers.at(Instant::now() + AGAIN, Alarm::Launch(self.me.clone()));
            }
        }
    }

    /// Asks again for a runner that could not be had.
    pub fn launch_again(&self) {
        let mut queue = self.queue.lock();
        queue.launching = false;
        self.fill(queue);
    }

    /// Leave for an agent to wait in a host function.
    pub fn may_wait(&self) -> Option<Counted> {
        self.resources.may_wait()
    }

    /// The next in the queue; `None` also takes the runner out of its place.
    fn pop(&self) -> Option<Arc<Actor>> {
        let mut queue = self.queue.lock();
        let next = queue.ready.pop_front();
        if next.is_none() {
            queue.in_place -= 1;
            if queue.ready.capacity() > 1_024 {
                queue.ready.shrink_to(64);
            }
        } else if queue.in_place < self.width {
            self.fill(queue);
        }
        next
    }

    /// The guest of this thread takes long: another runner may take the place, and what is in hand. If too many
    /// have done so, it stays in its place.
    fn leave(&self) {
        let next = HAND.with_borrow_mut(|hand| {
            let hand = hand.as_mut().filter(|hand| hand.in_place)?;
            hand.away = self.resources.may_stay_away();
            hand.in_place = hand.away.is_none();
            Some((hand.next.take(), !hand.in_place))
        });
        if let Some((next, left)) = next {
            self.put_back(next, left);
        }
    }

    /// A runner gives back what it has in hand, and its place if it has left it.
    fn put_back(&self, next: Option<Arc<Actor>>, left: bool) {
        let mut queue = self.queue.lock();
        queue.in_place -= usize::from(left);
        queue.ready.extend(next);
        self.fill(queue);
    }

    /// Whether the runner of this thread is in its place, or gets one again.
    fn return_to_place(&self) -> bool {
        HAND.with_borrow_mut(|hand| {
            let Some(hand) = hand.as_mut() else { return false };
            if !hand.in_place {
                let mut queue = self.queue.lock();
                if queue.in_place < self.width {
                    queue.in_place += 1;
                    hand.in_place = true;
                    hand.away = None;
                }
            }
            hand.in_place
        })
    }

    fn take_hand(&self) -> Option<Arc<Actor>> {
        HAND.with_borrow_mut(|hand| hand.as_mut()?.next.take())
    }

    /// One runner, on a worker.
    fn run(self: Arc<Self>) {
        /// However the runner ends, its place is free and what it has in hand is not lost.
        struct Clear<'a>(&'a Scheduler);
        impl Drop for Clear<'_> {
            fn drop(&mut self) {
                set_interlude(None);
                if let Some(hand) = HAND.take() {
                    self.0.put_back(hand.next, hand.in_place);
                }
            }
        }
        HAND.set(Some(Hand { scheduler: Arc::as_ptr(&self), next: None, in_place: true, away: None }));
        let _entered = self.tokio.as_ref().map(tokio::runtime::Handle::enter);
        let clear = Clear(&self);
        let scheduler = self.clone();
        set_interlude(Some(Rc::new(move || scheduler.leave())));
        let mut in_a_row = 0;
        'shift: loop {
            let _permit = self.resources.permit();
            let began = Instant::now();
            loop {
                let mut next = self.take_hand();
                if in_a_row >= IN_A_ROW {
                    // Last in the queue, behind those who were there before.
                    if let Some(next) = next.take() {
                        self.push(next);
                    }
                }
                in_a_row += 1;
                if next.is_none() {
                    in_a_row = 0;
                    next = self.pop();
                }
                let Some(actor) = next else {
                    // The place was given up with the queue locked.
                    HAND.with_borrow_mut(|hand| {
                        if let Some(hand) = hand {
                            hand.in_place = false;
                        }
                    });
                    break 'shift;
                };
                if actor.run() == After::Again {
                    self.push(actor);
                }
                if !self.return_to_place() {
                    break 'shift;
                }
                if began.elapsed() >= SHIFT {
                    break;
                }
            }
            // Those in the queue have waited for a whole shift.
            if !self.queue.lock().ready.is_empty()
                && let Some(next) = self.take_hand()
            {
                self.push(next);
            }
        }
        drop(clear);
    }
}
