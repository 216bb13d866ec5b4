//! Cofferdam's adapter for the Wasmer engine.
//!
//! Wasmer compiles and runs; this crate makes it keep Cofferdam's contract. It uses Wasmer's compiler
//! through its front door and builds stores on the layer below Wasmer's own, `wasmer-vm`: that is where
//! memory and table caps, direct entries for host functions and calls without allocation are possible.
//!
//! | to | look at |
//! |---|---|
//! | get the engine | [`WasmerEngine`] |
//! | see how a call runs | `store/call.rs`, `host.rs`, `traps.rs` |
//! | see how caps hold | `accounting.rs`, `memory.rs`, `tunables.rs`, `table_hooks.rs` |
//! | see how long operators end in time | `memory_hooks.rs` |
//! | see native fuel | `native.rs` |

// Each of Wasmer's compilers is a feature; without one there is nothing to adapt.
#![cfg(any(feature = "cranelift", feature = "singlepass"))]

mod accounting;
mod artefact;
mod builtins;
mod compiled;
#[cfg(feature = "cranelift")]
mod cranelift;
mod engine;
mod features;
mod held;
mod host;
mod memory;
mod memory_hooks;
mod native;
mod shared;
mod signatures;
#[cfg(feature = "singlepass")]
mod singlepass;
mod store;
mod table_hooks;
mod tables;
mod traces;
mod traps;
mod tunables;
mod types;
mod values;

pub use engine::WasmerEngine;
