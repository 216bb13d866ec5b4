//! Cofferdam's adapter for the Wasmi interpreter: small, portable, without machine code made at run time.
//!
//! Wasmi translates and runs; this crate makes it keep Cofferdam's contract.
//!
//! | to | look at |
//! |---|---|
//! | get the engine | [`WasmiEngine`] |
//! | see which switches Wasmi gets | `config.rs`, `costs.rs` |
//! | see how a call runs | `store/call.rs`, `host.rs`, `traps.rs` |
//! | see how caps hold | `accounting.rs` |
//! | see what guards the machine's own stack | `machine_stack.rs` |
//!
//! What differs from compiling engines:
//! - Traps carry no frames: Wasmi keeps none.
//! - Computed NaNs are always canonical (Wasmi's deterministic profile), asked for or not.
//! - A memory operation runs to its end once begun. Its length is bounded by the memory cap: filling takes about
//!   0.1 ms, copying 0.2 ms and growing 0.7 ms for each MiB, and that is how far past its deadline a call can be.
//! - A function has at most 30,000 locals, and 65,535 slots: an operand takes one, a local two, and a vector one
//!   more. A module with a larger function is not compiled.

mod accounting;
mod br_tables;
mod compiled;
mod config;
mod costs;
mod engine;
mod entries;
mod host;
mod machine_stack;
mod pool;
mod store;
mod traps;
mod types;
mod values;

pub use engine::WasmiEngine;
