//! Tools that agents call, and tools that call agents.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cofferdam::agent::{AgentConfig, AgentId, AgentName, FuelRate, RequestError, Runtime};
use cofferdam::audit::{AuditText, EventKind, MemorySink};
use cofferdam::host::agent::{AllowedTools, Capability, MAX_TOOL_DEPTH, ToolCaller};
use cofferdam::policy::{Fuel, Grants, MemoryBytes};
use cofferdam::sandbox::{CallOptions, ResourceConfig, Resources};
use cofferdam::tool::{Tool, ToolBuilder, ToolError, ToolOutput, ToolRegistry};
use cofferdam::{Sandbox, SecurityPolicy};
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// Calls the tool `next` with its message, and answers with what it gives, or with the digit of the error and what is
/// said about it. `wait` calls the tool and then waits for a message for a minute.
const ASKS: &[u8] = br#"(module
  (import "cofferdam_v1" "input_read" (func $read (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "output_write" (func $write (param i32 i32) (result i32)))
  (import "cofferdam_v1" "call_tool" (func $call (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "result_read" (func $result (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "receive_message" (func $receive (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "next{}")
  (func (export "wait")
    (drop (call $call (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 2) (i32.const 256) (i32.const 256)))
    (drop (call $receive (i32.const 256) (i32.const 64) (i32.const 60000))))
  (func (export "handle_message") (local $len i32)
    (local.set $len (call $call (i32.const 0) (i32.const 4)
      (i32.const 64) (call $read (i32.const 64) (i32.const 64) (i32.const 0)) (i32.const 256) (i32.const 256)))
    (if (i32.lt_s (local.get $len) (i32.const 0)) (then
      (i32.store8 (i32.const 256) (i32.sub (i32.const 48) (local.get $len)))
      (local.set $len (i32.add (i32.const 1) (call $result (i32.const 257) (i32.const 1000) (i32.const 0))))))
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
        let reply = self.executor.block_on(runtime.request(&to, body.as_bytes(), Duration::from_secs(60)));
        let reply = reply.map_err(ToolError::failed)?;
        serde_json::from_slice(&reply).map(ToolOutput::new).map_err(ToolError::failed)
    }
}

/// So many agents, which run and may call the tool `next`.
async fn agents(count: u32, resources: Arc<Resources>, tools: ToolRegistry) -> (Runtime, Vec<AgentId>) {
    let runtime = Runtime::builder().resources(resources).tools(Arc::new(tools)).build().expect("there is an engine");
    let mut policy =
        SecurityPolicy::default().grants(Grants::none().capability(Capability::Tools).capability(Capability::Messages));
    policy.limits.timeout = Some(Duration::from_secs(60));
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
        let reply = runtime.request(&first, br#"{"n":0}"#, Duration::from_secs(60)).await.expect("it answers");
        // The last one is denied, and its word comes back through all the others.
        assert_eq!(&*reply, b"2", "{}", String::from_utf8_lossy(&reply));
        assert_eq!(calls.load(Ordering::Relaxed), round * MAX_TOOL_DEPTH);
    }
    // From outside it is the same by way of a call.
    let given = runtime.execute(ids[0], "handle_message", br#"{"n":0}"#).await.expect("it answers");
    assert_eq!((given.as_slice(), calls.load(Ordering::Relaxed)), (&b"2"[..], 3 * MAX_TOOL_DEPTH));
    runtime.shutdown(Duration::from_secs(5)).await.expect("nobody works");
}

/// Takes a while, and counts its calls.
struct Slow(Value, Arc<AtomicU32>);

impl Slow {
    fn new() -> Self {
        Self(json!({"type": "object"}), Arc::default())
    }
}

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
        self.1.fetch_add(1, Ordering::SeqCst);
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
    tools.add(Slow::new()).expect("it is the first");
    let (runtime, ids) = agents(12, resources, tools).await;
    let mut work = tokio::task::JoinSet::new();
    for id in ids {
        let runtime = runtime.clone();
        work.spawn(async move { runtime.request(&id.into(), b"{}", Duration::from_secs(60)).await });
    }
    let replies: Vec<_> = work.join_all().await.into_iter().map(|reply| reply.expect("it answers").to_vec()).collect();
    let count = |word: &[u8]| replies.iter().filter(|reply| *reply == word).count();
    // FULL is what the others are told.
    assert!(count(b"true") >= 2 && count(b"true") + count(b"4") == 12, "{replies:?}");
    runtime.shutdown(Duration::from_secs(5)).await.expect("nobody works");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_is_enough_for_an_agent_and_its_tool() {
    for (threads, count) in [(1, 1), (1, 3), (2, 2)] {
        let resources = Resources::new(&ResourceConfig {
            max_calls_in_flight: threads,
            max_queued_calls: 0,
            run_permits: 1,
            ..ResourceConfig::default()
        });
        let tools = ToolRegistry::new(resources.clone());
        tools.add(Slow::new()).expect("it is the first");
        let (runtime, ids) = agents(count, resources, tools).await;
        for round in 0..3 {
            for id in &ids {
                let reply = runtime.request(&(*id).into(), b"{}", Duration::from_secs(60)).await;
                assert_eq!(reply.as_deref().expect("it answers"), b"true", "{threads} {round}");
            }
        }
        runtime.shutdown(Duration::from_secs(5)).await.expect("nobody works");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_waits_for_messages_takes_no_tools_thread() {
    let resources =
        Resources::new(&ResourceConfig { max_calls_in_flight: 2, run_permits: 1, ..ResourceConfig::default() });
    let tools = ToolRegistry::new(resources.clone());
    let slow = Slow::new();
    let calls = slow.1.clone();
    tools.add(slow).expect("it is the first");
    let (runtime, ids) = agents(2, resources, tools).await;
    let waits = tokio::spawn({
        let (runtime, id) = (runtime.clone(), ids[0]);
        async move { runtime.execute(id, "wait", b"").await }
    });
    while calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    // It comes to wait behind its tool. From then on one worker is left: for the other agent.
    let mut answered = 0;
    while answered < 2 {
        let reply = runtime.request(&ids[1].into(), b"{}", Duration::from_secs(60)).await.expect("it answers");
        match &*reply {
            b"true" => answered += 1,
            // As long as the first is with its tool, there is no room.
            b"4" => {}
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
    }
    waits.abort();
    let _ = runtime.shutdown(Duration::from_millis(100)).await;
}

/// What the agent answers when `build` makes the tool that it calls.
async fn told(config: &ResourceConfig, build: impl FnOnce(&Sandbox) -> ToolBuilder) -> String {
    let resources = Resources::new(config);
    let (engine, _) = crate::matrix::matrix().remove(0);
    let sandbox = Sandbox::builder(engine).wasi().limits(crate::limits()).resources(resources.clone()).build();
    let tools = ToolRegistry::new(resources.clone());
    tools.add(build(&sandbox.expect("it can be enforced")).build().expect("it is a tool")).expect("it is the first");
    let (runtime, ids) = agents(1, resources, tools).await;
    let reply = runtime.request(&ids[0].into(), b"{}", Duration::from_secs(60)).await.expect("it answers");
    runtime.shutdown(Duration::from_secs(5)).await.expect("nobody works");
    String::from_utf8_lossy(&reply).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_are_told_of_tools_and_not_of_the_host() {
    let plain = ResourceConfig::default();
    let next = |sandbox: &Sandbox| crate::builder(sandbox, "next", crate::WORDS);
    // The tool's own words.
    let said = told(&plain, next).await;
    assert!(said.starts_with("9the tool failed with exit code 1; it wrote: words:"), "{said}");
    let said = told(&plain, |sandbox| next(sandbox).input_schema(json!({"required": ["text"]}))).await;
    assert!(said.starts_with("9the arguments are refused: "), "{said}");
    let said = told(&plain, |sandbox| next(sandbox).fuel(Fuel::new(10))).await;
    assert!(said.starts_with("9the tool was stopped: fuel"), "{said}");
    // The host's directories, and how much memory it has, are not its business.
    let said = told(&plain, |sandbox| next(sandbox).dir("/srv/secret-of-the-host", "/documents")).await;
    assert_eq!(said, "9the host could not run the tool");
    let little = ResourceConfig { memory: Some(MemoryBytes::mib(32)), ..ResourceConfig::default() };
    let said = told(&little, |sandbox| next(sandbox).memory(MemoryBytes::mib(64))).await;
    assert_eq!(said, "4", "there is no room, as FULL says");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fuel_of_its_tools_is_in_an_agents_usage_and_rate() {
    let resources = Resources::new(&ResourceConfig::default());
    let (engine, _) = crate::matrix::matrix().remove(0);
    let sandbox = Sandbox::builder(engine).wasi().limits(crate::limits()).resources(resources.clone()).build();
    let tools = ToolRegistry::new(resources.clone());
    let words = crate::builder(&sandbox.expect("it can be enforced"), "next", crate::WORDS);
    tools.add(words.build().expect("it is a tool")).expect("it is the first");
    let (runtime, ids) = agents(1, resources, tools).await;
    let usage = || runtime.info(ids[0]).expect("it is there").usage;
    assert_eq!(usage().tool_fuel, 0);
    // Enough for what the agent does itself, by far, and not for its tool.
    let rate = FuelRate { per_second: 1, burst: 1_000_000_000 };
    runtime.set_fuel_rate(ids[0], Some(rate)).expect("it is there");
    runtime.request(&ids[0].into(), b"{}", Duration::from_secs(60)).await.expect("it answers");
    let once = usage();
    assert!(once.tool_fuel > 0 && once.fuel > 0, "{once:?}");
    let rate = FuelRate { per_second: 1, burst: once.fuel + once.tool_fuel / 2 };
    runtime.set_fuel_rate(ids[0], Some(rate)).expect("it is there");
    // It is paid for by then, or it never is: then the agent is in debt, and the next message waits.
    runtime.request(&ids[0].into(), b"{}", Duration::from_secs(60)).await.expect("it answers");
    let late = runtime.request(&ids[0].into(), b"{}", Duration::from_millis(50)).await;
    assert_eq!(late.map(|_| ()), Err(RequestError::TimedOut));
    let _ = runtime.shutdown(Duration::from_millis(100)).await;
}

#[test]
fn an_agent_pays_for_what_its_arguments_are_compared_with() {
    let tools = ToolRegistry::new(Resources::new(&ResourceConfig::default()));
    tools.add(Slow::new()).expect("it is the first");
    let list = |n: usize| json!({"a": vec![1; n]}).to_string().into_bytes();
    let price = |n| ToolCaller::price(&tools, "next", &list(n));
    let (small, large) = (price(1), price(10_000));
    assert!(large > 1_000 * small / 10, "{small} {large}");
    let wide: serde_json::Map<_, _> = (0..100).map(|i| (format!("p{i}"), json!({"type": "integer"}))).collect();
    tools.replace(Slow(json!({"properties": wide}), Arc::default())).expect("it is there");
    assert!(price(10_000) > 10 * large);
    assert!(ToolCaller::price(&tools, "nothing", b"{}") > 0, "it is read all the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_says_which_agent_called_a_tool() {
    let resources = Resources::new(&ResourceConfig::default());
    let audit = Arc::new(MemorySink::new(100));
    let tools = ToolRegistry::with(resources.clone(), 10, audit.clone());
    let refuses = json!({"type": "object", "required": ["x"]});
    let next = Next { runtime: Arc::default(), executor: Handle::current(), calls: Arc::default(), any: refuses };
    tools.add(next).expect("it is the first");
    let (runtime, _) = agents(1, resources, tools.clone()).await;
    let to = "a0".parse().expect("it is a name");
    runtime.request(&to, br#"{"n":0}"#, Duration::from_secs(60)).await.expect("it answers");
    assert!(tools.call("next", &json!({})).is_err());
    let events = audit.events();
    let denied = events.iter().filter(|event| event.kind == EventKind::DeniedCall);
    let by: Vec<_> = denied.map(|event| event.by.as_ref().map(AuditText::as_str)).collect();
    assert_eq!(by, [Some("a0"), None]);
}
