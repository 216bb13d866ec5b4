//! Tools for agents: how `call_tool` of an agent becomes a call of the [`ToolRegistry`].

use cofferdam_engine::Limit;

use super::{ToolError, ToolRegistry, parse};
use crate::host::agent::{ToolCall, ToolCaller, ToolFailure, ToolFuture};
use crate::sandbox::CallOptions;

/// Which tools an agent may call is decided by its configuration before this is asked. The tool has its own
/// limits; its call is cancelled when the agent's time is up.
impl ToolCaller for ToolRegistry {
    fn call(&self, call: ToolCall) -> ToolFuture {
        let registry = self.clone();
        Box::pin(async move {
            let failed = |why: &dyn std::fmt::Display| ToolFailure::Failed(why.to_string());
            if !registry.has(&call.tool) {
                return Err(ToolFailure::NotFound);
            }
            let arguments = parse(&call.input).map_err(|error| failed(&format!("the arguments are {error}")))?;
            // Agents that wait must leave threads on which tools can run.
            let _room = registry.room_for_agent().ok_or(ToolFailure::Busy)?;
            match registry.call_at(call.depth, &call.tool, arguments, CallOptions::default()).await {
                Ok(output) => serde_json::to_vec(&output.value).map_err(|error| failed(&error)),
                // It was removed in between.
                Err(ToolError::Unknown(_)) => Err(ToolFailure::NotFound),
                Err(error) if error.limit() == Some(Limit::Deadline) => Err(ToolFailure::TimedOut),
                Err(error) => Err(failed(&error)),
            }
        })
    }
}
