//! Agents: how long a request and its reply take, how many messages pass, how soon a new agent answers; each beside
//! a baseline of the same run. `cargo bench --bench agents`

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam::agent::{AgentConfig, AgentId, AgentName, MailboxConfig, MaxAgents, Peers, Runtime, State, WhenFull};
use cofferdam::host::agent::MODULE;
use cofferdam::policy::{Fuel, Grants, Limits, MemoryBytes, SecurityPolicy};
use cofferdam::{Engine, GuestState, Sandbox, engines};
use support::quantile;

/// Answers, asks another again and again, or floods it, as it is told.
const AGENT: &[u8] = br#"(module
  (import "cofferdam_v1" "input_len" (func $input_len (result i32)))
  (import "cofferdam_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "output_write" (func $output_write (param i32 i32) (result i32)))
  (import "cofferdam_v1" "request" (func $request (param i32 i32 i32 i32 i32) (result i64)))
  (import "cofferdam_v1" "send_message" (func $send (param i32 i32 i32 i32) (result i64)))
  (import "cofferdam_v1" "message_kind" (func $kind (result i32)))
  (import "cofferdam_v1" "get_time" (func $now (result i64)))
  (memory (export "memory") 4)
  (data (i32.const 0) "b")
  (global $left (mut i32) (i32.const 0))
  (global $asked (mut i64) (i64.const 0))
  (global $at (mut i32) (i32.const 0x10000))
  (func $ask
    (global.set $asked (call $now))
    (drop (call $request (i32.const 0) (i32.const 1) (i32.const 16) (i32.const 16) (i32.const 60000))))
  ;; Asks `b` as many times as the input says, one after the other.
  (func (export "ask")
    (drop (call $input_read (i32.const 8) (i32.const 4) (i32.const 0)))
    (global.set $left (i32.load (i32.const 8)))
    (global.set $at (i32.const 0x10000))
    (call $ask))
  (func (export "handle_message")
    (if (call $kind)
      (then
        (i64.store (global.get $at) (i64.sub (call $now) (global.get $asked)))
        (global.set $at (i32.add (global.get $at) (i32.const 8)))
        (global.set $left (i32.sub (global.get $left) (i32.const 1)))
        (if (global.get $left) (then (call $ask))))
      (else (drop (call $output_write (i32.const 16) (call $input_read (i32.const 16) (i32.const 64) (i32.const 0)))))))
  (func (export "left") (i32.store (i32.const 8) (global.get $left)) (drop (call $output_write (i32.const 8) (i32.const 4))))
  (func (export "times") (drop (call $output_write (i32.const 0x10000) (i32.sub (global.get $at) (i32.const 0x10000)))))
  ;; Sends as many messages as the input says.
  (func (export "flood") (local $n i32)
    (drop (call $input_read (i32.const 8) (i32.const 4) (i32.const 0)))
    (local.set $n (i32.load (i32.const 8)))
    (loop $again
      (drop (call $send (i32.const 0) (i32.const 1) (i32.const 16) (i32.const 16)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "nothing"))
  (func (export "spin") (loop (br 0))))"#;

const SILENT: &[u8] = br#"(module (func (export "nothing")))"#;

fn config(engine: &Arc<dyn Engine>) -> AgentConfig {
    let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
    let policy = SecurityPolicy::standard().grants(Grants::none().module(MODULE)).limits(limits);
    AgentConfig { policy, engine: Some(engine.clone()), peers: Peers::All, ..AgentConfig::default() }
}

async fn agent(runtime: &Runtime, name: &str, module: &[u8], config: AgentConfig) -> AgentId {
    let name = AgentName::new(name).expect("it is a name");
    let id = runtime.deploy(name, module, config).await.expect("the module is good");
    runtime.start(id).await.expect("it starts");
    id
}

fn show(what: &str, times: &mut [Duration]) {
    times.sort();
    let (p50, p99) = (quantile(times, 0.5), quantile(times, 0.99));
    println!("  {what}: median {p50:.1?}, p99 {p99:.1?}");
}

fn rate(what: &str, n: u64, took: Duration) {
    println!("  {what}: {:.0} a second", n as f64 / took.as_secs_f64());
}

/// Two tasks that answer each other over channels.
async fn channel_ping_pong(rounds: u32) -> Vec<Duration> {
    let (to, mut inbox) = tokio::sync::mpsc::channel::<Vec<u8>>(64);
    let (back, mut replies) = tokio::sync::mpsc::channel::<Vec<u8>>(64);
    let echo = tokio::spawn(async move {
        while let Some(message) = inbox.recv().await {
            if back.send(message).await.is_err() {
                break;
            }
        }
    });
    let asker = tokio::spawn(async move {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let began = Instant::now();
            to.send(vec![0; 16]).await.expect("the other listens");
            replies.recv().await.expect("the other answers");
            times.push(began.elapsed());
        }
        times
    });
    let times = asker.await.expect("it ends");
    echo.await.expect("it ends");
    times
}

async fn request_and_reply(engine: &Arc<dyn Engine>) {
    let runtime = Runtime::builder().build().expect("there is an engine");
    for n in 0..100 {
        agent(&runtime, &format!("idle{n}"), AGENT, config(engine)).await;
    }
    let a = agent(&runtime, "a", AGENT, config(engine)).await;
    agent(&runtime, "b", AGENT, config(engine)).await;
    let mut times = Vec::new();
    for _ in 0..5 {
        runtime.execute(a, "ask", &4_000_u32.to_le_bytes()).await.expect("it asks");
        while runtime.execute(a, "left", b"").await.expect("it answers") != [0; 4] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let given = runtime.execute(a, "times", b"").await.expect("it answers");
        times.extend(
            given.chunks_exact(8).map(|t| Duration::from_nanos(u64::from_le_bytes(t.try_into().expect("eight")))),
        );
    }
    show("request and reply of two agents beside 100 idle ones", &mut times);
}

async fn throughput(engine: &Arc<dyn Engine>) {
    const MESSAGES: u32 = 300_000;
    let runtime = Runtime::builder().build().expect("there is an engine");
    let a = agent(&runtime, "a", AGENT, config(engine)).await;
    let mailbox = MailboxConfig {
        messages: 10_000,
        bytes: MemoryBytes::mib(8),
        when_full: WhenFull::Block(Duration::from_secs(60)),
    };
    let b = agent(&runtime, "b", AGENT, AgentConfig { mailbox, ..config(engine) }).await;
    let began = Instant::now();
    runtime.execute(a, "flood", &MESSAGES.to_le_bytes()).await.expect("it ends");
    while runtime.info(b).expect("it is there").usage.messages_in < MESSAGES.into() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    rate("messages through two guests", MESSAGES.into(), began.elapsed());
}

/// A message through the directory into a mailbox and out of it, with no guest.
async fn router(engine: &Arc<dyn Engine>) {
    const MESSAGES: u64 = 1_000_000;
    let runtime = Runtime::builder().build().expect("there is an engine");
    let mailbox = MailboxConfig { messages: 1_000, when_full: WhenFull::DropOldest, ..MailboxConfig::default() };
    agent(&runtime, "b", SILENT, AgentConfig { mailbox, ..config(engine) }).await;
    let to = "b".parse().expect("it is a name");
    // What is dropped is kept as a dead letter, so this is more than the router does for messages that are read.
    let began = Instant::now();
    for _ in 0..1_000 {
        runtime.send(&to, &[0; 16]).await.expect("there is room");
    }
    let filled = began.elapsed();
    let began = Instant::now();
    for _ in 0..MESSAGES {
        runtime.send(&to, &[0; 16]).await.expect("there is room");
    }
    rate("router alone, one thread, into an empty mailbox", 1_000, filled);
    rate("router alone, one thread, dropping the oldest", MESSAGES, began.elapsed());
}

async fn deployment(engine: &Arc<dyn Engine>) {
    let most = MaxAgents::new(10_000).expect("it is not 0");
    let runtime = Runtime::builder().max_agents(most).build().expect("there is an engine");
    agent(&runtime, "first", AGENT, config(engine)).await;
    // Text would have to be parsed each time.
    let module = wat::parse_bytes(AGENT).expect("the text is good");
    let mut times = Vec::new();
    for n in 0..500 {
        let began = Instant::now();
        let id = agent(&runtime, &format!("a{n}"), &module, config(engine)).await;
        runtime.execute(id, "nothing", b"").await.expect("it answers");
        times.push(began.elapsed());
    }
    show("deploy of a compiled module to the end of its first call", &mut times);
}

async fn beside_loops(engine: &Arc<dyn Engine>) {
    let runtime = Runtime::builder().build().expect("there is an engine");
    let id = agent(&runtime, "a", AGENT, config(engine)).await;
    for n in 0..64 {
        let id = agent(&runtime, &format!("loop{n}"), AGENT, config(engine)).await;
        let runtime = runtime.clone();
        tokio::spawn(async move { runtime.execute(id, "spin", b"").await });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut times = Vec::new();
    for _ in 0..300 {
        let began = Instant::now();
        runtime.execute(id, "nothing", b"").await.expect("it answers");
        times.push(began.elapsed());
    }
    let running = runtime.list().iter().filter(|info| info.state == State::Running).count();
    assert_eq!(running, 65, "the loops are still under way");
    show("a call of one agent beside 64 endless loops", &mut times);
    for agent in runtime.list() {
        runtime.remove(agent.id).await.expect("it is there");
    }
}

fn raw_call(engine: &Arc<dyn Engine>) {
    let sandbox = Sandbox::builder(engine.clone()).build().expect("it can be enforced");
    let module = sandbox.load(SILENT).expect("the module is good");
    let mut guest = sandbox.guest(&module, GuestState::default()).expect("it fits");
    let nothing = guest.typed::<(), ()>("nothing").expect("it is there");
    const CALLS: u32 = 100_000;
    let began = Instant::now();
    for _ in 0..CALLS {
        nothing.call(&mut guest, ()).expect("it returns");
    }
    println!("  baseline, a call into a guest that does nothing: {:.0?}", began.elapsed() / CALLS);
}

fn main() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("it starts");
    tokio.block_on(async {
        for engine in engines::all() {
            println!("{}", engine.descriptor().id);
            raw_call(&engine);
            show("baseline, two tasks over channels", &mut channel_ping_pong(20_000).await);
            request_and_reply(&engine).await;
            throughput(&engine).await;
            router(&engine).await;
            deployment(&engine).await;
            beside_loops(&engine).await;
        }
    });
}
