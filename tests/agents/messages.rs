//! Messages between agents and from the host.

use std::time::Duration;

use cofferdam::agent::{AgentConfig, DeadReason, MailboxConfig, Peers, RequestError, SendError, WhenFull};
use cofferdam::host::agent::AbiError;
use cofferdam::policy::{Fuel, Limits, MemoryBytes};

use crate::{World, code, hand, name, numbers, soon, to, topic, until, worlds};

#[tokio::test]
async fn order_is_kept_between_two() {
    for world in worlds() {
        let roomy = MailboxConfig { messages: 10_000, bytes: MemoryBytes::mib(8), ..MailboxConfig::default() };
        let b = world.puppet("b", AgentConfig { mailbox: roomy, ..world.config() }).await;
        let senders = [world.puppet("x", world.config()).await, world.puppet("y", world.config()).await];
        for n in 0..200 {
            for (sender, tag) in senders.into_iter().zip(["x", "y"]) {
                let body = format!("{tag}{n}");
                assert_eq!(world.number(sender, "send", &hand("b", body.as_bytes())).await, 1);
            }
        }
        let heard = world.heard_lines(b, 400).await;
        for tag in ["0x", "0y"] {
            let numbers: Vec<u32> = heard.iter().filter_map(|line| line.strip_prefix(tag)?.parse().ok()).collect();
            assert_eq!(numbers, (0..200).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn a_request_gets_one_reply_or_the_notice_that_none_comes() {
    for world in worlds() {
        let a = world.puppet("a", world.config()).await;
        world.puppet("b", world.config()).await;
        // Answered by output, answered by `reply`, not answered, and by one who traps.
        assert_eq!(world.number(a, "ask", &hand("b", b"e1")).await, 0);
        assert_eq!(world.number(a, "ask", &hand("b", b"r2")).await, 1);
        assert_eq!(world.number(a, "ask", &hand("b", b"q3")).await, 2);
        assert_eq!(world.number(a, "ask", &hand("b", b"t4")).await, 3);
        assert_eq!(world.heard_lines(a, 4).await, ["1e1", "1r2", "2", "2"]);
        assert_eq!(world.number(a, "ask", &hand("b", b"e5")).await, code(AbiError::Gone));
        assert_eq!(world.number(a, "ask", &hand("nobody", b"e6")).await, code(AbiError::NotFound));
        assert_eq!(world.number(a, "early_reply", b"").await, code(AbiError::NotNow));
        assert_eq!(world.runtime.held().1, 0, "no alarm is left");
    }
}

#[tokio::test]
async fn a_request_that_is_late_is_given_up() {
    for world in worlds() {
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        let b = world.puppet("b", world.limited(limits)).await;
        world.send("b", b"l").await;
        let reply = soon(world.runtime.request(&to("b"), b"e", Duration::from_millis(30))).await;
        assert_eq!(reply, Err(RequestError::TimedOut));
        world.runtime.remove(b).await.expect("it is there");
        // One that is removed with the request in its mailbox.
        let b = world.puppet("b", world.config()).await;
        let runtime = world.runtime.clone();
        world.send("b", b"w").await;
        until(async || world.usage(b).messages_in == 1).await;
        world.runtime.remove(b).await.expect("it is there");
        let reply = soon(runtime.request(&to("b"), b"e", Duration::from_secs(60))).await;
        assert!(matches!(reply, Err(RequestError::Send(SendError::Unknown(_)))));
    }
}

#[tokio::test]
async fn an_agent_can_take_messages_by_itself() {
    for world in worlds() {
        let b = world.puppet("b", world.config()).await;
        let runtime = world.runtime.clone();
        let asked = tokio::spawn(async move { runtime.request(&to("b"), b"w", Duration::from_secs(60)).await });
        // It has the request, and waits for the next one or is about to.
        until(async || world.usage(b).messages_in == 1).await;
        world.send("b", b"later").await;
        let reply = soon(asked).await.expect("no panic");
        assert!(reply.as_deref() == Ok(b"later") || reply == Err(RequestError::NoReply), "{reply:?}");
    }
}

#[tokio::test]
async fn only_peers_and_topics_that_are_allowed() {
    for world in worlds() {
        let config = AgentConfig { peers: Peers::only([name("b")]), publish: [topic("open")].into(), ..world.config() };
        let a = world.puppet("a", config).await;
        let subscriber = || AgentConfig { topics: [topic("open"), topic("closed")].into(), ..world.config() };
        let b = world.puppet("b", subscriber()).await;
        let c = world.puppet("c", subscriber()).await;
        let send = async |to: &str, body: &[u8]| world.number(a, "send", &hand(to, body)).await;
        assert_eq!(send("b", b"one").await, 1);
        assert_eq!(send(&b.to_string(), b"2nd").await, 1);
        assert_eq!(send("c", b"no").await, code(AbiError::Denied));
        assert_eq!(send(&c.to_string(), b"no").await, code(AbiError::Denied));
        assert_eq!(send("a", b"myself").await, 1);
        assert_eq!(send("#open", b"f").await, 2);
        assert_eq!(send("#closed", b"no").await, code(AbiError::Denied));
        for bad in ["", "#", "B", "no name", "\u{7f}"] {
            assert_eq!(send(bad, b"no").await, code(AbiError::Invalid), "{bad:?}");
        }
        assert_eq!(world.heard_lines(b, 5).await, ["0one", "02nd", "0f", "Fa", "#open"]);
        assert_eq!(world.heard_lines(c, 3).await, ["0f", "Fa", "#open"]);
        assert_eq!(world.usage(a).violations, 3, "what was denied is counted");
        assert_eq!(world.usage(a).messages_out, 5);
        // From the host.
        assert_eq!(world.runtime.send(&to("#open"), b"f").await, Ok(2));
        assert_eq!(world.heard_lines(c, 6).await[3..], ["0f", "F", "#open"]);
        assert!(matches!(world.runtime.send(&to("#nothing"), b"").await, Err(SendError::NoSubscriber(_))));
    }
}

#[tokio::test]
async fn sizes_are_exact() {
    for world in worlds() {
        let a = world.puppet("a", world.config()).await;
        let b = world.puppet("b", world.config()).await;
        let cap = Limits::agent().message.get() as usize;
        for (len, fits) in [(cap - 1, true), (cap, true), (cap + 1, false)] {
            let sent = world.runtime.send(&to("b"), &vec![b'.'; len]).await;
            assert_eq!(sent.is_ok(), fits, "{len}: {sent:?}");
            assert_eq!(world.runtime.execute(a, "nothing", &vec![0; len]).await.is_ok(), fits, "{len}");
        }
        until(async || world.usage(b).messages_in == 2).await;
        assert_eq!(world.usage(b).bytes_in, 2 * cap as u64 - 1);
        // A smaller cap of the receiver.
        let limits = Limits { message: MemoryBytes::new(10), ..Limits::agent() };
        world.runtime.set_limits(b, limits).expect("it is there");
        assert_eq!(world.number(a, "send", &hand("b", b"0123456789")).await, 1);
        assert_eq!(world.number(a, "send", &hand("b", b"0123456789a")).await, code(AbiError::TooLarge));
        // A length that is a lie is no message at all.
        assert!(world.runtime.execute(a, "wild", b"").await.is_err());
    }
}

fn small(world: &World, when_full: WhenFull) -> AgentConfig {
    let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
    let mailbox = MailboxConfig { messages: 3, when_full, ..MailboxConfig::default() };
    AgentConfig { mailbox, ..world.limited(limits) }
}

#[tokio::test]
async fn a_full_mailbox_does_as_it_was_told() {
    for world in worlds() {
        let a = world.puppet("a", world.config()).await;
        let busy = async |agent: &str, when_full| {
            let id = world.puppet(agent, small(&world, when_full)).await;
            world.send(agent, b"l").await;
            until(async || world.runtime.info(id).is_ok_and(|info| info.queued == 0)).await;
            id
        };
        busy("rejects", WhenFull::Reject).await;
        let flood = numbers(&world.call(a, "flood", &hand("rejects", b".")).await);
        assert_eq!(flood, [3, code(AbiError::Full)]);
        assert!(matches!(world.runtime.send(&to("rejects"), b"x").await, Err(SendError::Full(_))));

        busy("blocks", WhenFull::Block(Duration::from_millis(20))).await;
        let flood = numbers(&world.call(a, "flood", &hand("blocks", b".")).await);
        assert_eq!(flood, [3, code(AbiError::Full)], "nobody made room in time");
        assert!(matches!(soon(world.runtime.send(&to("blocks"), b"x")).await, Err(SendError::Full(_))));

        busy("drops", WhenFull::DropOldest).await;
        let flood = numbers(&world.call(a, "flood", &hand("drops", b".")).await);
        assert_eq!(flood, [1_000, 1]);
        let dropped = world.runtime.dead_letters().iter().filter(|d| d.reason == DeadReason::Dropped).count();
        assert_eq!(dropped, 997);
        assert_eq!(world.usage(a).messages_out, 1_006);
    }
}

#[tokio::test]
async fn who_waits_for_room_gets_it() {
    for world in worlds() {
        let a = world.puppet("a", world.limited(Limits { timeout: None, ..Limits::agent() })).await;
        let b = world.puppet("b", small(&world, WhenFull::Block(Duration::from_secs(60)))).await;
        let flood = soon(world.call(a, "flood", &hand("b", b"."))).await;
        assert_eq!(numbers(&flood)[0], 1_000);
        for _ in 0..100 {
            assert_eq!(soon(world.runtime.send(&to("b"), b".")).await, Ok(1));
        }
        until(async || world.usage(b).messages_in == 1_100).await;
        assert!(world.runtime.dead_letters().is_empty());
    }
}

#[tokio::test]
async fn timers_come_and_are_counted() {
    for world in worlds() {
        let a = world.puppet("a", AgentConfig { timers: 2, ..world.config() }).await;
        let set =
            async |ms: u32, token: u8| world.number(a, "timer", &[&ms.to_le_bytes()[..], &[token]].concat()).await;
        assert_eq!(set(20, b'2').await, 0);
        assert_eq!(set(1, b'1').await, 0);
        assert_eq!(world.heard_lines(a, 2).await, ["T1", "T2"]);
        assert_eq!(set(u32::MAX, b'x').await, 0);
        assert_eq!(set(u32::MAX, b'y').await, 0);
        assert_eq!(set(0, b'z').await, code(AbiError::Full));
        soon(world.runtime.stop(a)).await.expect("it runs");
        assert_eq!(world.runtime.held().1, 0);
    }
}
