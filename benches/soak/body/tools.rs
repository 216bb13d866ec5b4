//! Tools: added, called, replaced, removed; calls that fail, and calls that nobody waits for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::policy::{Fuel, Limits, MemoryBytes};
use cofferdam::sandbox::Resources;
use cofferdam::tool::{ToolRegistry, WasmTool};
use cofferdam::{Engine, Sandbox};
use serde_json::json;

use super::guests::small_cache;
use super::{Phase, Tally, did, policies, tokio};

const WORDS: &[u8] = include_bytes!("../../../examples/guests/words.wasm");
const STATISTICS: &[u8] = include_bytes!("../../../examples/guests/statistics.wasm");
const SPIN: &[u8] = br#"(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))"#;

/// Tools of one engine in a registry that is empty between rounds.
pub struct Tools {
    sandboxes: Vec<Sandbox>,
    registry: ToolRegistry,
    tokio: tokio::runtime::Runtime,
}

impl Tools {
    pub fn open(engine: &Arc<dyn Engine>, _: &Path) -> Box<dyn Phase> {
        let resources = Resources::new(&small_cache());
        let limits = Limits { fuel: Fuel::UNLIMITED, memory: MemoryBytes::mib(16), ..Limits::tool() };
        let sandbox = |policy| Sandbox::builder(engine.clone()).policy(policy).wasi().limits(limits.clone());
        let sandboxes = policies(engine)
            .into_iter()
            .map(|policy| sandbox(policy).resources(resources.clone()).build().expect("it can be enforced"));
        Box::new(Self {
            sandboxes: sandboxes.collect(),
            registry: ToolRegistry::new(resources.clone()),
            tokio: tokio(),
        })
    }
}

fn tool(sandbox: &Sandbox, name: &str, module: &[u8]) -> WasmTool {
    sandbox.tool(name, &sandbox.load(module).expect("it is good")).build().unwrap_or_else(|e| panic!("{name}: {e}"))
}

impl Phase for Tools {
    fn round(&mut self, tally: &mut Tally) {
        let tools = &self.registry;
        for sandbox in &self.sandboxes {
            for (name, module) in [("words", WORDS), ("statistics", STATISTICS), ("spin", SPIN)] {
                tools.add(tool(sandbox, name, module)).expect("it is free");
            }
            assert!(tools.add(tool(sandbox, "words", WORDS)).is_err(), "it is taken");
            for n in 1..=10_usize {
                let output = tools.call("words", &json!({"text": "x".repeat(n)})).expect("it answers");
                assert_eq!(output.value, json!({"numbers": [n]}));
                let output = tools.call("statistics", &json!({"numbers": [n]})).expect("it answers");
                assert_eq!(output.value["sum"], json!(n));
                assert!(tools.call("words", &json!({})).is_err() && tools.call("statistics", &json!({})).is_err());
            }
            did(tally, "tool calls", 20);
            did(tally, "tool calls that failed", 20);
            tools.replace(tool(sandbox, "words", WORDS)).expect("it is there");
            self.tokio.block_on(async {
                let calls = (0..32_usize).map(|n| {
                    let tools = tools.clone();
                    tokio::spawn(
                        async move { tools.call_async("words", json!({"text": "x".repeat(n + 1)})).await.is_ok() },
                    )
                });
                let calls: Vec<_> = calls.collect();
                for _ in 0..2 {
                    let soon = Duration::from_millis(2);
                    assert!(tokio::time::timeout(soon, tools.call_async("spin", json!({}))).await.is_err());
                }
                for call in calls {
                    assert!(call.await.expect("no panic"));
                }
            });
            did(tally, "tool calls in parallel", 32);
            did(tally, "tool calls given up", 2);
            for name in ["words", "statistics", "spin"] {
                tools.remove(name).expect("it is there");
            }
            did(tally, "tools added and removed", 3);
        }
        let resources = self.sandboxes[0].resources();
        for _ in 0..60_000 {
            if resources.reserved_memory().get() == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn sums(&self) -> Vec<(&'static str, u64)> {
        let reserved = self.sandboxes[0].resources().reserved_memory().get();
        vec![("reserved memory", reserved), ("tools", self.registry.len() as u64)]
    }
}
