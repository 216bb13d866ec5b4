//! [`Stores`]: what agents are given beside their messages: log, storage, tools, closed WASI.

use std::sync::{Arc, OnceLock};

use super::actor::Actor;
use super::error::StartError;
use super::post::Post;
use crate::GuestState;
use crate::host::agent::{AgentState, Capability, KvError, KvHandle, KvStore, MODULE, ToolAccess, ToolCaller};
use crate::host::wasi::{self, Output, Stdin, WasiConfig};

/// What agents are given beside their messages.
pub(super) struct Stores {
    pub storage: OnceLock<KvStore>,
    pub tools: Option<Arc<dyn ToolCaller>>,
}

impl Stores {
    /// The host's side of a new instance of `actor`.
    pub fn state_of(&self, actor: &Arc<Actor>) -> Result<GuestState, StartError> {
        let (config, name) = (&actor.config, actor.identity.name.as_str());
        let mut agent = AgentState::new(name).log_to(actor.log.clone(), config.log_level);
        let grants = &actor.sandbox.policy().grants;
        if Capability::Kv.functions().iter().any(|function| grants.allows(MODULE, function)) {
            agent = agent.kv(self.kv(actor).map_err(|error| StartError::Storage(Arc::new(error)))?);
        }
        if let Some(tools) = &self.tools {
            agent = agent.tools(ToolAccess::new(tools.clone(), config.tools.clone()));
        }
        agent.messages.post = Some(Post::new(actor));
        let denied = Arc::downgrade(actor);
        agent = agent.on_denied(move |capability, what| {
            if let Some(actor) = denied.upgrade() {
                actor.denied(capability, what);
            }
        });
        let mut state = GuestState::default().with_agent(agent);
        if !wasi::imports().iter().any(|(module, name, _)| grants.allows(module, name)) {
            return Ok(state);
        }
        // It reaches nothing: no file, no argument, no variable.
        let closed = WasiConfig {
            stdin: Stdin::Empty,
            stdout: Output::Discard,
            stderr: Output::Discard,
            ..WasiConfig::default()
        };
        let wasi = closed.build().map_err(|error| StartError::Wasi(Arc::new(error)))?;
        state.wasi = Some(wasi);
        Ok(state)
    }

    /// An agent is gone for good: what it kept in memory goes with it. What is on disk stays, for the next one of
    /// its name.
    pub fn forget(&self, actor: &Actor) {
        let Some(store) = self.storage.get() else { return };
        let handle = store.agent(actor.identity.name.as_str(), actor.config.storage);
        let cleared = handle.and_then(|kv| if kv.is_in_memory() { kv.clear() } else { Ok(()) });
        if let Err(error) = cleared {
            tracing::error!("the storage of agent `{}` was not cleared: {error}", actor.identity.name);
        }
    }

    /// Puts all that was written on the disk.
    pub fn flush(&self) {
        if let Some(Err(error)) = self.storage.get().map(KvStore::flush) {
            tracing::error!("the agents' storage was not flushed: {error}");
        }
    }

    fn kv(&self, actor: &Actor) -> Result<KvHandle, KvError> {
        let store = match self.storage.get() {
            Some(store) => store,
            None => {
                let store = KvStore::in_memory()?;
                self.storage.get_or_init(|| store)
            }
        };
        store.agent(actor.identity.name.as_str(), actor.config.storage)
    }
}
