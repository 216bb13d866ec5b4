//! An engine with one fault in it, around one that has none.

use std::sync::Arc;

use cofferdam_engine::{
    Assist, CompileError, CompiledModule, Engine, EngineDescriptor, EngineFault, FeatureSet, HostState, LoadError,
    PreparedModule, Store, StoreLimits, VerifiedArtefact,
};
use cofferdam_prepare::{Gate, PrepareOptions, prepare, recognise, validate};

use crate::fault::Fault;
use crate::store::BrokenStore;

pub struct Broken {
    inner: Arc<dyn Engine>,
    fault: Fault,
    descriptor: EngineDescriptor,
}

impl Broken {
    pub fn around(inner: Arc<dyn Engine>, fault: Fault) -> Arc<dyn Engine> {
        let mut descriptor = inner.descriptor().clone();
        let features = &mut descriptor.capabilities.features;
        match fault {
            Fault::Claims(proposal) => *features = features.with(proposal),
            Fault::Denies(proposal) => *features = features.without(proposal),
            _ => {}
        }
        Arc::new(Self { inner, fault, descriptor })
    }

    fn another(&self, module: &PreparedModule) -> Arc<dyn CompiledModule> {
        let gate = Gate { features: FeatureSet::STANDARD, level: "test".into(), ..Gate::default() };
        let wat = br#"(module (func (export "fib") (param i32) (result i32) (i32.const 609)))"#;
        let valid = validate(recognise(wat, &gate.limits).expect("text"), &gate).expect("valid");
        let options = PrepareOptions { mode: module.mode(), canonical_nans: module.canonical_nans() };
        self.inner.compile(&prepare(valid, &options).expect("preparable")).expect("compilable")
    }
}

impl Engine for Broken {
    fn descriptor(&self) -> &EngineDescriptor {
        &self.descriptor
    }

    fn settings(&self) -> String {
        self.inner.settings()
    }

    fn assist(&self) -> Assist {
        self.inner.assist()
    }

    fn compile(&self, module: &PreparedModule) -> Result<Arc<dyn CompiledModule>, CompileError> {
        match (self.fault, self.inner.compile(module)) {
            (Fault::RefusesWithoutName, Err(CompileError::Unsupported { .. })) => {
                Err(EngineFault::new("compiling", "as the fault wants it").into())
            }
            (_, compiled) => compiled,
        }
    }

    fn load(&self, module: &PreparedModule, artefact: &VerifiedArtefact) -> Result<Arc<dyn CompiledModule>, LoadError> {
        match (self.fault, self.inner.load(module, artefact)) {
            (Fault::LoadsForeign, Err(LoadError::Foreign)) => {
                self.inner.compile(module).map_err(|e| EngineFault::new("loading", e).into())
            }
            (Fault::LoadsAnother, Ok(_)) => Ok(self.another(module)),
            (Fault::CannotLoad, Ok(_)) => Err(LoadError::Foreign),
            (_, loaded) => loaded,
        }
    }

    fn store(&self, limits: &StoreLimits, state: HostState) -> Result<Box<dyn Store>, EngineFault> {
        let mut loose = limits.clone();
        match self.fault {
            // Four times as much, so that the tests end soon.
            Fault::DropsMemoryCap => loose.memory_bytes = limits.memory_bytes.saturating_mul(4),
            Fault::DropsTableCap => loose.table_elements = limits.table_elements.saturating_mul(4),
            Fault::DropsInstanceCap => loose.instances = u32::MAX,
            Fault::DropsHostCallCap => loose.host_calls = u64::MAX,
            Fault::LargerStack => loose.stack_units = limits.stack_units.saturating_add(96),
            _ => {}
        }
        let state: HostState = if self.fault == Fault::LosesState { Box::new(()) } else { state };
        let inner = self.inner.store(&loose, state)?;
        Ok(Box::new(BrokenStore { inner, fault: self.fault, calls: 0, change: 0, instances: 0, ours: false }))
    }
}
