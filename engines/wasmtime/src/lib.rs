//! Cofferdam's adapter for the Wasmtime engine.
//!
//! Wasmtime compiles and runs; this crate makes it keep Cofferdam's contract, through Wasmtime's public
//! interface alone.
//!
//! | to | look at |
//! |---|---|
//! | get the engine | [`WasmtimeEngine`] |
//! | see how Wasmtime is set up | `config.rs` |
//! | see how a call runs | `store/call.rs`, `host.rs`, `stacks.rs`, `traps.rs` |
//! | see how caps hold | `accounting.rs` |
//! | see native fuel | `native.rs` |

mod accounting;
mod artefact;
mod compiled;
mod config;
mod engine;
mod engines;
mod host;
mod native;
mod stacks;
mod store;
mod traps;
mod types;
mod values;

pub use engine::WasmtimeEngine;
