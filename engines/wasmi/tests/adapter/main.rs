//! The adapter against the contract: one program, so that everything is linked once.

mod bulk;
#[path = "../../../wasmer/tests/adapter/caps.rs"]
mod caps;
mod common;
mod engine;
mod fuel;
mod hosting;
mod linking;
mod machine_stack;
mod random;
mod stack;
mod traps;
#[path = "../../../wasmer/tests/adapter/values.rs"]
mod values;

fn make_engine() -> cofferdam_wasmi::WasmiEngine {
    cofferdam_wasmi::WasmiEngine::eager()
}
