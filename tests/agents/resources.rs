//! What agents may use, what they did use, and that nobody pays for another.

use std::sync::Arc;
use std::time::Duration;

use cofferdam::agent::{AgentConfig, FuelRate, Runtime, StartError, State};
use cofferdam::audit::{EventKind, MemorySink};
use cofferdam::policy::{Fuel, Limits, MemoryBytes};
use cofferdam::sandbox::{ResourceConfig, Resources};
use cofferdam::{Limit, engines};

use crate::{PUPPET, World, hand, name, soon, to, until, worlds};

#[tokio::test]
async fn fuel_is_the_sum_of_the_receipts() {
    for world in worlds() {
        let id = world.puppet("a", world.config()).await;
        let mut sum = world.usage(id).fuel;
        assert!(sum > 0, "`init` ran");
        for function in ["heard", "nothing", "fails", "nowhere", "spin"] {
            let (_, receipt) = world.runtime.execute_with_receipt(id, function, b"x").await;
            sum += receipt.map_or(0, |receipt| receipt.fuel);
            assert_eq!(world.runtime.fuel_usage(id), Ok(sum), "after {function}");
        }
        assert_eq!(world.runtime.state(id), Ok(State::Failed), "`spin` used all of its fuel");
        assert!(sum > 1_000_000);
    }
}

#[tokio::test]
async fn memory_is_counted_capped_and_given_back() {
    for world in worlds() {
        let limits = Limits { memory: MemoryBytes::mib(2), ..Limits::agent() };
        let id = world.puppet("a", world.limited(limits)).await;
        let pages = |n: u64| n << 16;
        assert_eq!(world.usage(id).memory.get(), pages(8));
        for _ in 0..3 {
            world.send("a", b"g").await;
        }
        // One mebibyte more fits, and no second.
        assert_eq!(world.heard_lines(id, 6).await[1..], ["Gg", "0g", "G", "0g", "G"]);
        let usage = world.usage(id);
        assert_eq!((usage.memory.get(), usage.peak_memory.get()), (pages(24), pages(24)));
        assert_eq!(usage.violations, 2);
        assert_eq!(world.audit.count(EventKind::RefusedGrowth), 2);
        soon(world.runtime.stop(id)).await.expect("it runs");
        let usage = world.usage(id);
        assert_eq!((usage.memory.get(), usage.peak_memory.get()), (0, pages(24)));
        assert_eq!(world.runtime.resources().reserved_memory().get(), 0);
    }
}

#[tokio::test]
async fn too_many_violations_end_it_at_once() {
    for world in worlds() {
        let limits = Limits { memory: MemoryBytes::kib(512), ..Limits::agent() };
        let config = AgentConfig { max_violations: Some(2), ..world.limited(limits) };
        let id = world.puppet("a", config).await;
        let other = world.puppet("b", world.config()).await;
        for _ in 0..3 {
            world.send("a", b"g").await;
        }
        until(async || world.runtime.state(id) == Ok(State::Failed)).await;
        assert_eq!(world.usage(id).violations, 3);
        assert_eq!(world.audit.count(EventKind::Violation), 1);
        world.call(other, "nothing", b"").await;
    }
}

#[tokio::test]
async fn the_hosts_memory_is_admitted_before_anything_is_made() {
    for engine in engines::all() {
        let memory = Some(MemoryBytes::mib(28));
        let resources = Resources::new(&ResourceConfig { memory, ..ResourceConfig::default() });
        let runtime = Runtime::builder().engine(engine.clone()).resources(resources).build().expect("it is given");
        let world = World {
            runtime,
            audit: Arc::new(MemorySink::new(1)),
            mode: engine.descriptor().capabilities.fuel_modes[0],
        };
        let first = world.puppet("a", world.config()).await;
        world.puppet("b", world.config()).await;
        let third = world.deploy("c", world.config()).await;
        assert!(matches!(world.runtime.start(third).await, Err(StartError::Guest(_))));
        assert_eq!(world.usage(third).memory.get(), 0);
        world.runtime.remove(first).await.expect("it is there");
        world.runtime.start(third).await.expect("there is room now");
    }
}

#[tokio::test]
async fn limits_change_from_the_next_call() {
    for world in worlds() {
        let id = world.puppet("a", world.config()).await;
        let limits = Limits { fuel: Fuel::new(1), memory: MemoryBytes::mib(20), ..Limits::agent() };
        let changed = world.runtime.set_limits(id, limits).expect("it is there");
        assert_eq!(changed.at_restart, ["memory"]);
        let error = world.runtime.execute(id, "heard", b"").await.expect_err("one fuel is not enough");
        assert!(error.to_string().contains("fuel"), "{error}");
        assert_eq!(world.runtime.policy(id).map(|policy| policy.limits.fuel), Ok(Fuel::new(1)));
    }
}

#[tokio::test]
async fn an_agent_in_debt_waits_and_others_do_not() {
    for world in worlds() {
        let rate = FuelRate { per_second: 1_000_000_000, burst: 0 };
        let limits = Limits { fuel: Fuel::new(100_000_000), timeout: None, ..Limits::agent() };
        let config = AgentConfig { fuel_rate: Some(rate), ..world.limited(limits) };
        let id = world.puppet("a", config).await;
        let other = world.puppet("b", world.config()).await;
        let slow = FuelRate { per_second: 1, burst: 0 };
        world.call(id, "heard", b"").await;
        world.call(id, "heard", b"").await;
        // What the next call costs is paid at one fuel a second.
        world.runtime.set_fuel_rate(id, Some(slow)).expect("it is there");
        world.call(id, "heard", b"").await;
        world.runtime.send(&to("a"), b"e").await.expect("its mailbox is open");
        let runtime = world.runtime.clone();
        let blocked = tokio::spawn(async move { runtime.execute(id, "heard", b"").await });
        for _ in 0..50 {
            world.call(other, "nothing", b"").await;
        }
        assert!(!blocked.is_finished(), "it owes fuel for minutes");
        world.runtime.set_fuel_rate(id, None).expect("it is there");
        soon(blocked).await.expect("no panic").expect("the debt is forgotten");
        until(async || world.usage(id).messages_in == 1).await;
    }
}

#[tokio::test]
async fn what_is_exposed_is_what_is_granted() {
    for world in worlds() {
        let id = world.deploy("a", world.config()).await;
        let exposed = world.runtime.exposed_host_functions(id).expect("it is there");
        let all: usize = cofferdam::host::agent::imports().iter().count();
        assert_eq!(exposed.len(), all);
        let grants = cofferdam::policy::Grants::none().import("cofferdam_v1", "log");
        let config = AgentConfig { policy: world.config().policy.grants(grants), ..world.config() };
        let log = br#"(module (import "cofferdam_v1" "log" (func (param i32 i32 i32) (result i32))))"#;
        let id = world.runtime.deploy(name("b"), log, config.clone()).await.expect("it is granted");
        let exposed = world.runtime.exposed_host_functions(id).expect("it is there");
        let names: Vec<_> = exposed.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["input_len", "input_read", "log", "output_write", "result_read"]);
        assert!(world.runtime.deploy(name("c"), PUPPET, config).await.is_err());
    }
}

#[tokio::test]
async fn a_message_to_many_costs_more_than_one_to_one() {
    for world in worlds() {
        let config = AgentConfig { publish: [crate::topic("t")].into(), ..world.config() };
        let a = world.puppet("a", config).await;
        let mut costs = Vec::new();
        for n in 0..50 {
            world.puppet(&format!("b{n}"), AgentConfig { topics: [crate::topic("t")].into(), ..world.config() }).await;
            if n == 0 || n == 49 {
                let (sent, receipt) = world.runtime.execute_with_receipt(a, "send", &hand("#t", b"x")).await;
                assert_eq!(crate::numbers(&sent.expect("it is accepted")), [n + 1]);
                costs.push(receipt.expect("it was called").fuel);
            }
        }
        assert!(costs[1] == costs[0] + 49 * 100, "{costs:?}");
    }
}

#[tokio::test]
async fn more_than_a_hundred_agents_at_once_keep_to_themselves() {
    const N: usize = 120;
    for world in worlds() {
        let mut all = Vec::new();
        for n in 0..N {
            all.push(world.puppet(&format!("a{n}"), world.config()).await);
        }
        let calls = all.iter().enumerate().map(|(n, id)| {
            let (runtime, id) = (world.runtime.clone(), *id);
            tokio::spawn(async move {
                let next = format!("a{}", (n + 1) % N);
                runtime.execute(id, "send", &hand(&next, format!("by {n}").as_bytes())).await
            })
        });
        for call in calls.collect::<Vec<_>>() {
            soon(call).await.expect("no panic").expect("it is accepted");
        }
        for (n, id) in all.iter().enumerate() {
            assert_eq!(world.heard_lines(*id, 1).await, [format!("0by {}", (n + N - 1) % N)]);
        }
        world.runtime.shutdown(Duration::from_secs(60)).await.expect("in time");
        assert_eq!(world.runtime.resources().reserved_memory().get(), 0);
    }
}

#[tokio::test]
async fn a_deadline_ends_a_call_and_nothing_else() {
    for world in worlds() {
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: Some(Duration::from_millis(20)), ..Limits::agent() };
        let id = world.puppet("a", world.limited(limits)).await;
        let other = world.puppet("b", world.config()).await;
        match soon(world.runtime.execute(id, "spin", b"")).await {
            Err(cofferdam::agent::ExecuteError::Call(error)) => assert_eq!(error.limit(), Some(Limit::Deadline)),
            ended => panic!("{ended:?}"),
        }
        world.call(other, "nothing", b"").await;
    }
}
