//! What an agent is denied is counted and told, whatever it asked for; and so are caps that it hits again and again.

use cofferdam::agent::{AgentConfig, ExecuteError, MailboxConfig, Peers, State};
use cofferdam::audit::EventKind;
use cofferdam::host::agent::AbiError;
use cofferdam::policy::{Fuel, Limits, MemoryBytes};

use crate::{World, code, numbers, soon, until, worlds};

/// Asks for what it may not have, and answers with what it was told.
const PROBES: &str = r##"(module
  (import "cofferdam_v1" "call_tool" (func $call_tool (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "send_message" (func $send (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (data (i32.const 0) "hammer") (data (i32.const 16) "boss") (data (i32.const 32) "#all")
  (func (export "tool") (result i32)
    (i32.add (i32.const 2) (call $call_tool (i32.const 0) (i32.const 6) (i32.const 64) (i32.const 0) (i32.const 64) (i32.const 0))))
  (func (export "peer") (result i32)
    (i32.add (i32.const 2) (i32.wrap_i64 (call $send (i32.const 16) (i32.const 4) (i32.const 64) (i32.const 0)))))
  (func (export "topic") (result i32)
    (i32.add (i32.const 2) (i32.wrap_i64 (call $send (i32.const 32) (i32.const 4) (i32.const 64) (i32.const 0))))))"##;

#[tokio::test]
async fn a_denied_call_is_a_violation_and_an_event() {
    for world in worlds() {
        let config = AgentConfig { peers: Peers::Only(Default::default()), max_violations: Some(3), ..world.config() };
        let id = world.runtime.deploy(crate::name("a"), PROBES.as_bytes(), config).await.expect("it is granted");
        world.runtime.start(id).await.expect("it has no `init`");
        for (n, function) in ["tool", "peer", "topic"].into_iter().enumerate() {
            // A status of 0: it was told `DENIED`.
            world.call(id, function, b"").await;
            assert_eq!(world.usage(id).violations, n as u64 + 1, "{function}");
        }
        let events = world.audit.events();
        let denied: Vec<_> = events.iter().filter(|event| event.kind == EventKind::DeniedCall).collect();
        assert!(denied.iter().all(|event| event.subject.name.as_str() == "a"));
        let details: Vec<_> = denied.iter().map(|event| event.detail.to_string()).collect();
        let reach = |capability, what| format!("`{capability}` does not reach `{what}`");
        assert_eq!(details, [reach("tools", "hammer"), reach("messages", "boss"), reach("messages", "#all")]);
        let _ = world.runtime.execute(id, "tool", b"").await;
        until(async || world.runtime.state(id) == Ok(State::Failed)).await;
        assert_eq!(world.audit.count(EventKind::Violation), 1);
    }
}

/// Hits one cap as often as the input says (4 bytes; 0 for without end), in ways of its own, and gives the last answer.
const AT_CAPS: &str = r#"(module
  (import "cofferdam_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "output_write" (func $output_write (param i32 i32) (result i32)))
  (import "cofferdam_v1" "send_message" (func $send (param i32 i32 i32 i32) (result i64)))
  (import "cofferdam_v1" "kv_set" (func $set (param i32 i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "set_timer" (func $timer (param i32 i64) (result i32)))
  (import "cofferdam_v1" "log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 0) "silent")
  (global $n (mut i32) (i32.const 0))
  (func $count
    (drop (call $input_read (i32.const 8) (i32.const 4) (i32.const 0)))
    (global.set $n (i32.load (i32.const 8))))
  (func $again (result i32)
    (global.set $n (i32.sub (global.get $n) (i32.const 1)))
    (global.get $n))
  (func $give (param $n i64)
    (i64.store (i32.const 16) (local.get $n))
    (drop (call $output_write (i32.const 16) (i32.const 8))))
  (func (export "full") (local $r i64)
    (call $count)
    (loop $l (local.set $r (call $send (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 1))) (br_if $l (call $again)))
    (call $give (local.get $r)))
  (func (export "too_large") (local $r i64)
    (call $count)
    (loop $l (local.set $r (call $send (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 200000))) (br_if $l (call $again)))
    (call $give (local.get $r)))
  (func (export "output") (local $r i32)
    (call $count)
    (loop $l (local.set $r (call $output_write (i32.const 0) (i32.const 200000))) (br_if $l (call $again)))
    (call $give (i64.extend_i32_s (local.get $r))))
  (func (export "storage") (local $r i32)
    (call $count)
    (loop $l (local.set $r (call $set (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 1000))) (br_if $l (call $again)))
    (call $give (i64.extend_i32_s (local.get $r))))
  (func (export "timers") (local $r i32)
    (call $count)
    (loop $l (local.set $r (call $timer (i32.const -1) (i64.const 0))) (br_if $l (call $again)))
    (call $give (i64.extend_i32_s (local.get $r))))
  (func (export "lines") (local $r i32)
    (call $count)
    (loop $l (local.set $r (call $log (i32.const 4) (i32.const 0x20000) (i32.const 4096))) (br_if $l (call $again)))
    (call $give (i64.extend_i32_s (local.get $r))))
  (func (export "nothing")))"#;

impl World {
    /// One that hits caps: no room with the only one that it may write to, in storage, or for timers.
    async fn at_caps(&self, max_cap_hits: Option<u64>) -> cofferdam::agent::AgentId {
        let mailbox = MailboxConfig { messages: 0, ..MailboxConfig::default() };
        let config = AgentConfig { mailbox, ..self.config() };
        self.loner("silent", config).await;
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        let config = AgentConfig {
            timers: 0,
            storage: MemoryBytes::new(100),
            max_violations: Some(0),
            max_cap_hits,
            ..self.limited(limits)
        };
        let id = self.runtime.deploy(crate::name("a"), AT_CAPS.as_bytes(), config).await.expect("it is granted");
        self.runtime.start(id).await.expect("it has no `init`");
        id
    }
}

#[tokio::test]
async fn caps_that_are_hit_again_and_again_are_told_and_are_no_violations() {
    for world in worlds() {
        let id = world.at_caps(None).await;
        let mut hits = 0;
        for (function, answer, free) in [
            ("full", AbiError::Full, 0),
            ("too_large", AbiError::TooLarge, 0),
            ("output", AbiError::TooLarge, 0),
            ("storage", AbiError::Full, 0),
            ("timers", AbiError::Full, 0),
            // 64 KiB of log are free.
            ("lines", AbiError::Full, 16),
        ] {
            assert_eq!(
                numbers(&soon(world.call(id, function, &50_u32.to_le_bytes())).await),
                [code(answer)],
                "{function}"
            );
            hits += 50 - free;
            let usage = world.usage(id);
            assert_eq!((usage.cap_hits, usage.violations), (hits, 0), "{function}");
        }
        assert_eq!(world.runtime.state(id), Ok(State::Running), "back-pressure ends nobody by itself");
        let events = world.audit.events();
        let told: Vec<_> = events.iter().filter(|event| event.kind == EventKind::CapHit).collect();
        assert!(told.iter().all(|event| event.subject.name.as_str() == "a"));
        let told: Vec<_> = told.iter().map(|event| event.detail.as_str()).collect();
        let detail = |n, function, answer| format!("{n} times since it was started; now `{function}` answers {answer}");
        assert_eq!(
            told,
            [
                detail(16, "send_message", "FULL"),
                detail(32, "send_message", "FULL"),
                detail(64, "send_message", "TOO_LARGE"),
                detail(128, "output_write", "TOO_LARGE"),
                detail(256, "lines", "FULL").replace("lines", "log"),
            ]
        );
    }
}

#[tokio::test]
async fn by_policy_an_agent_that_stays_at_its_caps_ends_at_once() {
    for world in worlds() {
        for function in ["full", "too_large", "output", "storage", "timers", "lines"] {
            let id = world.at_caps(Some(100)).await;
            // As often as it likes would be for ever.
            let ended = soon(world.runtime.execute(id, function, &[0; 4])).await;
            assert!(matches!(ended, Err(ExecuteError::Call(_))), "{function}: {ended:?}");
            let info = world.runtime.info(id).expect("it is there");
            assert_eq!(info.state, State::Failed, "{function}");
            assert_eq!(info.failure.map(|failure| failure.why).as_deref(), Some("it broke too many rules"));
            assert!(info.usage.cap_hits > 100);
            // A start gives it all of them again.
            soon(world.runtime.start(id)).await.expect("it can be started again");
            soon(world.call(id, "full", &100_u32.to_le_bytes())).await;
            assert!(soon(world.runtime.execute(id, "full", &1_u32.to_le_bytes())).await.is_ok());
            until(async || world.runtime.state(id) == Ok(State::Failed)).await;
            let silent = world.runtime.find(&crate::name("silent")).expect("nobody else is harmed");
            assert_eq!(world.runtime.state(silent), Ok(State::Running));
            for id in [id, silent] {
                world.runtime.remove(id).await.expect("it is there");
            }
        }
        assert_eq!(world.audit.count(EventKind::Violation), 12);
        assert_eq!((world.runtime.held(), world.runtime.resources().reserved_memory().get()), ((0, 0), 0));
    }
}
