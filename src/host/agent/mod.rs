//! What an agent may call beside WASI: module `cofferdam_v1`, one file per capability. `docs/abi.md` is the
//! same for those who write guests.
//!
//! All functions are recorded once by [`imports`]; a sandbox links those that its policy grants. What one
//! agent has of them stands in its [`AgentState`]. A pointer or length outside the guest's memory is a trap,
//! whatever else is wrong with the call; every other refusal is an [`AbiError`] and the guest goes on.

mod capability;
mod error;
mod io;
mod kv;
mod log;
mod messages;
mod random;
mod state;
mod store;
mod time;
mod tool;

use std::sync::OnceLock;

use cofferdam_engine::{Caller, HostError, HostPrice, Imports};

use super::GuestState;

pub use capability::{Capability, UnknownCapability};
pub use error::AbiError;
pub use io::Io;
pub use log::{LogLevel, LogLine, LogSink, MAX_LOG_LINE};
pub(crate) use messages::Messages;
pub use state::AgentState;
pub use store::{KvError, KvHandle, KvOptions, KvStore, MAX_KEY, entry_bytes};
pub use tool::{AllowedTools, MAX_TOOL_DEPTH, ToolAccess, ToolCall, ToolCaller, ToolCost, ToolFailure, ToolFuture};
pub(crate) use tool::{at_depth, depth_here};

/// The module half of every name, and the version of the binary interface.
pub const MODULE: &str = "cofferdam_v1";

/// Every function of [`MODULE`], recorded once. Each finds what the calling agent has in its [`AgentState`].
#[must_use]
pub fn imports() -> &'static Imports {
    static IMPORTS: OnceLock<Imports> = OnceLock::new();
    IMPORTS.get_or_init(|| {
        let mut imports = Imports::new();
        io::define(&mut imports);
        log::define(&mut imports);
        time::define(&mut imports);
        random::define(&mut imports);
        kv::define(&mut imports);
        tool::define(&mut imports);
        messages::define(&mut imports);
        imports
    })
}

/// The agent's state.
///
/// # Errors
/// [`HostError::Failed`] if the calling guest is no agent.
fn state<'a>(caller: &'a mut Caller<'_>) -> Result<&'a mut AgentState, HostError> {
    caller.state::<GuestState>()?.agent.as_deref_mut().ok_or_else(no_agent)
}

/// The agent's state and its memory at once, for copying between them.
///
/// # Errors
/// As [`state`].
fn state_and_memory<'a>(caller: &'a mut Caller<'_>) -> Result<(&'a mut AgentState, &'a mut [u8]), HostError> {
    let (state, memory) = caller.state_and_memory::<GuestState>()?;
    Ok((state.agent.as_deref_mut().ok_or_else(no_agent)?, memory))
}

fn no_agent() -> HostError {
    HostError::failed("the guest calls `cofferdam_v1`, and was made without an `AgentState`")
}

/// A price with another base than the usual one. The base is measured time, about one for a nanosecond, as with
/// WASI's; bytes are copied at the usual price.
const fn price(base: u64) -> HostPrice {
    HostPrice { base, ..HostPrice::V1 }
}
