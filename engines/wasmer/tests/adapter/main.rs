//! The adapter against the contract, with Cranelift: one program, so that everything is linked once.

mod bulk;
mod caps;
mod common;
mod engine;
mod fuel;
mod hosting;
mod linking;
mod random;
mod signatures;
mod stack;
mod traps;
mod values;

/// What is tested.
fn wasmer() -> cofferdam_wasmer::WasmerEngine {
    cofferdam_wasmer::WasmerEngine::cranelift()
}
