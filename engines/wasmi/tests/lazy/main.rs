//! The same tests with functions translated when they are first called.

#[path = "../adapter/bulk.rs"]
mod bulk;
#[path = "../../../wasmer/tests/adapter/caps.rs"]
mod caps;
#[path = "../adapter/common.rs"]
mod common;
#[path = "../adapter/engine.rs"]
mod engine;
#[path = "../adapter/fuel.rs"]
mod fuel;
#[path = "../adapter/hosting.rs"]
mod hosting;
#[path = "../adapter/linking.rs"]
mod linking;
#[path = "../adapter/machine_stack.rs"]
mod machine_stack;
#[path = "../adapter/stack.rs"]
mod stack;
#[path = "../adapter/traps.rs"]
mod traps;
#[path = "../../../wasmer/tests/adapter/values.rs"]
mod values;

fn make_engine() -> cofferdam_wasmi::WasmiEngine {
    cofferdam_wasmi::WasmiEngine::lazy()
}
