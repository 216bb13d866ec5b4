//! How agents come to their ends and to new beginnings, and what becomes of what they had.

use std::sync::Arc;
use std::time::Duration;

use cofferdam::agent::{
    AgentConfig, DeadReason, DeployError, FuelRate, MailboxConfig, OnFailure, Peers, Runtime, StartError, State,
};
use cofferdam::audit::{EventKind, MemorySink};
use cofferdam::host::agent::{AbiError, KvOptions, KvStore, MODULE};
use cofferdam::policy::{Fuel, Grants, Limits, MemoryBytes};
use cofferdam::sandbox::{ResourceConfig, Resources};

use crate::matrix::matrix;
use crate::room::{LONER, patient};
use crate::{World, code, hand, name, numbers, soon, to, until, worlds};

/// Traps in `init` unless something is stored, and stores it first. `store` stores something.
const SECOND_TIME: &str = r#"(module
  (import "cofferdam_v1" "kv_get" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "kv_set" (func $set (param i32 i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "output_write" (func $output_write (param i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "key")
  (func (export "init")
    (if (i32.lt_s (call $get (i32.const 0) (i32.const 3) (i32.const 16) (i32.const 8)) (i32.const 0)) (then
      (drop (call $set (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 1)))
      unreachable)))
  (func (export "nothing")))"#;

impl World {
    fn dead(&self, reason: DeadReason) -> Vec<Vec<u8>> {
        let letters = self.runtime.dead_letters();
        letters.iter().filter(|letter| letter.reason == reason).map(|letter| letter.body.to_vec()).collect()
    }
}

#[tokio::test]
async fn what_an_agent_took_and_did_not_handle_is_a_dead_letter() {
    for world in worlds() {
        let id = world.loner("a", world.config()).await;
        world.send("a", b"fatal").await;
        assert!(soon(world.runtime.execute(id, "take_and_trap", b"")).await.is_err());
        assert_eq!(world.dead(DeadReason::Failed), [b"fatal"]);
        assert_eq!(world.audit.count(EventKind::DeadLetter), 1);
    }
}

#[tokio::test]
async fn a_start_that_succeeds_at_the_second_try_succeeds() {
    for world in worlds() {
        let restarts = AgentConfig { on_failure: OnFailure::Restart { times: 1 }, ..world.config() };
        for (config, works) in [(world.config(), false), (restarts, true)] {
            let id = world.runtime.deploy(name("a"), SECOND_TIME.as_bytes(), config).await.expect("it is good");
            let started = soon(world.runtime.start(id)).await;
            assert_eq!(started.is_ok(), works, "{started:?}");
            let info = world.runtime.info(id).expect("it is there");
            assert_eq!(info.failure.map(|failure| failure.times), Some(1));
            assert_eq!(info.state, if works { State::Running } else { State::Failed });
            // What it stored in memory goes with it: the next one has its first time again.
            soon(world.runtime.remove(id)).await.expect("it is there");
        }
    }
}

#[tokio::test]
async fn restarts_in_init_wait_for_their_fuel() {
    for world in worlds() {
        let rate = FuelRate { per_second: 1, burst: 0 };
        let config = AgentConfig {
            config: b"l".to_vec(),
            on_failure: OnFailure::Restart { times: 3 },
            fuel_rate: Some(rate),
            ..world.limited(Limits { timeout: None, ..Limits::agent() })
        };
        let id = world.deploy("a", config).await;
        let runtime = world.runtime.clone();
        let start = tokio::spawn(async move { runtime.start(id).await });
        until(async || world.usage(id).calls == 1 && world.runtime.held().1 == 1).await;
        assert!(!start.is_finished(), "it owes fuel for days, and has restarts left");
        assert_eq!(world.usage(id).calls, 1);
        world.runtime.set_fuel_rate(id, None).expect("it is there");
        assert!(matches!(soon(start).await.expect("no panic"), Err(StartError::Init(_))));
        let info = world.runtime.info(id).expect("it is there");
        assert_eq!((info.state, info.failure.map(|f| f.times), info.usage.calls), (State::Failed, Some(4), 4));
        assert_eq!(world.runtime.held().1, 0);
    }
}

#[tokio::test]
async fn an_agent_between_two_restarts_can_be_stopped_and_removed() {
    for world in worlds() {
        let config = AgentConfig {
            config: b"t".to_vec(),
            on_failure: OnFailure::Restart { times: u32::MAX },
            drain: Duration::ZERO,
            ..world.config()
        };
        let id = world.deploy("a", config).await;
        for removes in [false, true] {
            let runtime = world.runtime.clone();
            let start = tokio::spawn(async move { runtime.start(id).await });
            // The pauses grow: at some time it is in one.
            until(async || world.runtime.held().1 == 1).await;
            if removes {
                soon(world.runtime.remove(id)).await.expect("it is there");
            } else {
                soon(world.runtime.stop(id)).await.expect("it has restarts left");
            }
            assert!(soon(start).await.expect("no panic").is_err());
            assert_eq!(world.runtime.held().1, 0);
        }
    }
}

#[tokio::test]
async fn a_shutdown_tells_of_those_that_had_failed() {
    for world in worlds() {
        let failed = world.puppet("a", AgentConfig { on_failure: OnFailure::Fail, ..world.config() }).await;
        world.puppet("b", world.config()).await;
        world.send("a", b"t").await;
        until(async || world.runtime.state(failed) == Ok(State::Failed)).await;
        let mut told = soon(world.runtime.shutdown(Duration::from_secs(60))).await.expect("in time");
        told.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        let told: Vec<_> = told.iter().map(|(agent, drained)| (agent.as_str(), drained.failed.is_some())).collect();
        assert_eq!(told, [("a", true), ("b", false)]);
    }
}

#[tokio::test]
async fn a_shutdown_waits_for_who_is_being_stopped() {
    for world in worlds() {
        let config = AgentConfig { drain: Duration::from_millis(200), ..world.limited(patient()) };
        let id = world.puppet("a", config).await;
        world.send("a", b"l").await;
        until(async || world.queued(id) == 0).await;
        world.send("a", b"e").await;
        // Each is there before the next one is asked for, and all before its time to drain is over.
        let runtime = &world.runtime;
        let all = async { tokio::join!(runtime.stop(id), runtime.stop(id), runtime.shutdown(Duration::from_secs(60))) };
        let (first, second, drained) = soon(all).await;
        let drained = drained.expect("in time");
        assert_eq!(
            drained
                .iter()
                .map(|(agent, drained)| (agent.as_str(), drained.dropped, drained.cut_off))
                .collect::<Vec<_>>(),
            [("a", 2, 1)]
        );
        assert_eq!((first, second), (Ok(drained[0].1.clone()), Ok(drained[0].1.clone())));
        // The one that was under way, and the one behind it.
        assert_eq!(world.dead(DeadReason::Stopped), [b"l", b"e"]);
    }
}

#[tokio::test]
async fn one_name_deployed_by_many_at_once_is_given_once() {
    for world in worlds() {
        let deploys: Vec<_> = (0..20)
            .map(|_| {
                let (runtime, config) = (world.runtime.clone(), world.config());
                tokio::spawn(async move { runtime.deploy(name("a"), LONER.as_bytes(), config).await })
            })
            .collect();
        let mut given = Vec::new();
        for deploy in deploys {
            match soon(deploy).await.expect("no panic") {
                Ok(id) => given.push(id),
                Err(DeployError::NameTaken { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((given.len(), world.runtime.find(&name("a"))), (1, given.first().copied()));
    }
}

#[tokio::test]
async fn replies_that_come_too_late_are_dead_letters() {
    for world in worlds() {
        for removes in [false, true] {
            let a = world.loner("a", world.config()).await;
            // Asked with its own name, it waits for another message and answers with that.
            let w = world.puppet("w", world.limited(patient())).await;
            let asked = world.call(a, "ask_within", &[b"w", &600_000_u32.to_le_bytes()[..]].concat()).await;
            assert_eq!(numbers(&asked), [0]);
            until(async || world.usage(w).messages_in == 1).await;
            if removes {
                soon(world.runtime.remove(a)).await.expect("it is there");
            } else {
                soon(world.runtime.stop(a)).await.expect("it runs");
            }
            world.send("w", b"late").await;
            world.call(w, "nothing", b"").await;
            assert_eq!(world.usage(w).messages_out, 0);
            // Of one that is gone not even the name is known.
            assert_eq!(world.dead(DeadReason::Late), [b"late"]);
            if !removes {
                soon(world.runtime.remove(a)).await.expect("it is there");
            }
            soon(world.runtime.remove(w)).await.expect("it is there");
            assert_eq!(world.runtime.held(), (0, 0));
        }
    }
}

#[tokio::test]
async fn one_that_is_gone_is_not_one_that_is_denied() {
    for world in worlds() {
        let config = AgentConfig { peers: Peers::only([name("b")]), max_violations: Some(0), ..world.config() };
        let a = world.puppet("a", config).await;
        let b = world.puppet("b", world.config()).await;
        assert_eq!(world.number(a, "send", &hand(&b.to_string(), b"x")).await, 1);
        soon(world.runtime.remove(b)).await.expect("it is there");
        assert_eq!(world.number(a, "send", &hand(&b.to_string(), b"x")).await, code(AbiError::NotFound));
        assert_eq!((world.usage(a).violations, world.audit.count(EventKind::DeniedCall)), (0, 0));
        let c = world.puppet("c", world.config()).await;
        assert!(soon(world.runtime.execute(a, "send", &hand(&c.to_string(), b"x"))).await.is_ok());
        until(async || world.runtime.state(a) == Ok(State::Failed)).await;
        assert_eq!(world.audit.count(EventKind::DeniedCall), 1);
    }
}

#[tokio::test]
async fn who_is_started_as_new_has_no_violations_behind_it() {
    for world in worlds() {
        let limits = Limits { memory: MemoryBytes::kib(512), ..Limits::agent() };
        let config = AgentConfig { max_violations: Some(1), ..world.limited(limits) };
        let id = world.puppet("a", config).await;
        for round in 1..=3 {
            world.send("a", b"g").await;
            world.heard_lines(id, 2).await;
            assert_eq!(world.runtime.state(id), Ok(State::Running), "round {round}");
            world.send("a", b"g").await;
            until(async || world.runtime.state(id) == Ok(State::Failed)).await;
            assert_eq!(world.usage(id).violations, 2 * round);
            soon(world.runtime.start(id)).await.expect("it can be started again");
        }
    }
}

#[tokio::test]
async fn mailboxes_are_part_of_the_hosts_memory() {
    for (engine, mode) in matrix() {
        let memory = Some(MemoryBytes::mib(64));
        let resources = Resources::new(&ResourceConfig { memory, ..ResourceConfig::default() });
        let runtime = Runtime::builder().engine(engine).resources(resources.clone()).build().expect("it is given");
        let world = World { runtime, audit: Arc::new(MemorySink::new(1)), mode };
        let mailbox = |mib| MailboxConfig { bytes: MemoryBytes::mib(mib), ..MailboxConfig::default() };
        let big = world.deploy("big", AgentConfig { mailbox: mailbox(65), ..world.config() }).await;
        assert!(matches!(world.runtime.start(big).await, Err(StartError::Guest(_))));
        assert_eq!((world.runtime.state(big), resources.reserved_memory().get()), (Ok(State::Loaded), 0));
        let fits = world.puppet("fits", AgentConfig { mailbox: mailbox(32), ..world.config() }).await;
        assert!(resources.reserved_memory() > MemoryBytes::mib(32));
        soon(world.runtime.stop(fits)).await.expect("it runs");
        assert_eq!(resources.reserved_memory().get(), 0);
    }
}

#[tokio::test]
async fn message_caps_that_change_hold_for_what_waits_too() {
    for world in worlds() {
        let id = world.loner("a", world.config()).await;
        let cap = |bytes| Limits { message: MemoryBytes::new(bytes), ..Limits::agent() };
        world.send("a", &[b'x'; 16]).await;
        world.runtime.set_limits(id, cap(8)).expect("it can be enforced");
        assert_eq!(numbers(&world.call(id, "take", b"").await)[0], code(AbiError::TimedOut));
        assert_eq!(world.dead(DeadReason::TooLarge), [[b'x'; 16]]);
        // The instance has no room for more than it was made with.
        let changed = world.runtime.set_limits(id, cap(200_000)).expect("it can be enforced");
        assert_eq!(changed.at_restart, ["message"]);
        let body = vec![0; 150_000];
        assert!(world.runtime.send(&to("a"), &body).await.is_err());
        assert!(world.runtime.execute(id, "nothing", &body).await.is_err());
        soon(world.runtime.stop(id)).await.expect("it runs");
        soon(world.runtime.start(id)).await.expect("it was stopped");
        world.send("a", &body).await;
    }
}

#[tokio::test]
async fn a_shutdown_leaves_on_the_disk_what_was_stored() {
    for world in worlds().into_iter().take(1) {
        let mine: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let directory = || tempfile::Builder::new().permissions(mine.clone()).tempdir().expect("there is room");
        let directories = [directory(), directory()];
        let [first, second] = directories.each_ref().map(|directory| directory.path());
        // Nothing is flushed by itself during this test.
        let store = KvStore::open(first, KvOptions::default().flush_every(Duration::from_secs(3600)));
        let store = store.expect("it is empty");
        let runtime = Runtime::builder().storage(store.clone()).build().expect("there is an engine");
        let restarts = OnFailure::Restart { times: 1 };
        let config = AgentConfig { on_failure: restarts, policy: world.config().policy, ..AgentConfig::default() };
        let deployed = runtime.deploy(name("a"), SECOND_TIME.as_bytes(), config.clone()).await;
        soon(runtime.start(deployed.expect("it is good"))).await.expect("at the second time");
        soon(runtime.shutdown(Duration::from_secs(60))).await.expect("in time");
        // What is there now, while the store is still open.
        for file in std::fs::read_dir(first).expect("it is there").flatten() {
            std::fs::copy(file.path(), second.join(file.file_name())).expect("there is room");
        }
        let copy = KvStore::open(second, KvOptions::default()).expect("it is whole");
        let kept = copy.agent("a", MemoryBytes::mib(1)).expect("it is whole").get(b"key");
        assert_eq!(kept.expect("it is whole").as_deref(), Some(&b"k"[..]));
        drop(store);
    }
}

#[tokio::test]
async fn output_in_bulk_counts_where_bytes_go_the_other_way() {
    let module = br#"(module
      (import "cofferdam_v1" "output_write" (func $output_write (param i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 0) "in bulk")
      (func (export "alloc") (param i32) (result i32) (i32.const 64))
      (func (export "handle_message") (param i32 i32) (drop (call $output_write (i32.const 0) (i32.const 7)))))"#;
    for world in worlds() {
        let id = world.runtime.deploy(name("a"), module, world.config()).await.expect("it is good");
        world.runtime.start(id).await.expect("it starts");
        let reply = soon(world.runtime.request(&to("a"), b"?", Duration::from_secs(60))).await;
        assert_eq!(reply.as_deref(), Ok(&b"in bulk"[..]));
    }
}

#[tokio::test]
async fn one_function_of_wasi_is_enough_to_have_it() {
    let module = br#"(module
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "init") (result i32) (i32.sub (i32.const 0) (call $random (i32.const 0) (i32.const 8)))))"#;
    for world in worlds() {
        let grants = Grants::none().module(MODULE).import("wasi_snapshot_preview1", "random_get");
        let config = AgentConfig { policy: world.config().policy.grants(grants), ..world.config() };
        let id = world.runtime.deploy(name("a"), module, config).await.expect("it is granted");
        soon(world.runtime.start(id)).await.expect("it is there");
    }
}

#[tokio::test]
async fn fuel_is_the_sum_of_all_receipts_in_every_kind_of_call() {
    for world in worlds() {
        let config = AgentConfig { on_failure: OnFailure::Restart { times: 1 }, ..world.config() };
        let id = world.puppet("a", config).await;
        let after = |before: u64| {
            let now = world.usage(id).fuel;
            assert!(now > before);
            now
        };
        let mut fuel = after(0);
        world.send("a", b"e").await;
        until(async || world.usage(id).messages_in == 1).await;
        world.call(id, "timer", b"\x00\x00\x00\x00x").await;
        world.heard_lines(id, 2).await;
        fuel = after(fuel);
        let calls = world.usage(id).calls;
        world.send("a", b"t").await;
        // The message and the `init` that follows.
        until(async || world.usage(id).calls >= calls + 2).await;
        fuel = after(fuel);
        soon(world.runtime.stop(id)).await.expect("it runs");
        after(fuel);
        assert!(Fuel::new(world.usage(id).fuel) < Limits::agent().fuel);
    }
}
