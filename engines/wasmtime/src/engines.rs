//! [`Engines`]: the Wasmtime engines behind a [`crate::WasmtimeEngine`], one for each way to be set up.
//!
//! A Wasmtime engine has one set of switches, one way to count fuel and one size of stack; modules and stores
//! of different engines do not mix. So compiling and running are kept apart: each module is compiled by an
//! engine with exactly the switches of its policy, and then loaded into the engine that runs all of its mode.
//! There is one of each in a process, so that whatever was made the same way mixes.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use cofferdam_engine::{EngineFault, FuelMode, PreparedModule};
use parking_lot::Mutex;
use wasmtime::Engine;

use crate::config::{self, FEATURES, Settings};
use crate::native;
use crate::stacks::StackSize;

/// Every engine that was needed so far. Policies decide how many there are, never guests.
static MADE: LazyLock<Mutex<HashMap<Settings, Engine>>> = LazyLock::new(Mutex::default);

/// Whether the last store came to hold native modules: the next one will most likely too.
static LAST_NATIVE: AtomicBool = AtomicBool::new(false);

/// Engines that differ in what their modules and stores ask for only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Engines {
    /// Address space set aside for each memory, in bytes.
    pub memory_reservation: u64,
}

impl Engines {
    /// How the next store's modules will most likely count fuel. Only its speed depends on this.
    pub fn likely_mode(self) -> FuelMode {
        if LAST_NATIVE.load(Ordering::Relaxed) { FuelMode::Native } else { FuelMode::Portable }
    }

    /// A store came to hold modules of this mode.
    pub fn was(self, mode: FuelMode) {
        LAST_NATIVE.store(mode == FuelMode::Native, Ordering::Relaxed);
    }

    /// The engine that runs modules which count fuel by `mode`, on machine stacks of `stack`.
    pub fn running(self, mode: FuelMode, stack: StackSize) -> Result<Engine, EngineFault> {
        with(Settings {
            features: FEATURES,
            canonical_nans: false,
            mode,
            stack,
            threads: false,
            memory_reservation: self.memory_reservation,
        })
    }

    /// The engine that compiles `module`.
    pub fn compiling(self, module: &PreparedModule, threads: bool) -> Result<Engine, EngineFault> {
        with(Settings {
            features: module.allowed().and(FEATURES),
            canonical_nans: module.canonical_nans(),
            mode: module.mode(),
            stack: StackSize::default(),
            threads,
            memory_reservation: self.memory_reservation,
        })
    }
}

fn with(settings: Settings) -> Result<Engine, EngineFault> {
    if let Some(engine) = MADE.lock().get(&settings) {
        return Ok(engine.clone());
    }
    let engine = Engine::new(&config::config(&settings)).map_err(|e| EngineFault::new("making an engine", e))?;
    let mut made = MADE.lock();
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
