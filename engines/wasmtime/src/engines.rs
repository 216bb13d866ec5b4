//! [`Engines`]: the Wasmtime engines behind one [`crate::WasmtimeEngine`].
//!
//! A Wasmtime engine has one set of switches, one way to count fuel and one size of stack; modules and stores
//! of different engines do not mix. So compiling and running are kept apart: each module is compiled by an
//! engine with exactly the switches of its policy, and then loaded into the engine that runs all of its mode.

use std::collections::HashMap;

use cofferdam_engine::{EngineFault, FuelMode};
use parking_lot::Mutex;
use wasmtime::Engine;

use crate::config::{self, FEATURES, Settings};
use crate::native;
use crate::stacks::StackSize;

pub(crate) struct Engines {
    memory_reservation: u64,
    made: Mutex<HashMap<Settings, Engine>>,
}

impl Engines {
    pub fn new(memory_reservation: u64) -> Self {
        Self { memory_reservation, made: Mutex::new(HashMap::new()) }
    }

    /// The engine that runs modules which count fuel by `mode`, on machine stacks of `stack`.
    pub fn running(&self, mode: FuelMode, stack: StackSize) -> Result<Engine, EngineFault> {
        self.with(Settings {
            features: FEATURES,
            canonical_nans: false,
            mode,
            stack,
            threads: false,
            memory_reservation: self.memory_reservation,
        })
    }

    /// The engine that compiles `module`.
    pub fn compiling(&self, module: &cofferdam_engine::PreparedModule, threads: bool) -> Result<Engine, EngineFault> {
        self.with(Settings {
            features: module.allowed().and(FEATURES),
            canonical_nans: module.canonical_nans(),
            mode: module.mode(),
            stack: StackSize::default(),
            threads,
            memory_reservation: self.memory_reservation,
        })
    }

    fn with(&self, settings: Settings) -> Result<Engine, EngineFault> {
        if let Some(engine) = self.made.lock().get(&settings) {
            return Ok(engine.clone());
        }
        let engine = Engine::new(&config::config(&settings)).map_err(|e| EngineFault::new("making an engine", e))?;
        let mut made = self.made.lock();
        // Somebody else may have been quicker; there must be only one, or modules and stores would not mix.
        if let Some(first) = made.get(&settings) {
            return Ok(first.clone());
        }
        if settings.mode == FuelMode::Native {
            native::watch(&engine);
        }
        made.insert(settings, engine.clone());
        Ok(engine)
    }
}
