//! An engine without WebAssembly, for testing what stands above engines: the "guest code" is Rust
//! closures by export name, run under the same meter, caps and contexts as real guests.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use cofferdam_prepare::{
    ExternType, FeatureSet, FuelMode, FuncType, GlobalType, MemoryType, PreparedModule, TableType, VerifiedArtefact,
};

use crate::descriptor::{Capabilities, EngineDescriptor};
use crate::engine::{AccessError, CompiledModule, Engine, Store};
use crate::host::{Caller, HostFunc, HostPrice, HostState, Imports, StoreContext};
use crate::limits::{StoreLimits, Usage};
use crate::meter::CallBudget;
use crate::outcome::{CompileError, EngineFault, HostError, InstantiateError, Limit, LoadError, Stop};
use crate::value::{Extern, FuncHandle, GlobalHandle, InstanceId, MemoryHandle, StoreId, TableHandle, Value};

const PAGE: u64 = 65_536;

/// The mock engine. A module's exports behave as registered with [`MockEngine::export`]; those that were
/// not registered return zeros.
#[derive(Clone)]
pub struct MockEngine {
    descriptor: EngineDescriptor,
    exports: HashMap<String, Arc<HostFunc>>,
}

impl Default for MockEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl MockEngine {
    /// A mock that claims every capability but artefacts and linking.
    #[must_use]
    pub fn new() -> Self {
        let capabilities = Capabilities {
            features: FeatureSet::RELAXED,
            fuel_modes: &[FuelMode::Portable, FuelMode::Native],
            memory_cap: true,
            table_cap: true,
            deadline: true,
            nan_canonicalisation: true,
            artefacts: false,
            linking: false,
            trap_frames: false,
        };
        Self {
            descriptor: EngineDescriptor {
                id: "mock",
                version: env!("CARGO_PKG_VERSION"),
                compiler: "none",
                licence: "MIT OR Apache-2.0",
                capabilities,
            },
            exports: HashMap::new(),
        }
    }

    /// The same with other capabilities, to test what is refused for want of them.
    #[must_use]
    pub fn with_capabilities(mut self, change: impl FnOnce(&mut Capabilities)) -> Self {
        change(&mut self.descriptor.capabilities);
        self
    }

    /// Makes export `name` of every module do `body`. It spends fuel by [`Caller::charge`].
    #[must_use]
    pub fn export(
        mut self,
        name: &str,
        ty: FuncType,
        body: impl Fn(&mut Caller<'_>, &[Value], &mut [Value]) -> Result<(), HostError> + Send + Sync + 'static,
    ) -> Self {
        let free = HostPrice { base: 0, per_256_bytes: 0 };
        self.exports.insert(name.to_owned(), Arc::new(HostFunc::new(ty, body).priced(free)));
        self
    }
}

struct MockModule {
    prepared: PreparedModule,
    exports: HashMap<String, Arc<HostFunc>>,
}

impl CompiledModule for MockModule {
    fn prepared(&self) -> &PreparedModule {
        &self.prepared
    }
    fn serialize(&self) -> Result<Vec<u8>, EngineFault> {
        Err(EngineFault::new("saving an artefact", "the mock engine has none"))
    }
    fn code_bytes(&self) -> usize {
        self.prepared.bytes().len()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Engine for MockEngine {
    fn descriptor(&self) -> &EngineDescriptor {
        &self.descriptor
    }

    fn settings(&self) -> String {
        String::new()
    }

    fn compile(&self, module: &PreparedModule) -> Result<Arc<dyn CompiledModule>, CompileError> {
        if let Some(proposal) = module.used().minus(self.descriptor.capabilities.features).iter().next() {
            return Err(CompileError::Unsupported { engine: self.descriptor.id, proposal });
        }
        Ok(Arc::new(MockModule { prepared: module.clone(), exports: self.exports.clone() }))
    }

    fn load(&self, _: &PreparedModule, _: &VerifiedArtefact) -> Result<Arc<dyn CompiledModule>, LoadError> {
        Err(LoadError::Foreign)
    }

    fn store(&self, limits: &StoreLimits, state: HostState) -> Result<Box<dyn Store>, EngineFault> {
        Ok(Box::new(MockStore {
            id: StoreId::fresh(),
            context: StoreContext::new(limits.clone(), state),
            memory: Vec::new(),
            peak: 0,
            refused: 0,
            instances: Vec::new(),
            funcs: Vec::new(),
        }))
    }
}

struct MockStore {
    id: StoreId,
    context: StoreContext,
    memory: Vec<u8>,
    peak: u64,
    refused: u64,
    instances: Vec<(PreparedModule, HashMap<String, Arc<HostFunc>>)>,
    funcs: Vec<Arc<HostFunc>>,
}

impl MockStore {
    fn add(&mut self, func: Arc<HostFunc>) -> FuncHandle {
        self.funcs.push(func);
        FuncHandle::new(self.id, (self.funcs.len() - 1) as u32)
    }

    fn own(&self, memory: MemoryHandle) -> Result<(), AccessError> {
        memory.index_in(self.id).map(drop).ok_or(AccessError::ForeignHandle)
    }
}

impl Store for MockStore {
    fn id(&self) -> StoreId {
        self.id
    }

    fn instantiate(&mut self, module: &dyn CompiledModule, imports: &Imports) -> Result<InstanceId, InstantiateError> {
        let Some(module) = module.as_any().downcast_ref::<MockModule>() else {
            return Err(EngineFault::new("instantiating", "the module belongs to another engine").into());
        };
        for import in module.prepared.imports() {
            if imports.get(&import.module, &import.name).is_none() {
                return Err(InstantiateError::MissingImport {
                    module: import.module.to_string(),
                    name: import.name.to_string(),
                    kind: import.ty.kind(),
                });
            }
        }
        if self.instances.len() as u32 >= self.context.limits.instances {
            return Err(InstantiateError::Instances { cap: self.context.limits.instances });
        }
        let need = match module.prepared.export("memory") {
            Some(ExternType::Memory(ty)) => ty.minimum_bytes(),
            _ => 0,
        };
        let cap = self.context.limits.memory_bytes;
        if self.memory.len() as u64 + need > cap {
            return Err(InstantiateError::Memory { need, cap });
        }
        self.memory.resize(self.memory.len() + need as usize, 0);
        self.peak = self.peak.max(self.memory.len() as u64);
        self.instances.push((module.prepared.clone(), module.exports.clone()));
        Ok(InstanceId::new(self.id, (self.instances.len() - 1) as u32))
    }

    fn start(&mut self, instance: InstanceId) -> Option<FuncHandle> {
        let (prepared, exports) = self.instances.get(instance.index_in(self.id)?)?;
        let start = prepared.has_start().then(|| exports.get(cofferdam_prepare::names::START).cloned())??;
        Some(self.add(start))
    }

    fn call(
        &mut self,
        func: FuncHandle,
        args: &[Value],
        results: &mut [Value],
        budget: &mut CallBudget,
    ) -> Result<(), Stop> {
        budget.consumed = 0;
        let Some(body) = func.index_in(self.id).and_then(|i| self.funcs.get(i)).cloned() else {
            return Err(EngineFault::new("calling", "the function belongs to another store").into());
        };
        if !Value::all_match(args, body.ty().params()) || results.len() != body.ty().results().len() {
            return Err(Stop::BadArguments { expected: body.ty().to_string() });
        }
        for (result, ty) in results.iter_mut().zip(body.ty().results()) {
            *result = Value::default_of(*ty);
        }
        let mut counter = self.context.meter.begin(budget);
        let mut caller = Caller::new(&mut self.context, &mut self.memory, &mut counter);
        let outcome = body.invoke(&mut caller, args, results);
        self.context.host_calls -= 1;
        budget.consumed = self.context.meter.consumed(counter);
        if self.context.meter.left(counter) < 0 {
            budget.consumed = budget.fuel;
            return Err(Stop::limit(Limit::Fuel));
        }
        outcome.map_err(Stop::from)
    }

    fn export(&mut self, instance: InstanceId, name: &str) -> Option<Extern> {
        let (prepared, exports) = self.instances.get(instance.index_in(self.id)?)?;
        match prepared.export(name)? {
            ExternType::Func(Some(ty)) => {
                let body = exports.get(name).cloned().unwrap_or_else(|| {
                    let free = HostPrice { base: 0, per_256_bytes: 0 };
                    Arc::new(HostFunc::new(ty.clone(), |_, _, _| Ok(())).priced(free))
                });
                Some(Extern::Func(self.add(body)))
            }
            ExternType::Memory(_) => Some(Extern::Memory(MemoryHandle::new(self.id, 0))),
            _ => None,
        }
    }

    fn func_type(&self, func: FuncHandle) -> Option<FuncType> {
        Some(self.funcs.get(func.index_in(self.id)?)?.ty().clone())
    }

    fn memory_size(&self, memory: MemoryHandle) -> Result<u64, AccessError> {
        self.own(memory)?;
        Ok(self.memory.len() as u64)
    }

    fn memory_read(&self, memory: MemoryHandle, offset: u64, into: &mut [u8]) -> Result<(), AccessError> {
        self.own(memory)?;
        let from = usize::try_from(offset).ok().and_then(|at| self.memory.get(at..at.checked_add(into.len())?));
        into.copy_from_slice(from.ok_or(AccessError::OutOfBounds)?);
        Ok(())
    }

    fn memory_write(&mut self, memory: MemoryHandle, offset: u64, from: &[u8]) -> Result<(), AccessError> {
        self.own(memory)?;
        let into = usize::try_from(offset).ok().and_then(|at| self.memory.get_mut(at..at.checked_add(from.len())?));
        into.ok_or(AccessError::OutOfBounds)?.copy_from_slice(from);
        Ok(())
    }

    fn memory_grow(&mut self, memory: MemoryHandle, pages: u64) -> Result<u64, AccessError> {
        self.own(memory)?;
        let before = self.memory.len() as u64;
        match pages.checked_mul(PAGE).and_then(|bytes| before.checked_add(bytes)) {
            Some(after) if after <= self.context.limits.memory_bytes => {
                self.memory.resize(after as usize, 0);
                self.peak = self.peak.max(after);
                Ok(before / PAGE)
            }
            _ => {
                self.refused += 1;
                Err(AccessError::Refused)
            }
        }
    }

    fn global_get(&mut self, _: GlobalHandle) -> Result<Value, AccessError> {
        Err(AccessError::Unsupported)
    }
    fn global_set(&mut self, _: GlobalHandle, _: Value) -> Result<(), AccessError> {
        Err(AccessError::Unsupported)
    }
    fn table_size(&self, _: TableHandle) -> Result<u64, AccessError> {
        Err(AccessError::Unsupported)
    }
    fn table_get(&mut self, _: TableHandle, _: u64) -> Result<Value, AccessError> {
        Err(AccessError::Unsupported)
    }
    fn table_set(&mut self, _: TableHandle, _: u64, _: Value) -> Result<(), AccessError> {
        Err(AccessError::Unsupported)
    }
    fn new_memory(&mut self, _: MemoryType) -> Result<MemoryHandle, AccessError> {
        Err(AccessError::Unsupported)
    }
    fn new_table(&mut self, _: TableType, _: Value) -> Result<TableHandle, AccessError> {
        Err(AccessError::Unsupported)
    }
    fn new_global(&mut self, _: GlobalType, _: Value) -> Result<GlobalHandle, AccessError> {
        Err(AccessError::Unsupported)
    }
    fn new_func(&mut self, func: Arc<HostFunc>) -> Result<FuncHandle, AccessError> {
        Ok(self.add(func))
    }

    fn usage(&self) -> Usage {
        Usage {
            memory_bytes: self.memory.len() as u64,
            peak_memory_bytes: self.peak,
            table_elements: 0,
            instances: self.instances.len() as u32,
            refused_growths: self.refused,
            host_calls: self.context.host_calls,
        }
    }

    fn state(&mut self) -> &mut HostState {
        &mut self.context.state
    }
}
