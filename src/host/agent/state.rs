//! [`AgentState`]: what the host keeps for one agent, and how a host function gets at it.

use std::sync::Arc;

use super::capability::Capability;
use super::error::AbiError;
use super::io::Io;
use super::log::Log;
use super::store::KvHandle;
use super::tool::{ToolAccess, ToolCost};
use super::{LogLevel, LogSink, Messages};
use crate::host::wasi::clock::Clock;
use crate::host::wasi::random::Source;
use crate::host::wasi::{Clocks, Random};
use crate::policy::{Determinism, Limits, MemoryBytes};

/// What hears of a call that was denied: the capability, and what was asked for, as a rule in the guest's words.
type OnDenied = Arc<dyn Fn(Capability, &str) + Send + Sync>;

/// What the host keeps for one agent: given to its guest in [`GuestState::agent`](crate::GuestState::agent), found
/// there by every function of [`MODULE`](super::MODULE). By default there is no log, no storage and there are no tools; the
/// clock and randomness are the host's, or repeatable where the policy is deterministic.
pub struct AgentState {
    /// Bytes into the export that runs and out of it.
    pub io: Io,
    /// Messages and timers; a guest that no runtime keeps has none.
    pub(crate) messages: Messages,
    pub(super) name: Arc<str>,
    on_denied: Option<OnDenied>,
    pub(super) log: Log,
    pub(super) clock: Clock,
    pub(super) random: Source,
    pub(super) kv: Option<KvHandle>,
    pub(super) tools: Option<ToolAccess>,
    pub(super) tool_cost: ToolCost,
    /// How many tools and agents wait for this call, one behind the other.
    pub(super) depth: u32,
}

impl AgentState {
    /// An agent called `name` that has nothing yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            io: Io { output_cap: Limits::agent().message.get(), ..Io::default() },
            messages: Messages::default(),
            name: name.into(),
            on_denied: None,
            log: Log::default(),
            clock: Clock::new(Clocks::Real),
            random: Source::new(Random::Real),
            kv: None,
            tools: None,
            tool_cost: ToolCost::default(),
            depth: 0,
        }
    }

    /// The same with its log lines up to `level` going to `sink`.
    #[must_use]
    pub fn log_to(mut self, sink: Arc<dyn LogSink>, level: LogLevel) -> Self {
        self.log.sink = Some(sink);
        self.log.level = level;
        self
    }

    /// The same with at most `bytes` of log in one call into the guest, of which a line takes at least 32, kept or
    /// not; 64 KiB if this is not said.
    #[must_use]
    pub fn log_bytes(mut self, bytes: MemoryBytes) -> Self {
        self.log.cap = bytes.get();
        self.log.left = bytes.get();
        self
    }

    /// The same with storage.
    #[must_use]
    pub fn kv(mut self, handle: KvHandle) -> Self {
        self.kv = Some(handle);
        self
    }

    /// The same with tools.
    #[must_use]
    pub fn tools(mut self, tools: ToolAccess) -> Self {
        self.tools = Some(tools);
        self
    }

    /// The same with `told` hearing of every call that its configuration does not allow: to whom the function
    /// belongs, and what the guest asked for (a tool's name, a receiver), as the guest wrote it. Called on the
    /// guest's thread: it must not block.
    #[must_use]
    pub fn on_denied(mut self, told: impl Fn(Capability, &str) + Send + Sync + 'static) -> Self {
        self.on_denied = Some(Arc::new(told));
        self
    }

    /// Another clock than the host's.
    #[must_use]
    pub fn clocks(mut self, clocks: Clocks) -> Self {
        self.clock = Clock::new(clocks);
        self
    }

    /// Another source of randomness than the host's.
    #[must_use]
    pub fn randomness(mut self, random: Random) -> Self {
        self.random = Source::new(random);
        self
    }

    /// The agent's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Before a call into the guest: what it reads with `input_read`. Its output starts empty and its log has
    /// all its room again. `depth` says how many tools and agents wait for this call, one behind the other: 0
    /// for one that comes from outside, [`ToolCall::depth`](super::ToolCall::depth) for one made by a tool.
    pub fn begin_call(&mut self, input: Arc<[u8]>, depth: u32) {
        self.io.input = input;
        self.io.output.clear();
        self.io.result.clear();
        self.log.left = self.log.cap;
        self.depth = depth;
    }

    /// After a call into the guest: what it wrote with `output_write`. Nothing of the call is kept.
    pub fn end_call(&mut self) -> Vec<u8> {
        self.io.input = Arc::default();
        self.io.result = Vec::new();
        std::mem::take(&mut self.io.output)
    }

    /// Log lines that did not fit since the guest was made.
    #[must_use]
    pub fn refused_log_lines(&self) -> u64 {
        self.log.refused
    }

    /// Fuel that the tools it called have used since the guest was made. It is not in the receipts of its own calls.
    #[must_use]
    pub fn tool_fuel(&self) -> u64 {
        self.tool_cost.fuel()
    }

    /// Its storage, if it has any.
    #[must_use]
    pub fn storage(&self) -> Option<&KvHandle> {
        self.kv.as_ref()
    }

    /// The guest has asked for `what`, which its configuration does not allow. Tells the host, and gives what the
    /// guest is answered.
    pub(crate) fn denied(&self, capability: Capability, what: &str) -> AbiError {
        if let Some(told) = &self.on_denied {
            told(capability, what);
        }
        AbiError::Denied
    }

    /// The guest has been told that a cap is reached: counted, if a runtime keeps it.
    pub(super) fn hit_cap(&self, function: &str, error: AbiError) {
        if let Some(post) = &self.messages.post {
            post.hit_cap(function, error);
        }
    }

    /// Puts the policy's caps over it, and makes what is still the host's own repeatable where the policy wants
    /// that.
    pub(in crate::host) fn apply(&mut self, limits: &Limits, determinism: Determinism) {
        self.io.output_cap = limits.message.get();
        if let Determinism::Full { seed } = determinism {
            if !self.clock.is_virtual() {
                self.clock = Clock::new(Clocks::Virtual { start_ns: 0 });
            }
            if self.random.is_system() {
                self.random = Source::new(Random::Seeded(seed));
            }
        }
    }

    /// Bytes of the host's memory that it may come to take: input, output and a result, and its storage where
    /// that is in memory. A list of keys is a result too.
    pub(in crate::host) fn host_bytes(&self) -> u64 {
        let message = self.message_cap() as u64;
        let (stored, listed) = match &self.kv {
            Some(kv) if kv.is_in_memory() => (kv.cap().get(), kv.cap().get()),
            Some(kv) => (0, kv.cap().get()),
            None => (0, 0),
        };
        message.saturating_mul(2).saturating_add(message.max(listed)).saturating_add(stored)
    }

    /// Most bytes of an output, a value, an argument of a tool: no more than fits the `i32` in which guests are told.
    pub(super) fn message_cap(&self) -> usize {
        usize::try_from(self.io.output_cap).unwrap_or(usize::MAX).min(i32::MAX as usize)
    }

    /// `len` as a length, if a message may have it.
    pub(super) fn within_cap(&self, len: u32) -> Result<usize, AbiError> {
        let len = len as usize;
        if len <= self.message_cap() { Ok(len) } else { Err(AbiError::TooLarge) }
    }
}

impl Default for AgentState {
    fn default() -> Self {
        Self::new("")
    }
}

impl std::fmt::Debug for AgentState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentState").field("name", &self.name).finish_non_exhaustive()
    }
}
