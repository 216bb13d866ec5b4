//! Many agents and many messages: nothing grows, nothing is left.

use std::time::Duration;

use cofferdam::agent::{AgentConfig, MailboxConfig, MaxAgents, Runtime, WhenFull};
use cofferdam::engines;
use cofferdam::policy::Fuel;
use cofferdam::policy::Limits;

use crate::{hand, name, soon, to, until, worlds};

const ECHO: &[u8] = br#"(module
  (import "cofferdam_v1" "output_write" (func $output_write (param i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "here")
  (func (export "handle_message") (drop (call $output_write (i32.const 0) (i32.const 4)))))"#;

#[tokio::test]
async fn ten_thousand_agents_live_and_answer() {
    let module = wat::parse_bytes(ECHO).expect("the text is good").into_owned();
    for engine in engines::all() {
        let most = MaxAgents::new(10_000).expect("it is not 0");
        let runtime = Runtime::builder().engine(engine).max_agents(most).build().expect("it is given");
        for n in 0..10_000 {
            let id = runtime.deploy(name(&format!("a{n}")), &module, AgentConfig::default()).await.expect("it is good");
            runtime.start(id).await.unwrap_or_else(|e| panic!("{n}: {e}"));
        }
        for n in (0..10_000).step_by(7) {
            let reply = soon(runtime.request(&to(&format!("a{n}")), b"?", Duration::from_secs(60))).await;
            assert_eq!(reply.as_deref(), Ok(&b"here"[..]));
        }
        runtime.shutdown(Duration::from_secs(60)).await.expect("in time");
        assert_eq!((runtime.held(), runtime.resources().reserved_memory().get()), ((0, 0), 0));
    }
}

#[tokio::test]
async fn a_hundred_thousand_messages_leave_nothing_behind() {
    for world in worlds() {
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        let a = world.puppet("a", world.limited(limits)).await;
        let mailbox = MailboxConfig { when_full: WhenFull::Block(Duration::from_secs(60)), ..MailboxConfig::default() };
        let b = world.puppet("b", AgentConfig { mailbox, ..world.config() }).await;
        for _ in 0..100 {
            world.call(a, "flood", &hand("b", b"e")).await;
        }
        until(async || world.usage(b).messages_in == 100_000).await;
        for _ in 0..1_000 {
            world.number(a, "ask", &hand("b", b"e")).await;
        }
        // Counted as sent a moment after it is there.
        until(async || world.usage(a).messages_in == 1_000 && world.usage(b).messages_out >= 1_000).await;
        let (mine, its) = (world.usage(a), world.usage(b));
        assert_eq!((mine.messages_out, its.messages_in, its.messages_out), (101_000, 101_000, 1_000));
        assert_eq!((mine.bytes_out, its.bytes_in), (101_000, 101_000));
        assert_eq!(its.memory, its.peak_memory);
        assert_eq!((world.runtime.held(), world.runtime.dead_letters_total()), ((2, 0), 0));
    }
}

/// A million messages in a process of its own, which does nothing else: what it holds at the end it held at the
/// beginning.
#[test]
#[cfg(target_os = "linux")]
fn nothing_grows_over_a_million_messages() {
    const ALONE: &str = "COFFERDAM_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let me = std::env::current_exe().expect("it runs");
        let test = ["--exact", "many::nothing_grows_over_a_million_messages", "--test-threads", "1"];
        let done = std::process::Command::new(me).args(test).env(ALONE, "1").output().expect("it can be run");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        return;
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("it starts");
    tokio.block_on(async {
        let world = worlds().into_iter().next_back().expect("there is an engine");
        let a = world.loner("a", world.limited(crate::room::patient())).await;
        let mailbox = MailboxConfig { when_full: WhenFull::Block(Duration::MAX), ..MailboxConfig::default() };
        let b = world.puppet("b", AgentConfig { mailbox, ..world.config() }).await;
        let mut after_the_first = 0;
        for round in 1..=10 {
            world.call(a, "send_all", b"b").await;
            until(async || world.usage(b).messages_in == round * 100_000).await;
            if round == 1 {
                after_the_first = resident();
            }
        }
        let grown = resident().saturating_sub(after_the_first);
        // Sixteen bytes a message would be more.
        assert!(grown < 14 << 20, "{grown} bytes more than after the first 100,000");
        assert_eq!((world.runtime.held(), world.runtime.dead_letters_total()), ((2, 0), 0));
        assert_eq!((world.usage(a).messages_out, world.queued(b)), (1_000_000, 0));
    });
}

/// Bytes of memory that this process has.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is there");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("it is a number") << 10
}
