//! [`WasmiEngine`]: translates modules, makes stores.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cofferdam_engine::{
    Capabilities, CompileError, CompiledModule, Engine, EngineDescriptor, EngineFault, FuelMode, HostState, LoadError,
    PreparedModule, Store, StoreLimits, VerifiedArtefact,
};
use cofferdam_prepare::Assist;
use wasmi::CompilationMode;

use crate::compiled::{Compiled, WasmiModule};
use crate::config::FEATURES;
use crate::pool::Pool;
use crate::store::WasmiStore;

/// Wasmi, which interprets.
pub struct WasmiEngine {
    descriptor: EngineDescriptor,
    pool: Arc<Pool>,
}

impl fmt::Debug for WasmiEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WasmiEngine").field(&self.descriptor.id).finish()
    }
}

impl WasmiEngine {
    /// Wasmi that translates a whole module when it is loaded, so that no call has to: id `wasmi`.
    #[must_use]
    pub fn eager() -> Self {
        Self::new("wasmi", CompilationMode::Eager)
    }

    /// Wasmi that translates each function when it is first called: id `wasmi-lazy`. Modules load faster, and a
    /// first call may take longer, and past its deadline, by the time of translating what it calls. A function
    /// that Wasmi cannot translate is the engine's fault in the call that reaches it. Fuel is the same.
    #[must_use]
    pub fn lazy() -> Self {
        Self::new("wasmi-lazy", CompilationMode::LazyTranslation)
    }

    fn new(id: &'static str, compilation: CompilationMode) -> Self {
        let capabilities = Capabilities {
            features: FEATURES,
            fuel_modes: &[FuelMode::Portable, FuelMode::Native],
            memory_cap: true,
            table_cap: true,
            deadline: true,
            nan_canonicalisation: true,
            artefacts: false,
            linking: true,
            trap_frames: false,
        };
        let descriptor = EngineDescriptor {
            id,
            version: VERSION,
            compiler: "interpreter",
            licence: "MIT OR Apache-2.0",
            capabilities,
        };
        Self { descriptor, pool: Arc::new(Pool::new(compilation)) }
    }
}

/// Wasmi says its version nowhere; a test compares this with what is built in.
const VERSION: &str = "2.0.0";

/// Runs `work` of Wasmi's, which has panics on paths that should not be reached.
pub(crate) fn guarded<T>(doing: &'static str, work: impl FnOnce() -> Result<T, EngineFault>) -> Result<T, EngineFault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        let said: String = said.unwrap_or("no message").chars().take(200).collect();
        Err(EngineFault::new(doing, format_args!("the engine panicked: {said}")))
    })
}

impl Engine for WasmiEngine {
    fn descriptor(&self) -> &EngineDescriptor {
        &self.descriptor
    }

    fn assist(&self) -> Assist {
        Assist { selects_apart: true, parameters_apart: true, lane_stores_in_two: true, ..Assist::default() }
    }

    fn settings(&self) -> String {
        // It saves no code; what decides how a module is prepared is in the key anyway.
        String::new()
    }

    fn compile(&self, module: &PreparedModule) -> Result<Arc<dyn CompiledModule>, CompileError> {
        let id = self.descriptor.id;
        if let Some(proposal) = module.used().minus(FEATURES).iter().next() {
            return Err(CompileError::Unsupported { engine: id, proposal });
        }
        let engine = self.pool.for_module(module.allowed().and(FEATURES), module.mode(), module.bytes().len());
        Ok(Arc::new(WasmiModule(Arc::new(Compiled::new(id, engine, module.clone())?))))
    }

    fn load(&self, _: &PreparedModule, _: &VerifiedArtefact) -> Result<Arc<dyn CompiledModule>, LoadError> {
        // Whatever it is, Wasmi did not make it.
        Err(LoadError::Foreign)
    }

    fn store(&self, limits: &StoreLimits, state: HostState) -> Result<Box<dyn Store>, EngineFault> {
        Ok(Box::new(WasmiStore::new(self.descriptor.id, self.pool.clone(), limits, state)))
    }
}
