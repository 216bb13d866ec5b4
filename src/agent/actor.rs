//! [`Actor`]: one deployed agent. Here is what others do to it: give it messages, answer it, wake it, end it.
//! What it does itself when its turn comes is in `run`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::body::{Body, Hooks};
use super::budget::Bucket;
use super::config::{AgentConfig, FuelRate, WhenFull};
use super::dead::{DeadLetters, DeadReason};
use super::desk::{Aside, Begin, Desk, Failure, Job, Leftovers, Turn};
use super::error::{SendError, StartError, StopError};
use super::id::Identity;
use super::lifecycle::{IllegalMove, Move, State, next};
use super::logs::LogRing;
use super::mailbox::Put;
use super::message::{Envelope, Kind, NotAnswered};
use super::room::{Ticket, Waits};
use super::router::Directory;
use super::runtime::Drained;
use super::scheduler::Scheduler;
use super::stores::Stores;
use super::timers::{Alarm, Timers, far};
use super::usage::{AgentInfo, Counters, add, get};
use crate::audit::{AuditSink, Event, EventKind, Subject};
use crate::host::agent::{AbiError, Capability, LogSink};
use crate::sandbox::{GuestError, Module, Sandbox};

/// So many times at a cap since its start are an event, and so is each doubling of them.
const FIRST_HITS: u64 = 16;

/// So many messages, in words.
pub(super) fn messages(n: u64) -> String {
    format!("{n} message{}", if n == 1 { "" } else { "s" })
}

/// What all agents of a runtime share.
pub(crate) struct Common {
    pub(super) scheduler: Arc<Scheduler>,
    pub(super) timers: Arc<Timers>,
    pub(super) dead: DeadLetters,
    pub(super) directory: Directory,
    pub(super) audit: Arc<dyn AuditSink>,
    pub(super) stores: Stores,
    pub(super) waits: Arc<Waits>,
    /// Hears what all of them log.
    pub(super) log: Option<Arc<dyn LogSink>>,
}

/// Whether an agent is to have another turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Again,
    Done,
}

/// One deployed agent.
pub(crate) struct Actor {
    pub(super) identity: Arc<Identity>,
    pub(super) common: Arc<Common>,
    pub(super) config: AgentConfig,
    pub(super) sandbox: Sandbox,
    pub(super) module: Module,
    pub(super) hooks: Hooks,
    pub(super) deployed: SystemTime,
    pub(super) desk: Mutex<Desk>,
    /// Its instance, while it does not run.
    pub(super) body: Mutex<Option<Body>>,
    pub(super) counters: Counters,
    pub(super) log: Arc<LogRing>,
    /// Violations and hits of caps in former lives.
    forgiven: AtomicU64,
    forgiven_hits: AtomicU64,
    /// It has broken too many rules.
    pub(super) condemned: AtomicBool,
}

/// What became of a message that was offered.
pub(super) enum Offered {
    Taken,
    /// There may be room later: its sender may wait.
    Full(Envelope),
    Refused(Envelope, SendError),
}

/// A sender that may wait for room.
pub(super) struct Patience<'a> {
    pub ticket: &'a mut Ticket,
    /// What wakes it; `None` if it waits no longer.
    pub waker: Option<&'a dyn Fn() -> Waker>,
}

impl Actor {
    pub(super) fn new(
        identity: Identity,
        common: Arc<Common>,
        config: AgentConfig,
        sandbox: Sandbox,
        module: Module,
        hooks: Hooks,
    ) -> Arc<Self> {
        let desk = Mutex::new(Desk::new(&config, hooks.handle_message.is_some()));
        let log = Arc::new(LogRing::new(common.log.clone()));
        Arc::new(Self {
            identity: Arc::new(identity),
            common,
            config,
            sandbox,
            module,
            hooks,
            deployed: SystemTime::now(),
            desk,
            body: Mutex::new(None),
            counters: Counters::default(),
            log,
            forgiven: AtomicU64::new(0),
            forgiven_hits: AtomicU64::new(0),
            condemned: AtomicBool::new(false),
        })
    }

    pub(super) fn note(&self, kind: EventKind, detail: impl AsRef<str>) {
        let subject = Subject::agent(self.identity.name.as_str(), self.identity.id.uuid());
        self.common.audit.record(Event::new(subject, kind, detail));
    }

    /// Puts it in the queue, if `poked` says so. No desk may be locked.
    pub(super) fn ready(self: &Arc<Self>, poked: bool) {
        if poked {
            self.common.scheduler.ready(self.clone());
        }
    }

    pub(super) fn bury(&self, letters: impl IntoIterator<Item = Envelope>, reason: DeadReason) {
        let mut buried = 0_u64;
        for letter in letters {
            self.common.dead.add(letter, &self.identity, reason);
            buried += 1;
        }
        // Those of a full mailbox are its ordinary business, and as many as anybody likes to send.
        let ordinary = matches!(reason, DeadReason::Dropped | DeadReason::Full | DeadReason::TooLarge);
        if buried > 0 && !ordinary {
            self.note(EventKind::DeadLetter, format!("{}: {reason:?}", messages(buried)).to_lowercase());
        }
    }

    /// Deals with what came out of the mailbox beside the next message. No desk may be locked.
    pub(super) fn put_aside(&self, aside: Aside) {
        aside.woken.into_iter().for_each(Waker::wake);
        self.bury(aside.late, DeadReason::Expired);
        self.bury(aside.too_large, DeadReason::TooLarge);
    }

    /// Offers it a message. If its sender would wait, the mailbox is full and lets senders wait, the sender is
    /// woken when there may be room. Who has waited goes first.
    pub(super) fn offer(self: &Arc<Self>, envelope: Envelope, patience: Option<Patience<'_>>) -> Offered {
        let len = envelope.body.len() as u64;
        // Wakers that others made are dropped after the desk is unlocked.
        let _old;
        let mut desk = self.desk.lock();
        if desk.state != State::Running {
            let state = desk.state;
            drop(desk);
            let name = self.identity.name.clone();
            return Offered::Refused(envelope, SendError::NotRunning { name, state });
        }
        let cap = desk.message_cap();
        if len > cap.get() {
            drop(desk);
            return Offered::Refused(envelope, SendError::TooLarge { len, cap });
        }
        let number = patience.as_ref().and_then(|patience| patience.ticket.number());
        let in_turn = desk.mailbox.is_empty() || !desk.room.is_before(number);
        let put = if in_turn { desk.mailbox.put(&self.config.mailbox, envelope) } else { Put::Full(envelope) };
        match put {
            Put::In(dropped) => {
                _old = patience.and_then(|patience| patience.ticket.done(&mut desk.room));
                let reader = desk.reader.take();
                let poked = desk.poke();
                drop(desk);
                if let Some(reader) = reader {
                    reader.wake();
                }
                self.ready(poked);
                self.bury(dropped, DeadReason::Dropped);
                Offered::Taken
            }
            Put::Full(envelope) => {
                let never = self.config.mailbox.messages == 0 || len > self.config.mailbox.bytes.get();
                if let (WhenFull::Block(_), Some(Patience { ticket, waker: Some(waker) }), false) =
                    (self.config.mailbox.when_full, patience, never)
                {
                    _old = ticket.wait(&mut desk.room, waker());
                    drop(desk);
                    return Offered::Full(envelope);
                }
                drop(desk);
                Offered::Refused(envelope, SendError::Full(self.identity.name.clone().into()))
            }
        }
    }

    /// A message of its own was accepted.
    pub(super) fn sent(&self, receivers: u64, bytes: u64) {
        add(&self.counters.messages_out, receivers);
        add(&self.counters.bytes_out, receivers.saturating_mul(bytes));
    }

    /// Its request of this number was accepted, and is given up at `deadline` unless it was answered already.
    pub(super) fn expect_until(self: &Arc<Self>, correlation: u64, deadline: Instant) {
        if let Some(alarm) = self.desk.lock().waiting.get_mut(&correlation) {
            *alarm = Some(self.common.timers.at(deadline, Alarm::Request(Arc::downgrade(self), correlation)));
        }
    }

    /// The reply to one of its requests. If it comes too late, who sent it learns that; or if it would not, it is
    /// a dead letter.
    pub(super) fn answered(
        self: &Arc<Self>,
        from: &Arc<Identity>,
        correlation: u64,
        body: Arc<[u8]>,
        bury: bool,
    ) -> Result<(), NotAnswered> {
        let too_large = |cap| if body.len() as u64 > cap { Err(NotAnswered::TooLarge) } else { Ok(()) };
        let mut reply = Envelope::new(Some(from.clone()), body.clone());
        reply.correlation = Some(correlation);
        reply.kind = Kind::Reply;
        let letter = bury.then(|| reply.copy());
        let done = self.settle(correlation, reply, |desk| too_large(desk.message_cap().get()));
        if done.is_err() {
            self.bury(letter, DeadReason::Late);
        }
        done
    }

    /// No reply will come to the request of this number, if one still waits.
    pub(super) fn no_reply(self: &Arc<Self>, correlation: u64) {
        let mut notice = Envelope::new(None, Arc::default());
        notice.correlation = Some(correlation);
        notice.kind = Kind::NoReply;
        // It may have had its answer in the meantime.
        let _ = self.settle(correlation, notice, |_| Ok(()));
    }

    /// Ends the request of this number with `envelope`, or if that is not possible, with the notice that no reply
    /// will come.
    fn settle(
        self: &Arc<Self>,
        correlation: u64,
        envelope: Envelope,
        check: impl FnOnce(&Desk) -> Result<(), NotAnswered>,
    ) -> Result<(), NotAnswered> {
        let mut desk = self.desk.lock();
        let alarm = desk.waiting.remove(&correlation).ok_or(NotAnswered::Gone)?;
        if let Some(alarm) = alarm {
            self.common.timers.cancel(alarm);
        }
        if !matches!(desk.state, State::Running | State::Draining) {
            return Err(NotAnswered::Gone);
        }
        let mut done = check(&desk);
        let mut rest = Some(envelope);
        if done.is_ok()
            && let Some(envelope) = rest.take()
            && let Put::Full(back) = desk.mailbox.put(&self.config.mailbox, envelope)
        {
            done = Err(NotAnswered::Full);
            rest = Some(back);
        }
        if done.is_err() {
            let mut notice = Envelope::new(None, Arc::default());
            notice.correlation = Some(correlation);
            notice.kind = Kind::NoReply;
            // A notice has no bytes and always fits.
            let _ = desk.mailbox.put(&self.config.mailbox, notice);
        }
        let reader = desk.reader.take();
        let poked = desk.poke();
        drop(desk);
        drop(rest);
        if let Some(reader) = reader {
            reader.wake();
        }
        self.ready(poked);
        done
    }

    /// One of its timers is due.
    pub(super) fn timer(self: &Arc<Self>, number: u64, token: i64) {
        let mut desk = self.desk.lock();
        if !desk.timers.contains_key(&number) {
            return;
        }
        if desk.state != State::Running {
            desk.timers.remove(&number);
            return;
        }
        desk.jobs.push_back(Job::Timer(number, token));
        let poked = desk.poke();
        drop(desk);
        self.ready(poked);
    }

    /// Gives it another rate of fuel; what it owes it still owes, unless there is no rate.
    pub(super) fn set_fuel_rate(self: &Arc<Self>, rate: Option<FuelRate>) {
        let now = Instant::now();
        let mut desk = self.desk.lock();
        match (&mut desk.bucket, rate) {
            (Some(bucket), Some(rate)) => bucket.set_rate(rate, now),
            (bucket, rate) => *bucket = rate.map(|rate| Bucket::new(rate, now)),
        }
        drop(desk);
        // It may be able to pay sooner.
        self.paid();
    }

    /// Its debt is paid.
    pub(super) fn paid(self: &Arc<Self>) {
        let mut desk = self.desk.lock();
        if desk.turn != Turn::InDebt {
            return;
        }
        desk.turn = Turn::Idle;
        let poked = desk.poke();
        drop(desk);
        self.ready(poked);
    }

    /// Starts it; whoever listens to `answer` learns how `init` ended. It takes messages from now on, and runs when
    /// it is [`ready`](Self::ready) by what this gives.
    pub(super) fn start(self: &Arc<Self>, answer: oneshot::Sender<Result<(), StartError>>) -> Result<bool, StartError> {
        let mut desk = self.desk.lock();
        let state = next(desk.state, Move::Start)?;
        let need = self.config.mailbox.host_bytes();
        desk.reservation = Some(self.sandbox.resources().reserve(need).map_err(GuestError::from)?);
        desk.state = state;
        desk.life += 1;
        desk.pause = None;
        self.forgiven.store(get(&self.counters.violations), Ordering::Relaxed);
        self.forgiven_hits.store(get(&self.counters.cap_hits), Ordering::Relaxed);
        desk.restarts = 0;
        desk.cancel = cofferdam_engine::CancelHandle::new();
        self.condemned.store(false, Ordering::Relaxed);
        desk.jobs.push_front(Job::Begin(Begin { asked_for: true, answer: Some(answer) }));
        Ok(desk.poke())
    }

    /// Asks for a job to be done.
    pub(super) fn ask(self: &Arc<Self>, job: Job) -> Result<(), (Job, Refusal)> {
        let mut desk = self.desk.lock();
        if desk.state != State::Running {
            let state = desk.state;
            drop(desk);
            return Err((job, Refusal::NotRunning(state)));
        }
        if desk.jobs.len() >= self.config.calls {
            drop(desk);
            return Err((job, Refusal::Busy));
        }
        desk.jobs.push_back(job);
        let poked = desk.poke();
        drop(desk);
        self.ready(poked);
        Ok(())
    }

    /// Lets it drain; whoever listens to `answer` learns what was dropped.
    pub(super) fn drain(
        self: &Arc<Self>,
        answer: oneshot::Sender<Result<Drained, StopError>>,
    ) -> Result<(), IllegalMove> {
        let mut desk = self.desk.lock();
        if let Some(draining) = &mut desk.draining {
            // It does already: they learn the same.
            draining.answers.push(answer);
            return Ok(());
        }
        desk.state = next(desk.state, Move::Drain)?;
        if desk.state == State::Stopped {
            drop(desk);
            self.note(EventKind::Stopped, "");
            let _ = answer.send(Ok(Drained::default()));
            return Ok(());
        }
        let until = far(Instant::now(), self.config.drain);
        let alarm = self.common.timers.at(until, Alarm::Drained(Arc::downgrade(self), desk.life));
        let mut draining = super::desk::Draining { alarm: Some(alarm), ..Default::default() };
        draining.answers.push(answer);
        desk.draining = Some(draining);
        // A guest that waits for a message learns that none will come.
        let reader = desk.reader.take();
        let room: Vec<Waker> = desk.room.clear().collect();
        let poked = desk.poke();
        drop(desk);
        reader.into_iter().chain(room).for_each(Waker::wake);
        self.ready(poked);
        Ok(())
    }

    /// It has been draining for as long as it may.
    pub(super) fn drain_is_over(self: &Arc<Self>, life: u64) {
        let mut desk = self.desk.lock();
        if desk.life != life {
            return;
        }
        let Some(draining) = &mut desk.draining else { return };
        draining.over = true;
        let cancel = desk.cancel.clone();
        if desk.turn == Turn::InDebt {
            desk.turn = Turn::Idle;
        }
        let poked = desk.poke();
        drop(desk);
        cancel.cancel();
        self.ready(poked);
    }

    /// Forgets it at once. Whoever listens to what is given learns when its instance is gone; `None` if it does not
    /// run, and then [`discard`](Self::discard) drops the instance.
    pub(super) fn remove(self: &Arc<Self>) -> Option<oneshot::Receiver<()>> {
        let mut desk = self.desk.lock();
        let Ok(state) = next(desk.state, Move::Remove) else { return None };
        let left = desk.end(state, &self.common.timers);
        let cancel = desk.cancel.clone();
        let runs = desk.turn == Turn::Taken;
        let waits = runs.then(|| {
            let (send, receive) = oneshot::channel();
            desk.gone.push(send);
            receive
        });
        drop(desk);
        cancel.cancel();
        self.over(left, DeadReason::Removed, &Err(StopError::Removed), (EventKind::Removed, ""));
        waits
    }

    /// Drops the instance of a removed one. It may take a while: its pages are given back.
    pub(super) fn discard(&self) {
        let body = self.body.lock().take();
        drop(body);
        self.counters.holds(0);
    }

    /// Buries what was left, notes how it ended, and then tells who waited for that: what they do next is noted
    /// later.
    pub(super) fn over(
        &self,
        mut left: Leftovers,
        reason: DeadReason,
        drained: &Result<Drained, StopError>,
        (kind, detail): (EventKind, &str),
    ) {
        self.bury(std::mem::take(&mut left.mail), reason);
        self.note(kind, detail);
        left.tell(drained);
    }

    /// Counts a violation of its own; with too many it ends at once.
    pub(crate) fn violation(&self, count: u64) {
        if count == 0 {
            return;
        }
        add(&self.counters.violations, count);
        let Some(most) = self.config.max_violations else { return };
        let since = get(&self.counters.violations).saturating_sub(self.forgiven.load(Ordering::Relaxed));
        if since > most {
            self.condemn(&format!("more than {most} violations"));
        }
    }

    /// Ends it at once, for the reason that the audit is told.
    fn condemn(&self, why: &str) {
        if !self.condemned.swap(true, Ordering::Relaxed) {
            self.note(EventKind::Violation, why);
            let cancel = self.desk.lock().cancel.clone();
            cancel.cancel();
        }
    }

    /// Its guest was told by `function` that a cap is reached. That is no violation: a full mailbox is everyday
    /// business. Again and again is an event, and with too many it ends at once.
    pub(super) fn hit_cap(&self, function: &str, error: AbiError) {
        let hits = self.counters.cap_hits.fetch_add(1, Ordering::Relaxed) + 1;
        let since = hits.saturating_sub(self.forgiven_hits.load(Ordering::Relaxed));
        // However long it goes on, there are few of these events.
        if since >= FIRST_HITS && since.is_power_of_two() {
            let detail = format!("{since} times since it was started; now `{function}` answers {}", error.name());
            self.note(EventKind::CapHit, detail);
        }
        if let Some(most) = self.config.max_cap_hits.filter(|most| since > *most) {
            self.condemn(&format!("more than {most} times at a cap"));
        }
    }

    /// Its guest has asked for `what`, which it is not allowed: a violation, and an event that says so.
    pub(super) fn denied(&self, capability: Capability, what: &str) {
        self.note(EventKind::DeniedCall, format!("`{capability}` does not reach `{what}`"));
        self.violation(1);
    }

    pub(super) fn is_condemned(&self) -> bool {
        self.condemned.load(Ordering::Relaxed)
    }

    /// Notes why it failed.
    pub(super) fn failure(desk: &mut Desk, why: String) {
        let times = desk.failure.as_ref().map_or(0, |failure| failure.times) + 1;
        desk.failure = Some(Failure { why, when: SystemTime::now(), times });
    }

    pub(super) fn info(&self) -> AgentInfo {
        let desk = self.desk.lock();
        AgentInfo {
            id: self.identity.id,
            name: self.identity.name.clone(),
            state: desk.state,
            failure: desk.failure.clone(),
            engine: self.sandbox.engine().descriptor().id,
            queued: desk.mailbox.len(),
            usage: self.counters.usage(),
            deployed: self.deployed,
        }
    }
}

/// Why a job was not taken.
pub(super) enum Refusal {
    NotRunning(State),
    Busy,
}
