//! Faults of the machine and of the host, made on purpose: no memory, no mappings, no threads, a full disk, a clock that
//! jumps, host functions that hang, fail and panic. Each ends in an error with a name, and nothing else is harmed. What
//! concerns a whole process is done in a child, which is this program again.
#![cfg(all(feature = "any-engine", target_os = "linux"))]

mod child;
mod clock;
mod disk;
mod host;
mod mappings;
mod memory;
mod threads;

use std::sync::Arc;

use cofferdam::policy::{Fuel, Limits, MemoryBytes, ModuleLimits};
use cofferdam::sandbox::Resources;
use cofferdam::{Engine, FuelMode, Guest, GuestState, Sandbox, SecurityPolicy, Value, engines};

/// Every engine of the build in every fuel mode it has.
fn cells() -> Vec<(Arc<dyn Engine>, FuelMode)> {
    let modes = |engine: Arc<dyn Engine>| {
        let modes: &[FuelMode] = engine.descriptor().capabilities.fuel_modes;
        modes.iter().map(move |mode| (engine.clone(), *mode)).collect::<Vec<_>>()
    };
    engines::all().into_iter().flat_map(modes).collect()
}

fn sandbox(engine: &Arc<dyn Engine>, mode: FuelMode, limits: Limits) -> Sandbox {
    let module_limits = ModuleLimits { table_minimum: 1 << 26, ..ModuleLimits::default() };
    let policy = SecurityPolicy::standard().fuel_mode(mode).limits(limits).module_limits(module_limits);
    let sandbox = Sandbox::builder(engine.clone()).policy(policy).wasi().resources(Resources::new(&Default::default()));
    sandbox.build().expect("it can be enforced")
}

/// Caps that are above what the machine is let have.
fn roomy() -> Limits {
    let limits = Limits { memory: MemoryBytes::mib(1 << 10), table_elements: 1 << 26, ..Limits::tool() };
    Limits { fuel: Fuel::UNLIMITED, ..limits }
}

/// Counts its calls: a guest that goes on, whatever happens to others.
const NEIGHBOUR: &[u8] = br#"(module (memory (export "memory") 1) (global $n (mut i32) (i32.const 0))
  (func (export "next") (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (i32.store (i32.const 0) (global.get $n))
    (i32.load (i32.const 0))))"#;

struct Neighbour {
    guest: Guest,
    calls: i32,
}

impl Neighbour {
    fn new(engine: &Arc<dyn Engine>, mode: FuelMode) -> Self {
        let sandbox = sandbox(engine, mode, Limits { timeout: None, ..Limits::agent() });
        let module = sandbox.load(NEIGHBOUR).expect("it is good");
        let guest = sandbox.guest(&module, GuestState::default()).expect("it fits");
        let mut neighbour = Self { guest, calls: 0 };
        neighbour.goes_on();
        neighbour
    }

    fn goes_on(&mut self) {
        self.calls += 1;
        let said = self.guest.call("next", &[]).into_result().unwrap_or_else(|e| panic!("the neighbour: {e}"));
        assert_eq!(said, [Value::I32(self.calls)]);
    }
}
