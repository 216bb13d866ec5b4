//! What the functions of agents cost: nanoseconds per unit of fuel of each. Their prices are meant to be about one
//! for a nanosecond on a compiling engine.

use std::sync::Arc;
use std::time::Duration;

use cofferdam::Engine;
use cofferdam::agent::{AgentConfig, AgentId, AgentName, MailboxConfig, Peers, Runtime, Topic};
use cofferdam::host::agent::{AllowedTools, LogLevel, MODULE};
use cofferdam::policy::{Fuel, Grants, Limits, MemoryBytes, SecurityPolicy};
use cofferdam::sandbox::{CallOptions, Resources};
use cofferdam::tool::{Tool, ToolError, ToolOutput, ToolRegistry};
use serde_json::{Value, json};

const ROUNDS: usize = 9;

/// Subscribers of the topic.
const MANY: usize = 50;

/// A row: how often the body is done in a call, and the body; `first` is done once before.
struct Row {
    name: &'static str,
    times: u32,
    first: &'static str,
    body: &'static str,
    /// Why it may be far from the aim, if it may.
    why: &'static str,
}

/// What a row gave.
pub struct Measured {
    pub name: &'static str,
    /// Nanoseconds for a unit of fuel.
    pub ns: f64,
    /// Why it may be far from the aim; empty if it may not.
    pub why: &'static str,
}

const fn row(name: &'static str, times: u32, body: &'static str) -> Row {
    Row { name, times, first: "", body, why: "" }
}

impl Row {
    const fn because(self, why: &'static str) -> Self {
        Self { why, ..self }
    }

    const fn after(self, first: &'static str) -> Self {
        Self { first, ..self }
    }
}

const TAKEN: &str = "(drop (call $send (i32.const 8) (i32.const 1) (i32.const 64) (i32.const 16)))
    (drop (call $receive (i32.const 64) (i32.const 64) (i32.const 0)))";

const ROWS: &[Row] = &[
    row("input_len", 5_000, "(drop (call $input_len))"),
    row("input_read 4", 5_000, "(drop (call $input_read (i32.const 64) (i32.const 4) (i32.const 0)))"),
    row("output_write 0", 5_000, "(drop (call $output_write (i32.const 64) (i32.const 0)))"),
    row("log, not kept", 1_000, "(drop (call $log (i32.const 4) (i32.const 64) (i32.const 16)))")
        .because("what the host keeps must not show in what the guest is told"),
    row("log, kept", 1_000, "(drop (call $log (i32.const 0) (i32.const 64) (i32.const 16)))"),
    row("get_time", 5_000, "(drop (call $get_time))"),
    row("random 16", 2_000, "(drop (call $random (i32.const 64) (i32.const 16)))"),
    row("random 64 KiB", 20, "(drop (call $random (i32.const 65536) (i32.const 65536)))"),
    row("kv_set 16", 200, "(drop (call $kv_set (i32.const 8) (i32.const 1) (i32.const 64) (i32.const 16)))")
        .because("the storage has one key, and is in memory"),
    row("kv_get 16", 500, "(drop (call $kv_get (i32.const 8) (i32.const 1) (i32.const 64) (i32.const 16)))")
        .because("the storage has one key, and is in memory"),
    row("send_message to one", 1_000, "(drop (call $send (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 16)))"),
    row(
        "send_message, 64 KiB",
        50,
        "(drop (call $send (i32.const 0) (i32.const 1) (i32.const 65536) (i32.const 65536)))",
    )
    .because("nobody takes it, so that its memory is always fresh"),
    row("send_message to 50", 100, "(drop (call $send (i32.const 16) (i32.const 2) (i32.const 64) (i32.const 16)))"),
    row(
        "send_message, handled",
        1_000,
        "(drop (call $send (i32.const 24) (i32.const 1) (i32.const 64) (i32.const 16)))",
    ),
    row(
        "send_message to 50, handled",
        100,
        "(drop (call $send (i32.const 32) (i32.const 2) (i32.const 64) (i32.const 16)))",
    ),
    row(
        "send_message, no such",
        1_000,
        "(drop (call $send (i32.const 52) (i32.const 2) (i32.const 64) (i32.const 16)))",
    )
    .because("a message that is refused costs what it costs otherwise"),
    row("send and receive", 1_000, TAKEN),
    row(
        "send and receive, 64 KiB",
        200,
        "(drop (call $send (i32.const 8) (i32.const 1) (i32.const 65536) (i32.const 65536)))
         (drop (call $receive (i32.const 65536) (i32.const 65536) (i32.const 0)))",
    )
    .because("bytes cost as in all host functions, and these are in the cache"),
    row("receive_message, none", 1_000, "(drop (call $receive (i32.const 64) (i32.const 64) (i32.const 0)))")
        .because("looking costs what taking costs"),
    row(
        "request",
        500,
        "(drop (call $request (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 16) (i32.const 600000)))",
    ),
    row(
        "request, take, reply, take",
        500,
        "(drop (call $request (i32.const 8) (i32.const 1) (i32.const 64) (i32.const 16) (i32.const 600000)))
         (drop (call $receive (i32.const 64) (i32.const 64) (i32.const 0)))
         (drop (call $reply (i32.const 64) (i32.const 16)))
         (drop (call $receive (i32.const 64) (i32.const 64) (i32.const 0)))",
    ),
    row("message_kind", 5_000, "(drop (call $kind))").after(TAKEN),
    row("message_correlation", 5_000, "(drop (call $correlation))").after(TAKEN),
    row("message_from", 2_000, "(drop (call $from (i32.const 128) (i32.const 64)))").after(TAKEN),
    row("message_topic", 2_000, "(drop (call $topic (i32.const 128) (i32.const 64)))").after(TAKEN),
    row("set_timer", 500, "(drop (call $set_timer (i32.const 0x7fffffff) (i64.const 0)))"),
    row(
        "call_tool",
        50,
        "(drop (call $call_tool (i32.const 40) (i32.const 4) (i32.const 48) (i32.const 2) (i32.const 64) (i32.const 64)))",
    ),
];

fn module() -> String {
    let exports = ROWS.iter().enumerate().map(|(n, row)| {
        format!(
            r#"(func (export "k{n}") (local $n i32) (local.set $n (i32.const {})) {} (loop $l {}
              (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))"#,
            row.times, row.first, row.body
        )
    });
    format!(
        r##"(module
          (import "{MODULE}" "input_len" (func $input_len (result i32)))
          (import "{MODULE}" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
          (import "{MODULE}" "output_write" (func $output_write (param i32 i32) (result i32)))
          (import "{MODULE}" "log" (func $log (param i32 i32 i32) (result i32)))
          (import "{MODULE}" "get_time" (func $get_time (result i64)))
          (import "{MODULE}" "random" (func $random (param i32 i32) (result i32)))
          (import "{MODULE}" "kv_set" (func $kv_set (param i32 i32 i32 i32) (result i32)))
          (import "{MODULE}" "kv_get" (func $kv_get (param i32 i32 i32 i32) (result i32)))
          (import "{MODULE}" "send_message" (func $send (param i32 i32 i32 i32) (result i64)))
          (import "{MODULE}" "request" (func $request (param i32 i32 i32 i32 i32) (result i64)))
          (import "{MODULE}" "receive_message" (func $receive (param i32 i32 i32) (result i32)))
          (import "{MODULE}" "reply" (func $reply (param i32 i32) (result i32)))
          (import "{MODULE}" "message_kind" (func $kind (result i32)))
          (import "{MODULE}" "message_correlation" (func $correlation (result i64)))
          (import "{MODULE}" "message_from" (func $from (param i32 i32) (result i32)))
          (import "{MODULE}" "message_topic" (func $topic (param i32 i32) (result i32)))
          (import "{MODULE}" "set_timer" (func $set_timer (param i32 i64) (result i32)))
          (import "{MODULE}" "call_tool" (func $call_tool (param i32 i32 i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 2)
          (data (i32.const 0) "b") (data (i32.const 8) "a") (data (i32.const 16) "#t") (data (i32.const 24) "h")
          (data (i32.const 32) "#h") (data (i32.const 52) "zz")
          (data (i32.const 40) "tool") (data (i32.const 48) "{{}}")
          {})"##,
        exports.collect::<String>()
    )
}

/// Answers at once.
struct Nothing(Value);

impl Tool for Nothing {
    fn name(&self) -> &str {
        "tool"
    }
    fn description(&self) -> &str {
        "Does nothing."
    }
    fn input_schema(&self) -> &Value {
        &self.0
    }
    fn call_with(&self, _: &Value, _: &CallOptions) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::new(Value::Null))
    }
}

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("it is one")
}

fn config(engine: &Arc<dyn Engine>) -> AgentConfig {
    let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
    let policy = SecurityPolicy::standard().grants(Grants::none().module(MODULE)).limits(limits);
    let mailbox = MailboxConfig { messages: 1 << 20, bytes: MemoryBytes::mib(256), ..MailboxConfig::default() };
    AgentConfig {
        policy,
        engine: Some(engine.clone()),
        mailbox,
        peers: Peers::All,
        publish: [topic("t"), topic("h")].into(),
        tools: AllowedTools::All,
        requests: 1 << 20,
        timers: 1 << 20,
        log_level: LogLevel::Error,
        ..AgentConfig::default()
    }
}

async fn agent(runtime: &Runtime, name: &str, module: &[u8], config: AgentConfig) -> AgentId {
    let name = AgentName::new(name).expect("it is one");
    let id = runtime.deploy(name, module, config).await.expect("it may run");
    runtime.start(id).await.expect("it starts");
    id
}

/// Takes its messages.
const HANDLES: &[u8] = br#"(module (func (export "handle_message")))"#;

/// Each row, the best of a few rounds.
pub async fn measure(engine: &Arc<dyn Engine>) -> Vec<Measured> {
    let mut best = vec![f64::INFINITY; ROWS.len()];
    let module = wat::parse_str(module()).expect("the text is good");
    for _ in 0..ROUNDS {
        // New each round: mailboxes and timers would fill up.
        let resources = Resources::new(&Default::default());
        let tools = ToolRegistry::new(resources.clone());
        tools.add(Nothing(json!({"type": "object"}))).expect("it is the first");
        let runtime = Runtime::builder().resources(resources).tools(Arc::new(tools)).build();
        let runtime = runtime.expect("there is an engine");
        let a = agent(&runtime, "a", &module, config(engine)).await;
        agent(&runtime, "b", b"(module)", config(engine)).await;
        agent(&runtime, "h", HANDLES, config(engine)).await;
        for n in 0..MANY {
            let of = |name| AgentConfig { topics: [topic(name)].into(), ..config(engine) };
            agent(&runtime, &format!("t{n}"), b"(module)", of("t")).await;
            agent(&runtime, &format!("h{n}"), HANDLES, of("h")).await;
        }
        for (n, best) in best.iter_mut().enumerate() {
            let (done, receipt) = runtime.execute_with_receipt(a, &format!("k{n}"), b"four").await;
            done.expect("it returns");
            let receipt = receipt.expect("it was called");
            *best = best.min(receipt.wall.as_nanos() as f64 / receipt.fuel as f64);
        }
        runtime.shutdown(Duration::from_secs(60)).await.expect("nobody is busy");
    }
    ROWS.iter().zip(best).map(|(row, ns)| Measured { name: row.name, ns, why: row.why }).collect()
}
