//! `call_tool`: an agent uses one of the host's tools. Which tools there are is the host's business: it gives a
//! [`ToolCaller`].

use std::cell::Cell;
use std::collections::BTreeSet;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use cofferdam_engine::{Caller, HostError, HostFinish, HostFunc, HostFuture, Imports, Value, WasmValues, signature};

use super::error::{AbiError, Done, capped};
use super::io::give;
use super::{Capability, MODULE, price, state};
use crate::host::room_for;

/// How many calls of tools may stand one behind the other: an agent calls a tool, which is an agent, which calls
/// a tool, and so on. The next one is `DENIED`.
pub const MAX_TOOL_DEPTH: u32 = 8;

/// Bytes of the longest name.
const MAX_NAME: u32 = 128;

/// Bytes of a tool's error message that the agent can read.
const MAX_WHY: usize = 4 << 10;

thread_local! {
    /// How deep the call is that this thread does for an agent.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Does `work`, which a tool does for an agent at this depth, on this thread.
pub(crate) fn at_depth<T>(depth: u32, work: impl FnOnce() -> T) -> T {
    /// Also when `work` panics.
    struct Back(u32);
    impl Drop for Back {
        fn drop(&mut self) {
            DEPTH.set(self.0);
        }
    }
    let _back = Back(DEPTH.replace(depth));
    work()
}

/// How deep a call of an agent is that is made from this thread.
pub(crate) fn depth_here() -> u32 {
    DEPTH.get()
}

/// One call of a tool.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ToolCall {
    /// The agent that calls.
    pub agent: Arc<str>,
    /// The tool's name; the agent may call it.
    pub tool: String,
    /// The arguments, as the agent wrote them: JSON, if it is right.
    pub input: Vec<u8>,
    /// How many calls of tools stand one behind the other with this one, from 1 to [`MAX_TOOL_DEPTH`]. An agent
    /// that is called on behalf of this call is told so with [`AgentState::begin_call`](super::AgentState::begin_call).
    pub depth: u32,
    /// When the agent's own time is up, and nobody waits for the result any more.
    pub deadline: Option<Instant>,
    /// Where what the call costs is written down.
    pub cost: ToolCost,
}

/// What calls of tools cost the agent that makes them, beside the price of `call_tool`. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct ToolCost(Arc<Costs>);

#[derive(Debug, Default)]
struct Costs {
    work: AtomicU64,
    fuel: AtomicU64,
}

impl ToolCost {
    /// The host itself has worked for this call, and that is worth so much fuel. It is taken from the agent's own
    /// when the call is over. What is known before belongs in [`ToolCaller::price`].
    pub fn add_work(&self, fuel: u64) {
        add(&self.0.work, fuel);
    }

    /// The tool has used so much fuel. The agent's own is left alone: [`AgentState::tool_fuel`] says how much it is
    /// in all.
    ///
    /// [`AgentState::tool_fuel`]: super::AgentState::tool_fuel
    pub fn add_fuel(&self, fuel: u64) {
        add(&self.0.fuel, fuel);
    }

    pub(super) fn fuel(&self) -> u64 {
        self.0.fuel.load(Ordering::Relaxed)
    }

    fn take_work(&self) -> u64 {
        self.0.work.swap(0, Ordering::Relaxed)
    }
}

fn add(to: &AtomicU64, more: u64) {
    // It never fails.
    let _ = to.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sum| Some(sum.saturating_add(more)));
}

/// Why a tool gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ToolFailure {
    /// There is no such tool.
    #[error("there is no such tool")]
    NotFound,
    /// Somebody else than the agent's configuration does not allow it.
    #[error("denied")]
    Denied,
    /// It took too long.
    #[error("timed out")]
    TimedOut,
    /// There is no room for another call.
    #[error("too many calls")]
    Busy,
    /// It failed, and this is what it says. The agent can read it.
    #[error("{0}")]
    Failed(String),
}

/// What a tool gives, when it is done.
pub type ToolFuture = Pin<Box<dyn Future<Output = Result<Vec<u8>, ToolFailure>> + Send>>;

/// The host's tools, as agents call them.
pub trait ToolCaller: Send + Sync {
    /// Begins a call. It must not block. The future is polled on the guest's thread while the guest's turn goes
    /// to others, and dropped when the guest's time is up.
    fn call(&self, call: ToolCall) -> ToolFuture;

    /// What the host's own work on this `input` for the tool called `name` is worth in fuel: the agent pays it before
    /// the call, beside the price of `call_tool`. It must be quick, and the same whenever it is asked. None if
    /// nothing is said.
    fn price(&self, name: &str, input: &[u8]) -> u64 {
        let _ = (name, input);
        0
    }
}

/// Which tools an agent may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedTools {
    /// None.
    #[default]
    None,
    /// Those with these names.
    Named(BTreeSet<String>),
    /// Every one that the host has.
    All,
}

impl AllowedTools {
    /// Whether the tool called `name` may be called.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::Named(names) => names.contains(name),
            Self::All => true,
        }
    }
}

impl<S: Into<String>> FromIterator<S> for AllowedTools {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self::Named(names.into_iter().map(Into::into).collect())
    }
}

/// The tools of one agent.
#[derive(Clone)]
pub struct ToolAccess {
    caller: Arc<dyn ToolCaller>,
    allowed: AllowedTools,
}

impl ToolAccess {
    /// Those of `caller` that are `allowed`.
    #[must_use]
    pub fn new(caller: Arc<dyn ToolCaller>, allowed: AllowedTools) -> Self {
        Self { caller, allowed }
    }
}

type Params = (u32, u32, u32, u32, u32, u32);

pub(super) fn define(imports: &mut Imports) {
    let func = HostFunc::asynchronous(signature::<Params, i32>(), |caller, params| {
        let params = Params::from_values(params).ok_or_else(|| HostError::failed("it was linked with other types"))?;
        let (out, cap) = (params.4, params.5);
        // What the agent is refused needs no waiting.
        let begun = match begin(caller, params) {
            Ok(begun) => begun,
            Err(failure) => {
                let code = capped::<i32>(caller, "call_tool", Err(failure))?;
                let finish: HostFinish = Box::new(move |_, results| answer(code, results));
                return Ok(Box::pin(ready(Ok(finish))) as HostFuture);
            }
        };
        Ok(Box::pin(async move {
            let outcome = begun.await;
            Ok(Box::new(move |caller: &mut Caller<'_>, results: &mut [Value]| {
                let done = end(caller, out, cap, outcome);
                answer(capped(caller, "call_tool", done)?, results)
            }) as HostFinish)
        }))
    });
    imports.host(MODULE, "call_tool", func.priced(price(7_500)));
}

fn answer(code: i32, results: &mut [Value]) -> Result<(), HostError> {
    if let Some(result) = results.first_mut() {
        *result = Value::I32(code);
    }
    Ok(())
}

fn begin(caller: &mut Caller<'_>, (name, name_len, ptr, len, out, cap): Params) -> Done<ToolFuture> {
    for (ptr, len) in [(name, name_len), (ptr, len), (out, cap)] {
        caller.bytes(ptr, len)?;
    }
    if name_len > MAX_NAME {
        return Err(AbiError::Invalid.into());
    }
    let name = std::str::from_utf8(caller.bytes(name, name_len)?).map_err(|_| AbiError::Invalid)?.to_owned();
    let deadline = caller.deadline();
    let agent = state(caller)?;
    // Nothing of an earlier call may be taken for what this one says.
    agent.io.result.clear();
    // Whether there is such a tool is not the business of an agent that may not call it.
    let allowed = agent.tools.clone().filter(|tools| tools.allowed.allows(&name));
    let Some(tools) = allowed.filter(|_| agent.depth < MAX_TOOL_DEPTH) else {
        return Err(agent.denied(Capability::Tools, &name).into());
    };
    agent.within_cap(len)?;
    let (agent, depth, cost) = (agent.name.clone(), agent.depth + 1, agent.tool_cost.clone());
    caller.charge_bytes(len.into())?;
    let price = tools.caller.price(&name, caller.bytes(ptr, len)?);
    caller.charge(price)?;
    room_for(len as usize)?;
    let input = caller.bytes(ptr, len)?.to_vec();
    Ok(tools.caller.call(ToolCall { agent, tool: name, input, depth, deadline, cost }))
}

fn end(caller: &mut Caller<'_>, out: u32, cap: u32, outcome: Result<Vec<u8>, ToolFailure>) -> Done<i32> {
    let work = state(caller)?.tool_cost.take_work();
    caller.charge(work)?;
    let code = match outcome {
        Ok(output) => {
            let len = u32::try_from(output.len()).map_err(|_| AbiError::TooLarge)?;
            state(caller)?.within_cap(len)?;
            return give(caller, out, cap, output);
        }
        Err(ToolFailure::NotFound) => AbiError::NotFound,
        Err(ToolFailure::Denied) => AbiError::Denied,
        Err(ToolFailure::TimedOut) => AbiError::TimedOut,
        Err(ToolFailure::Busy) => AbiError::Full,
        Err(ToolFailure::Failed(why)) => {
            let most = MAX_WHY.min(state(caller)?.message_cap());
            let why = why.get(..why.floor_char_boundary(most)).unwrap_or_default();
            caller.charge_bytes(why.len() as u64)?;
            state(caller)?.io.result = why.as_bytes().to_vec();
            AbiError::Failed
        }
    };
    Err(code.into())
}
