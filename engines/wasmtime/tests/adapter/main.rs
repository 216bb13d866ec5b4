//! The adapter against the contract: one program, so that everything is linked once.

mod bulk;
mod caps;
mod common;
mod engine;
mod equality;
mod fuel;
mod hosting;
mod linking;
mod random;
mod stack;
mod traps;
mod values;
