//! What an agent is denied is counted and told, whatever it asked for.

use cofferdam::agent::{AgentConfig, Peers, State};
use cofferdam::audit::EventKind;

use crate::{until, worlds};

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
