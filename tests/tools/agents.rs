//! Tools that agents call, and tools that call agents.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cofferdam::SecurityPolicy;
use cofferdam::agent::{AgentConfig, AgentId, AgentName, Runtime};
use cofferdam::host::agent::{AllowedTools, Capability, MAX_TOOL_DEPTH};
use cofferdam::policy::Grants;
use cofferdam::sandbox::{CallOptions, ResourceConfig, Resources};
use cofferdam::tool::{Tool, ToolError, ToolOutput, ToolRegistry};
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// Calls the tool `next` with its message, and answers with what it gives, or with the digit of the error.
const ASKS: &[u8] = br#"(module
  (import "cofferdam_v1" "input_read" (func $read (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "output_write" (func $write (param i32 i32) (result i32)))
  (import "cofferdam_v1" "call_tool" (func $call (param i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "next")
  (func (export "handle_message") (local $len i32)
    (local.set $len (call $call (i32.const 0) (i32.const 4)
      (i32.const 64) (call $read (i32.const 64) (i32.const 64) (i32.const 0)) (i32.const 256) (i32.const 256)))
    (if (i32.lt_s (local.get $len) (i32.const 0)) (then
      (i32.store8 (i32.const 256) (i32.sub (i32.const 48) (local.get $len)))
      (local.set $len (i32.const 1))))
    (drop (call $write (i32.const 256) (local.get $len)))))"#;

/// Passes the word on to the next agent.
struct Next {
    runtime: Arc<OnceLock<Runtime>>,
    executor: Handle,
    calls: Arc<AtomicU32>,
    any: Value,
}

impl Tool for Next {
    fn name(&self) -> &str {
        "next"
    }

    fn description(&self) -> &str {
        "Asks the next agent."
    }

    fn input_schema(&self) -> &Value {
        &self.any
    }

    fn call_with(&self, arguments: &Value, _: &CallOptions) -> Result<ToolOutput, ToolError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let next = arguments["n"].as_u64().ok_or_else(|| ToolError::failed("no number"))? + 1;
        let runtime = self.runtime.get().ok_or_else(|| ToolError::failed("too early"))?;
        let to = format!("a{next}").parse().map_err(ToolError::failed)?;
        let body = json!({ "n": next }).to_string();
        let reply = self.executor.block_on(runtime.request(&to, body.as_bytes(), Duration::from_secs(20)));
        let reply = reply.map_err(ToolError::failed)?;
        serde_json::from_slice(&reply).map(ToolOutput::new).map_err(ToolError::failed)
    }
}

/// So many agents, which run and may call the tool `next`.
async fn agents(count: u32, resources: Arc<Resources>, tools: ToolRegistry) -> (Runtime, Vec<AgentId>) {
    let runtime = Runtime::builder().resources(resources).tools(Arc::new(tools)).build().expect("there is an engine");
    let mut policy = SecurityPolicy::default().grants(Grants::none().capability(Capability::Tools));
    policy.limits.timeout = Some(Duration::from_secs(20));
    let config = AgentConfig { policy, tools: AllowedTools::from_iter(["next"]), ..AgentConfig::default() };
    let mut ids = Vec::new();
    for n in 0..count {
        let name = AgentName::new(&format!("a{n}")).expect("it is one");
        ids.push(runtime.deploy(name, ASKS, config.clone()).await.expect("it may run"));
    }
    assert!(runtime.start_all(&ids).await.iter().all(Result::is_ok));
    (runtime, ids)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_and_tools_stand_behind_one_another_so_far_and_no_further() {
    let (later, calls) = (Arc::new(OnceLock::new()), Arc::<AtomicU32>::default());
    let resources = Resources::new(&ResourceConfig::default());
    let tools = ToolRegistry::new(resources.clone());
    let any = json!({"type": "object"});
    let next = Next { runtime: later.clone(), executor: Handle::current(), calls: calls.clone(), any };
    tools.add(next).expect("it is the first");
    let (runtime, ids) = agents(MAX_TOOL_DEPTH + 3, resources, tools).await;
    let _ = later.set(runtime.clone());
    let first = "a0".parse().expect("it is a name");
    for round in 1..=2 {
        let reply = runtime.request(&first, br#"{"n":0}"#, Duration::from_secs(20)).await.expect("it answers");
        // The last one is denied, and its word comes back through all the others.
        assert_eq!(&*reply, b"2", "{}", String::from_utf8_lossy(&reply));
        assert_eq!(calls.load(Ordering::Relaxed), round * MAX_TOOL_DEPTH);
    }
    // From outside it is the same by way of a call.
    let given = runtime.execute(ids[0], "handle_message", br#"{"n":0}"#).await.expect("it answers");
    assert_eq!((given.as_slice(), calls.load(Ordering::Relaxed)), (&b"2"[..], 3 * MAX_TOOL_DEPTH));
    runtime.shutdown(Duration::from_secs(5)).await.expect("nobody works");
}

/// Takes a while.
struct Slow(Value);

impl Tool for Slow {
    fn name(&self) -> &str {
        "next"
    }

    fn description(&self) -> &str {
        "Takes a while."
    }

    fn input_schema(&self) -> &Value {
        &self.0
    }

    fn call_with(&self, _: &Value, _: &CallOptions) -> Result<ToolOutput, ToolError> {
        std::thread::sleep(Duration::from_millis(20));
        Ok(ToolOutput::new(json!(true)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_that_wait_leave_threads_for_the_tools() {
    // Four threads: if four agents could wait at once, no tool would ever run.
    let resources =
        Resources::new(&ResourceConfig { max_calls_in_flight: 4, run_permits: 4, ..ResourceConfig::default() });
    let tools = ToolRegistry::new(resources.clone());
    tools.add(Slow(json!({"type": "object"}))).expect("it is the first");
    let (runtime, ids) = agents(12, resources, tools).await;
    let mut work = tokio::task::JoinSet::new();
    for id in ids {
        let runtime = runtime.clone();
        work.spawn(async move { runtime.request(&id.into(), b"{}", Duration::from_secs(20)).await });
    }
    let replies: Vec<_> = work.join_all().await.into_iter().map(|reply| reply.expect("it answers").to_vec()).collect();
    let count = |word: &[u8]| replies.iter().filter(|reply| *reply == word).count();
    // FULL is what the others are told.
    assert!(count(b"true") >= 2 && count(b"true") + count(b"4") == 12, "{replies:?}");
    runtime.shutdown(Duration::from_secs(5)).await.expect("nobody works");
}
