//! What agents see of failures through the library for AssemblyScript: `tests/guests/agents/last_error.ts`.

use std::future::ready;
use std::sync::Arc;

use cofferdam::host::agent::{
    AbiError, AgentState, AllowedTools, Capability, KvStore, ToolAccess, ToolCall, ToolCaller, ToolFailure, ToolFuture,
};
use cofferdam::policy::MemoryBytes;

use super::*;

struct Fails;

impl ToolCaller for Fails {
    fn call(&self, _: ToolCall) -> ToolFuture {
        Box::pin(ready(Err(ToolFailure::Failed("it is Tuesday".into()))))
    }
}

fn guest(cell: &Cell, state: AgentState) -> Driver {
    let sandbox = cell.sandbox(cell.policy(&[Capability::Kv, Capability::Tools]));
    let module = sandbox.load(include_bytes!("../guests/agents/last_error.wasm")).unwrap_or_else(|e| panic!("{e}"));
    Driver(sandbox.guest(&module, GuestState::default().with_agent(state)).unwrap_or_else(|e| panic!("{e}")))
}

#[test]
fn what_failed_is_not_taken_for_what_is_not_there() {
    for cell in cells() {
        let mut none = guest(&cell, AgentState::new("a"));
        for function in ["get", "list", "tool"] {
            assert_eq!(none.call(function, &[]), Err(AbiError::Denied), "{function}");
        }

        let store = KvStore::in_memory().expect("it is made");
        let handle = store.agent("a", MemoryBytes::mib(1)).expect("a name");
        let tools = ToolAccess::new(Arc::new(Fails), AllowedTools::All);
        let mut a = guest(&cell, AgentState::new("a").kv(handle).tools(tools));
        assert_eq!(a.call("get", &[]), Err(AbiError::NotFound));
        assert_eq!(a.call("list", &[]), Ok(0), "which is no failure");
        assert_eq!(a.call("put", &[]), Ok(0));
        assert_eq!((a.call("get", &[]), a.call("list", &[])), (Ok(1000), Ok(1000)));
    }
}

#[test]
fn what_a_tool_said_is_no_older_result() {
    for cell in cells() {
        let store = KvStore::in_memory().expect("it is made");
        let handle = store.agent("a", MemoryBytes::mib(1)).expect("a name");
        let mut a = guest(&cell, AgentState::new("a").kv(handle.clone()));
        assert_eq!(a.call("put", &[]), Ok(0));
        assert_eq!(a.call("get", &[]), Ok(1000));
        assert_eq!(a.call("tool", &[]), Err(AbiError::Denied));
        assert_eq!(a.call("said", &[]), Ok(0));

        let tools = ToolAccess::new(Arc::new(Fails), AllowedTools::All);
        let mut a = guest(&cell, AgentState::new("a").kv(handle).tools(tools));
        assert_eq!(a.call("tool", &[]), Err(AbiError::Failed));
        assert_eq!(a.call("said", &[]), Ok(13));
    }
}
