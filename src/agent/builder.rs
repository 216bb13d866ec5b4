//! [`RuntimeBuilder`]: puts a [`Runtime`] together.

use std::sync::{Arc, OnceLock};

use cofferdam_engine::Engine;

use super::actor::Common;
use super::dead::DeadLetters;
use super::id::MaxAgents;
use super::router::Directory;
use super::runtime::Runtime;
use super::scheduler::Scheduler;
use super::stores::Stores;
use super::timers::Timers;
use crate::audit::{AuditSink, NoAudit};
use crate::engines::{self, UnknownEngine};
use crate::host::agent::{KvStore, LogSink, ToolCaller};
use crate::policy::MemoryBytes;
use crate::sandbox::{ResourceConfig, Resources};

/// Puts a [`Runtime`] together.
#[derive(Default)]
#[must_use]
pub struct RuntimeBuilder {
    engine: Option<Arc<dyn Engine>>,
    resources: Option<Arc<Resources>>,
    tools: Option<Arc<dyn ToolCaller>>,
    storage: Option<KvStore>,
    audit: Option<Arc<dyn AuditSink>>,
    log: Option<Arc<dyn LogSink>>,
    max_agents: MaxAgents,
    dead_letters: Option<(usize, MemoryBytes)>,
}

/// Why there is no runtime.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// No engine was given, and this build has none.
    #[error(transparent)]
    Engine(#[from] UnknownEngine),
    /// The thread that watches deadlines and timers could not be started.
    #[error("no thread can be had for timers: {0}")]
    Thread(Arc<str>),
}

impl RuntimeBuilder {
    /// The engine for agents that name none; the preferred one of this build if this is not said.
    pub fn engine(mut self, engine: Arc<dyn Engine>) -> Self {
        self.engine = Some(engine);
        self
    }

    /// What all agents share, perhaps with other guests.
    pub fn resources(mut self, resources: Arc<Resources>) -> Self {
        self.resources = Some(resources);
        self
    }

    /// The tools that agents may call, as far as each one's configuration allows.
    pub fn tools(mut self, tools: Arc<dyn ToolCaller>) -> Self {
        self.tools = Some(tools);
        self
    }

    /// Where agents keep what they store. In memory, and with the runtime gone, if this is not said.
    pub fn storage(mut self, storage: KvStore) -> Self {
        self.storage = Some(storage);
        self
    }

    /// Hears of what agents did that they should not have, and of how they ended.
    pub fn audit(mut self, audit: Arc<dyn AuditSink>) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Hears what all agents log, each line when it is logged. It must not block: the agent waits for it.
    pub fn log(mut self, log: Arc<dyn LogSink>) -> Self {
        self.log = Some(log);
        self
    }

    /// Agents that may be deployed at once.
    pub fn max_agents(mut self, most: MaxAgents) -> Self {
        self.max_agents = most;
        self
    }

    /// Dead letters that are kept, and the bytes of their bodies. Default: 1,024, and 8 MiB.
    pub fn dead_letters(mut self, most: usize, bytes: MemoryBytes) -> Self {
        self.dead_letters = Some((most, bytes));
        self
    }

    /// The runtime.
    ///
    /// # Errors
    /// No engine was given, and this build has none; there is no thread to be had.
    pub fn build(self) -> Result<Runtime, RuntimeError> {
        let engine = match self.engine {
            Some(engine) => engine,
            None => engines::by_name("auto")?,
        };
        let resources = self.resources.unwrap_or_else(|| Resources::new(&ResourceConfig::default()));
        let timers = Timers::start().map_err(|error| RuntimeError::Thread(error.to_string().into()))?;
        let timers = Arc::new(timers);
        let (most, bytes) = self.dead_letters.unwrap_or((1_024, MemoryBytes::mib(8)));
        let storage = OnceLock::new();
        if let Some(given) = self.storage {
            storage.get_or_init(|| given);
        }
        let common = Common {
            scheduler: Scheduler::new(resources.clone(), timers.clone()),
            timers,
            dead: DeadLetters::new(most, bytes),
            directory: Directory::new(self.max_agents),
            audit: self.audit.unwrap_or_else(|| Arc::new(NoAudit)),
            stores: Stores { storage, tools: self.tools },
            waits: Arc::default(),
            log: self.log,
        };
        Ok(Runtime::new(Arc::new(common), engine, resources))
    }
}
