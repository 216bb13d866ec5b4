//! [`Post`]: the way out of an agent: what its host functions for messages and timers do.

use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::actor::{Actor, Offered, Patience};
use super::config::WhenFull;
use super::dead::DeadReason;
use super::desk::Aside;
use super::error::SendError;
use super::id::{AgentId, AgentName, Topic};
use super::lifecycle::State;
use super::message::{Envelope, NotAnswered, ReplyRight};
use super::room::{Ticket, Waiting};
use super::timers::{Alarm, far};
use super::usage::add;
use crate::host::agent::{AbiError, Capability};
use crate::sandbox::Counted;

/// The way out of one agent.
#[derive(Clone)]
pub(crate) struct Post(Weak<Actor>);

/// What became of a message that a guest sends.
pub(crate) enum Sent {
    /// The number that the guest is given.
    Done(i64),
    /// The mailbox is full, and its sender may wait for room.
    Wait(Box<Outgoing>),
}

/// A message that waits for room in a mailbox.
pub(crate) struct Outgoing {
    from: Arc<Actor>,
    to: Arc<Actor>,
    envelope: Option<Envelope>,
    correlation: Option<u64>,
    /// When its sender waits no longer, and what it is told then.
    until: Instant,
    answer: AbiError,
    ticket: Ticket,
    waker: Option<Waker>,
    waiting: Option<Waiting>,
    leave: Option<Counted>,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Wakes the thread that it was made on.
pub(crate) fn this_thread() -> Waker {
    Arc::new(Unpark(std::thread::current())).into()
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Post")
    }
}

fn code(error: &SendError) -> AbiError {
    match error {
        SendError::Unknown(_) | SendError::NoSubscriber(_) => AbiError::NotFound,
        SendError::NotRunning { .. } => AbiError::Gone,
        SendError::TooLarge { .. } => AbiError::TooLarge,
        SendError::TimedOut(_) => AbiError::TimedOut,
        SendError::Full(_) => AbiError::Full,
    }
}

impl Post {
    pub(super) fn new(actor: &Arc<Actor>) -> Self {
        Self(Arc::downgrade(actor))
    }

    fn actor(&self) -> Result<Arc<Actor>, AbiError> {
        self.0.upgrade().ok_or(AbiError::Gone)
    }

    /// The agent was told by `function` that a cap is reached.
    pub fn hit_cap(&self, function: &str, error: AbiError) {
        if let Ok(actor) = self.actor() {
            actor.hit_cap(function, error);
        }
    }

    /// Counts a message to somebody to whom the agent may not write.
    fn denied(actor: &Actor, to: &str) -> AbiError {
        actor.denied(Capability::Messages, to);
        AbiError::Denied
    }

    /// Sends `body`; with a time, as a request whose reply is waited for so long.
    pub fn send(&self, to: &str, body: Arc<[u8]>, reply_within: Option<Duration>) -> Result<Sent, AbiError> {
        let actor = self.actor()?;
        if let Some(topic) = to.strip_prefix('#') {
            if reply_within.is_some() {
                return Err(AbiError::Invalid);
            }
            return Self::publish(&actor, topic, body);
        }
        let to = Self::receiver(&actor, to)?;
        let mut envelope = Envelope::new(Some(actor.identity.clone()), body);
        let correlation = match reply_within {
            None => None,
            Some(time) => Some(Self::expect(&actor, &mut envelope, time)?),
        };
        let now = Instant::now();
        let patience = match to.config.mailbox.when_full {
            // It would wait for itself.
            WhenFull::Block(time) if !Arc::ptr_eq(&actor, &to) => Some(far(now, time)),
            _ => None,
        };
        let (mut until, mut answer) = (patience.unwrap_or(now), AbiError::Full);
        if let Some(deadline) = envelope.deadline.filter(|deadline| *deadline < until) {
            (until, answer) = (deadline, AbiError::TimedOut);
        }
        let ticket = Ticket::new(&to);
        let envelope = Some(envelope);
        let mut outgoing = Outgoing {
            from: actor,
            to,
            envelope,
            correlation,
            until,
            answer,
            ticket,
            waker: None,
            waiting: None,
            leave: None,
        };
        match outgoing.offer(patience.is_some() && now < until) {
            Some(done) => done.map(Sent::Done),
            None => {
                outgoing.waiting = outgoing.from.common.waits.begin(outgoing.from.identity.id, outgoing.to.identity.id);
                // If each waited for the other, or all threads for one that has none, nobody would make room.
                outgoing.leave = outgoing.from.common.scheduler.may_wait();
                let may = outgoing.waiting.is_some() && outgoing.leave.is_some();
                if may { Ok(Sent::Wait(Box::new(outgoing))) } else { Err(AbiError::Full) }
            }
        }
    }

    /// How many subscribe to a topic, by its address, if the agent may publish there.
    pub fn receivers(&self, to: &str) -> u64 {
        let (Some(actor), Some(topic)) = (self.0.upgrade(), to.strip_prefix('#')) else { return 0 };
        if actor.config.publish.contains(topic) { actor.common.directory.by_topic(topic).len() as u64 } else { 0 }
    }

    /// The one called `to`, if the agent may write to it.
    fn receiver(actor: &Arc<Actor>, to: &str) -> Result<Arc<Actor>, AbiError> {
        let directory = &actor.common.directory;
        let peers = &actor.config.peers;
        if let Ok(id) = to.parse::<AgentId>() {
            let found = directory.by_id(id);
            return match found {
                Some(found) if Arc::ptr_eq(&found, actor) || peers.allows(found.identity.name.as_str()) => Ok(found),
                // It may be one that was there before.
                None => Err(AbiError::NotFound),
                Some(_) => Err(Self::denied(actor, to)),
            };
        }
        if to == actor.identity.name.as_str() {
            return Ok(actor.clone());
        }
        if !peers.is_all() && !peers.allows(to) {
            return Err(if AgentName::new(to).is_ok() { Self::denied(actor, to) } else { AbiError::Invalid });
        }
        match directory.by_name(to) {
            Some(found) => Ok(found),
            None => Err(if AgentName::new(to).is_ok() { AbiError::NotFound } else { AbiError::Invalid }),
        }
    }

    /// Prepares for a reply to `envelope`.
    fn expect(actor: &Arc<Actor>, envelope: &mut Envelope, time: Duration) -> Result<u64, AbiError> {
        let deadline = far(Instant::now(), time);
        let mut desk = actor.desk.lock();
        if !desk.may_ask(actor.config.requests) {
            return Err(AbiError::Full);
        }
        let correlation = desk.requests;
        desk.requests += 1;
        desk.waiting.insert(correlation, None);
        drop(desk);
        envelope.correlation = Some(correlation);
        envelope.deadline = Some(deadline);
        envelope.reply_to = Some(ReplyRight::actor(actor, correlation));
        Ok(correlation)
    }

    fn publish(actor: &Arc<Actor>, topic: &str, body: Arc<[u8]>) -> Result<Sent, AbiError> {
        let Some(topic) = actor.config.publish.get(topic) else {
            return Err(if Topic::new(topic).is_ok() {
                Self::denied(actor, &format!("#{topic}"))
            } else {
                AbiError::Invalid
            });
        };
        let envelope = Envelope::new(Some(actor.identity.clone()), body);
        let receivers = fan_out(&actor.common.directory.by_topic(topic.as_str()), topic, envelope, Some(actor));
        match receivers {
            Ok(n) => Ok(Sent::Done(i64::try_from(n).unwrap_or(i64::MAX))),
            Err(error) => Err(code(&error)),
        }
    }

    /// The next message of its own mailbox. If there is none, `waker` is woken when one comes.
    ///
    /// # Errors
    /// [`AbiError::Gone`] if none will come, because the agent is being stopped.
    pub fn take(&self, waker: Option<&Waker>) -> Result<Option<Envelope>, AbiError> {
        let actor = self.actor()?;
        let mut aside = Aside::default();
        let mut desk = actor.desk.lock();
        let taken = desk.take_mail(&mut aside);
        let running = desk.state == State::Running;
        if taken.is_none() && running {
            desk.reader = waker.cloned();
        }
        drop(desk);
        actor.put_aside(aside);
        match &taken {
            Some(message) => {
                add(&actor.counters.messages_in, 1);
                add(&actor.counters.bytes_in, message.body.len() as u64);
                Ok(taken)
            }
            None if running => Ok(None),
            None => Err(AbiError::Gone),
        }
    }

    /// Leave to wait, while its thread is kept; `None` if too many wait.
    pub fn may_wait(&self) -> Option<Counted> {
        self.0.upgrade()?.common.scheduler.may_wait()
    }

    /// Nobody waits for a message any more.
    pub fn stop_waiting(&self) {
        if let Some(actor) = self.0.upgrade() {
            let reader = actor.desk.lock().reader.take();
            drop(reader);
        }
    }

    /// Answers a request.
    pub fn reply(&self, right: ReplyRight, body: Arc<[u8]>) -> Result<(), AbiError> {
        let actor = self.actor()?;
        let bytes = body.len() as u64;
        match right.answer(&actor.identity, body, false) {
            Ok(()) => {
                actor.sent(1, bytes);
                Ok(())
            }
            Err(NotAnswered::Gone) => Err(AbiError::Gone),
            Err(NotAnswered::Full) => Err(AbiError::Full),
            Err(NotAnswered::TooLarge) => Err(AbiError::TooLarge),
        }
    }

    /// Has `on_timer(token)` called after this time.
    pub fn set_timer(&self, after: Duration, token: i64) -> Result<(), AbiError> {
        let actor = self.actor()?;
        let mut desk = actor.desk.lock();
        if desk.timers.len() >= actor.config.timers {
            return Err(AbiError::Full);
        }
        if desk.state != State::Running {
            return Err(AbiError::Gone);
        }
        let number = desk.timers_set;
        desk.timers_set += 1;
        let alarm = Alarm::Timer(Arc::downgrade(&actor), number, token);
        let alarm = actor.common.timers.at(far(Instant::now(), after), alarm);
        desk.timers.insert(number, alarm);
        Ok(())
    }
}

/// Hands a message to everybody who subscribed and runs, but not to its sender, and says to how many. Nobody is
/// waited for: where there is no room it becomes a dead letter.
///
/// # Errors
/// Nobody took it.
pub(super) fn fan_out(
    subscribers: &[Arc<Actor>],
    topic: &Topic,
    mut envelope: Envelope,
    from: Option<&Arc<Actor>>,
) -> Result<u64, SendError> {
    envelope.topic = Some(topic.clone());
    let (mut taken, mut refused) = (0, None);
    for subscriber in subscribers {
        if from.is_some_and(|from| Arc::ptr_eq(from, subscriber)) {
            continue;
        }
        match subscriber.offer(envelope.copy(), None) {
            Offered::Taken => taken += 1,
            Offered::Refused(_, SendError::NotRunning { .. }) => {}
            Offered::Refused(letter, error) => {
                let reason = match error {
                    SendError::TooLarge { .. } => DeadReason::TooLarge,
                    _ => DeadReason::Full,
                };
                subscriber.bury([letter], reason);
                refused.get_or_insert(error);
            }
            Offered::Full(letter) => subscriber.bury([letter], DeadReason::Full),
        }
    }
    if let Some(from) = from {
        from.sent(taken, envelope.body.len() as u64);
    }
    match (taken, refused) {
        (0, None) => Err(SendError::NoSubscriber(topic.clone().into())),
        (0, Some(error)) => Err(error),
        (n, _) => Ok(n),
    }
}

impl Outgoing {
    /// When its sender waits no longer.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Its sender waits no longer than until `at`, and is told that there was no room.
    pub fn until_at_most(&mut self, at: Instant) {
        if at < self.until {
            (self.until, self.answer) = (at, AbiError::Full);
        }
    }

    /// Offers it again, and says what the guest is told; `None` to wait on.
    pub fn try_again(&mut self, now: Instant) -> Option<Result<i64, AbiError>> {
        if now >= self.until && self.answer == AbiError::TimedOut {
            return Some(Err(AbiError::TimedOut));
        }
        self.offer(now < self.until)
    }

    fn offer(&mut self, patient: bool) -> Option<Result<i64, AbiError>> {
        let Some(envelope) = self.envelope.take() else { return Some(Err(AbiError::Failed)) };
        let (bytes, deadline) = (envelope.body.len() as u64, envelope.deadline);
        if patient && self.waker.is_none() && self.ticket.number().is_some() {
            self.waker = Some(this_thread());
        }
        let waker = || self.waker.clone().unwrap_or_else(this_thread);
        let waker = patient.then_some(&waker as &dyn Fn() -> Waker);
        match self.to.offer(envelope, Some(Patience { ticket: &mut self.ticket, waker })) {
            Offered::Taken => {
                self.from.sent(1, bytes);
                if let (Some(id), Some(deadline)) = (self.correlation, deadline) {
                    self.from.expect_until(id, deadline);
                }
                Some(Ok(self.correlation.map_or(1, |id| i64::try_from(id).unwrap_or(i64::MAX))))
            }
            Offered::Full(envelope) => {
                self.envelope = Some(envelope);
                None
            }
            Offered::Refused(envelope, error) => {
                self.envelope = Some(envelope);
                Some(Err(code(&error)))
            }
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // It was not taken. The guest is told at once, and no reply is waited for.
        let Some(mut envelope) = self.envelope.take() else { return };
        if let Some(right) = envelope.reply_to.take() {
            right.forget();
        }
        if let Some(alarm) = self.correlation.and_then(|id| self.from.desk.lock().waiting.remove(&id).flatten()) {
            self.from.common.timers.cancel(alarm);
        }
    }
}
