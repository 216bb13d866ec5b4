//! The adapter against the contract, with Singlepass: the same tests as with Cranelift.

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
    cofferdam_wasmer::WasmerEngine::singlepass()
}
