//! Agents: how long a request and its reply take, how many messages pass, how soon a new agent answers, and what many
//! of them take; each with its aim, whether it was met, and a baseline of the same run. Each engine is measured in a
//! process of its own. `cargo bench --bench agents --features all-free [-- ENGINE]`

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam::agent::{AgentConfig, AgentId, AgentName, MailboxConfig, MaxAgents, Peers, Runtime, State, WhenFull};
use cofferdam::host::agent::{AgentState, MODULE};
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

/// The aims that were met, and those that were missed.
#[derive(Default)]
struct Verdicts {
    met: usize,
    missed: Vec<String>,
}

impl Verdicts {
    /// One line: what was measured, what it gave, its aim and whether it was met, and what it is compared with.
    fn row(&mut self, what: &str, gave: &str, aim: Option<(&str, bool)>, baseline: &str) {
        let verdict = match aim {
            None => "-".to_owned(),
            Some((aim, true)) => {
                self.met += 1;
                format!("{aim}: met")
            }
            Some((aim, false)) => {
                self.missed.push(what.to_owned());
                format!("{aim}: MISSED")
            }
        };
        println!("  {what:<62} {gave:>14}  {verdict:<26} {baseline}");
    }

    fn time(&mut self, what: &str, gave: Duration, most: Option<Duration>, baseline: &str) {
        let aim = most.map(|most| (format!("at most {most:?}"), gave <= most));
        self.row(what, &format!("{gave:.1?}"), aim.as_ref().map(|(aim, met)| (aim.as_str(), *met)), baseline);
    }

    /// So many in this time.
    fn rate(&mut self, what: &str, n: u64, took: Duration, least: Option<u64>, baseline: &str) {
        let gave = n as f64 / took.as_secs_f64();
        let aim = least.map(|least| (format!("at least {least}/s"), gave >= least as f64));
        self.row(what, &format!("{gave:.0}/s"), aim.as_ref().map(|(aim, met)| (aim.as_str(), *met)), baseline);
    }
}

/// Half of them, and 99 of 100, took at most so long.
fn quantiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (quantile(&times, 0.5), quantile(&times, 0.99))
}

fn beside((p50, p99): (Duration, Duration), what: &str) -> String {
    format!("{what}: {p50:.1?}, p99 {p99:.1?}")
}

/// Bytes of memory that this process has; 0 where nobody says.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() << 10
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

/// Messages through one channel from one task to another.
async fn channel_rate(messages: u64) -> f64 {
    let (to, mut inbox) = tokio::sync::mpsc::channel::<Vec<u8>>(10_000);
    let began = Instant::now();
    let sends = tokio::spawn(async move {
        for _ in 0..messages {
            to.send(vec![0; 16]).await.expect("the other listens");
        }
    });
    while inbox.recv().await.is_some() {}
    sends.await.expect("it ends");
    messages as f64 / began.elapsed().as_secs_f64()
}

async fn request_and_reply(engine: &Arc<dyn Engine>, verdicts: &mut Verdicts) {
    let channels = beside(quantiles(channel_ping_pong(20_000).await), "two tasks over channels");
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
    let (p50, p99) = quantiles(times);
    // The aims are those of Cranelift.
    let aim = |micros| (engine.descriptor().id == "wasmer-cranelift").then_some(Duration::from_micros(micros));
    verdicts.time("request and reply beside 100 idle ones, median", p50, aim(20), &channels);
    verdicts.time("request and reply beside 100 idle ones, p99", p99, aim(200), "");
}

async fn throughput(engine: &Arc<dyn Engine>, verdicts: &mut Verdicts) {
    const MESSAGES: u32 = 300_000;
    let channel = channel_rate(MESSAGES.into()).await;
    let runtime = Runtime::builder().build().expect("there is an engine");
    let a = agent(&runtime, "a", AGENT, config(engine)).await;
    let b = agent(&runtime, "b", AGENT, AgentConfig { mailbox: patient(10_000), ..config(engine) }).await;
    let began = Instant::now();
    flood(&runtime, a, b, MESSAGES).await;
    let baseline = format!("one task to another over a channel: {channel:.0}/s");
    verdicts.rate("messages through two guests", MESSAGES.into(), began.elapsed(), Some(100_000), &baseline);
}

/// A mailbox that lets senders wait.
fn patient(messages: usize) -> MailboxConfig {
    MailboxConfig { messages, bytes: MemoryBytes::mib(8), when_full: WhenFull::Block(Duration::from_secs(60)) }
}

/// So many messages from `a` to `b`, until all are handled.
async fn flood(runtime: &Runtime, a: AgentId, b: AgentId, messages: u32) {
    let handled = || runtime.info(b).expect("it is there").usage.messages_in;
    let before = handled();
    runtime.execute(a, "flood", &messages.to_le_bytes()).await.expect("it ends");
    while handled() < before + u64::from(messages) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// What the process holds after a million messages, and what it held after the first tenth of them.
async fn growth(engine: &Arc<dyn Engine>, verdicts: &mut Verdicts) {
    const TENTH: u32 = 100_000;
    // Sixteen bytes a message would be more.
    const MOST: u64 = 14 << 20;
    let runtime = Runtime::builder().build().expect("there is an engine");
    let a = agent(&runtime, "a", AGENT, config(engine)).await;
    let b = agent(&runtime, "b", AGENT, AgentConfig { mailbox: patient(10_000), ..config(engine) }).await;
    flood(&runtime, a, b, TENTH).await;
    let first = resident();
    for _ in 1..10 {
        flood(&runtime, a, b, TENTH).await;
    }
    let grown = resident().saturating_sub(first);
    let held = runtime.held() == (2, 0) && runtime.dead_letters_total() == 0;
    let baseline = format!("after the first {TENTH}: {} MiB", first >> 20);
    let aim = ("at most 14 MiB, no alarms", grown <= MOST && held);
    verdicts.row("grown over 1,000,000 messages", &format!("{} KiB", grown >> 10), Some(aim), &baseline);
}

/// A message through the directory into a mailbox, with no guest: the median of rounds, between which the mailbox is
/// emptied.
async fn router(engine: &Arc<dyn Engine>, verdicts: &mut Verdicts) {
    const MESSAGES: u32 = 10_000;
    const ROUNDS: usize = 100;
    let median = |mut times: Vec<Duration>| {
        times.sort();
        quantile(&times, 0.5)
    };
    let (to, mut inbox) = tokio::sync::mpsc::channel::<Vec<u8>>(MESSAGES as usize);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..MESSAGES {
            to.try_send(vec![0; 16]).expect("there is room");
        }
        times.push(began.elapsed());
        while inbox.try_recv().is_ok() {}
    }
    let channel = f64::from(MESSAGES) / median(times).as_secs_f64();
    let runtime = Runtime::builder().dead_letters(0, MemoryBytes::new(0)).build().expect("there is an engine");
    let mailbox = MailboxConfig { messages: MESSAGES as usize, ..MailboxConfig::default() };
    let id = agent(&runtime, "b", SILENT, AgentConfig { mailbox, ..config(engine) }).await;
    let to = "b".parse().expect("it is a name");
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..MESSAGES {
            runtime.send(&to, &[0; 16]).await.expect("there is room");
        }
        times.push(began.elapsed());
        runtime.stop(id).await.expect("it runs");
        runtime.start(id).await.expect("it was stopped");
    }
    let baseline = format!("into a channel: {channel:.0}/s");
    verdicts.rate("router alone, one thread", MESSAGES.into(), median(times), Some(2_000_000), &baseline);
}

async fn deployment(engine: &Arc<dyn Engine>, verdicts: &mut Verdicts) {
    const AGENTS: usize = 500;
    let most = MaxAgents::new(10_000).expect("it is not 0");
    let runtime = Runtime::builder().max_agents(most).build().expect("there is an engine");
    // Text would have to be parsed each time.
    let module = wat::parse_bytes(AGENT).expect("the text is good");
    let began = Instant::now();
    agent(&runtime, "first", &module, config(engine)).await;
    let first = began.elapsed();
    let (mut times, mut starts) = (Vec::new(), Vec::new());
    for n in 0..AGENTS {
        let name = AgentName::new(&format!("a{n}")).expect("it is a name");
        let began = Instant::now();
        let id = runtime.deploy(name, &module, config(engine)).await.expect("the module is good");
        let deployed = Instant::now();
        runtime.start(id).await.expect("it starts");
        starts.push(deployed.elapsed());
        runtime.execute(id, "nothing", b"").await.expect("it answers");
        times.push(began.elapsed());
    }
    // The same module and the same call with no runtime of agents around it.
    let sandbox = Sandbox::builder(engine.clone()).host(cofferdam::host::agent::imports());
    let sandbox = sandbox.policy(config(engine).policy).build().expect("it can be enforced");
    let mut raw = Vec::new();
    for _ in 0..AGENTS {
        let began = Instant::now();
        let module = sandbox.load(&module).expect("the module is good");
        let state = GuestState::default().with_agent(AgentState::new("raw"));
        let mut guest = sandbox.guest(&module, state).expect("it fits");
        guest.call("nothing", &[]).into_result().expect("it returns");
        raw.push(began.elapsed());
    }
    let raw = beside(quantiles(raw), "a guest on this thread");
    let (p50, p99) = quantiles(times);
    let aim = Some(Duration::from_micros(200));
    verdicts.time("deploy of a compiled module to the end of its first call, median", p50, aim, &raw);
    verdicts.time("deploy of a compiled module to the end of its first call, p99", p99, None, "");
    let slowest = starts.iter().max().copied().unwrap_or_default();
    let aim = Some(Duration::from_millis(100));
    verdicts.time("start, the slowest of 500", slowest, aim, &beside(quantiles(starts), "all of them"));
    verdicts.time("deploy and start of a module that is not compiled", first, aim, "");
}

async fn many(engine: &Arc<dyn Engine>, verdicts: &mut Verdicts) {
    const AGENTS: usize = 10_000;
    let module = wat::parse_bytes(AGENT).expect("the text is good");
    let kib = |bytes: u64, n: usize| format!("{:.1} KiB", bytes as f64 / n as f64 / 1024.0);
    let sandbox = Sandbox::builder(engine.clone()).host(cofferdam::host::agent::imports());
    let sandbox = sandbox.policy(config(engine).policy).build().expect("it can be enforced");
    let loaded = sandbox.load(&module).expect("the module is good");
    let (before, raw) = (resident(), 1_000);
    let guest = |_| {
        let state = GuestState::default().with_agent(AgentState::new("raw"));
        sandbox.guest(&loaded, state).expect("it fits")
    };
    let guests: Vec<_> = (0..raw).map(guest).collect();
    let baseline = kib(resident().saturating_sub(before), raw);
    let most = MaxAgents::new(AGENTS).expect("it is not 0");
    let runtime = Runtime::builder().max_agents(most).build().expect("there is an engine");
    let (before, began) = (resident(), Instant::now());
    let mut ids = Vec::new();
    for n in 0..AGENTS {
        ids.push(agent(&runtime, &format!("a{n}"), &module, config(engine)).await);
    }
    let took = began.elapsed();
    let each = resident().saturating_sub(before);
    let mut answered = 0;
    for id in ids {
        answered += usize::from(runtime.execute(id, "nothing", b"").await.is_ok());
    }
    runtime.shutdown(Duration::from_secs(60)).await.expect("nobody is busy");
    drop(guests);
    let aim = ("10000 that answer", answered == AGENTS);
    verdicts.row("agents that live and answer", &answered.to_string(), Some(aim), "");
    verdicts.row("memory of each", &kib(each, AGENTS), None, &format!("a guest without a runtime: {baseline}"));
    verdicts.row("deploying and starting all of them", &format!("{took:.1?}"), None, "");
}

async fn beside_loops(engine: &Arc<dyn Engine>, verdicts: &mut Verdicts) {
    let runtime = Runtime::builder().build().expect("there is an engine");
    let id = agent(&runtime, "a", AGENT, config(engine)).await;
    let calls = async || {
        let mut times = Vec::new();
        for _ in 0..300 {
            let began = Instant::now();
            runtime.execute(id, "nothing", b"").await.expect("it answers");
            times.push(began.elapsed());
        }
        quantiles(times)
    };
    let alone = calls().await;
    for n in 0..64 {
        let id = agent(&runtime, &format!("loop{n}"), AGENT, config(engine)).await;
        let runtime = runtime.clone();
        tokio::spawn(async move { runtime.execute(id, "spin", b"").await });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (p50, p99) = calls().await;
    let running = runtime.list().iter().filter(|info| info.state == State::Running).count();
    assert_eq!(running, 65, "the loops are still under way");
    verdicts.time("a call beside 64 endless loops, median", p50, None, &beside(alone, "alone"));
    verdicts.time("a call beside 64 endless loops, p99", p99, Some(Duration::from_millis(50)), "");
    for agent in runtime.list() {
        runtime.remove(agent.id).await.expect("it is there");
    }
}

fn raw_call(engine: &Arc<dyn Engine>, verdicts: &mut Verdicts) {
    let sandbox = Sandbox::builder(engine.clone()).build().expect("it can be enforced");
    let module = sandbox.load(SILENT).expect("the module is good");
    let mut guest = sandbox.guest(&module, GuestState::default()).expect("it fits");
    let nothing = guest.typed::<(), ()>("nothing").expect("it is there");
    const CALLS: u32 = 100_000;
    let began = Instant::now();
    for _ in 0..CALLS {
        nothing.call(&mut guest, ()).expect("it returns");
    }
    verdicts.time("baseline: a call into a guest that does nothing", began.elapsed() / CALLS, None, "");
}

fn measure(engine: &Arc<dyn Engine>) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("it starts");
    let mut verdicts = Verdicts::default();
    println!("{}", engine.descriptor().id);
    tokio.block_on(async {
        // Memory first, while the process holds nothing else that it could use again.
        growth(engine, &mut verdicts).await;
        many(engine, &mut verdicts).await;
        raw_call(engine, &mut verdicts);
        deployment(engine, &mut verdicts).await;
        request_and_reply(engine, &mut verdicts).await;
        throughput(engine, &mut verdicts).await;
        router(engine, &mut verdicts).await;
        beside_loops(engine, &mut verdicts).await;
    });
    println!("  {} aims met, {} missed{}", verdicts.met, verdicts.missed.len(), {
        let missed = verdicts.missed.join("; ");
        if missed.is_empty() { missed } else { format!(": {missed}") }
    });
}

fn main() {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    for engine in engines::all() {
        let id = engine.descriptor().id;
        match &wanted {
            Some(wanted) if wanted == id => measure(&engine),
            Some(_) => {}
            None => {
                let me = std::env::current_exe().expect("it runs");
                let done = std::process::Command::new(me).arg(id).status().expect("it can be run");
                assert!(done.success(), "{id}: {done}");
            }
        }
    }
}
