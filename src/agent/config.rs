//! [`AgentConfig`]: all that is decided about one agent when it is deployed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_engine::Engine;

use super::id::{AgentName, Topic};
use crate::host::agent::{AllowedTools, LogLevel};
use crate::policy::{MemoryBytes, More, SecurityPolicy};

/// All that is decided about one agent. A literal ends in `..`, as with [`Limits`](crate::policy::Limits).
#[derive(Clone)]
pub struct AgentConfig {
    /// What its module and its guest may do. Its limits hold for each call.
    pub policy: SecurityPolicy,
    /// The engine; `None` for the runtime's.
    pub engine: Option<Arc<dyn Engine>>,
    /// What `init` is given. At most [`Limits::message`](crate::policy::Limits::message) bytes.
    pub config: Vec<u8>,
    /// How much may wait for it.
    pub mailbox: MailboxConfig,
    /// To whom it may send by name or id. Nobody, by default.
    pub peers: Peers,
    /// Topics whose messages it gets.
    pub topics: BTreeSet<Topic>,
    /// Topics to which it may send.
    pub publish: BTreeSet<Topic>,
    /// What follows when it traps or is stopped by a limit.
    pub on_failure: OnFailure,
    /// Violations that it may have, and with one more it is ended: host calls that were denied, growths that were
    /// refused, traps. `None`: however many.
    pub max_violations: Option<u64>,
    /// Host calls answered with `FULL` or `TOO_LARGE` since its start that it may have, full mailboxes of busy peers
    /// among them; with one more it is ended. `None`: however many.
    pub max_cap_hits: Option<u64>,
    /// Timers that may be pending at once. Default 64.
    pub timers: usize,
    /// Requests that may wait for their replies at once. Default 256.
    pub requests: usize,
    /// Calls from outside that may wait for it at once. Default 1,024.
    pub calls: usize,
    /// Fuel per second over all its calls, in the long run; `None` for no bound. See [`FuelRate`].
    pub fuel_rate: Option<FuelRate>,
    /// Bytes that it may keep in storage. Default 1 MiB.
    pub storage: MemoryBytes,
    /// Tools that it may call. None, by default.
    pub tools: AllowedTools,
    /// The least important log lines that are kept.
    pub log_level: LogLevel,
    /// How long it may go on with what is queued when it is stopped, and as long again in `shutdown`. Default 5 s.
    pub drain: Duration,
    #[doc(hidden)]
    pub __more: More,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            policy: SecurityPolicy::default(),
            engine: None,
            config: Vec::new(),
            mailbox: MailboxConfig::default(),
            peers: Peers::default(),
            topics: BTreeSet::new(),
            publish: BTreeSet::new(),
            on_failure: OnFailure::default(),
            max_violations: None,
            max_cap_hits: None,
            timers: 64,
            requests: 256,
            calls: 1_024,
            fuel_rate: None,
            storage: MemoryBytes::mib(1),
            tools: AllowedTools::default(),
            log_level: LogLevel::default(),
            drain: Duration::from_secs(5),
            __more: More::NONE,
        }
    }
}

/// How much may wait for an agent, and what happens to more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxConfig {
    /// Messages. Default 1,024.
    pub messages: usize,
    /// Bytes of their bodies together. Default 1 MiB.
    pub bytes: MemoryBytes,
    /// What happens to a message for which there is no room.
    pub when_full: WhenFull,
}

impl Default for MailboxConfig {
    fn default() -> Self {
        Self { messages: 1_024, bytes: MemoryBytes::mib(1), when_full: WhenFull::default() }
    }
}

impl MailboxConfig {
    /// What it may come to take of the host's memory, in bytes. Sums of it do not overflow.
    pub(crate) fn host_bytes(&self) -> u64 {
        const MOST: u64 = 1 << 40;
        let envelopes = (self.messages as u64).saturating_mul(size_of::<super::Envelope>() as u64);
        self.bytes.get().min(MOST) + envelopes.min(MOST)
    }
}

/// What happens to a message for which there is no room. Messages by topic never wait: they are refused
/// instead. Nor do messages of an agent to itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Its sender waits for room, at most so long, and is then refused. An agent waits no longer than its call has
    /// time, and is refused at once where two or more would wait for each other.
    Block(Duration),
    /// Its sender is refused at once.
    #[default]
    Reject,
    /// The oldest ones make room and become dead letters. Replies stay.
    DropOldest,
}

/// To whom an agent may send by name or id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Everybody.
    All,
    /// These.
    Only(BTreeSet<AgentName>),
}

impl Default for Peers {
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

impl Peers {
    /// These and no others.
    pub fn only(names: impl IntoIterator<Item = AgentName>) -> Self {
        Self::Only(names.into_iter().collect())
    }

    pub(super) fn is_all(&self) -> bool {
        *self == Self::All
    }

    pub(super) fn allows(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// What follows when an agent traps or is stopped by a limit: its memory may be half-written, so that the
/// instance is lost in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It has failed. What waits for it becomes dead letters.
    #[default]
    Fail,
    /// A new instance takes its place and its mailbox, after `init`; so many times, then it has failed. From the
    /// second time on it pauses before, from a millisecond to a second.
    Restart {
        /// How many times from one start to the next.
        times: u32,
    },
}

/// Fuel over time. What a call costs is known when it has ended, so that an agent may run into debt, by at most
/// one call's fuel; one that is in debt is not run before it is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuelRate {
    /// Fuel that is added each second.
    pub per_second: u64,
    /// The most that may be saved up.
    pub burst: u64,
}
