//! [`WasmtimeEngine`]: compiles, loads, makes stores.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cofferdam_engine::{
    Capabilities, CompileError, CompiledModule, Engine, EngineDescriptor, EngineFault, FuelMode, HostState, LoadError,
    PreparedModule, Store, StoreLimits, VerifiedArtefact,
};
use cofferdam_prepare::Assist;
use parking_lot::Mutex;

use crate::artefact;
use crate::compiled::{Compiled, WasmtimeModule};
use crate::config::{FEATURES, MEMORY_RESERVATION};
use crate::engines::Engines;
use crate::store::WasmtimeStore;

/// Below this many bytes of module, starting threads takes longer than they save.
const WORTH_THREADS: usize = 64 << 10;

/// Wasmtime, with Cranelift.
pub struct WasmtimeEngine {
    descriptor: EngineDescriptor,
    engines: Engines,
}

impl fmt::Debug for WasmtimeEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WasmtimeEngine").field(&self.descriptor.id).finish()
    }
}

impl Default for WasmtimeEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl WasmtimeEngine {
    /// Wasmtime with 64 MiB of address space for each memory: many fit, and none up to that size ever moves.
    #[must_use]
    pub fn new() -> Self {
        Self::with_memory_reservation(MEMORY_RESERVATION)
    }

    /// Wasmtime with `bytes` of address space for each memory. A memory that outgrows it is moved. From 4 GiB
    /// on, code with 32-bit addresses needs no bounds checks and is faster; a process then holds about 30,000
    /// memories at a time.
    #[must_use]
    pub fn with_memory_reservation(bytes: u64) -> Self {
        let capabilities = Capabilities {
            features: FEATURES,
            fuel_modes: &[FuelMode::Portable, FuelMode::Native],
            memory_cap: true,
            table_cap: true,
            deadline: true,
            nan_canonicalisation: true,
            artefacts: true,
            linking: true,
            trap_frames: true,
        };
        let descriptor = EngineDescriptor {
            id: "wasmtime",
            version: wasmtime_environ::VERSION,
            compiler: "cranelift",
            licence: "Apache-2.0 WITH LLVM-exception",
            capabilities,
        };
        Self { descriptor, engines: Engines { memory_reservation: bytes } }
    }

    fn supported(&self, module: &PreparedModule) -> Result<(), CompileError> {
        match module.used().minus(FEATURES).iter().next() {
            Some(proposal) => Err(CompileError::Unsupported { engine: self.descriptor.id, proposal }),
            None => Ok(()),
        }
    }
}

/// Whether the threads of Wasmtime's compiler can be had, or are there. They are started once in a process: if that
/// failed, it would not be tried again, and no module would be compiled any more. So as many are asked for before.
fn there_are_threads() -> bool {
    static FOUND: AtomicBool = AtomicBool::new(false);
    if FOUND.load(Ordering::Relaxed) {
        return true;
    }
    let many = std::thread::available_parallelism().map_or(1, usize::from);
    let gate = Mutex::new(());
    let found = std::thread::scope(|scope| {
        // None ends before the last has begun.
        let _closed = gate.lock();
        (0..many).all(|_| std::thread::Builder::new().spawn_scoped(scope, || drop(gate.lock())).is_ok())
    });
    FOUND.fetch_or(found, Ordering::Relaxed);
    found
}

/// Runs `work` of Wasmtime's, which may have panics on paths that odd modules reach.
pub(crate) fn guarded<T>(doing: &'static str, work: impl FnOnce() -> Result<T, EngineFault>) -> Result<T, EngineFault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        let said: String = said.unwrap_or("no message").chars().take(200).collect();
        Err(EngineFault::new(doing, format_args!("the engine panicked: {said}")))
    })
}

impl Engine for WasmtimeEngine {
    fn descriptor(&self) -> &EngineDescriptor {
        &self.descriptor
    }

    fn settings(&self) -> String {
        format!("{} {}", artefact::settings(), self.engines.memory_reservation)
    }

    fn assist(&self) -> Assist {
        Assist { native_charges: true, divided_bulk: true, unreachable_apart: true, ..Assist::default() }
    }

    fn compile(&self, module: &PreparedModule) -> Result<Arc<dyn CompiledModule>, CompileError> {
        const DOING: &str = "compiling";
        self.supported(module)?;
        let compiled = guarded(DOING, || {
            let threads = module.bytes().len() >= WORTH_THREADS && there_are_threads();
            let compiler = self.engines.compiling(module, threads)?;
            let code = compiler.precompile_module(module.bytes()).map_err(|e| EngineFault::new(DOING, e))?;
            // SAFETY: these are the bytes that Wasmtime itself just made.
            unsafe { Compiled::new(self.engines, module.clone(), &code) }
        })?;
        if let Err(heavy) = compiled.bytes_per_unit {
            return Err(CompileError::Limit { engine: self.descriptor().id, what: heavy.to_string() });
        }
        Ok(Arc::new(WasmtimeModule(Arc::new(compiled))))
    }

    fn load(&self, module: &PreparedModule, artefact: &VerifiedArtefact) -> Result<Arc<dyn CompiledModule>, LoadError> {
        let compiled = guarded("loading an artefact", || {
            let compiler = self.engines.compiling(module, false)?;
            let header = artefact::header(&compiler, module);
            let Some(code) = artefact::open(&header, artefact.payload()) else { return Ok(None) };
            // SAFETY: the artefact was authenticated as a whole, so these bytes are what this adapter once got
            // from the same version of Wasmtime, for the same module and processor.
            unsafe { Compiled::new(self.engines, module.clone(), code) }.map(Some)
        })?;
        // Such code as is refused is never saved.
        let compiled = compiled.filter(|compiled| compiled.bytes_per_unit.is_ok()).ok_or(LoadError::Foreign)?;
        Ok(Arc::new(WasmtimeModule(Arc::new(compiled))))
    }

    fn store(&self, limits: &StoreLimits, state: HostState) -> Result<Box<dyn Store>, EngineFault> {
        guarded("making a store", || Ok(Box::new(WasmtimeStore::new(self.engines, limits, state)?) as Box<dyn Store>))
    }
}
