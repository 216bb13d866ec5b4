//! Agents that mean harm end as named, and the others go on.

use std::time::Duration;

use cofferdam::agent::{AgentConfig, AgentId, MailboxConfig, OnFailure, State};
use cofferdam::policy::{Fuel, Limits, MemoryBytes};

use crate::{World, hand, name, numbers, soon, to, topic, until, worlds};

#[tokio::test]
async fn sixty_four_endless_loops_beside_one_that_must_answer() {
    for world in worlds() {
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        let mut loops = Vec::new();
        for n in 0..64 {
            loops.push(world.puppet(&format!("loop{n}"), world.limited(limits.clone())).await);
            world.send(&format!("loop{n}"), b"l").await;
        }
        world.puppet("good", world.config()).await;
        for _ in 0..20 {
            let reply = soon(world.runtime.request(&to("good"), b"e", Duration::from_secs(30))).await;
            assert_eq!(reply.as_deref(), Ok(&b"e"[..]));
        }
        for id in loops {
            world.runtime.remove(id).await.expect("it is there");
        }
        assert!(world.runtime.held().0 == 1);
    }
}

#[tokio::test]
async fn an_agent_that_floods_a_peer_itself_or_a_topic() {
    for world in worlds() {
        let mailbox = MailboxConfig { messages: 100, ..MailboxConfig::default() };
        let config = AgentConfig { publish: [topic("t")].into(), mailbox: mailbox.clone(), ..world.config() };
        let a = world.puppet("a", config).await;
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        let victim = AgentConfig { mailbox, topics: [topic("t")].into(), ..world.limited(limits) };
        let id = world.puppet("victim", victim).await;
        let other = world.puppet("other", world.config()).await;
        world.send("victim", b"l").await;
        until(async || world.runtime.info(id).is_ok_and(|info| info.queued == 0)).await;
        assert_eq!(numbers(&world.call(a, "flood", &hand("victim", b".")).await), [100, -4]);
        assert_eq!(numbers(&world.call(a, "flood", &hand("#t", b".")).await), [0, -4]);
        assert_eq!(numbers(&world.call(a, "flood", &hand("a", b".")).await), [100, -4]);
        world.call(other, "nothing", b"").await;
        until(async || world.usage(a).messages_in == 100).await;
    }
}

#[tokio::test]
async fn a_cycle_of_many_hops_uses_fuel_and_nothing_else() {
    for world in worlds() {
        let a = world.puppet("a", world.config()).await;
        // Handed from one to itself, as many times as there are headers: 3 bytes each.
        let hops = 2_000;
        let body = b"h\x01a".repeat(hops);
        world.send("a", &body).await;
        // Counted as sent a moment after it is there.
        until(async || world.usage(a).messages_in == hops as u64 + 1 && world.usage(a).messages_out >= hops as u64)
            .await;
        let usage = world.usage(a);
        assert_eq!((usage.messages_out, usage.memory), (hops as u64, MemoryBytes::kib(512)));
    }
}

/// Hands what it gets on to the next one, as long as the number in it is not 0.
fn link(next: &str) -> String {
    format!(
        r#"(module
          (import "cofferdam_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
          (import "cofferdam_v1" "send_message" (func $send (param i32 i32 i32 i32) (result i64)))
          (memory (export "memory") 1) (data (i32.const 0) "{next}")
          (func (export "handle_message")
            (drop (call $input_read (i32.const 8) (i32.const 4) (i32.const 0)))
            (if (i32.load (i32.const 8)) (then
              (i32.store (i32.const 8) (i32.sub (i32.load (i32.const 8)) (i32.const 1)))
              (if (i64.ne (call $send (i32.const 0) (i32.const 1) (i32.const 8) (i32.const 4)) (i64.const 1))
                (then unreachable))))))"#
    )
}

#[tokio::test]
async fn a_million_hops_in_a_cycle_end_and_leave_nothing() {
    const HOPS: u32 = 1_000_000;
    // It takes its time: on one engine is enough.
    for world in worlds().into_iter().take(1) {
        let mut all = Vec::new();
        for (me, next) in [("a", "b"), ("b", "c"), ("c", "a")] {
            let id = world.runtime.deploy(name(me), link(next).as_bytes(), world.config()).await.expect("it is good");
            world.runtime.start(id).await.expect("it has no `init`");
            all.push(id);
        }
        world.send("a", &HOPS.to_le_bytes()).await;
        let sum =
            |of: fn(&cofferdam::agent::AgentUsage) -> u64| all.iter().map(|id| of(&world.usage(*id))).sum::<u64>();
        until(async || sum(|usage| usage.messages_in) == u64::from(HOPS) + 1).await;
        // Counted as sent a moment after it is there.
        until(async || sum(|usage| usage.bytes_out) >= 4 * u64::from(HOPS)).await;
        assert_eq!((sum(|usage| usage.messages_out), sum(|usage| usage.bytes_out)), (HOPS.into(), 4 * u64::from(HOPS)));
        assert_eq!((sum(|usage| usage.memory.get()), sum(|usage| usage.violations)), (3 << 16, 0));
        assert_eq!((world.runtime.held(), world.runtime.dead_letters_total()), ((3, 0), 0));
        for id in all {
            world.runtime.remove(id).await.expect("it is there");
        }
        assert_eq!((world.runtime.held(), world.runtime.resources().reserved_memory().get()), ((0, 0), 0));
    }
}

#[tokio::test]
async fn an_agent_that_never_reads_fills_its_own_mailbox_only() {
    let silent = br#"(module (func (export "nothing")))"#;
    for world in worlds() {
        let id = world.runtime.deploy(crate::name("silent"), silent, world.config()).await.expect("it is good");
        world.runtime.start(id).await.expect("it starts");
        let mut taken = 0;
        while world.runtime.send(&to("silent"), &[0; 1_000]).await.is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 1_024);
        world.call(id, "nothing", b"").await;
        let drained = soon(world.runtime.stop(id)).await.expect("it runs");
        assert_eq!(drained.dropped, 1_024);
    }
}

#[tokio::test]
async fn a_trap_at_every_message_ends_after_the_restarts_it_has() {
    for world in worlds() {
        let config = AgentConfig { on_failure: OnFailure::Restart { times: 10 }, ..world.config() };
        let id = world.puppet("a", config).await;
        let mut sent = 0;
        until(async || {
            sent += u64::from(world.runtime.send(&to("a"), b"t").await.is_ok());
            world.runtime.state(id) == Ok(State::Failed)
        })
        .await;
        let info = world.runtime.info(id).expect("it is there");
        assert_eq!((info.failure.map(|f| f.times), info.usage.messages_in), (Some(11), 11));
        until(async || world.runtime.dead_letters_total() >= sent).await;
        assert_eq!(world.runtime.dead_letters_total(), sent);
    }
}

#[tokio::test]
async fn what_one_writes_no_other_sees() {
    for world in worlds() {
        let a = world.puppet("a", world.config()).await;
        world.send("a", b"secret").await;
        world.heard_lines(a, 1).await;
        for round in 0..20 {
            let b = world.puppet("b", world.config()).await;
            assert!(world.heard(b).await.is_empty(), "round {round}");
            // Its input and output are empty too.
            assert!(world.call(b, "nothing", b"").await.is_empty());
            world.runtime.remove(b).await.expect("it is there");
        }
    }
}

/// Writes a pattern over all memory that it can have, and says how many bytes of its memory are something else than it
/// or its module has put there.
const PATTERN: &str = r#"(module
  (import "cofferdam_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "output_write" (func $output_write (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $end (result i32) (i32.mul (memory.size) (i32.const 0x10000)))
  (func $grow (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))))
  (func (export "fill") (local $at i32)
    (call $grow)
    (drop (call $input_read (i32.const 0) (i32.const 8) (i32.const 0)))
    (local.set $at (i32.const 8))
    (loop $next
      (i64.store (local.get $at) (i64.load (i32.const 0)))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (call $end)))))
  ;; Input: what every 8 bytes are expected to be. Output: how many of them are not, and pages.
  (func (export "others") (local $at i32) (local $n i64) (local $first i64) (local $wanted i64)
    (local.set $first (i64.load (i32.const 0)))
    (drop (call $input_read (i32.const 0) (i32.const 8) (i32.const 0)))
    (local.set $wanted (i64.load (i32.const 0)))
    (i64.store (i32.const 0) (local.get $first))
    (call $grow)
    (loop $next
      (local.set $n (i64.add (local.get $n) (i64.extend_i32_u (i64.ne (i64.load (local.get $at)) (local.get $wanted)))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (call $end))))
    (i64.store (i32.const 0) (local.get $n))
    (i64.store (i32.const 8) (i64.extend_i32_u (memory.size)))
    (drop (call $output_write (i32.const 0) (i32.const 16)))))"#;

impl World {
    async fn pattern(&self, agent: &str) -> AgentId {
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, memory: MemoryBytes::mib(1), ..Limits::agent() };
        let config = self.limited(limits);
        let id = self.runtime.deploy(name(agent), PATTERN.as_bytes(), config).await.expect("it is good");
        self.runtime.start(id).await.expect("it has no `init`");
        id
    }
}

#[tokio::test]
async fn a_pattern_that_one_wrote_over_all_its_memory_is_in_no_other() {
    const ZEROS: [u8; 8] = [0; 8];
    for world in worlds() {
        // Before it, beside it, and where it was.
        let before = world.pattern("before").await;
        let mine = *b"PATTERN!";
        let writer = world.pattern("writer").await;
        world.call(writer, "fill", &mine).await;
        let beside = world.pattern("beside").await;
        for id in [before, beside] {
            assert_eq!(numbers(&world.call(id, "others", &ZEROS).await), [0, 16]);
        }
        assert_eq!(numbers(&world.call(writer, "others", &mine).await), [0, 16], "it is still its own");
        for way in 0..3 {
            match way {
                0 => world.runtime.remove(writer).await.expect("it is there"),
                1 => drop(world.runtime.stop(before).await.expect("it runs")),
                // One that fails in the middle of it.
                _ => {
                    let little = Limits { fuel: Fuel::new(100_000), ..Limits::agent() };
                    world.runtime.set_limits(beside, little).expect("it is there");
                    assert!(world.runtime.execute(beside, "fill", &mine).await.is_err());
                }
            }
            for _ in 0..10 {
                let after = world.pattern("after").await;
                assert_eq!(numbers(&world.call(after, "others", &ZEROS).await), [0, 16], "way {way}");
                world.call(after, "fill", &mine).await;
                world.runtime.remove(after).await.expect("it is there");
            }
        }
        // Started again, none finds anything of its own former lives.
        for id in [before, beside] {
            world
                .runtime
                .set_limits(
                    id,
                    Limits { fuel: Fuel::UNLIMITED, timeout: None, memory: MemoryBytes::mib(1), ..Limits::agent() },
                )
                .expect("it can be enforced");
            world.runtime.start(id).await.expect("it is stopped, or has failed");
            assert_eq!(numbers(&world.call(id, "others", &ZEROS).await), [0, 16]);
        }
    }
}
