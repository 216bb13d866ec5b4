//! Small pools of threads: agents that wait never keep those from going on who could, and tools never wait behind
//! agents.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cofferdam::agent::{AgentConfig, AgentId, MailboxConfig, Runtime, WhenFull};
use cofferdam::audit::MemorySink;
use cofferdam::host::agent::{AbiError, AllowedTools, ToolCall, ToolCaller, ToolFuture};
use cofferdam::sandbox::{CallOptions, ResourceConfig, Resources};
use cofferdam::tool::{Tool, ToolError, ToolOutput, ToolRegistry};
use serde_json::{Value, json};

use crate::matrix::matrix;
use crate::room::patient;
use crate::{World, code, name, numbers, soon, to, until};

/// Calls the tool `next` with its input, and gives the answer, or `0` if there is none.
const CALLER: &str = r#"(module
  (import "cofferdam_v1" "input_len" (func $input_len (result i32)))
  (import "cofferdam_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "output_write" (func $output_write (param i32 i32) (result i32)))
  (import "cofferdam_v1" "call_tool" (func $call_tool (param i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "next0")
  (func (export "use") (local $n i32)
    (local.set $n (call $call_tool (i32.const 0) (i32.const 4)
      (i32.const 16) (call $input_read (i32.const 16) (i32.const 256) (i32.const 0)) (i32.const 512) (i32.const 256)))
    (if (i32.lt_s (local.get $n) (i32.const 0))
      (then (drop (call $output_write (i32.const 4) (i32.const 1))))
      (else (drop (call $output_write (i32.const 512) (local.get $n)))))))"#;

fn small(threads: usize, permits: usize) -> ResourceConfig {
    let config = ResourceConfig { max_calls_in_flight: threads, ..ResourceConfig::default() };
    ResourceConfig { max_queued_calls: 0, run_permits: permits, ..config }
}

fn tight(config: &ResourceConfig) -> Vec<World> {
    let world = |(engine, mode)| {
        let (audit, resources) = (Arc::new(MemorySink::new(1_000)), Resources::new(config));
        let runtime = Runtime::builder().engine(engine).resources(resources).audit(audit.clone());
        World { runtime: runtime.build().expect("an engine was given"), audit, mode }
    };
    matrix().into_iter().map(world).collect()
}

async fn caller(runtime: &Runtime, agent: &str, config: AgentConfig) -> AgentId {
    let config = AgentConfig { tools: AllowedTools::All, ..config };
    let id = runtime.deploy(name(agent), CALLER.as_bytes(), config).await.unwrap_or_else(|e| panic!("{e}"));
    runtime.start(id).await.unwrap_or_else(|e| panic!("{e}"));
    id
}

#[tokio::test]
async fn agents_that_wait_for_messages_leave_threads_to_others() {
    for world in tight(&small(2, 1)) {
        let mut waiting = Vec::new();
        for n in ["a", "b", "c"] {
            let id = world.loner(n, world.limited(patient())).await;
            let runtime = world.runtime.clone();
            waiting.push(tokio::spawn(async move { runtime.execute(id, "wait", b"").await }));
        }
        // As many as there may be wait; one hears at once that no message came.
        until(async || waiting.iter().any(|waits| waits.is_finished())).await;
        let good = world.puppet("good", world.config()).await;
        for _ in 0..20 {
            let reply = soon(world.runtime.request(&to("good"), b"e", Duration::from_secs(60))).await;
            assert_eq!(reply.as_deref(), Ok(&b"e"[..]));
        }
        let mut gave = Vec::new();
        for (n, waits) in ["a", "b", "c"].into_iter().zip(waiting) {
            world.send(n, b"x").await;
            gave.push(numbers(&soon(waits).await.expect("no panic").expect("it goes on"))[0]);
        }
        gave.sort_unstable();
        assert_eq!(gave, [code(AbiError::TimedOut), 1, 1]);
        world.call(good, "nothing", b"").await;
    }
}

#[tokio::test]
async fn agents_that_wait_for_room_leave_a_thread_to_who_makes_it() {
    for world in tight(&small(1, 1)) {
        let when_full = WhenFull::Block(Duration::MAX);
        let mailbox = MailboxConfig { messages: 1, when_full, ..MailboxConfig::default() };
        let f = world.loner("f", AgentConfig { mailbox, ..world.config() }).await;
        world.send("f", b"x").await;
        let mut waiting = Vec::new();
        for n in ["a", "b"] {
            let id = world.loner(n, world.limited(patient())).await;
            let runtime = world.runtime.clone();
            waiting.push(tokio::spawn(async move { runtime.execute(id, "send_one", b"f").await }));
        }
        until(async || waiting.iter().any(|waits| waits.is_finished())).await;
        assert_eq!(numbers(&soon(world.call(f, "take", b"")).await)[0], 1);
        let mut gave = Vec::new();
        for waits in waiting {
            gave.push(numbers(&soon(waits).await.expect("no panic").expect("it goes on"))[0]);
        }
        gave.sort_unstable();
        assert_eq!(gave, [code(AbiError::Full), 1]);
    }
}

#[tokio::test]
async fn one_thread_and_no_queue_serve_many_agents() {
    for world in tight(&small(1, 8)) {
        let spins = world.loner("spins", world.limited(patient())).await;
        let runtime = world.runtime.clone();
        let call = tokio::spawn(async move { runtime.execute(spins, "spin", b"").await });
        for n in 0..50 {
            world.puppet(&format!("a{n}"), world.config()).await;
            world.send(&format!("a{n}"), b"e").await;
        }
        for n in 0..50 {
            let id = world.runtime.find(&name(&format!("a{n}"))).expect("it is there");
            until(async || world.usage(id).messages_in == 1).await;
        }
        assert_eq!(world.runtime.held().1, 0, "no thread had to be asked for twice");
        world.runtime.remove(spins).await.expect("it is there");
        assert!(soon(call).await.expect("no panic").is_err());
    }
}

/// Answers with what the agent `a<n + 1>` answers, and one more.
struct Next(Arc<std::sync::OnceLock<Runtime>>, Value);

impl Tool for Next {
    fn name(&self) -> &str {
        "next"
    }
    fn description(&self) -> &str {
        "Asks the next agent"
    }
    fn input_schema(&self) -> &Value {
        &self.1
    }
    fn call_with(&self, arguments: &Value, _: &CallOptions) -> Result<ToolOutput, ToolError> {
        let n = arguments["n"].as_u64().unwrap_or_default() + 1;
        let runtime = self.0.get().expect("the test set it").clone();
        let Some(id) = runtime.find(&name(&format!("a{n}"))) else { return Ok(ToolOutput::new(json!(0))) };
        let input = json!({ "n": n }).to_string();
        let given = tokio::runtime::Handle::current().block_on(runtime.execute(id, "use", input.as_bytes()));
        let deeper: u64 = serde_json::from_slice(&given.expect("it answers")).expect("it is a number");
        Ok(ToolOutput::new(json!(deeper + 1)))
    }
}

fn with_next(engine: Arc<dyn cofferdam::Engine>, config: &ResourceConfig) -> Runtime {
    let resources = Resources::new(config);
    let registry = ToolRegistry::new(resources.clone());
    let runtime = Arc::new(std::sync::OnceLock::new());
    registry.add(Next(runtime.clone(), json!({ "type": "object" }))).expect("there is room");
    let built = Runtime::builder().engine(engine).resources(resources).tools(Arc::new(registry));
    runtime.get_or_init(|| built.build().expect("an engine was given")).clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_has_a_thread_even_where_its_agent_has_the_only_one() {
    for (engine, mode) in matrix() {
        let runtime = with_next(engine, &small(1, 1));
        let world = World { runtime: runtime.clone(), audit: Arc::new(MemorySink::new(1)), mode };
        let mut calls = Vec::new();
        for n in ["x", "y", "z"] {
            let id = caller(&runtime, n, world.limited(patient())).await;
            let runtime = runtime.clone();
            calls.push(tokio::spawn(async move { runtime.execute(id, "use", b"{}").await }));
        }
        for call in calls {
            // `next` finds no agent and answers 0; so does an agent to which the registry has no room to give.
            assert_eq!(soon(call).await.expect("no panic").expect("it goes on"), b"0");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_depth_of_tools_is_seen_through_the_agents_that_they_call() {
    for (engine, mode) in matrix() {
        let runtime = with_next(engine, &ResourceConfig::default());
        let world = World { runtime: runtime.clone(), audit: Arc::new(MemorySink::new(1)), mode };
        let mut first = None;
        for n in 0..12 {
            let id = caller(&runtime, &format!("a{n}"), world.limited(patient())).await;
            first.get_or_insert(id);
        }
        // The agent behind the eighth call of a tool calls none.
        let first = first.expect("there are twelve");
        let deep = soon(runtime.execute(first, "use", br#"{"n":0}"#)).await.expect("it answers");
        assert_eq!(deep, cofferdam::host::agent::MAX_TOOL_DEPTH.to_string().as_bytes());
    }
}

/// Sleeps by the clock of its async runtime, or for ever; counts how often the latter.
struct Sleeps(Arc<AtomicUsize>);

impl ToolCaller for Sleeps {
    fn call(&self, call: ToolCall) -> ToolFuture {
        let calls = self.0.clone();
        Box::pin(async move {
            if call.input == b"for ever" {
                calls.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(b"slept".to_vec())
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_find_the_async_runtime_and_end_with_their_agent() {
    for (engine, mode) in matrix() {
        let asleep = Arc::new(AtomicUsize::new(0));
        let runtime = Runtime::builder().engine(engine).tools(Arc::new(Sleeps(asleep.clone())));
        let runtime = runtime.build().expect("an engine was given");
        let world = World { runtime: runtime.clone(), audit: Arc::new(MemorySink::new(1)), mode };
        let config = AgentConfig { drain: Duration::from_millis(20), ..world.limited(patient()) };
        let id = caller(&runtime, "a", config).await;
        assert_eq!(soon(runtime.execute(id, "use", b"for a while")).await.expect("it answers"), b"slept");
        for removes in [false, true] {
            let other = runtime.clone();
            let call = tokio::spawn(async move { other.execute(id, "use", b"for ever").await });
            until(async || asleep.swap(0, Ordering::SeqCst) == 1).await;
            if removes {
                soon(runtime.remove(id)).await.expect("it is there");
            } else {
                let drained = soon(runtime.stop(id)).await.expect("it runs");
                assert_eq!((drained.failed, world.usage(id).violations), (None, 0), "the host cut it off");
            }
            assert!(soon(call).await.expect("no panic").is_err());
            if !removes {
                soon(runtime.start(id)).await.expect("it was stopped");
                assert_eq!(soon(runtime.execute(id, "use", b"for a while")).await.expect("it answers"), b"slept");
            }
        }
        assert_eq!((runtime.held(), runtime.resources().reserved_memory().get()), ((0, 0), 0));
    }
}
