//! Many calls at once, awaited.

use std::sync::Arc;
use std::time::Duration;

use cofferdam::audit::NoAudit;
use cofferdam::policy::{Fuel, Limits};
use cofferdam::sandbox::{ResourceConfig, Resources};
use cofferdam::tool::ToolRegistry;
use cofferdam::{FuelMode, Sandbox, SecurityPolicy};
use serde_json::json;

use crate::matrix::matrix;
use crate::{STATISTICS, WORDS, limits, tool};

fn sandbox(engine: Arc<dyn cofferdam::Engine>, mode: FuelMode, limits: Limits, config: &ResourceConfig) -> Sandbox {
    Sandbox::builder(engine)
        .policy(SecurityPolicy::standard().fuel_mode(mode))
        .wasi()
        .limits(limits)
        .resources(Resources::new(config))
        .build()
        .expect("it can be enforced")
}

/// Two thousand at once, more than there are workers and places in their queue together: each waits its turn,
/// each gets its own answer, and all memory comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_parallel_calls_are_all_answered() {
    for (engine, mode) in matrix() {
        let config = ResourceConfig { max_calls_in_flight: 16, max_queued_calls: 100, ..ResourceConfig::default() };
        let sandbox = sandbox(engine, mode, limits(), &config);
        let tools = ToolRegistry::new(sandbox.resources().clone());
        tools.add(tool(&sandbox, "words", WORDS)).expect("it is free");
        tools.add(tool(&sandbox, "statistics", STATISTICS)).expect("it is free");
        let calls = (0..2_000_usize).map(|n| {
            let tools = tools.clone();
            tokio::spawn(async move {
                if n.is_multiple_of(2) {
                    let text = "x".repeat(n + 1);
                    let output = tools.call_async("words", json!({"text": text})).await.expect("it answers");
                    assert_eq!(output.value, json!({"numbers": [n + 1]}));
                } else {
                    let output = tools.call_async("statistics", json!({"numbers": [n]})).await.expect("it answers");
                    assert_eq!(output.value["sum"], json!(n));
                }
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.expect("no panic");
        }
        assert_eq!(sandbox.resources().reserved_memory().get(), 0, "{mode}");
    }
}

#[tokio::test]
async fn a_call_ends_with_its_future_and_gives_its_worker_back() {
    let spin = br#"(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))"#;
    for (engine, mode) in matrix() {
        let config = ResourceConfig { max_calls_in_flight: 1, max_queued_calls: 0, ..ResourceConfig::default() };
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..limits() };
        let sandbox = sandbox(engine, mode, limits, &config);
        let tools = ToolRegistry::with(sandbox.resources().clone(), 5, Arc::new(NoAudit));
        let built = sandbox.tool("spin", &sandbox.load(spin).expect("it is good")).build_async().await;
        tools.add(built.expect("it is a tool")).expect("it is free");
        tools.add(tool(&sandbox, "words", WORDS)).expect("it is free");
        let endless = tokio::spawn({
            let tools = tools.clone();
            async move { tools.call_async("spin", json!({})).await.map(|output| output.value) }
        });
        while sandbox.resources().reserved_memory().get() == 0 {
            tokio::task::yield_now().await;
        }
        endless.abort();
        let next = tools.call_async("words", json!({"text": "a"}));
        let next = tokio::time::timeout(Duration::from_secs(60), next).await.expect("nothing is stuck");
        assert_eq!(next.expect("it answers").value, json!({"numbers": [1]}), "{mode}");
        assert_eq!(tools.get("spin").map(|tool| tool.name().to_owned()), Some("spin".to_owned()));
    }
}
