//! [`Desk`]: what others may change of an agent while it runs: its state, its mailbox, what it is asked to do.
//! It is locked for moments only, never while a guest runs.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

use cofferdam_engine::CancelHandle;
use tokio::sync::oneshot;

use super::budget::Bucket;
use super::config::AgentConfig;
use super::error::{ExecuteError, StartError, StopError};
use super::lifecycle::State;
use super::mailbox::Mailbox;
use super::message::Envelope;
use super::room::Room;
use super::runtime::Drained;
use super::timers::{AlarmId, Timers};
use crate::policy::{Limits, MemoryBytes};
use crate::sandbox::{Receipt, Reservation};

/// What a call gave, and what it cost if it was begun.
pub(super) type Executed = (Result<Vec<u8>, ExecuteError>, Option<Receipt>);

/// What an agent is asked to do, beside messages.
pub(super) enum Job {
    /// Make an instance and run `init`. Somebody may wait for it.
    Begin(Begin),
    /// Call an export with bytes. So many tools and agents wait for it, one behind the other.
    Execute { export: String, input: Arc<[u8]>, depth: u32, answer: oneshot::Sender<Executed> },
    /// Call `on_timer`; the number is the timer's.
    Timer(u64, i64),
}

/// A new instance.
#[derive(Default)]
pub(super) struct Begin {
    /// Somebody asked for it, so that it need not wait for fuel. A restart has to.
    pub asked_for: bool,
    /// Who waits for it, also beyond restarts.
    pub answer: Option<oneshot::Sender<Result<(), StartError>>>,
}

/// Where the agent stands with the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// In no queue; it does not run.
    Idle,
    /// In a queue, or it runs.
    Taken,
    /// It has work, and a debt that must be paid first.
    InDebt,
}

/// Why it failed, when, and how often.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Failure {
    /// Why, the last time.
    pub why: String,
    /// When, the last time, by the host's clock.
    pub when: SystemTime,
    /// How many times since it was deployed.
    pub times: u64,
}

/// An agent on its way to its end.
#[derive(Default)]
pub(super) struct Draining {
    pub handled: u64,
    /// Calls that were cut off because no time was left, and messages that were lost with them.
    pub cut_off: u64,
    pub lost: u64,
    /// No time is left.
    pub over: bool,
    pub alarm: Option<AlarmId>,
    pub answers: Vec<oneshot::Sender<Result<Drained, StopError>>>,
}

pub(super) struct Desk {
    pub state: State,
    pub turn: Turn,
    pub mailbox: Mailbox,
    pub jobs: VecDeque<Job>,
    /// Whether a message comes before the next job.
    pub mail_first: bool,
    /// Whether its module can be called with a message. If not, it takes them itself.
    pub is_called: bool,
    /// Requests that wait for a reply. Those that were not accepted yet have no alarm.
    pub waiting: HashMap<u64, Option<AlarmId>>,
    pub requests: u64,
    /// Timers that are pending or due.
    pub timers: HashMap<u64, AlarmId>,
    pub timers_set: u64,
    pub bucket: Option<Bucket>,
    /// It is not restarted before this.
    pub pause: Option<Instant>,
    /// When its debt is paid, or its pause over.
    pub debt: Option<AlarmId>,
    /// Waits in `receive_message`.
    pub reader: Option<Waker>,
    /// Wait for room in the mailbox.
    pub room: Room,
    pub limits: Limits,
    /// The message cap that its instance was made with, and has room for.
    pub made_with: Option<MemoryBytes>,
    /// What its mailbox may take of the host's memory.
    pub reservation: Option<Reservation>,
    /// The guest has not been told of these limits yet.
    pub limits_changed: bool,
    /// Ends the call that is under way.
    pub cancel: CancelHandle,
    /// Counts starts and restarts.
    pub life: u64,
    pub restarts: u32,
    pub failure: Option<Failure>,
    pub draining: Option<Draining>,
    /// Wait until its instance is gone.
    pub gone: Vec<oneshot::Sender<()>>,
}

/// What comes out of a mailbox beside the next message.
#[derive(Default)]
pub(super) struct Aside {
    /// Messages that came too late.
    pub late: Vec<Envelope>,
    /// Messages that are above a cap which was lowered meanwhile.
    pub too_large: Vec<Envelope>,
    /// Who may find room now.
    pub woken: Vec<Waker>,
}

/// What is left of an agent's work when it ends: to be dropped with no desk locked.
#[derive(Default)]
pub(super) struct Leftovers {
    pub mail: Vec<Envelope>,
    /// What became of the rest.
    pub drained: Drained,
    jobs: VecDeque<Job>,
    wakers: Vec<Waker>,
    answers: Vec<oneshot::Sender<Result<Drained, StopError>>>,
}

impl Desk {
    pub fn new(config: &AgentConfig, is_called: bool) -> Self {
        let now = Instant::now();
        Self {
            state: State::Loaded,
            turn: Turn::Idle,
            mailbox: Mailbox::default(),
            jobs: VecDeque::new(),
            mail_first: false,
            is_called,
            waiting: HashMap::new(),
            requests: 0,
            timers: HashMap::new(),
            timers_set: 0,
            bucket: config.fuel_rate.map(|rate| Bucket::new(rate, now)),
            pause: None,
            debt: None,
            reader: None,
            room: Room::new(config.mailbox.messages),
            limits: config.policy.limits.clone(),
            made_with: None,
            reservation: None,
            limits_changed: false,
            cancel: CancelHandle::new(),
            life: 0,
            restarts: 0,
            failure: None,
            draining: None,
            gone: Vec::new(),
        }
    }

    /// Whether it may run and has something to do.
    pub fn has_work(&self) -> bool {
        match self.state {
            State::Running => !self.jobs.is_empty() || (self.is_called && !self.mailbox.is_empty()),
            // There is at least its end.
            State::Draining => true,
            State::Unloaded | State::Loaded | State::Stopped | State::Failed => false,
        }
    }

    /// How long it must wait before it runs: until its debt is paid and its pause is over.
    pub fn owes(&mut self) -> Option<Duration> {
        if self.bucket.is_none() && self.pause.is_none() {
            return None;
        }
        let now = Instant::now();
        let debt = self.bucket.as_mut().and_then(|bucket| bucket.debt(now));
        let pause = self.pause.map(|at| at.saturating_duration_since(now)).filter(|time| !time.is_zero());
        debt.max(pause)
    }

    /// The most bytes of a message to it now: an instance has no room for more than it was made with.
    pub fn message_cap(&self) -> MemoryBytes {
        self.made_with.map_or(self.limits.message, |made_with| made_with.min(self.limits.message))
    }

    /// Whether it is to be put in the scheduler's queue; if so, it counts as being there.
    #[must_use]
    pub fn poke(&mut self) -> bool {
        let wanted = self.turn == Turn::Idle && self.has_work();
        if wanted {
            self.turn = Turn::Taken;
        }
        wanted
    }

    /// The next message. `aside` gets what is to be dealt with when the desk is unlocked.
    pub fn take_mail(&mut self, aside: &mut Aside) -> Option<Envelope> {
        let cap = self.message_cap().get();
        let taken = loop {
            match self.mailbox.take(Instant::now, &mut aside.late) {
                // The cap was lowered meanwhile.
                Some(message) if message.body.len() as u64 > cap => aside.too_large.push(message),
                taken => break taken,
            }
        };
        let taken = match (taken, &mut self.draining) {
            (Some(mut message), Some(draining)) => {
                draining.handled += 1;
                message.counted = true;
                Some(message)
            }
            (taken, _) => taken,
        };
        self.room.call(self.mailbox.len(), &mut aside.woken);
        self.mailbox.shrink();
        taken
    }

    /// Whether there may be one more request: each has a place in the mailbox for what answers it.
    pub fn may_ask(&self, most: usize) -> bool {
        self.waiting.len() + self.mailbox.answers() < most
    }

    /// Takes the alarms of an instance that is no more back.
    pub fn forget_alarms(&mut self, timers: &Timers) {
        let asked = self.waiting.drain().filter_map(|(_, alarm)| alarm);
        let alarms = asked.chain(self.timers.drain().map(|(_, alarm)| alarm));
        for alarm in alarms.chain(self.debt.take()) {
            timers.cancel(alarm);
        }
        self.jobs.retain(|job| !matches!(job, Job::Timer(..)));
    }

    /// A call was cut off because the time to drain was over, and these messages were lost with it.
    /// Whether that is so.
    pub fn cut_off(&mut self, letters: &[Envelope]) -> bool {
        let Some(draining) = self.draining.as_mut().filter(|draining| draining.over) else { return false };
        draining.cut_off += 1;
        draining.lost += letters.len() as u64;
        let counted = letters.iter().filter(|letter| letter.counted).count() as u64;
        draining.handled = draining.handled.saturating_sub(counted);
        true
    }

    /// Ends it in `state`: everything that waits goes.
    pub fn end(&mut self, state: State, timers: &Timers) -> Leftovers {
        self.state = state;
        (self.made_with, self.pause, self.reservation) = (None, None, None);
        self.forget_alarms(timers);
        let mut left = Leftovers {
            mail: self.mailbox.clear(),
            jobs: std::mem::take(&mut self.jobs),
            wakers: self.room.clear().collect(),
            answers: Vec::new(),
            drained: Drained::default(),
        };
        left.wakers.extend(self.reader.take());
        self.mailbox.shrink();
        left.drained.dropped = left.mail.len() as u64;
        if let Some(draining) = self.draining.take() {
            left.drained.handled = draining.handled;
            left.drained.dropped += draining.lost;
            left.drained.cut_off = draining.cut_off;
            if let Some(alarm) = draining.alarm {
                timers.cancel(alarm);
            }
            left.answers = draining.answers;
        }
        left
    }
}

impl Leftovers {
    /// Tells everybody who waited. `drained` is for those who stopped it.
    pub fn tell(self, drained: &Result<Drained, StopError>) {
        for job in self.jobs {
            match job {
                Job::Begin(Begin { answer, .. }) => {
                    if let Some(answer) = answer {
                        let _ = answer.send(Err(StartError::Ended));
                    }
                }
                Job::Execute { answer, .. } => {
                    let _ = answer.send((Err(ExecuteError::Ended), None));
                }
                Job::Timer(..) => {}
            }
        }
        self.wakers.into_iter().for_each(Waker::wake);
        for answer in self.answers {
            let _ = answer.send(drained.clone());
        }
    }
}
