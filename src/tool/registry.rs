//! [`ToolRegistry`]: tools by name, added, replaced and removed while they serve.

use std::collections::BTreeMap;
use std::sync::Arc;

use cofferdam_engine::CancelHandle;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::check::{Check, SchemaError};
use super::error::{FailureKind, ToolError};
use super::{Tool, ToolOutput, is_name};
use crate::audit::{AuditSink, Event, EventKind, NoAudit, Subject};
use crate::sandbox::{Busy, CallOptions, CancelOnDrop, Printable, Resources, Workers, work_on};

/// Most tools in one registry, if nothing else is said.
const ROOM: usize = 1_000;

/// Tools by name. Clones are the same registry; everything on it may be called from many threads.
///
/// - **Replacing and removing**: calls that are under way come to their end on the tool they began with.
/// - **Parallel calls** run in parallel, each in an instance of its own. [`ToolRegistry::call`] runs on the
///   caller's thread; [`ToolRegistry::call_async`] on the workers of the registry's [`Resources`]. When all of
///   them are taken, up to `max_queued_calls` more wait in the queue, and any further ones wait until there is
///   room in it, first come, first served. None is refused for it; the time of a call starts when it runs. Calls by
///   agents have threads of their own, half as many as there are workers; any further ones are refused.
/// - **Comparing** arguments and answers with schemas takes its turn with the guests that run.
#[derive(Clone)]
pub struct ToolRegistry(Arc<Inner>);

struct Inner {
    tools: RwLock<BTreeMap<Arc<str>, Arc<Entry>>>,
    room: usize,
    resources: Arc<Resources>,
    audit: Arc<dyn AuditSink>,
    /// Calls that agents may make at once. An agent that waits holds a worker: others are to be left for those who
    /// do not wait.
    for_agents: Arc<Semaphore>,
    /// Threads on which these calls run, one for each: never the workers, all of which may wait for tools.
    agents_own: Workers,
}

pub(super) struct Entry {
    tool: Arc<dyn Tool>,
    input: Check,
    output: Option<Check>,
}

/// Why a tool was not added, replaced or removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Nothing can be called by that name.
    #[error("`{0}` can be no tool's name: 1 to 64 letters, digits, `.`, `_` and `-` can")]
    Name(Printable),
    /// There is a tool of this name.
    #[error("there is a tool `{0}` already; replace it, or remove it first")]
    Exists(String),
    /// There is no tool of this name.
    #[error("there is no tool `{0}`")]
    Unknown(Printable),
    /// There is no room for more.
    #[error("there are {0} tools, as many as the registry has room for; `ToolRegistry::with` gives more")]
    Full(usize),
    /// A schema cannot be used.
    #[error("the {which} schema of tool `{name}` cannot be used: {error}")]
    Schema {
        /// The tool.
        name: String,
        /// `input` or `output`.
        which: &'static str,
        /// Why.
        error: SchemaError,
    },
}

impl ToolRegistry {
    /// An empty registry with room for 1,000 tools, whose asynchronous calls run on the workers of `resources`.
    #[must_use]
    pub fn new(resources: Arc<Resources>) -> Self {
        Self::with(resources, ROOM, Arc::new(NoAudit))
    }

    /// An empty registry with room for `room` tools, which tells `audit` what becomes of tools, and of calls that
    /// fail.
    #[must_use]
    pub fn with(resources: Arc<Resources>, room: usize, audit: Arc<dyn AuditSink>) -> Self {
        let at_once = (resources.calls_in_flight() / 2).clamp(1, Semaphore::MAX_PERMITS);
        let for_agents = Arc::new(Semaphore::new(at_once));
        // The queue is for the moment between the end of a call and that of its job.
        let agents_own = Workers::new(at_once, at_once);
        Self(Arc::new(Inner { tools: RwLock::default(), room, resources, audit, for_agents, agents_own }))
    }

    /// Adds a tool.
    ///
    /// # Errors
    /// There is one of this name, no room, or a schema that cannot be used.
    pub fn add(&self, tool: impl Tool + 'static) -> Result<(), RegistryError> {
        self.add_shared(Arc::new(tool))
    }

    /// Adds a tool that others hold too.
    ///
    /// # Errors
    /// As [`ToolRegistry::add`].
    pub fn add_shared(&self, tool: Arc<dyn Tool>) -> Result<(), RegistryError> {
        let (name, entry) = entry(tool)?;
        {
            let mut tools = self.0.tools.write();
            if tools.contains_key(&name) {
                return Err(RegistryError::Exists(name.to_string()));
            }
            if tools.len() >= self.0.room {
                return Err(RegistryError::Full(tools.len()));
            }
            tools.insert(name.clone(), entry);
        }
        self.0.audit.record(Event::new(Subject::tool(&name), EventKind::Deployed, ""));
        Ok(())
    }

    /// Puts `tool` in the place of the one of the same name, which is given back. Calls under way come to their
    /// end on that one.
    ///
    /// # Errors
    /// There is none of this name, or a schema that cannot be used.
    pub fn replace(&self, tool: impl Tool + 'static) -> Result<Arc<dyn Tool>, RegistryError> {
        let (name, entry) = entry(Arc::new(tool))?;
        let old = match self.0.tools.write().get_mut(&name) {
            Some(place) => std::mem::replace(place, entry),
            None => return Err(RegistryError::Unknown(Printable::new(&name))),
        };
        self.0.audit.record(Event::new(Subject::tool(&name), EventKind::Replaced, ""));
        Ok(old.tool.clone())
    }

    /// Removes the tool `name`, which is given back. Calls under way come to their end.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn remove(&self, name: &str) -> Result<Arc<dyn Tool>, RegistryError> {
        let removed = self.0.tools.write().remove(name);
        let removed = removed.ok_or_else(|| RegistryError::Unknown(Printable::new(name)))?;
        self.0.audit.record(Event::new(Subject::tool(name), EventKind::Removed, ""));
        Ok(removed.tool.clone())
    }

    /// The tool `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.0.tools.read().get(name).map(|entry| entry.tool.clone())
    }

    /// Whether there is a tool `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.tools.read().contains_key(name)
    }

    /// All tools, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<dyn Tool>> {
        self.0.tools.read().values().map(|entry| entry.tool.clone()).collect()
    }

    /// How many tools there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.tools.read().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls the tool `name` on this thread.
    ///
    /// # Errors
    /// There is no such tool, the arguments are not what it takes, or there is no answer.
    pub fn call(&self, name: &str, arguments: &Value) -> Result<ToolOutput, ToolError> {
        self.call_with(name, arguments, &CallOptions::default())
    }

    /// The same with other limits for this call.
    ///
    /// # Errors
    /// As [`ToolRegistry::call`].
    pub fn call_with(&self, name: &str, arguments: &Value, options: &CallOptions) -> Result<ToolOutput, ToolError> {
        let entry = self.entry(name)?;
        self.run(&entry, arguments, options, None).0
    }

    /// Calls the tool `name` on a worker, waiting for one if none is free. Dropping the future cancels the call.
    ///
    /// # Errors
    /// As [`ToolRegistry::call`], and [`ToolError::NotRun`].
    pub async fn call_async(&self, name: &str, arguments: Value) -> Result<ToolOutput, ToolError> {
        self.call_async_with(name, arguments, CallOptions::default()).await
    }

    /// The same with other limits for this call.
    ///
    /// # Errors
    /// As [`ToolRegistry::call_async`].
    pub async fn call_async_with(
        &self,
        name: &str,
        arguments: Value,
        options: CallOptions,
    ) -> Result<ToolOutput, ToolError> {
        let entry = self.entry(name)?;
        let cancel = options.cancel.as_ref().map_or_else(CancelHandle::new, CancelHandle::child);
        let options = options.cancel(&cancel);
        let _cancel_on_drop = CancelOnDrop(Some(cancel));
        let registry = self.clone();
        work_on(&self.0.resources, move || registry.run(&entry, &arguments, &options, None).0).await?
    }

    /// Room for a call by an agent, if there is any.
    pub(super) fn room_for_agent(&self) -> Option<OwnedSemaphorePermit> {
        self.0.for_agents.clone().try_acquire_owned().ok()
    }

    /// Does `work` for an agent that was given room.
    pub(super) fn work_for_agent(&self, work: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        self.0.agents_own.submit(work)
    }

    pub(super) fn resources(&self) -> &Resources {
        &self.0.resources
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Entry>> {
        self.0.tools.read().get(name).cloned()
    }

    fn entry(&self, name: &str) -> Result<Arc<Entry>, ToolError> {
        self.find(name).ok_or_else(|| {
            let error = ToolError::Unknown(Printable::new(name));
            self.0.audit.record(Event::new(Subject::tool(name), EventKind::DeniedCall, error.to_string()));
            error
        })
    }

    /// Runs it, for the agent called `by` if there is one, and says what the work of the host's own was worth in
    /// fuel beside [`Entry::price`].
    pub(super) fn run(
        &self,
        entry: &Entry,
        arguments: &Value,
        options: &CallOptions,
        by: Option<&str>,
    ) -> (Result<ToolOutput, ToolError>, u64) {
        let mut work = 0;
        let done = entry.run(&self.0.resources, arguments, options, &mut work);
        let record = |event: Event| {
            self.0.audit.record(match by {
                Some(agent) => event.by(agent),
                None => event,
            });
        };
        let subject = || Subject::tool(entry.tool.name());
        match &done {
            Ok(output) => {
                let refused = output.receipt.as_ref().filter(|receipt| receipt.refused_growths > 0);
                if let Some(receipt) = refused {
                    let detail = format!("{} growths of memory", receipt.refused_growths);
                    let event = Event::new(subject(), EventKind::RefusedGrowth, detail).with_receipt(receipt.clone());
                    record(event);
                }
            }
            Err(error) => {
                let mut event = Event::new(subject(), kind(error), error.to_string());
                event.receipt = error.receipt().cloned();
                record(event);
            }
        }
        (done, work)
    }
}

impl Entry {
    /// What the host's own work on the arguments in `text` is worth in fuel.
    pub fn price(&self, text: &[u8]) -> u64 {
        self.input.price(text)
    }

    fn run(
        &self,
        resources: &Resources,
        arguments: &Value,
        options: &CallOptions,
        work: &mut u64,
    ) -> Result<ToolOutput, ToolError> {
        // Comparing is work like a guest's: it waits for its turn, and is not begun for nobody.
        let mut compare = |check: &Check, value: &Value| {
            let _turn = resources.permit();
            if options.cancel.as_ref().is_some_and(CancelHandle::is_cancelled) {
                return Err(ToolError::Cancelled);
            }
            let (compared, fuel) = check.compare_counted(value);
            *work = work.saturating_add(fuel);
            Ok(compared)
        };
        compare(&self.input, arguments)?.map_err(|differs| ToolError::Arguments(differs.to_string()))?;
        let output = self.tool.call_with(arguments, options)?;
        let Some(check) = &self.output else { return Ok(output) };
        let compared = compare(check, &output.value)?;
        *work = work.saturating_add(check.price_of(&output.value));
        match compared {
            Ok(()) => Ok(output),
            Err(differs) => Err(ToolError::tool(FailureKind::Schema(differs), output.stderr, output.receipt)),
        }
    }
}

/// What the audit calls an error.
fn kind(error: &ToolError) -> EventKind {
    match error {
        ToolError::Unknown(_) | ToolError::Arguments(_) => EventKind::DeniedCall,
        ToolError::Tool(failure) if matches!(failure.why, FailureKind::Trapped(_)) => EventKind::Trapped,
        ToolError::Tool(_) if error.limit().is_some() => EventKind::LimitReached,
        ToolError::Tool(_) => EventKind::Failed,
        ToolError::Stopped(_) | ToolError::Cancelled => EventKind::LimitReached,
        ToolError::Guest(_) if error.limit().is_some() => EventKind::LimitReached,
        ToolError::Fault(_) | ToolError::Guest(_) | ToolError::Wasi(_) | ToolError::NotRun(_) => EventKind::HostFault,
    }
}

fn entry(tool: Arc<dyn Tool>) -> Result<(Arc<str>, Arc<Entry>), RegistryError> {
    let name: Arc<str> = tool.name().into();
    if !is_name(&name) {
        return Err(RegistryError::Name(Printable::new(&name)));
    }
    let wrong = |which| {
        let name = name.to_string();
        move |error| RegistryError::Schema { name, which, error }
    };
    let input = Check::new(tool.input_schema()).map_err(wrong("input"))?;
    let output = tool.output_schema().map(Check::new).transpose().map_err(wrong("output"))?;
    Ok((name, Arc::new(Entry { tool, input, output })))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::sandbox::ResourceConfig;

    /// Says that it is called.
    struct Says(Value, parking_lot::Mutex<Sender<()>>);

    impl Tool for Says {
        fn name(&self) -> &str {
            "says"
        }
        fn description(&self) -> &str {
            ""
        }
        fn input_schema(&self) -> &Value {
            &self.0
        }
        fn call_with(&self, _: &Value, _: &CallOptions) -> Result<ToolOutput, ToolError> {
            let _ = self.1.lock().send(());
            Ok(ToolOutput::new(Value::Null))
        }
    }

    #[test]
    fn comparing_waits_for_its_turn_like_a_guest() {
        let resources = Resources::new(&ResourceConfig { run_permits: 1, ..ResourceConfig::default() });
        let tools = ToolRegistry::new(resources.clone());
        let (send, called) = channel();
        tools.add(Says(json!({"type": "object"}), parking_lot::Mutex::new(send))).expect("it is free");
        std::thread::scope(|scope| {
            let turn = resources.permit();
            let call = scope.spawn(|| tools.call("says", &json!({})).map(|output| output.value));
            assert_eq!(called.recv_timeout(Duration::from_millis(100)), Err(RecvTimeoutError::Timeout));
            drop(turn);
            assert_eq!(called.recv(), Ok(()));
            assert_eq!(call.join().expect("no panic").expect("it answers"), Value::Null);
        });
    }
}
