//! Tools for agents: how `call_tool` of an agent becomes a call of the [`ToolRegistry`].

use cofferdam_engine::{CancelHandle, Limit};
use tokio::sync::oneshot;

use super::registry::Entry;
use super::{ToolError, ToolRegistry, parse};
use crate::host::agent::{ToolCall, ToolCaller, ToolFailure, ToolFuture, at_depth};
use crate::sandbox::{CallOptions, CancelOnDrop, GuestError, NotRun};

/// Fuel for reading or writing a byte of JSON.
const JSON_FUEL: u64 = 2;

/// What an agent is told of a failure that is the host's own: the rest is for the host's log.
const NOT_RUN: &str = "the host could not run the tool";

/// Which tools an agent may call is decided by its configuration before this is asked. The tool has its own
/// limits; its call is cancelled when the agent's time is up. An agent pays for the host's own work: reading and
/// writing JSON, and comparing it with schemas.
impl ToolCaller for ToolRegistry {
    fn call(&self, call: ToolCall) -> ToolFuture {
        let registry = self.clone();
        Box::pin(async move {
            let entry = registry.find(&call.tool).ok_or(ToolFailure::NotFound)?;
            let room = registry.room_for_agent().ok_or(ToolFailure::Busy)?;
            let cancel = CancelHandle::new();
            let _cancel_on_drop = CancelOnDrop(Some(cancel.clone()));
            let runtime = tokio::runtime::Handle::try_current().ok();
            let (send, receive) = oneshot::channel();
            let worker = registry.clone();
            let work = move || {
                if send.is_closed() {
                    return;
                }
                let _entered = runtime.as_ref().map(tokio::runtime::Handle::enter);
                let done = at_depth(call.depth, || worker.run_for_agent(&entry, &call, &cancel));
                // Whoever has the answer may call again.
                drop(room);
                let _ = send.send(done);
            };
            registry.work_for_agent(work).map_err(|_| ToolFailure::Busy)?;
            // A tool that is no guest may have panicked.
            receive.await.unwrap_or_else(|_| Err(ToolFailure::Failed(NOT_RUN.to_owned())))
        })
    }

    fn price(&self, name: &str, input: &[u8]) -> u64 {
        let compared = self.find(name).map_or(0, |entry| entry.price(input));
        compared.saturating_add(JSON_FUEL.saturating_mul(input.len() as u64))
    }
}

impl ToolRegistry {
    fn run_for_agent(&self, entry: &Entry, call: &ToolCall, cancel: &CancelHandle) -> Result<Vec<u8>, ToolFailure> {
        let parsed = {
            let _turn = self.resources().permit();
            if cancel.is_cancelled() {
                return Err(ToolFailure::TimedOut);
            }
            parse(&call.input)
        };
        let failed = |why: &dyn std::fmt::Display| ToolFailure::Failed(why.to_string());
        let arguments = parsed.map_err(|error| failed(&format_args!("the arguments are {error}")))?;
        let (done, work) = self.run(entry, &arguments, &CallOptions::default().cancel(cancel), Some(&call.agent));
        call.cost.add_work(work);
        let receipt = match &done {
            Ok(output) => output.receipt.as_ref(),
            Err(error) => error.receipt(),
        };
        call.cost.add_fuel(receipt.map_or(0, |receipt| receipt.fuel));
        let output = done.map_err(|error| failure(&call.tool, error))?;
        let _turn = self.resources().permit();
        let text = serde_json::to_vec(&output.value).map_err(|error| failed(&error))?;
        call.cost.add_work(JSON_FUEL.saturating_mul(text.len() as u64));
        Ok(text)
    }
}

/// What an agent is told. It is not told what its host is like: which directories it has, and how much memory.
fn failure(tool: &str, error: ToolError) -> ToolFailure {
    match error {
        // It was removed in between.
        ToolError::Unknown(_) => ToolFailure::NotFound,
        error if error.limit() == Some(Limit::Deadline) => ToolFailure::TimedOut,
        ToolError::Arguments(_) | ToolError::Tool(_) | ToolError::Stopped(_) | ToolError::Cancelled => {
            ToolFailure::Failed(error.to_string())
        }
        ToolError::Guest(GuestError::HostMemory(_) | GuestError::NotRun(NotRun::Busy(_)))
        | ToolError::NotRun(NotRun::Busy(_)) => ToolFailure::Busy,
        ToolError::Guest(_) | ToolError::Wasi(_) | ToolError::Fault(_) | ToolError::NotRun(_) => {
            tracing::warn!(tool, %error, "a tool was not run for an agent");
            ToolFailure::Failed(NOT_RUN.to_owned())
        }
    }
}
