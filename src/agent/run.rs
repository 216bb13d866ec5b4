//! What an agent does when its turn comes: a few pieces of work, one after the other, on a worker that holds a
//! run permit. No desk is locked while its guest runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam_engine::{CancelHandle, Limit};
use tokio::sync::oneshot;

use super::actor::{Actor, After, messages};
use super::body::{Body, Given, Lost};
use super::config::OnFailure;
use super::dead::DeadReason;
use super::desk::{Aside, Begin, Executed, Job, Turn};
use super::error::{ExecuteError, StartError};
use super::lifecycle::{Move, State, next};
use super::message::Envelope;
use super::runtime::Drained;
use super::timers::{Alarm, far};
use super::usage::add;
use crate::audit::{Event, EventKind, Subject};
use crate::sandbox::{CallError, CallErrorKind, Receipt};

/// Pieces of work in one turn, and the time after which no other is begun: a flooded agent must not keep its
/// worker.
const PIECES: u32 = 64;
const TURN: Duration = Duration::from_millis(1);

/// The pause before the second restart is twice this, and before each further one twice the one before.
const RESTART: Duration = Duration::from_micros(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One piece of work.
enum Work {
    Message(Envelope),
    Job(Job),
    /// It has nothing more to do and is to end; whether it may still say something.
    Finish,
    /// It has ended already.
    Ended,
    /// It owes fuel, and is not run before that is paid.
    Owes,
    Nothing,
}

impl Actor {
    /// A turn.
    pub(super) fn run(self: &Arc<Self>) -> After {
        let mut body = self.body.lock().take();
        let done = catch_unwind(AssertUnwindSafe(|| self.turn(&mut body)));
        done.unwrap_or_else(|_| {
            drop(body.take());
            self.fail(&mut body, "the host panicked around it".to_owned());
            After::Again
        })
    }

    fn turn(self: &Arc<Self>, body: &mut Option<Body>) -> After {
        let began = Instant::now();
        for _ in 0..PIECES {
            match self.next_work(body) {
                Work::Message(message) => self.handle(body, message),
                Work::Job(Job::Begin(begin)) => {
                    let done = self.begin(body);
                    self.begun(begin.answer, done);
                }
                Work::Job(Job::Execute { export, input, depth, answer }) => {
                    // Nobody waits for it any more.
                    if !answer.is_closed() {
                        let done = self.execute(body, &export, input, depth);
                        let _ = answer.send(done);
                    }
                }
                Work::Job(Job::Timer(number, token)) => self.on_timer(body, number, token),
                Work::Finish => self.finish(body),
                Work::Ended => {
                    drop(body.take());
                    self.counters.holds(0);
                    if self.rest() {
                        return After::Done;
                    }
                }
                Work::Owes => {
                    *self.body.lock() = body.take();
                    if self.wait_for_payment() {
                        return After::Done;
                    }
                    *body = self.body.lock().take();
                }
                Work::Nothing => {
                    *self.body.lock() = body.take();
                    if self.rest() {
                        return After::Done;
                    }
                    *body = self.body.lock().take();
                }
            }
            if began.elapsed() >= TURN {
                break;
            }
        }
        *self.body.lock() = body.take();
        After::Again
    }

    /// Leaves the scheduler, unless there is work again. Its instance was put back, or is gone.
    fn rest(&self) -> bool {
        let mut desk = self.desk.lock();
        if desk.has_work() {
            return false;
        }
        desk.turn = Turn::Idle;
        if matches!(desk.state, State::Unloaded | State::Stopped | State::Failed) && self.body.lock().is_some() {
            // It was ended after it had put its instance back.
            desk.turn = Turn::Taken;
            drop(desk);
            let body = self.body.lock().take();
            drop(body);
            self.counters.holds(0);
            return self.rest();
        }
        let gone = std::mem::take(&mut desk.gone);
        drop(desk);
        for gone in gone {
            let _ = gone.send(());
        }
        true
    }

    /// Leaves the scheduler until its debt is paid, unless it owes nothing any more or has been ended. Its instance
    /// was put back.
    fn wait_for_payment(self: &Arc<Self>) -> bool {
        let mut desk = self.desk.lock();
        let goes_on = match desk.state {
            State::Running => true,
            State::Draining => desk.draining.as_ref().is_some_and(|draining| !draining.over),
            State::Unloaded | State::Loaded | State::Stopped | State::Failed => false,
        };
        let Some(time) = desk.owes().filter(|_| goes_on) else { return false };
        desk.turn = Turn::InDebt;
        let alarm = self.common.timers.at(far(Instant::now(), time), Alarm::Paid(Arc::downgrade(self)));
        if let Some(before) = desk.debt.replace(alarm) {
            self.common.timers.cancel(before);
        }
        true
    }

    fn next_work(&self, body: &mut Option<Body>) -> Work {
        let mut aside = Aside::default();
        let (work, limits) = {
            let mut desk = self.desk.lock();
            let work = match desk.state {
                State::Unloaded | State::Loaded | State::Stopped | State::Failed => Work::Ended,
                State::Draining if desk.draining.as_ref().is_none_or(|draining| draining.over) => Work::Finish,
                State::Running | State::Draining => {
                    let (begins, asked_for) = match desk.jobs.front() {
                        Some(Job::Begin(begin)) => (true, begin.asked_for),
                        _ => (false, false),
                    };
                    let nothing = desk.jobs.is_empty() && (!desk.is_called || desk.mailbox.is_empty());
                    if nothing {
                        if desk.state == State::Draining { Work::Finish } else { Work::Nothing }
                    } else if !asked_for && desk.owes().is_some() {
                        Work::Owes
                    } else {
                        let mail_first = desk.mail_first && !begins && desk.is_called;
                        desk.mail_first = !desk.mail_first;
                        let mail = if mail_first { desk.take_mail(&mut aside) } else { None };
                        match (mail, desk.jobs.is_empty()) {
                            (Some(message), _) => Work::Message(message),
                            (None, false) => desk.jobs.pop_front().map_or(Work::Nothing, Work::Job),
                            (None, true) => desk.take_mail(&mut aside).map_or(Work::Nothing, Work::Message),
                        }
                    }
                }
            };
            let changed = std::mem::take(&mut desk.limits_changed);
            (work, changed.then(|| desk.limits.clone()))
        };
        if let (Some(limits), Some(body)) = (limits, body) {
            body.set_limits(&limits);
        }
        self.put_aside(aside);
        work
    }

    /// Makes its instance and runs `init`.
    fn begin(self: &Arc<Self>, body: &mut Option<Body>) -> Result<(), StartError> {
        drop(body.take());
        self.counters.holds(0);
        let (limits, cancel) = {
            let mut desk = self.desk.lock();
            desk.limits_changed = false;
            (desk.made_with, desk.pause) = (Some(desk.limits.message), None);
            (desk.limits.clone(), desk.cancel.clone())
        };
        let state = match self.common.stores.state_of(self) {
            Ok(state) => state,
            Err(why) => {
                self.fail(body, why.to_string());
                return Err(why);
            }
        };
        let made = self.sandbox.guest_with(&self.module, state, limits).map_err(StartError::Guest);
        let made = made.and_then(|guest| match Body::new(guest, self.hooks, &cancel) {
            Ok(body) => Ok(body),
            Err(refusal) => Err(StartError::Hook(refusal)),
        });
        match made {
            Ok(made) => self.counters.holds(body.insert(made).memory()),
            Err(why) => {
                self.fail(body, why.to_string());
                return Err(why);
            }
        }
        self.note(EventKind::Started, "");
        let Some(done) = body.as_mut().and_then(|body| body.init(self.config.config.as_slice().into())) else {
            return Ok(());
        };
        match self.account(body, done) {
            Ok(given) if given.status < 0 => {
                self.fail(body, format!("`init` failed with status {}", given.status));
                Err(StartError::Refused(given.status))
            }
            // It has ended itself, or was ended.
            Ok(_) if body.is_none() => Err(StartError::EndedItself),
            Ok(_) => Ok(()),
            Err(error) => {
                // Refused: it is there, and cannot be called like this.
                if body.is_some() {
                    self.fail(body, error.to_string());
                }
                Err(error.into())
            }
        }
    }

    /// Tells whoever waits for a new instance what became of it, unless another one will take its place.
    fn begun(&self, answer: Option<oneshot::Sender<Result<(), StartError>>>, done: Result<(), StartError>) {
        let Some(answer) = answer else { return };
        if done.is_err() {
            let mut desk = self.desk.lock();
            if let Some(Job::Begin(again)) = desk.jobs.front_mut() {
                again.answer = Some(answer);
                return;
            }
        }
        let _ = answer.send(done);
    }

    fn handle(self: &Arc<Self>, body: &mut Option<Body>, message: Envelope) {
        add(&self.counters.messages_in, 1);
        add(&self.counters.bytes_in, message.body.len() as u64);
        let Some(running) = body.as_mut() else {
            self.bury([message], DeadReason::Failed);
            return;
        };
        let done = running.handle(message);
        // What was lost with it is seen to there.
        let Ok(Given { status, output, message: Some(mut message), .. }) = self.account(body, done) else { return };
        if status < 0 {
            add(&self.counters.said_no, 1);
            self.note(EventKind::Failed, format!("`handle_message` failed with status {status}"));
            self.bury([message], DeadReason::Failed);
        } else if !output.is_empty()
            && let Some(right) = message.reply_to.take()
        {
            let bytes = output.len() as u64;
            if right.answer(&self.identity, output.into(), true).is_ok() {
                self.sent(1, bytes);
            }
        }
    }

    fn execute(self: &Arc<Self>, body: &mut Option<Body>, export: &str, input: Arc<[u8]>, depth: u32) -> Executed {
        let Some(running) = body.as_mut() else { return (Err(ExecuteError::Ended), None) };
        let done = running.execute(export, input, depth);
        match self.account(body, done) {
            Ok(Given { status, receipt, .. }) if status < 0 => (Err(ExecuteError::Failed(status)), Some(receipt)),
            Ok(Given { output, receipt, .. }) => (Ok(output), Some(receipt)),
            Err(error) => {
                let receipt = error.receipt().clone();
                (Err(error.into()), Some(receipt))
            }
        }
    }

    fn on_timer(self: &Arc<Self>, body: &mut Option<Body>, number: u64, token: i64) {
        self.desk.lock().timers.remove(&number);
        let Some(done) = body.as_mut().and_then(|body| body.timer(token)) else { return };
        // How it ended is in the agent's state.
        let _ = self.account(body, done);
    }

    /// Adds up what a call has cost, and notes what it did that it should not have.
    fn tally(&self, running: &mut Body, receipt: &Receipt, error: Option<&CallError>) {
        let since = running.since();
        self.counters.called(receipt, &since);
        if let Some(bucket) = &mut self.desk.lock().bucket {
            bucket.spend(receipt.fuel.saturating_add(since.tool_fuel), Instant::now());
        }
        if since.refused_growths > 0 {
            self.note(EventKind::RefusedGrowth, format!("{} times", since.refused_growths));
            self.violation(since.refused_growths);
        }
        // A call that the host cut off, or never made, is no doing of the agent's.
        let Some(error) = error.filter(|error| error.kind() != CallErrorKind::Refused) else { return };
        if error.limit() == Some(Limit::Cancelled) {
            return;
        }
        let subject = Subject::agent(self.identity.name.as_str(), self.identity.id.uuid());
        self.common.audit.record(Event::failed(subject, error));
        if matches!(error.kind(), CallErrorKind::Guest | CallErrorKind::Limit) {
            self.violation(1);
        }
    }

    /// What a message that is lost now is lost to.
    fn reason(&self) -> DeadReason {
        let desk = self.desk.lock();
        match desk.state {
            State::Unloaded => DeadReason::Removed,
            State::Draining if desk.draining.as_ref().is_some_and(|draining| draining.over) => DeadReason::Stopped,
            _ => DeadReason::Failed,
        }
    }

    /// Adds up what a call has cost, and ends the agent if it did not come back.
    fn account<T: Counted>(self: &Arc<Self>, body: &mut Option<Body>, done: Result<T, Lost>) -> Result<T, CallError> {
        let (done, letters) = match done {
            Ok(done) => (Ok(done), Vec::new()),
            Err(Lost { error, letters }) => (Err(error), letters),
        };
        let receipt = match &done {
            Ok(given) => given.receipt(),
            Err(error) => error.receipt(),
        };
        if let Some(running) = body.as_mut() {
            self.tally(running, receipt, done.as_ref().err());
        }
        let cancelled = done.as_ref().is_err_and(|error| error.limit() == Some(Limit::Cancelled));
        if cancelled && self.desk.lock().cut_off(&letters) {
            add(&self.counters.cut_off, 1);
        }
        self.bury(letters, self.reason());
        if body.as_ref().is_some_and(Body::is_dead) {
            let why = match &done {
                Err(error) => error.to_string(),
                Ok(_) => "it ended itself".to_owned(),
            };
            self.fail(body, why);
        } else if self.is_condemned() {
            self.fail(body, "it broke too many rules".to_owned());
        }
        done
    }

    /// Its instance is lost. A new one takes its place, or it has failed.
    fn fail(self: &Arc<Self>, body: &mut Option<Body>, why: String) {
        drop(body.take());
        self.counters.holds(0);
        let mut desk = self.desk.lock();
        let over = desk.draining.as_ref().map(|draining| draining.over);
        if over == Some(true) || !matches!(desk.state, State::Running | State::Draining) {
            // It was ended from outside, in the middle of a call: that is no failure of its own.
            return;
        }
        let condemned = self.is_condemned();
        let why = if condemned { "it broke too many rules".to_owned() } else { why };
        Self::failure(&mut desk, why.clone());
        let again = match self.config.on_failure {
            OnFailure::Restart { times } => over.is_none() && !condemned && desk.restarts < times,
            OnFailure::Fail => false,
        };
        desk.forget_alarms(&self.common.timers);
        if again {
            // The first at once, then after a pause that doubles: what it lacks may come, and failing costs.
            let pause = RESTART.saturating_mul(1 << desk.restarts.min(20)).min(LONGEST_PAUSE);
            desk.pause = (desk.restarts > 0).then(|| far(Instant::now(), pause));
            desk.restarts += 1;
            desk.life += 1;
            desk.jobs.push_front(Job::Begin(Begin::default()));
            drop(desk);
            self.note(EventKind::Restarted, why);
            return;
        }
        let Ok(state) = next(desk.state, Move::Fail) else { return };
        let left = desk.end(state, &self.common.timers);
        drop(desk);
        let drained = Drained { failed: Some(why.clone()), ..left.drained.clone() };
        self.over(left, DeadReason::Failed, &Ok(drained), (EventKind::Ended, &why));
    }

    /// It has nothing left to do, or no time: `shutdown`, and it is stopped.
    fn finish(self: &Arc<Self>, body: &mut Option<Body>) {
        let cancel = {
            let mut desk = self.desk.lock();
            // The alarm that cuts the queue off is not for `shutdown`.
            desk.life += 1;
            // Nor is the handle that it cancels, perhaps only now.
            if desk.state == State::Draining {
                desk.cancel = CancelHandle::new();
            }
            desk.cancel.clone()
        };
        let failed = match body.as_mut() {
            Some(running) if !running.is_dead() => {
                running.last_words(self.config.drain, &cancel);
                running.shutdown().and_then(|done| {
                    let (receipt, why, error, letters) = match done {
                        Ok(given) if given.status < 0 => {
                            let why = format!("`shutdown` failed with status {}", given.status);
                            (given.receipt, Some(why), None, Vec::new())
                        }
                        Ok(given) => (given.receipt, None, None, Vec::new()),
                        Err(Lost { error, letters }) => {
                            (error.receipt().clone(), Some(error.to_string()), Some(error), letters)
                        }
                    };
                    self.tally(running, &receipt, error.as_ref());
                    self.bury(letters, self.reason());
                    why
                })
            }
            _ => None,
        };
        drop(body.take());
        self.counters.holds(0);
        let mut desk = self.desk.lock();
        let Ok(state) = next(desk.state, Move::Finish) else { return };
        if let Some(why) = &failed {
            Self::failure(&mut desk, why.clone());
        }
        let left = desk.end(state, &self.common.timers);
        drop(desk);
        let drained = Drained { failed, ..left.drained.clone() };
        let cut_off = if drained.cut_off > 0 { "; cut off in a call: its time to drain was over" } else { "" };
        let detail = format!("{} dropped{cut_off}", messages(drained.dropped));
        self.over(left, DeadReason::Stopped, &Ok(drained), (EventKind::Stopped, &detail));
    }
}

/// What a call gives that says what it cost.
trait Counted {
    fn receipt(&self) -> &Receipt;
}

impl Counted for Given {
    fn receipt(&self) -> &Receipt {
        &self.receipt
    }
}

impl Counted for Receipt {
    fn receipt(&self) -> &Receipt {
        self
    }
}
