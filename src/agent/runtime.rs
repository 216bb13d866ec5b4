//! [`Runtime`]: the face of it all.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use cofferdam_engine::Engine;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{broadcast, oneshot};

use super::actor::{Actor, Common, Offered, Patience, Refusal};
use super::body::Hooks;
use super::builder::RuntimeBuilder;
use super::config::{AgentConfig, FuelRate, WhenFull};
use super::dead::DeadLetter;
use super::desk::Job;
use super::error::{
    DeployError, ExecuteError, RequestError, SendError, SetLimitsError, ShutdownTimedOut, StartError, StopError,
    UnknownAgent,
};
use super::id::{Address, AgentId, AgentName, Identity, Topic};
use super::lifecycle::State;
use super::message::{Envelope, HostRequest, ReplyRight};
use super::post::fan_out;
use super::room::Ticket;
use super::timers::{Alarm, Set, far};
use super::usage::AgentInfo;
use super::wait::{beside, until};
use crate::audit::{Event, EventKind, Subject};
use crate::host::agent::{self, Capability, LogLine, MODULE};
use crate::policy::{Limits, MemoryBytes, SecurityPolicy};
use crate::sandbox::{Receipt, Resources, Sandbox, work_on};

/// Deploys modules as agents and keeps them. Clones are the same runtime; everything on it may be called from many
/// threads and tasks. With the last clone, all its agents end.
///
/// ```
/// use cofferdam::agent::{AgentConfig, AgentName, Runtime};
/// use cofferdam::engines;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if engines::names().is_empty() { return Ok(()); }
/// let runtime = Runtime::builder().build()?;
/// // Answers each message with the message itself.
/// let echo = br#"(module (memory (export "memory") 1)
///     (func (export "alloc") (param i32) (result i32) (i32.const 16))
///     (func (export "handle_message") (param i32 i32) (result i32 i32) (local.get 0) (local.get 1)))"#;
/// let id = runtime.deploy(AgentName::new("echo")?, echo, AgentConfig::default()).await?;
/// runtime.start(id).await?;
/// let reply = runtime.request(&"echo".parse()?, b"hello", std::time::Duration::from_secs(1)).await?;
/// assert_eq!(&*reply, b"hello");
/// assert_eq!(runtime.stop(id).await?.dropped, 0);
/// runtime.remove(id).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    common: Arc<Common>,
    engine: Arc<dyn Engine>,
    resources: Arc<Resources>,
    /// Sandboxes by engine and policy, so that agents alike share one.
    sandboxes: Mutex<Vec<(Arc<dyn Engine>, Sandbox)>>,
}

/// Sandboxes kept; with more kinds of agents than this, some have one of their own.
const SANDBOXES: usize = 64;

/// What became of an agent that was stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drained {
    /// Messages that it handled while it drained.
    pub handled: u64,
    /// Messages for which it had no time, with those of a call that was cut off; they are dead letters.
    pub dropped: u64,
    /// Calls that were cut off when its time was over.
    pub cut_off: u64,
    /// Why it failed while it drained or in `shutdown`, if it did.
    pub failed: Option<String>,
}

/// What follows from new limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitsChanged {
    /// Limits that were changed and that the instance keeps as it was made with them; the next instance, after a
    /// stop and a start or a restart, has the new ones. All others hold from the next call.
    pub at_restart: Vec<&'static str>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.common.directory.close();
        for actor in self.common.directory.all() {
            self.common.directory.remove(actor.identity.id);
            drop(actor.remove());
            actor.discard();
            self.common.directory.free(&actor);
        }
    }
}

/// A message that was not accepted yet. Whoever asked is told so, and waits for no reply to it.
struct Unsent(Option<Envelope>);

impl Drop for Unsent {
    fn drop(&mut self) {
        if let Some(right) = self.0.take().and_then(|mut envelope| envelope.reply_to.take()) {
            right.forget();
        }
    }
}

impl Runtime {
    /// A runtime, put together piece by piece.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }

    pub(super) fn new(common: Arc<Common>, engine: Arc<dyn Engine>, resources: Arc<Resources>) -> Self {
        Self(Arc::new(Inner { common, engine, resources, sandboxes: Mutex::default() }))
    }

    fn actor(&self, id: AgentId) -> Result<Arc<Actor>, UnknownAgent> {
        self.0.common.directory.by_id(id).ok_or_else(|| id.into())
    }

    /// The id of the agent called `name`.
    #[must_use]
    pub fn find(&self, name: &AgentName) -> Option<AgentId> {
        self.0.common.directory.by_name(name.as_str()).map(|actor| actor.identity.id)
    }

    /// What all agents share.
    #[must_use]
    pub fn resources(&self) -> &Arc<Resources> {
        &self.0.resources
    }

    /// Takes a module (binary or text) through every gate, compiles it on a worker unless it is compiled already,
    /// and admits it as the agent `name`. Nothing of it runs yet.
    ///
    /// # Errors
    /// The name is taken, there are too many agents, the engine cannot enforce the policy, or the module is refused.
    pub async fn deploy(&self, name: AgentName, module: &[u8], config: AgentConfig) -> Result<AgentId, DeployError> {
        let directory = &self.0.common.directory;
        directory.check(&name)?;
        let (len, cap) = (config.config.len() as u64, config.policy.limits.message);
        if len > cap.get() {
            return Err(DeployError::ConfigTooLong { len, cap });
        }
        let sandbox = self.sandbox(&config)?;
        let id = AgentId::new();
        let module = sandbox.load_async(module.to_vec()).await.inspect_err(|error| {
            let subject = Subject::agent(name.as_str(), id.uuid());
            self.0.common.audit.record(Event::not_loaded(subject, error));
        })?;
        let hooks = Hooks::of(&module).inspect_err(|error| {
            let subject = Subject::agent(name.as_str(), id.uuid());
            self.0.common.audit.record(Event::new(subject, EventKind::DeniedModule, error.to_string()));
        })?;
        let actor = Actor::new(Identity { id, name }, self.0.common.clone(), config, sandbox, module, hooks);
        directory.insert(&actor)?;
        actor.note(EventKind::Deployed, "");
        Ok(id)
    }

    /// The sandbox for agents of this engine and policy. Limits of single guests are not its business.
    fn sandbox(&self, config: &AgentConfig) -> Result<Sandbox, DeployError> {
        let engine = config.engine.as_ref().unwrap_or(&self.0.engine);
        let descriptor = engine.descriptor();
        config.policy.check(descriptor.id, &descriptor.capabilities)?;
        let mut policy = config.policy.clone();
        for function in Capability::Io.functions() {
            policy.grants = policy.grants.import(MODULE, function);
        }
        policy.limits = Limits { timeout: policy.limits.timeout.map(|_| Duration::from_secs(1)), ..Limits::agent() };
        let mut sandboxes = self.0.sandboxes.lock();
        let known = sandboxes.iter().find(|(e, sandbox)| Arc::ptr_eq(e, engine) && *sandbox.policy() == policy);
        if let Some((_, sandbox)) = known {
            return Ok(sandbox.clone());
        }
        let sandbox = Sandbox::builder(engine.clone())
            .policy(policy)
            .host(agent::imports())
            .resources(self.0.resources.clone())
            .build()?;
        if sandboxes.len() < SANDBOXES {
            sandboxes.push((engine.clone(), sandbox.clone()));
        }
        Ok(sandbox)
    }

    /// Makes the agent's instance and runs `init`. Messages sent from now on are accepted and handled after it.
    ///
    /// # Errors
    /// It runs already; the host has no memory left for it; `init` did not succeed, and it has failed; a restart that it has left is tried before.
    pub async fn start(&self, id: AgentId) -> Result<(), StartError> {
        self.start_all(&[id]).await.pop().unwrap_or(Err(StartError::Ended))
    }

    /// Starts several. All of them accept messages before the first `init` runs, so that each can send to any
    /// other from there.
    ///
    /// # Errors
    /// As [`Runtime::start`], for each by itself.
    pub async fn start_all(&self, ids: &[AgentId]) -> Vec<Result<(), StartError>> {
        let mut ready = Vec::with_capacity(ids.len());
        let begun = ids.iter().map(|id| {
            let actor = self.actor(*id)?;
            let (answer, done) = oneshot::channel();
            let poked = actor.start(answer)?;
            ready.push((actor, poked));
            Ok(done)
        });
        let begun: Vec<Result<_, StartError>> = begun.collect();
        for (actor, poked) in ready {
            actor.ready(poked);
        }
        let mut done = Vec::with_capacity(begun.len());
        for begun in begun {
            done.push(match begun {
                Ok(ended) => ended.await.unwrap_or(Err(StartError::Ended)),
                Err(error) => Err(error),
            });
        }
        done
    }

    /// Calls the export `function` with bytes, when the agent's turn comes, and gives what it gives.
    ///
    /// # Errors
    /// It does not run, too many wait for it, or the call did not return.
    pub async fn execute(&self, id: AgentId, function: &str, input: &[u8]) -> Result<Vec<u8>, ExecuteError> {
        self.execute_with_receipt(id, function, input).await.0
    }

    /// The same with what the call cost, if it was begun.
    pub async fn execute_with_receipt(
        &self,
        id: AgentId,
        function: &str,
        input: &[u8],
    ) -> (Result<Vec<u8>, ExecuteError>, Option<Receipt>) {
        let actor = match self.actor(id) {
            Ok(actor) => actor,
            Err(unknown) => return (Err(unknown.into()), None),
        };
        let (len, cap) = (input.len() as u64, actor.desk.lock().message_cap());
        if len > cap.get() {
            return (Err(ExecuteError::TooLarge { len, cap }), None);
        }
        let (answer, done) = oneshot::channel();
        let job = Job::Execute { export: function.to_owned(), input: input.into(), depth: agent::depth_here(), answer };
        match actor.ask(job) {
            Ok(()) => {}
            Err((_, Refusal::NotRunning(state))) => return (Err(ExecuteError::NotRunning(state)), None),
            Err((_, Refusal::Busy)) => return (Err(ExecuteError::Busy(actor.config.calls)), None),
        }
        drop(actor);
        done.await.unwrap_or((Err(ExecuteError::Ended), None))
    }

    /// Sends a message from the host, and says to how many it went: one, or those who subscribed to the topic. If
    /// the receiver's mailbox is full and lets senders wait, this waits.
    ///
    /// # Errors
    /// Nobody took it.
    pub async fn send(&self, to: &Address, body: &[u8]) -> Result<u64, SendError> {
        let envelope = Envelope::new(None, body.into());
        match to {
            Address::Topic(topic) => self.publish(topic, envelope),
            to => self.deliver(to, envelope).await.map(|()| 1),
        }
    }

    /// The same for a message that is not to be handled later than `time` from now.
    ///
    /// # Errors
    /// Nobody took it.
    pub async fn send_within(&self, to: &Address, body: &[u8], time: Duration) -> Result<u64, SendError> {
        let mut envelope = Envelope::new(None, body.into());
        envelope.deadline = Instant::now().checked_add(time);
        match to {
            Address::Topic(topic) => self.publish(topic, envelope),
            to => self.deliver(to, envelope).await.map(|()| 1),
        }
    }

    fn publish(&self, topic: &Topic, envelope: Envelope) -> Result<u64, SendError> {
        fan_out(&self.0.common.directory.by_topic(topic.as_str()), topic, envelope, None)
    }

    async fn deliver(&self, to: &Address, envelope: Envelope) -> Result<(), SendError> {
        let common = &self.0.common;
        let actor = common.directory.one(to).ok_or_else(|| UnknownAgent(to.clone()))?;
        let deadline = envelope.deadline;
        let is_over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let WhenFull::Block(time) = actor.config.mailbox.when_full else {
            // Nobody waits: it is told at once, without a look at the clock.
            let (envelope, error) = match actor.offer(envelope, None) {
                Offered::Taken => return Ok(()),
                Offered::Full(envelope) => (envelope, SendError::Full(to.clone())),
                Offered::Refused(envelope, error) => (envelope, error),
            };
            drop(Unsent(Some(envelope)));
            let late = matches!(error, SendError::Full(_)) && is_over();
            return Err(if late { SendError::TimedOut(to.clone()) } else { error });
        };
        let mut waiting = Unsent(Some(envelope));
        let patience = far(Instant::now(), time);
        let at = deadline.map_or(patience, |deadline| deadline.min(patience));
        let mut ticket = Ticket::new(&actor);
        let offered = poll_fn(|context| {
            let Some(envelope) = waiting.0.take() else { return Poll::Ready(Err(SendError::Full(to.clone()))) };
            let waker = || context.waker().clone();
            let waker = (Instant::now() < at).then_some(&waker as &dyn Fn() -> Waker);
            match actor.offer(envelope, Some(Patience { ticket: &mut ticket, waker })) {
                Offered::Taken => Poll::Ready(Ok(())),
                Offered::Refused(envelope, error) => {
                    waiting.0 = Some(envelope);
                    Poll::Ready(Err(error))
                }
                Offered::Full(envelope) => {
                    waiting.0 = Some(envelope);
                    Poll::Pending
                }
            }
        });
        match until(&common.timers, at, offered).await {
            Some(Ok(())) => Ok(()),
            Some(Err(SendError::Full(_))) | None if is_over() => Err(SendError::TimedOut(to.clone())),
            Some(Err(error)) => Err(error),
            None => Err(SendError::Full(to.clone())),
        }
    }

    /// Sends a message from the host and waits for the reply.
    ///
    /// # Errors
    /// Nobody took it, or no reply came.
    pub async fn request(&self, to: &Address, body: &[u8], timeout: Duration) -> Result<Arc<[u8]>, RequestError> {
        if let Address::Topic(_) = to {
            return Err(RequestError::Topic);
        }
        let (answer, reply) = oneshot::channel();
        let request = HostRequest::new(answer);
        let deadline = far(Instant::now(), timeout);
        let mut envelope = Envelope::new(None, body.into());
        envelope.deadline = Some(deadline);
        envelope.correlation = Some(0);
        envelope.depth = agent::depth_here();
        envelope.reply_to = Some(ReplyRight::host(&request));
        let timers = &self.0.common.timers;
        let _alarm = Set(timers, timers.at(deadline, Alarm::HostRequest(request)));
        match self.deliver(to, envelope).await {
            Ok(()) => reply.await.unwrap_or(Err(RequestError::NoReply)),
            Err(SendError::TimedOut(_)) => Err(RequestError::TimedOut),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets the agent finish what is queued, within [`AgentConfig::drain`], runs `shutdown`, and gives its memory
    /// back. It takes no new work meanwhile.
    ///
    /// # Errors
    /// It does not run.
    pub async fn stop(&self, id: AgentId) -> Result<Drained, StopError> {
        let actor = self.actor(id)?;
        let (answer, done) = oneshot::channel();
        actor.drain(answer)?;
        drop(actor);
        done.await.unwrap_or(Err(StopError::Removed))
    }

    /// Ends the agent at once, whatever it does, and forgets it. Returns when its memory is given back, and its name
    /// is free. What waited for it becomes dead letters; what it stored in memory is gone.
    ///
    /// # Errors
    /// There is no such agent, or it is removed already.
    pub async fn remove(&self, id: AgentId) -> Result<(), UnknownAgent> {
        /// However this ends, its name does not stay taken.
        struct Removed(Arc<Actor>);
        impl Drop for Removed {
            fn drop(&mut self) {
                let Self(actor) = self;
                actor.discard();
                actor.common.stores.forget(actor);
                actor.common.directory.free(actor);
            }
        }
        let removed = Removed(self.0.common.directory.remove(id).ok_or_else(|| UnknownAgent::from(id))?);
        if let Some(gone) = removed.0.remove() {
            // The sender's end is only dropped when the instance is gone too.
            let _ = gone.await;
        }
        beside(move || drop(removed)).await;
        Ok(())
    }

    /// All agents, by name.
    #[must_use]
    pub fn list(&self) -> Vec<AgentInfo> {
        let mut all: Vec<_> = self.0.common.directory.all().iter().map(|actor| actor.info()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// One agent.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn info(&self, id: AgentId) -> Result<AgentInfo, UnknownAgent> {
        Ok(self.actor(id)?.info())
    }

    /// What the agent is doing. One that has ended is seen as that a moment before the letters that it left are dead
    /// ones and the audit is told.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn state(&self, id: AgentId) -> Result<State, UnknownAgent> {
        Ok(self.actor(id)?.desk.lock().state)
    }

    /// Linear memory that its instance holds, as of the end of its last call.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn memory_usage(&self, id: AgentId) -> Result<MemoryBytes, UnknownAgent> {
        Ok(self.actor(id)?.counters.usage().memory)
    }

    /// Fuel that it has used: the sum over the receipts of its calls.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn fuel_usage(&self, id: AgentId) -> Result<u64, UnknownAgent> {
        Ok(self.actor(id)?.counters.usage().fuel)
    }

    /// The host functions that its policy grants, as module and name: exactly these can be linked.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn exposed_host_functions(&self, id: AgentId) -> Result<Vec<(String, String)>, UnknownAgent> {
        Ok(self.actor(id)?.sandbox.granted())
    }

    /// The policy it was deployed with.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn policy(&self, id: AgentId) -> Result<SecurityPolicy, UnknownAgent> {
        let actor = self.actor(id)?;
        let limits = actor.desk.lock().limits.clone();
        Ok(actor.config.policy.clone().limits(limits))
    }

    /// Gives the agent other limits. Fuel and time hold from the next call, a lower message cap at once; a higher
    /// one and all others are fixed in an instance, and hold for the next one.
    ///
    /// # Errors
    /// There is no such agent, or its engine cannot enforce the limits.
    pub fn set_limits(&self, id: AgentId, limits: Limits) -> Result<LimitsChanged, SetLimitsError> {
        let actor = self.actor(id)?;
        let descriptor = actor.sandbox.engine().descriptor();
        let policy = actor.config.policy.clone().limits(limits.clone());
        policy.check(descriptor.id, &descriptor.capabilities)?;
        let mut desk = actor.desk.lock();
        let before = std::mem::replace(&mut desk.limits, limits.clone());
        desk.limits_changed = true;
        let has_instance = matches!(desk.state, State::Running | State::Draining);
        let has_less = desk.message_cap() < limits.message;
        drop(desk);
        let fixed = [
            ("message", has_less),
            ("memory", before.memory != limits.memory),
            ("stack_units", before.stack_units != limits.stack_units),
            ("table_elements", before.table_elements != limits.table_elements),
            ("instances", before.instances != limits.instances),
            ("host_calls", before.host_calls != limits.host_calls),
            ("output", before.output != limits.output),
            ("open_files", before.open_files != limits.open_files),
            ("scratch", before.scratch != limits.scratch),
            ("disk", before.disk != limits.disk),
        ];
        let changed = fixed.into_iter().filter(|(_, changed)| *changed && has_instance);
        actor.note(EventKind::LimitsChanged, "");
        Ok(LimitsChanged { at_restart: changed.map(|(name, _)| name).collect() })
    }

    /// Gives the agent another rate of fuel. What it owes it still owes; with none, it owes nothing any more.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn set_fuel_rate(&self, id: AgentId, rate: Option<FuelRate>) -> Result<(), UnknownAgent> {
        let actor = self.actor(id)?;
        actor.set_fuel_rate(rate);
        actor.note(EventKind::LimitsChanged, "fuel rate");
        Ok(())
    }

    /// The last messages that were accepted and never handled, oldest first.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.0.common.dead.list()
    }

    /// How many messages were accepted and never handled, the forgotten ones among them.
    #[must_use]
    pub fn dead_letters_total(&self) -> u64 {
        self.0.common.dead.total()
    }

    /// The last lines that it logged.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn logs(&self, id: AgentId) -> Result<Vec<LogLine>, UnknownAgent> {
        Ok(self.actor(id)?.log.lines())
    }

    /// The same, and the lines that follow. Who is slow loses lines, and is told how many.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn follow_logs(&self, id: AgentId) -> Result<(Vec<LogLine>, broadcast::Receiver<LogLine>), UnknownAgent> {
        Ok(self.actor(id)?.log.follow())
    }

    /// Agents deployed, and alarms that are set for them: for those who look for what was left behind.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.0.common.directory.len(), self.0.common.timers.pending())
    }

    /// Deploys nothing more, stops every agent that runs, waits for those that are being stopped, and removes all.
    /// Those that have not ended after `timeout` are cut off. What agents stored is on the disk then. Tells what
    /// became of each of them, and of those that had failed before.
    ///
    /// # Errors
    /// Some were cut off.
    pub async fn shutdown(&self, timeout: Duration) -> Result<Vec<(AgentName, Drained)>, ShutdownTimedOut> {
        let common = &self.0.common;
        let at = far(Instant::now(), timeout);
        common.directory.close();
        let actors = common.directory.all();
        // All drain at once; then each is waited for.
        let (mut draining, mut drained) = (Vec::new(), Vec::new());
        for actor in &actors {
            let name = actor.identity.name.clone();
            let (answer, done) = oneshot::channel();
            if actor.drain(answer).is_ok() {
                draining.push((name, done));
            } else if let AgentInfo { state: State::Failed, failure, .. } = actor.info() {
                drained.push((name, Drained { failed: failure.map(|failure| failure.why), ..Drained::default() }));
            }
        }
        let mut late = 0;
        for (name, done) in draining {
            match until(&common.timers, at, done).await {
                Some(Ok(Ok(done))) => drained.push((name, done)),
                Some(_) => {}
                None => late += 1,
            }
        }
        for actor in actors {
            // Those that were removed meanwhile are gone.
            let _ = self.remove(actor.identity.id).await;
        }
        let stores = self.0.common.clone();
        if work_on(&self.0.resources, move || stores.stores.flush()).await.is_err() {
            common.stores.flush();
        }
        if late > 0 { Err(ShutdownTimedOut { agents: late, after: timeout }) } else { Ok(drained) }
    }
}
