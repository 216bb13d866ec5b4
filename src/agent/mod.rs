//! Guests that stay: [`Runtime`] deploys modules as agents, starts them, carries their messages, calls them when it
//! is their turn, accounts for what they use, and ends them. It builds on `sandbox` (an agent's instance is a
//! [`Guest`](crate::Guest)) and on `host::agent`, which has what they may call.
//!
//! An agent costs no thread: it is called on the workers of [`Resources`](crate::sandbox::Resources) when it has
//! work, one call at a time. One that runs for longer than a slice, or waits inside a call, keeps a thread meanwhile.

mod actor;
mod body;
mod budget;
mod builder;
mod config;
mod dead;
mod desk;
mod error;
pub mod file;
mod id;
mod lifecycle;
mod logs;
mod mailbox;
mod message;
pub(crate) mod post;
mod room;
mod router;
mod run;
mod runtime;
mod scheduler;
mod stores;
mod timers;
mod usage;
mod wait;

pub use builder::{RuntimeBuilder, RuntimeError};
pub use config::{AgentConfig, FuelRate, MailboxConfig, OnFailure, Peers, WhenFull};
pub use dead::{DeadLetter, DeadReason};
pub use desk::Failure;
pub use error::{
    DeployError, ExecuteError, RequestError, SendError, SetLimitsError, ShutdownTimedOut, StartError, StopError,
    UnknownAgent,
};
pub use id::{Address, AgentId, AgentName, MAX_NAME, MaxAgents, NameError, Topic};
pub use lifecycle::{IllegalMove, Move, State, next};
pub(crate) use message::{Envelope, Kind};
pub use runtime::{Drained, LimitsChanged, Runtime};
pub use usage::{AgentInfo, AgentUsage};
