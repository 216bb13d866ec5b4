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
        let limits = Limits { fuel: Fuel::UNLIMITED, ..Limits::agent() };
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
        until(async || world.usage(a).messages_in == 1_000).await;
        let (mine, its) = (world.usage(a), world.usage(b));
        assert_eq!((mine.messages_out, its.messages_in, its.messages_out), (101_000, 101_000, 1_000));
        assert_eq!((mine.bytes_out, its.bytes_in), (101_000, 101_000));
        assert_eq!(its.memory, its.peak_memory);
        assert_eq!((world.runtime.held(), world.runtime.dead_letters_total()), ((2, 0), 0));
    }
}
