//! The adapter against the contract: one program, so that everything is linked once.

mod bulk;
#[path = "../../../wasmer/tests/adapter/caps.rs"]
mod caps;
mod common;
mod engine;
mod equality;
mod fuel;
mod hosting;
mod linking;
mod random;
#[path = "../../../wasmer/tests/adapter/stack.rs"]
mod stack;
mod traps;
mod values;
