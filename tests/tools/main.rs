//! Tools on every engine in both fuel modes: the two kinds, the registry, what hostile tools come to, and many
//! calls at once.
#![cfg(feature = "any-engine")]

mod agents;
mod command;
mod hostile;
mod many;
mod registry;
mod schema;

#[path = "../support/matrix.rs"]
mod matrix;

use std::sync::Arc;

use cofferdam::policy::{Fuel, Limits, MemoryBytes, SecurityPolicy};
use cofferdam::tool::{ToolBuildError, ToolBuilder, ToolRegistry, WasmTool};
use cofferdam::{Engine, FuelMode, Sandbox};

const WORDS: &[u8] = include_bytes!("../../examples/guests/words.wasm");
const STATISTICS: &[u8] = include_bytes!("../../examples/guests/statistics.wasm");
const SCALE: &[u8] = include_bytes!("../../examples/guests/scale.wasm");

/// Limits that every good tool here stays within.
fn limits() -> Limits {
    Limits { fuel: Fuel::new(10_000_000), memory: MemoryBytes::mib(16), message: MemoryBytes::mib(1), ..Limits::tool() }
}

fn sandbox(engine: &Arc<dyn Engine>, mode: FuelMode, limits: Limits) -> Sandbox {
    let policy = SecurityPolicy::standard().fuel_mode(mode).limits(limits);
    Sandbox::builder(engine.clone()).policy(policy).wasi().build().expect("the engine can enforce the policy")
}

/// A tool of `tests/guests/tools`.
fn file(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/tools").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn builder(sandbox: &Sandbox, name: &str, module: &[u8]) -> ToolBuilder {
    sandbox.tool(name, &sandbox.load(module).unwrap_or_else(|e| panic!("{name}: {e}")))
}

fn tool(sandbox: &Sandbox, name: &str, module: &[u8]) -> WasmTool {
    builder(sandbox, name, module).build().unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Why no tool can be made of it.
#[track_caller]
fn no_tool(sandbox: &Sandbox, module: &[u8]) -> ToolBuildError {
    builder(sandbox, "bad", module).build().expect_err("it is no good tool")
}

/// A registry with `tools`.
fn registry(sandbox: &Sandbox, tools: impl IntoIterator<Item = WasmTool>) -> ToolRegistry {
    let registry = ToolRegistry::new(sandbox.resources().clone());
    for tool in tools {
        registry.add(tool).expect("there is room");
    }
    registry
}
