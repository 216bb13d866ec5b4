//! Agents that mean harm end as named, and the others go on.

use std::time::Duration;

use cofferdam::agent::{AgentConfig, MailboxConfig, OnFailure, State};
use cofferdam::policy::{Fuel, Limits, MemoryBytes};

use crate::{hand, numbers, soon, to, topic, until, worlds};

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
        until(async || world.usage(a).messages_in == hops as u64 + 1).await;
        let usage = world.usage(a);
        assert_eq!((usage.messages_out, usage.memory), (hops as u64, MemoryBytes::kib(512)));
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
