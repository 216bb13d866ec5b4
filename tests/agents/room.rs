//! Mailboxes that are full, and whoever waits for room in them.

use std::time::Duration;

use cofferdam::agent::{AgentConfig, AgentId, MailboxConfig, RequestError, SendError, State, WhenFull};
use cofferdam::host::agent::AbiError;
use cofferdam::policy::{Fuel, Limits};

use crate::{World, code, hand, name, numbers, soon, to, until, worlds};

/// Takes no messages by itself; asks, sends and reads as it is told. Addresses are one letter long.
pub const LONER: &str = r#"(module
  (import "cofferdam_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "output_write" (func $output_write (param i32 i32) (result i32)))
  (import "cofferdam_v1" "send_message" (func $send (param i32 i32 i32 i32) (result i64)))
  (import "cofferdam_v1" "request" (func $request (param i32 i32 i32 i32 i32) (result i64)))
  (import "cofferdam_v1" "receive_message" (func $receive (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "message_kind" (func $kind (result i32)))
  (memory (export "memory") 1)
  (func $give (param $n i64)
    (i64.store (i32.const 512) (local.get $n))
    (drop (call $output_write (i32.const 512) (i32.const 8))))
  ;; Asks the one named by the input until it is refused; gives how often it was not, and the refusal.
  (func (export "ask_all") (local $n i64) (local $r i64)
    (drop (call $input_read (i32.const 0) (i32.const 1) (i32.const 0)))
    (loop $again
      (local.set $r (call $request (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 600000)))
      (if (i64.ge_s (local.get $r) (i64.const 0)) (then
        (local.set $n (i64.add (local.get $n) (i64.const 1)))
        (br_if $again (i64.lt_u (local.get $n) (i64.const 100000))))))
    (call $give (local.get $n))
    (call $give (local.get $r)))
  ;; Asks the one named by the input, with so many milliseconds of patience (4 bytes from the second on).
  (func (export "ask_within")
    (drop (call $input_read (i32.const 0) (i32.const 1) (i32.const 0)))
    (drop (call $input_read (i32.const 8) (i32.const 4) (i32.const 1)))
    (call $give (call $request (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.load (i32.const 8)))))
  ;; Sends the input to the one named by its first byte until it is refused; gives how often, and the refusal.
  (func (export "send_all") (local $n i64) (local $r i64)
    (drop (call $input_read (i32.const 0) (i32.const 1) (i32.const 0)))
    (loop $again
      (local.set $r (call $send (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)))
      (if (i64.ge_s (local.get $r) (i64.const 0)) (then
        (local.set $n (i64.add (local.get $n) (i64.const 1)))
        (br_if $again (i64.lt_u (local.get $n) (i64.const 100000))))))
    (call $give (local.get $n))
    (call $give (local.get $r)))
  ;; Sends once.
  (func (export "send_one")
    (drop (call $input_read (i32.const 0) (i32.const 1) (i32.const 0)))
    (call $give (call $send (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))))
  ;; Takes a message without waiting: its length or why not, and its kind.
  (func (export "take") (local $n i32)
    (local.set $n (call $receive (i32.const 0) (i32.const 16) (i32.const 0)))
    (call $give (i64.extend_i32_s (local.get $n)))
    (call $give (i64.extend_i32_s (call $kind))))
  ;; Waits for a message, as long as there is.
  (func (export "wait")
    (call $give (i64.extend_i32_s (call $receive (i32.const 0) (i32.const 16) (i32.const -1)))))
  ;; Takes a message and ends badly.
  (func (export "take_and_trap") (drop (call $receive (i32.const 0) (i32.const 16) (i32.const -1))) unreachable)
  (func (export "spin") (loop (br 0)))
  (func (export "nothing")))"#;

impl World {
    /// A loner that runs.
    pub async fn loner(&self, agent: &str, config: AgentConfig) -> AgentId {
        let id = self.runtime.deploy(name(agent), LONER.as_bytes(), config).await.unwrap_or_else(|e| panic!("{e}"));
        self.runtime.start(id).await.unwrap_or_else(|e| panic!("{e}"));
        id
    }

    pub fn queued(&self, id: AgentId) -> usize {
        self.runtime.info(id).unwrap_or_else(|e| panic!("{e}")).queued
    }
}

pub fn patient() -> Limits {
    Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() }
}

fn boxed(messages: usize, when_full: WhenFull) -> MailboxConfig {
    MailboxConfig { messages, when_full, ..MailboxConfig::default() }
}

#[tokio::test]
async fn answers_that_are_not_taken_count_as_requests() {
    for world in worlds() {
        let a = world.loner("a", AgentConfig { requests: 10, ..world.config() }).await;
        // Each request drops the one before, which is answered by the notice that no reply will come.
        let config = AgentConfig { mailbox: boxed(1, WhenFull::DropOldest), ..world.config() };
        let b = world.loner("b", config).await;
        let asked = numbers(&soon(world.call(a, "ask_all", b"b")).await);
        assert_eq!((asked, world.queued(a)), (vec![10, code(AbiError::Full)], 9));
        assert_eq!(numbers(&world.call(a, "take", b"").await), [0, 2]);
        let asked = numbers(&soon(world.call(a, "ask_all", b"b")).await);
        assert_eq!((asked, world.queued(a)), (vec![1, code(AbiError::Full)], 9));
        world.runtime.remove(b).await.expect("it is there");
        assert_eq!((world.queued(a), world.runtime.held().1), (10, 0));
    }
}

#[tokio::test]
async fn senders_that_gave_up_are_forgotten() {
    for world in worlds() {
        let config = AgentConfig { mailbox: boxed(1, WhenFull::Block(Duration::from_secs(3600))), ..world.config() };
        let full = world.loner("f", config).await;
        world.send("f", b"x").await;
        // A task that is dropped takes what it holds with it, unless somebody keeps its waker.
        let held = std::sync::Arc::new(());
        for _ in 0..100 {
            let (runtime, mine) = (world.runtime.clone(), held.clone());
            let task = tokio::spawn(async move {
                let _mine = mine;
                runtime.send(&to("f"), b"y").await
            });
            tokio::task::yield_now().await;
            task.abort();
            assert!(task.await.is_err_and(|error| error.is_cancelled()));
        }
        until(async || std::sync::Arc::strong_count(&held) == 1).await;
        assert_eq!(world.runtime.held().1, 0, "their alarms are gone too");
        // Whoever waits now is not behind them.
        let runtime = world.runtime.clone();
        let waits = tokio::spawn(async move { runtime.send(&to("f"), b"z").await });
        until(async || world.runtime.held().1 == 1).await;
        world.call(full, "take", b"").await;
        assert_eq!(soon(waits).await.expect("no panic"), Ok(1));
    }
}

#[tokio::test]
async fn who_waits_first_is_served_first() {
    for world in worlds() {
        let config = AgentConfig { mailbox: boxed(1, WhenFull::Block(Duration::from_secs(3600))), ..world.config() };
        let full = world.loner("f", config).await;
        world.send("f", b"x").await;
        let mut waiting = Vec::new();
        for n in 1..=5_usize {
            let runtime = world.runtime.clone();
            waiting.push(tokio::spawn(async move { runtime.send(&to("f"), &vec![b'.'; n]).await }));
            until(async || world.runtime.held().1 == n).await;
        }
        assert_eq!(numbers(&world.call(full, "take", b"").await)[0], 1);
        for (n, waits) in (1..).zip(waiting) {
            assert_eq!(soon(waits).await.expect("no panic"), Ok(1));
            assert_eq!(numbers(&world.call(full, "take", b"").await)[0], n);
        }
    }
}

#[tokio::test]
async fn a_request_waits_for_room_no_longer_than_for_its_reply() {
    for world in worlds() {
        let config = AgentConfig { mailbox: boxed(1, WhenFull::Block(Duration::from_secs(3600))), ..world.config() };
        world.loner("f", config).await;
        world.send("f", b"x").await;
        let (f, time) = (to("f"), Duration::from_millis(20));
        assert_eq!(soon(world.runtime.request(&f, b"?", time)).await, Err(RequestError::TimedOut));
        assert_eq!(soon(world.runtime.send_within(&f, b"?", time)).await, Err(SendError::TimedOut(f)));
        let a = world.loner("a", world.limited(patient())).await;
        let asked = soon(world.call(a, "ask_within", &[b"f", &20_u32.to_le_bytes()[..]].concat())).await;
        assert_eq!(numbers(&asked), [code(AbiError::TimedOut)]);
        // It was told once, not a second time for a number that it does not know.
        assert_eq!((world.queued(a), world.runtime.held().1), (0, 0));
    }
}

#[tokio::test]
async fn two_that_block_each_other_hear_that_there_is_no_room() {
    for world in worlds() {
        let config = || AgentConfig { mailbox: boxed(3, WhenFull::Block(Duration::MAX)), ..world.limited(patient()) };
        let (a, b) = (world.loner("a", config()).await, world.loner("b", config()).await);
        let runtime = world.runtime.clone();
        let first = tokio::spawn(async move { runtime.execute(a, "send_all", b"b").await });
        until(async || world.queued(b) == 3).await;
        // However they come upon each other, one of them hears of it, and at its end the other has room or goes on.
        let second = soon(world.call(b, "send_all", b"a")).await;
        assert_eq!(numbers(&second), [3, code(AbiError::Full)]);
        assert!(!first.is_finished());
        world.call(b, "take", b"").await;
        world.runtime.remove(b).await.expect("it is there");
        let first = soon(first).await.expect("no panic").expect("it goes on");
        // It was waiting for room, or about to send again.
        let told = numbers(&first)[1];
        assert!([AbiError::Gone, AbiError::NotFound].map(code).contains(&told), "{told}");
        assert_eq!(world.runtime.state(a), Ok(State::Running));
    }
}

#[tokio::test]
async fn a_receiver_that_never_reads_does_not_end_its_senders() {
    // It takes its time: on one engine is enough.
    for world in worlds().into_iter().take(1) {
        let config = AgentConfig { mailbox: boxed(3, WhenFull::Block(Duration::from_secs(3600))), ..world.config() };
        world.loner("f", config).await;
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: Some(Duration::from_secs(2)), ..Limits::agent() };
        let a = world.loner("a", world.limited(limits)).await;
        assert_eq!(numbers(&soon(world.call(a, "send_all", b"f")).await), [3, code(AbiError::Full)]);
        // Nor does waiting for a message that does not come.
        assert_eq!(numbers(&soon(world.call(a, "wait", b"")).await), [code(AbiError::TimedOut)]);
        assert_eq!(world.runtime.state(a), Ok(State::Running));
    }
}

#[tokio::test]
async fn stopping_ends_the_wait_for_room_on_both_sides() {
    for world in worlds() {
        let config = || AgentConfig { mailbox: boxed(1, WhenFull::Block(Duration::MAX)), ..world.limited(patient()) };
        // The receiver is stopped: whoever waits hears that it is gone.
        let f = world.loner("f", config()).await;
        let a = world.loner("a", config()).await;
        let runtime = world.runtime.clone();
        let sends = tokio::spawn(async move { runtime.execute(a, "send_all", b"f").await });
        until(async || world.queued(f) == 1).await;
        soon(world.runtime.stop(f)).await.expect("it runs");
        let sent = soon(sends).await.expect("no panic").expect("it goes on");
        assert_eq!(numbers(&sent), [1, code(AbiError::Gone)]);
        // The sender is stopped: its time to drain is over, and its call with it.
        soon(world.runtime.start(f)).await.expect("it was stopped");
        let config = AgentConfig { drain: Duration::from_millis(20), ..config() };
        let b = world.loner("b", config).await;
        let runtime = world.runtime.clone();
        let sends = tokio::spawn(async move { runtime.execute(b, "send_all", b"f").await });
        until(async || world.queued(f) == 1).await;
        let drained = soon(world.runtime.stop(b)).await.expect("it runs");
        assert_eq!((drained.dropped, drained.failed), (0, None));
        assert!(soon(sends).await.expect("no panic").is_err());
        // Nobody stands before those who come next.
        world.call(f, "take", b"").await;
        assert_eq!(numbers(&soon(world.call(a, "send_one", b"f")).await), [1]);
    }
}

#[tokio::test]
async fn times_without_end_are_times_like_others() {
    for world in worlds() {
        let mailbox = boxed(3, WhenFull::Block(Duration::MAX));
        let config = || AgentConfig { mailbox: mailbox.clone(), drain: Duration::MAX, ..world.config() };
        let (a, b) = (world.puppet("a", config()).await, world.puppet("b", config()).await);
        world.send("a", b"e").await;
        assert_eq!(world.number(a, "send", &hand("b", b"e")).await, 1);
        assert_eq!(soon(world.runtime.request(&to("a"), b"e", Duration::MAX)).await.as_deref(), Ok(&b"e"[..]));
        assert_eq!(soon(world.runtime.send_within(&to("a"), b"e", Duration::MAX)).await, Ok(1));
        soon(world.runtime.stop(b)).await.expect("it runs");
        soon(world.runtime.shutdown(Duration::MAX)).await.expect("in time");
        assert_eq!((world.runtime.held(), world.runtime.resources().reserved_memory().get()), ((0, 0), 0));
    }
}
