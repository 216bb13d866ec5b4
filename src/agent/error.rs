//! Every way in which the runtime of agents says no.

use std::sync::Arc;
use std::time::Duration;

use super::id::{Address, AgentId, AgentName, MaxAgents};
use super::lifecycle::IllegalMove;
use crate::host::agent::KvError;
use crate::host::wasi::WasiConfigError;
use crate::policy::{CannotEnforce, MemoryBytes};
use crate::sandbox::{CallError, CallRefusal, GuestError, LoadError};

/// There is no such agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no agent `{0}` is deployed")]
pub struct UnknownAgent(pub Address);

impl From<AgentId> for UnknownAgent {
    fn from(id: AgentId) -> Self {
        Self(id.into())
    }
}

/// Why an agent was not deployed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// Another has that name.
    #[error("the name `{name}` is taken by agent {by}; remove that one first, or choose another name")]
    NameTaken {
        /// The name.
        name: AgentName,
        /// Who has it.
        by: AgentId,
    },
    /// There are as many as may be.
    #[error("{0} agents are deployed already; `MaxAgents` raises it")]
    TooMany(MaxAgents),
    /// What `init` is to be given is above the message cap.
    #[error("the configuration of {len} bytes is above the message cap of {cap}; `Limits::message` raises it")]
    ConfigTooLong {
        /// Its length.
        len: u64,
        /// The cap.
        cap: MemoryBytes,
    },
    /// A hook has a signature of its own making.
    #[error("hook `{name}` is {found}, not {wanted}")]
    Hook {
        /// The export.
        name: &'static str,
        /// Its type.
        found: String,
        /// The types that it may have.
        wanted: &'static str,
    },
    /// The policy asks for what the engine cannot enforce.
    #[error(transparent)]
    CannotEnforce(#[from] CannotEnforce),
    /// Its module may not run, or cannot.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The runtime is shutting down.
    #[error("the runtime is shutting down")]
    ShuttingDown,
}

/// Why an agent was not started.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no such agent.
    #[error(transparent)]
    Unknown(#[from] UnknownAgent),
    /// It runs already, or drains.
    #[error(transparent)]
    Illegal(#[from] IllegalMove),
    /// No instance of its module could be made.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// A hook is not what it was when the agent was deployed.
    #[error(transparent)]
    Hook(#[from] CallRefusal),
    /// Its storage cannot be had.
    #[error("the agent's storage: {0}")]
    Storage(Arc<KvError>),
    /// Its WASI cannot be had.
    #[error("the agent's WASI: {0}")]
    Wasi(Arc<WasiConfigError>),
    /// `init` did not return.
    #[error("`init` did not return: {0}")]
    Init(#[from] CallError),
    /// `init` said no.
    #[error("`init` failed with status {0}")]
    Refused(i32),
    /// `init` returned, and the agent has ended itself or broken too many rules.
    #[error("the agent ended itself in `init`")]
    EndedItself,
    /// It was stopped or removed before it had begun.
    #[error("the agent was ended before it had begun")]
    Ended,
}

/// Why a call of an agent gave no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// There is no such agent.
    #[error(transparent)]
    Unknown(#[from] UnknownAgent),
    /// It does not run.
    #[error("the agent is {0} and takes no calls")]
    NotRunning(super::State),
    /// As many calls as may wait for it.
    #[error("{0} calls wait for the agent already; `AgentConfig::calls` raises it")]
    Busy(usize),
    /// Its input is above the message cap.
    #[error("the input of {len} bytes is above the message cap of {cap}; `Limits::message` raises it")]
    TooLarge {
        /// Its length.
        len: u64,
        /// The cap.
        cap: MemoryBytes,
    },
    /// It was not begun, or did not return.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It returned a negative status.
    #[error("the agent's function failed with status {0}")]
    Failed(i32),
    /// The agent ended before the call's turn came.
    #[error("the agent ended before the call had begun")]
    Ended,
}

/// Why a message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Nobody is there.
    #[error(transparent)]
    Unknown(#[from] UnknownAgent),
    /// Nobody who runs has subscribed to the topic.
    #[error("nobody who runs has subscribed to `{0}`")]
    NoSubscriber(Address),
    /// The receiver does not run.
    #[error("agent `{name}` is {state} and takes no messages")]
    NotRunning {
        /// The receiver.
        name: AgentName,
        /// What it is doing.
        state: super::State,
    },
    /// It is above the receiver's cap.
    #[error("the message of {len} bytes is above the cap of {cap}; `Limits::message` raises it")]
    TooLarge {
        /// Its length.
        len: u64,
        /// The cap.
        cap: MemoryBytes,
    },
    /// Its time was over before there was room for it.
    #[error("the message's time was over before there was room for it in the mailbox of `{0}`")]
    TimedOut(Address),
    /// The receiver's mailbox is full, and stayed so.
    #[error("the mailbox of `{0}` is full; `AgentConfig::mailbox` makes it larger")]
    Full(Address),
}

/// Why a request has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It was not accepted.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A topic answers nothing.
    #[error("a request goes to one agent, not to a topic")]
    Topic,
    /// No reply came in time.
    #[error("no reply came in time")]
    TimedOut,
    /// None will come: the receiver handled the request and gave none, or ended.
    #[error("the receiver gave no reply, or ended")]
    NoReply,
}

/// Why an agent was given no other limits.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetLimitsError {
    /// There is no such agent.
    #[error(transparent)]
    Unknown(#[from] UnknownAgent),
    /// Its engine cannot enforce them.
    #[error(transparent)]
    CannotEnforce(#[from] CannotEnforce),
}

/// Why an agent was not stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// There is no such agent.
    #[error(transparent)]
    Unknown(#[from] UnknownAgent),
    /// It is not running.
    #[error(transparent)]
    Illegal(#[from] IllegalMove),
    /// It was removed while it drained.
    #[error("the agent was removed while it drained")]
    Removed,
}

/// A runtime that still had agents when its time for shutting down was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{agents} agents had not ended after {after:?}")]
pub struct ShutdownTimedOut {
    /// Agents that were cut off.
    pub agents: usize,
    /// The time given.
    pub after: Duration,
}
