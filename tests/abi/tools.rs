//! `call_tool`: who may call what, what comes back, how deep it goes, and when it takes too long.

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cofferdam::host::agent::{
    AbiError, AgentState, AllowedTools, Capability, MAX_TOOL_DEPTH, ToolAccess, ToolCall, ToolCaller, ToolFailure,
    ToolFuture,
};
use cofferdam::{Limit, Outcome};

use super::*;

#[derive(Default)]
struct Tools {
    calls: AtomicU32,
    /// Futures that were dropped before they were done.
    dropped: Arc<AtomicU32>,
}

impl ToolCaller for Tools {
    fn call(&self, call: ToolCall) -> ToolFuture {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let big = |n: usize| Ok(vec![b'x'; n]);
        Box::pin(ready(match call.tool.as_str() {
            "costs" => {
                call.cost.add_work(1_000);
                call.cost.add_fuel(1 << 40);
                Ok(call.input)
            }
            "dear" => Ok(call.input),
            "echo" => Ok(call.input),
            "who" => Ok(format!("{} {} {}", call.agent, call.depth, call.deadline.is_some()).into_bytes()),
            "cap" => big(100_000),
            "above" => big(100_001),
            "fails" => Err(ToolFailure::Failed("it is Tuesday".into())),
            "rambles" => Err(ToolFailure::Failed("€".repeat(10_000))),
            "slow" => Err(ToolFailure::TimedOut),
            "busy" => Err(ToolFailure::Busy),
            "never" => {
                struct Guard(Arc<AtomicU32>);
                impl Drop for Guard {
                    fn drop(&mut self) {
                        self.0.fetch_add(1, Ordering::SeqCst);
                    }
                }
                let guard = Guard(self.dropped.clone());
                return Box::pin(async move {
                    let _guard = guard;
                    pending().await
                });
            }
            _ => Err(ToolFailure::NotFound),
        }))
    }

    fn price(&self, name: &str, input: &[u8]) -> u64 {
        if name == "dear" { 1_000 * input.len() as u64 } else { 0 }
    }
}

impl Driver {
    fn tool(&mut self, name: &str, input: &[u8], cap: u32) -> Result<i64, AbiError> {
        let (nlen, len) = (self.put(KEY, name.as_bytes()), self.put(DATA, input));
        self.call("call_tool", args![KEY, nlen, DATA, len, OUT, cap])
    }
}

fn agent(cell: &Cell, tools: &Arc<Tools>, allowed: AllowedTools) -> Driver {
    cell.guest(&[Capability::Tools], AgentState::new("a").tools(ToolAccess::new(tools.clone(), allowed)))
}

#[test]
fn a_tool_gives_bytes_or_says_why_not() {
    for cell in cells() {
        let tools = Arc::new(Tools::default());
        let mut a = agent(&cell, &tools, AllowedTools::All);
        assert_eq!(a.tool("echo", b"{\"n\":1}", 100), Ok(7));
        assert_eq!(a.get(OUT, 8), b"{\"n\":1}\0");
        assert_eq!(a.tool("who", b"", 100), Ok(8));
        assert_eq!(a.get(OUT, 8), b"a 1 true");
        assert_eq!(a.tool("echo", b"larger than its room", 4), Ok(20));
        assert_eq!(a.call("result_read", args![OUT, 100u32, 0u32]), Ok(20));
        assert_eq!(a.get(OUT, 20), b"larger than its room");
        assert_eq!(a.tool("cap", b"", 100_000), Ok(100_000));
        assert_eq!(a.tool("above", b"", 200_000), Err(AbiError::TooLarge));
        assert_eq!(a.tool("echo", &vec![1; 100_000], 0), Ok(100_000));
        assert_eq!(a.tool("fails", b"", 100), Err(AbiError::Failed));
        assert_eq!(a.call("result_read", args![OUT, 100u32, 0u32]), Ok(13));
        assert_eq!(a.get(OUT, 13), b"it is Tuesday");
        assert_eq!(a.tool("rambles", b"", 100), Err(AbiError::Failed));
        assert_eq!(a.call("result_read", args![OUT, 9_000u32, 0u32]), Ok(4095), "cut between characters");
        assert_eq!(a.tool("slow", b"", 100), Err(AbiError::TimedOut));
        assert_eq!(a.tool("busy", b"", 100), Err(AbiError::Full));
        assert_eq!(a.tool("nothing", b"", 100), Err(AbiError::NotFound));
        let calls = tools.calls.load(Ordering::SeqCst);
        assert_eq!(a.tool("echo", &vec![1; 100_001], 0), Err(AbiError::TooLarge));
        assert_eq!(a.tool(&"n".repeat(129), b"", 0), Err(AbiError::Invalid));
        let nlen = a.put(KEY, b"ec\xffo");
        assert_eq!(a.call("call_tool", args![KEY, nlen, DATA, 0u32, OUT, 0u32]), Err(AbiError::Invalid));
        assert_eq!(tools.calls.load(Ordering::SeqCst), calls, "none of these got to a tool");
    }
}

#[test]
fn what_is_not_allowed_is_denied_whether_it_is_there_or_not() {
    for cell in cells() {
        let tools = Arc::new(Tools::default());
        let mut a = agent(&cell, &tools, ["echo", "nothing"].into_iter().collect());
        assert_eq!(a.tool("echo", b"x", 1), Ok(1));
        assert_eq!(a.tool("nothing", b"x", 1), Err(AbiError::NotFound));
        for name in ["who", "missing", "Echo", "echo ", ""] {
            assert_eq!(a.tool(name, b"x", 1), Err(AbiError::Denied), "{name}");
        }
        assert_eq!(agent(&cell, &tools, AllowedTools::None).tool("echo", b"x", 1), Err(AbiError::Denied));
        let mut none = cell.guest(&[Capability::Tools], AgentState::new("a"));
        assert_eq!(none.tool("echo", b"x", 1), Err(AbiError::Denied));
        assert_eq!(tools.calls.load(Ordering::SeqCst), 2);
    }
}

#[test]
fn the_hosts_own_work_is_paid_for_and_a_tools_fuel_is_counted() {
    for cell in cells() {
        let tools = Arc::new(Tools::default());
        let mut a = agent(&cell, &tools, AllowedTools::All);
        let mut fuel = |name: &str, input: &[u8]| {
            let (nlen, len) = (a.put(KEY, name.as_bytes()), a.put(DATA, input));
            let report = a.report("call_tool", args![KEY, nlen, DATA, len, OUT, 100u32]);
            (report.receipt.fuel, a.state().tool_fuel())
        };
        let ((echo, none), (costs, counted), (dear, same)) =
            (fuel("echo", b"abc"), fuel("costs", b"abc"), fuel("dear", b"abc"));
        assert_eq!((none, counted, same), (0, 1 << 40, 1 << 40));
        assert_eq!((costs - echo, dear - echo), (1_000, 3_000));
        // It pays before it is called.
        let called = tools.calls.load(Ordering::SeqCst);
        let (nlen, len) = (a.put(KEY, b"dear"), a.put(DATA, &[b'x'; 100_000]));
        let report = a.report("call_tool", args![KEY, nlen, DATA, len, OUT, 100u32]);
        assert!(matches!(report.outcome, Outcome::Stopped { limit: Limit::Fuel, .. }), "{:?}", report.outcome);
        assert_eq!(tools.calls.load(Ordering::SeqCst), called);
    }
}

#[test]
fn what_an_earlier_tool_said_is_not_taken_for_what_this_one_says() {
    for cell in cells() {
        let tools = Arc::new(Tools::default());
        let mut a = agent(&cell, &tools, AllowedTools::from_iter(["fails"]));
        assert_eq!(a.tool("fails", b"", 100), Err(AbiError::Failed));
        assert_eq!(a.tool("echo", b"", 100), Err(AbiError::Denied));
        assert_eq!(a.call("result_read", args![OUT, 100u32, 0u32]), Ok(0));
    }
}

#[test]
fn calls_behind_each_other_come_to_an_end() {
    for cell in cells() {
        let tools = Arc::new(Tools::default());
        let mut a = agent(&cell, &tools, AllowedTools::All);
        a.state().begin_call(Arc::default(), MAX_TOOL_DEPTH - 1);
        let len = a.tool("who", b"", 100).expect("the deepest call");
        assert_eq!(a.get(OUT, len), format!("a {MAX_TOOL_DEPTH} true").into_bytes());
        a.state().begin_call(Arc::default(), MAX_TOOL_DEPTH);
        assert_eq!(a.tool("echo", b"", 0), Err(AbiError::Denied));
    }
}

#[test]
fn a_tool_that_never_ends_ends_with_the_agents_time() {
    for cell in cells() {
        let tools = Arc::new(Tools::default());
        let mut policy = cell.policy(&[Capability::Tools]);
        policy.limits.timeout = Some(Duration::from_millis(30));
        let state = AgentState::new("a").tools(ToolAccess::new(tools.clone(), AllowedTools::All));
        let mut a = cell.guest_under(policy, &[Capability::Tools], state);
        let nlen = a.put(KEY, b"never");
        let report = a.report("call_tool", args![KEY, nlen, DATA, 0u32, OUT, 0u32]);
        assert!(matches!(report.outcome, Outcome::Stopped { limit: Limit::Deadline, .. }), "{:?}", report.outcome);
        assert_eq!(tools.dropped.load(Ordering::SeqCst), 1);
    }
}
