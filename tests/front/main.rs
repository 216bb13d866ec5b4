//! The front door of the library on every engine in both fuel modes: typed calls, errors, memory, bytes,
//! commands, and all of it from an async program.
#![cfg(feature = "any-engine")]

mod asynchronous;
mod bytes;
mod command;
mod loading;
mod memory;
mod typed;

#[path = "../support/matrix.rs"]
mod matrix;

use std::sync::Arc;

use cofferdam::policy::{Limits, SecurityPolicy};
use cofferdam::{Engine, FuelMode, Guest, GuestState, Sandbox};

/// A sandbox at the level `relaxed`, for SIMD.
fn sandbox(engine: &Arc<dyn Engine>, mode: FuelMode, limits: Limits) -> Sandbox {
    let policy = SecurityPolicy::new(cofferdam::policy::Level::Relaxed).fuel_mode(mode).limits(limits);
    Sandbox::builder(engine.clone()).policy(policy).build().expect("the engine can enforce the policy")
}

fn guest(sandbox: &Sandbox, module: &str) -> Guest {
    let module = sandbox.load(module.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    sandbox.guest(&module, GuestState::default()).unwrap_or_else(|e| panic!("{e}"))
}
