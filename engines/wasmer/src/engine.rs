//! [`WasmerEngine`]: compiles, loads, makes stores.

use std::fmt;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cofferdam_engine::{
    Assist, Capabilities, CompileError, CompiledModule, Engine, EngineDescriptor, EngineFault, FeatureSet, FuelMode,
    HostState, LoadError, PreparedModule, Proposal, Store, StoreLimits, VerifiedArtefact,
};
use wasmer::Module;
use wasmer::sys::{CompilerConfig, EngineBuilder, ModuleMiddleware};

use crate::artefact;
use crate::compiled::{Compiled, WasmerModule};
use crate::features;
use crate::native;
use crate::signatures::Signatures;
use crate::store::WasmerStore;
use crate::tables::{Declared, LooseTables};

/// What a compiler of Wasmer's is told for one module.
pub(crate) struct Settings {
    pub canonical_nans: bool,
    pub threads: NonZero<usize>,
    pub middlewares: Vec<Arc<dyn ModuleMiddleware>>,
}

/// Below this many bytes of module, starting threads takes longer than they save.
const WORTH_THREADS: usize = 64 << 10;

/// One of Wasmer's compilers, as this adapter has to know it.
#[derive(Clone, Copy)]
pub(crate) struct Compiler {
    /// Its switches.
    pub config: fn(Settings) -> Box<dyn CompilerConfig>,
    /// Why it cannot compile a module of which it runs every proposal.
    pub refusal: fn(&PreparedModule) -> Option<String>,
    /// Whether the position of a trap is that of the operator that trapped; see `traces.rs`.
    pub exact_traps: bool,
    /// What it needs to have written into its modules.
    pub assist: Assist,
}

/// Wasmer, with one of its compilers.
pub struct WasmerEngine {
    descriptor: EngineDescriptor,
    compiler: Compiler,
}

impl fmt::Debug for WasmerEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WasmerEngine").field(&self.descriptor.id).finish()
    }
}

impl WasmerEngine {
    /// Wasmer with Cranelift.
    #[cfg(feature = "cranelift")]
    #[must_use]
    pub fn cranelift() -> Self {
        use crate::cranelift::{COMPILER, FEATURES};
        Self::new("wasmer-cranelift", "cranelift", "MIT AND Apache-2.0 WITH LLVM-exception", FEATURES, COMPILER)
    }

    /// Wasmer with Singlepass. Its licence, the Business Source License 1.1, does not grant production use to
    /// everybody.
    #[cfg(feature = "singlepass")]
    #[must_use]
    pub fn singlepass() -> Self {
        use crate::singlepass::{COMPILER, FEATURES};
        Self::new("wasmer-singlepass", "singlepass", "MIT AND BUSL-1.1", FEATURES, COMPILER)
    }

    fn new(
        id: &'static str,
        name: &'static str,
        licence: &'static str,
        features: FeatureSet,
        compiler: Compiler,
    ) -> Self {
        let capabilities = Capabilities {
            features,
            fuel_modes: &[FuelMode::Portable, FuelMode::Native],
            memory_cap: true,
            table_cap: true,
            deadline: true,
            nan_canonicalisation: true,
            artefacts: true,
            linking: true,
            trap_frames: true,
        };
        let descriptor = EngineDescriptor { id, version: wasmer_vm::VERSION, compiler: name, licence, capabilities };
        Self { descriptor, compiler }
    }

    /// One Wasmer engine for one module: Wasmer frees machine code only with the engine that made it.
    fn engine_for(&self, module: &PreparedModule, middlewares: Vec<Arc<dyn ModuleMiddleware>>) -> wasmer::Engine {
        let one = NonZero::<usize>::MIN;
        let threads = if module.bytes().len() < WORTH_THREADS {
            one
        } else {
            std::thread::available_parallelism().unwrap_or(one)
        };
        let settings = Settings { canonical_nans: module.canonical_nans(), threads, middlewares };
        let switches = features::switches(module.allowed().and(self.descriptor.capabilities.features));
        EngineBuilder::new((self.compiler.config)(settings)).set_features(Some(switches)).engine().into()
    }

    fn middlewares(
        module: &PreparedModule,
        declared: &Declared,
    ) -> Result<Vec<Arc<dyn ModuleMiddleware>>, EngineFault> {
        let mut all: Vec<Arc<dyn ModuleMiddleware>> = Vec::new();
        let loose = declared.to_loosen(module.bytes(), writes_tables(module))?;
        if !loose.is_empty() {
            all.push(Arc::new(LooseTables(loose)));
        }
        if module.mode() == FuelMode::Native {
            all.extend(native::middlewares(module));
        }
        Ok(all)
    }

    fn supported(&self, module: &PreparedModule) -> Result<(), CompileError> {
        match module.used().minus(self.descriptor.capabilities.features).iter().next() {
            Some(proposal) => Err(CompileError::Unsupported { engine: self.descriptor.id, proposal }),
            None => Ok(()),
        }
    }
}

/// Whether `module` may hold operators that write tables.
pub(crate) fn writes_tables(module: &PreparedModule) -> bool {
    module.used().has(Proposal::ReferenceTypes) || module.used().has(Proposal::BulkMemory)
}

/// Runs `work` of Wasmer's, which has panics on paths that odd modules reach.
pub(crate) fn guarded<T>(doing: &'static str, work: impl FnOnce() -> Result<T, EngineFault>) -> Result<T, EngineFault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        let said: String = said.unwrap_or("no message").chars().take(200).collect();
        Err(EngineFault::new(doing, format_args!("the engine panicked: {said}")))
    })
}

impl Engine for WasmerEngine {
    fn descriptor(&self) -> &EngineDescriptor {
        &self.descriptor
    }

    fn settings(&self) -> String {
        let settings = Settings { canonical_nans: false, threads: NonZero::<usize>::MIN, middlewares: Vec::new() };
        artefact::settings(&EngineBuilder::new((self.compiler.config)(settings)).engine().into())
    }

    fn assist(&self) -> Assist {
        self.compiler.assist
    }

    fn compile(&self, module: &PreparedModule) -> Result<Arc<dyn CompiledModule>, CompileError> {
        const DOING: &str = "compiling";
        self.supported(module)?;
        let signatures = Signatures::of(self.descriptor.id, module.signatures())?;
        let declared = guarded(DOING, || Declared::read(module.bytes()))?;
        if declared.reads_globals {
            let what = "an element segment reads a global".to_owned();
            return Err(CompileError::Limit { engine: self.descriptor.id, what });
        }
        if let Some(what) = (self.compiler.refusal)(module) {
            return Err(CompileError::Limit { engine: self.descriptor.id, what });
        }
        let compiled = guarded(DOING, || {
            let engine = self.engine_for(module, Self::middlewares(module, &declared)?);
            let code = Module::new(&engine, module.bytes()).map_err(|e| EngineFault::new(DOING, e))?;
            Compiled::new(self.descriptor.id, self.compiler, code, engine, module.clone(), signatures, declared)
        })?;
        if let Err(heavy) = compiled.bytes_per_unit {
            return Err(CompileError::Limit { engine: self.descriptor.id, what: heavy.to_string() });
        }
        Ok(Arc::new(WasmerModule(Arc::new(compiled))))
    }

    fn load(&self, module: &PreparedModule, artefact: &VerifiedArtefact) -> Result<Arc<dyn CompiledModule>, LoadError> {
        const DOING: &str = "loading an artefact";
        let engine = guarded(DOING, || Ok(self.engine_for(module, Vec::new())))?;
        let header = artefact::header(self.descriptor.id, &engine, module);
        let code = artefact::open(&header, artefact.payload()).ok_or(LoadError::Foreign)?;
        let signatures =
            Signatures::of(self.descriptor.id, module.signatures()).map_err(|e| EngineFault::new(DOING, e))?;
        let compiled = guarded(DOING, || {
            let declared = Declared::read(module.bytes())?;
            // SAFETY: the artefact was authenticated as a whole, so these bytes are what this adapter
            // once got from the same version of Wasmer, for the same module and processor.
            let code = unsafe { Module::deserialize(&engine, code) }.map_err(|e| EngineFault::new(DOING, e))?;
            Compiled::new(self.descriptor.id, self.compiler, code, engine, module.clone(), signatures, declared)
        })?;
        // Such code is never saved.
        compiled.bytes_per_unit.map_err(|_| LoadError::Foreign)?;
        Ok(Arc::new(WasmerModule(Arc::new(compiled))))
    }

    fn store(&self, limits: &StoreLimits, state: HostState) -> Result<Box<dyn Store>, EngineFault> {
        guarded(
            "making a store",
            || Ok(Box::new(WasmerStore::new(self.descriptor.id, limits, state)) as Box<dyn Store>),
        )
    }
}
