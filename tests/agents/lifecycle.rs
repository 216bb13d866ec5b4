//! From deployment to removal, and every wrong turn on the way.

use std::time::Duration;

use cofferdam::agent::{
    AgentConfig, DeadReason, DeployError, ExecuteError, MaxAgents, OnFailure, Runtime, SendError, StartError, State,
    StopError,
};
use cofferdam::audit::EventKind;
use cofferdam::policy::{Fuel, Grants, Limits};
use cofferdam::{Limit, engines};

use crate::{PUPPET, hand, name, soon, to, until, worlds};

#[tokio::test]
async fn from_deployment_to_removal() {
    for world in worlds() {
        let runtime = &world.runtime;
        let id = world.deploy("a", world.config()).await;
        assert_eq!(runtime.state(id), Ok(State::Loaded));
        assert!(matches!(runtime.execute(id, "nothing", b"").await, Err(ExecuteError::NotRunning(State::Loaded))));
        runtime.start(id).await.expect("it starts");
        // `init` has returned when `start` does; how long that takes is a row of `benches/agents.rs`.
        assert_eq!((runtime.state(id), world.usage(id).calls), (Ok(State::Running), 1));
        assert!(matches!(runtime.start(id).await, Err(StartError::Illegal(_))));
        let b = world.puppet("b", world.config()).await;

        assert_eq!(world.number(id, "send", &hand("b", b"hello")).await, 1);
        assert_eq!(world.heard_lines(b, 1).await, ["0hello"]);
        let reply = soon(runtime.request(&to("b"), b"echo this", Duration::from_secs(10))).await;
        assert_eq!(reply.as_deref(), Ok(&b"echo this"[..]));
        assert!(runtime.memory_usage(id).expect("it is there").get() > 0);

        let drained = soon(runtime.stop(id)).await.expect("it runs");
        assert_eq!((drained.dropped, drained.failed), (0, None));
        assert_eq!(runtime.state(id), Ok(State::Stopped));
        assert_eq!(runtime.memory_usage(id).expect("it is there").get(), 0);
        assert!(matches!(runtime.stop(id).await, Err(StopError::Illegal(_))));
        assert!(matches!(runtime.send(&to("a"), b"x").await, Err(SendError::NotRunning { state: State::Stopped, .. })));
        // Again, as new.
        runtime.start(id).await.expect("a stopped agent can be started");
        assert!(world.heard(id).await.is_empty());
        runtime.remove(id).await.expect("it is there");
        assert!(runtime.remove(id).await.is_err() && runtime.state(id).is_err());
        assert!(matches!(runtime.send(&to("a"), b"x").await, Err(SendError::Unknown(_))));
        runtime.remove(b).await.expect("it is there");
        assert_eq!((runtime.held(), runtime.resources().reserved_memory().get()), ((0, 0), 0));
        assert_eq!(world.audit.count(EventKind::Removed), 2);
    }
}

#[tokio::test]
async fn a_name_is_given_once_and_places_are_counted() {
    let most = MaxAgents::new(2).expect("it is not 0");
    let runtime = Runtime::builder().max_agents(most).build().expect("there is an engine");
    let module = b"(module)";
    let first = runtime.deploy(name("a"), module, AgentConfig::default()).await.expect("it is good");
    let again = runtime.deploy(name("a"), module, AgentConfig::default()).await.expect_err("the name is taken");
    assert!(again.to_string().contains(&first.to_string()), "{again}");
    runtime.deploy(name("b"), module, AgentConfig::default()).await.expect("there is a place");
    let third = runtime.deploy(name("c"), module, AgentConfig::default()).await;
    assert!(matches!(third, Err(DeployError::TooMany(_))));
    runtime.remove(first).await.expect("it is there");
    runtime.deploy(name("a"), module, AgentConfig::default()).await.expect("name and place are free");
}

#[tokio::test]
async fn what_cannot_run_is_refused_at_deployment() {
    for world in worlds() {
        let runtime = &world.runtime;
        let config = AgentConfig { policy: world.config().policy.grants(Grants::none()), ..world.config() };
        let refused = runtime.deploy(name("a"), PUPPET, config).await.expect_err("nothing is granted");
        assert!(matches!(refused, DeployError::Load(_)) && refused.to_string().contains("send_message"), "{refused}");
        let hook = br#"(module (func (export "handle_message") (param f64)))"#;
        let refused = runtime.deploy(name("a"), hook, world.config()).await.expect_err("it is no hook");
        assert!(matches!(refused, DeployError::Hook { name: "handle_message", .. }), "{refused}");
        let config = AgentConfig { config: vec![0; 102_401], ..world.config() };
        let refused = runtime.deploy(name("a"), PUPPET, config).await;
        assert!(matches!(refused, Err(DeployError::ConfigTooLong { len: 102_401, .. })));
        assert_eq!(runtime.held(), (0, 0));
    }
}

#[tokio::test]
async fn an_init_that_does_not_succeed_is_an_error_of_start() {
    for world in worlds() {
        for (config, fuel) in [(&b"n"[..], false), (b"t", false), (b"l", true)] {
            let id = world.deploy("a", AgentConfig { config: config.to_vec(), ..world.config() }).await;
            match soon(world.runtime.start(id)).await {
                Err(StartError::Refused(-7)) => assert_eq!(config, b"n"),
                Err(StartError::Init(error)) => assert_eq!(error.limit() == Some(Limit::Fuel), fuel, "{error}"),
                other => panic!("{other:?}"),
            }
            let info = world.runtime.info(id).expect("it is there");
            assert_eq!((info.state, info.failure.map(|f| f.times)), (State::Failed, Some(1)));
            assert_eq!(info.usage.memory.get(), 0);
            world.runtime.remove(id).await.expect("it is there");
        }
        assert_eq!(world.runtime.resources().reserved_memory().get(), 0);
    }
}

#[tokio::test]
async fn a_failure_ends_the_agent_or_starts_it_anew() {
    for world in worlds() {
        let runtime = &world.runtime;
        let fails = world.puppet("fails", world.config()).await;
        let reply = soon(runtime.request(&to("fails"), b"t", Duration::from_secs(60))).await;
        assert_eq!(reply, Err(cofferdam::agent::RequestError::NoReply), "at once, not after a minute");
        until(async || runtime.state(fails) == Ok(State::Failed)).await;
        let info = runtime.info(fails).expect("it is there");
        assert!(info.failure.is_some_and(|f| f.why.contains("unreachable")));
        assert!(runtime.dead_letters().iter().any(|dead| dead.reason == DeadReason::Failed && *dead.body == *b"t"));

        let config = AgentConfig { on_failure: OnFailure::Restart { times: 2 }, ..world.config() };
        let restarts = world.puppet("restarts", config).await;
        for _ in 0..2 {
            world.send("restarts", b"one").await;
            world.send("restarts", b"t").await;
            world.send("restarts", b"2nd").await;
            // Only what came after the trap: the instance is new, the mailbox is not.
            until(async || world.heard(restarts).await == ["02nd"]).await;
        }
        assert_eq!(runtime.state(restarts), Ok(State::Running));
        world.send("restarts", b"t").await;
        until(async || runtime.state(restarts) == Ok(State::Failed)).await;
        assert_eq!(world.audit.count(EventKind::Restarted), 2);
    }
}

#[tokio::test]
async fn draining_finishes_what_is_queued_and_says_what_it_dropped() {
    for world in worlds() {
        let runtime = &world.runtime;
        let id = world.puppet("a", world.config()).await;
        for _ in 0..100 {
            world.send("a", b"e").await;
        }
        let drained = soon(runtime.stop(id)).await.expect("it runs");
        assert_eq!(drained.dropped, 0);
        assert_eq!(world.usage(id).messages_in, 100);

        // One that never ends stands before the others.
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        let config = AgentConfig { drain: Duration::from_millis(50), ..world.limited(limits) };
        let id = world.puppet("b", config).await;
        for body in [&b"l"[..], b"e", b"e"] {
            world.send("b", body).await;
        }
        let drained = soon(runtime.stop(id)).await.expect("it runs");
        assert_eq!((drained.handled, drained.dropped, drained.failed), (0, 3, None), "the one that was under way too");
        assert_eq!(runtime.state(id), Ok(State::Stopped));
        let stopped = runtime.dead_letters().iter().filter(|dead| dead.reason == DeadReason::Stopped).count();
        assert_eq!(stopped, 3);
    }
}

#[tokio::test]
async fn stopping_wakes_an_agent_that_waits_for_a_message() {
    for world in worlds() {
        let limits = Limits { timeout: None, ..Limits::agent() };
        let id = world.puppet("a", world.limited(limits)).await;
        world.send("a", b"w").await;
        until(async || world.runtime.info(id).is_ok_and(|info| info.usage.messages_in == 1)).await;
        // Long before the 5 s that it may drain, let alone the minute that it waits.
        let drained = soon(world.runtime.stop(id)).await.expect("it runs");
        assert_eq!((drained.dropped, drained.failed), (0, None));
    }
}

#[tokio::test]
async fn removal_ends_whatever_is_under_way() {
    for world in worlds() {
        let runtime = &world.runtime;
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        for drains in [false, true] {
            let id = world.puppet("a", world.limited(limits.clone())).await;
            let (other, call) = (runtime.clone(), runtime.clone());
            let call = tokio::spawn(async move { call.execute(id, "spin", b"").await });
            until(async || runtime.info(id).is_ok_and(|info| info.usage.calls == 1)).await;
            let stop = drains.then(|| tokio::spawn(async move { other.stop(id).await }));
            if drains {
                until(async || runtime.state(id) == Ok(State::Draining)).await;
            }
            world.runtime.remove(id).await.expect("it is there");
            assert!(runtime.remove(id).await.is_err(), "twice");
            assert!(soon(call).await.expect("no panic").is_err());
            if let Some(stop) = stop {
                assert_eq!(soon(stop).await.expect("no panic"), Err(StopError::Removed));
            }
            assert_eq!((runtime.held(), runtime.resources().reserved_memory().get()), ((0, 0), 0));
        }
    }
}

#[tokio::test]
async fn ten_thousand_deployments_leave_nothing_behind() {
    for engine in engines::all() {
        let mode = engine.descriptor().capabilities.fuel_modes[0];
        let world = crate::world(engine, mode);
        let config = AgentConfig { topics: [crate::topic("t")].into(), ..world.config() };
        for n in 0..10_000_u32 {
            let id = world.deploy("a", config.clone()).await;
            if n % 10 == 0 {
                world.runtime.start(id).await.expect("it starts");
                world.call(id, "timer", b"\xff\xff\xff\xff1").await;
                world.number(id, "ask", &hand("a", b"x")).await;
            }
            world.runtime.remove(id).await.expect("it is there");
        }
        let runtime = &world.runtime;
        assert_eq!((runtime.held(), runtime.resources().reserved_memory().get()), ((0, 0), 0));
        assert!(runtime.list().is_empty() && runtime.dead_letters().len() <= 1_024);
    }
}

#[tokio::test]
async fn the_runtime_ends_with_all_that_it_has() {
    for world in worlds() {
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        let endless =
            world.puppet("endless", AgentConfig { drain: Duration::from_millis(50), ..world.limited(limits) });
        let id = endless.await;
        world.puppet("good", world.config()).await;
        world.deploy("idle", world.config()).await;
        world.send("endless", b"l").await;
        world.send("endless", b"e").await;
        let drained = soon(world.runtime.shutdown(Duration::from_secs(30))).await.expect("in time");
        assert_eq!(drained.iter().map(|(_, drained)| drained.dropped).sum::<u64>(), 2);
        assert!(world.runtime.state(id).is_err());
        let late = world.runtime.deploy(name("late"), PUPPET, world.config()).await;
        assert!(matches!(late, Err(DeployError::ShuttingDown)));
        assert_eq!((world.runtime.held(), world.runtime.resources().reserved_memory().get()), ((0, 0), 0));
    }
}
