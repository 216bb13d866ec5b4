//! [`WasmtimeStore`]: one guest and whatever is linked to it.

mod access;
mod bind;
mod call;
mod link;

use std::sync::Arc;

use cofferdam_engine::frames::BYTES_PER_UNIT;
use cofferdam_engine::{
    AccessError, CallBudget, CompiledModule, EngineFault, Extern, ExternType, FuelMode, FuncHandle, FuncType,
    GlobalHandle, GlobalType, HostFunc, HostState, Imports, InstanceId, InstantiateError, MemoryHandle, MemoryType,
    PreparedModule, Stop, Store, StoreContext, StoreId, StoreLimits, TableHandle, TableType, Usage, Value,
};
use cofferdam_prepare::names;
use wasmtime::{Func, Global, Instance, Memory, Mutability, StoreContextMut, Table, Val};

use crate::accounting::Accounting;
use crate::compiled::{Compiled, WasmtimeModule};
use crate::engine::guarded;
use crate::engines::Engines;
use crate::stacks::StackSize;
use crate::values::{Externals, Functions};
use crate::{host, types};

/// What Wasmtime keeps with its store for us: everything that a running guest reaches.
pub(crate) struct Data {
    /// What every engine keeps for a guest.
    pub context: StoreContext,
    pub held: Accounting,
    pub functions: Functions,
    pub externals: Externals,
    /// For each instance, its exported memory called `memory`.
    pub memories: Vec<Option<Memory>>,
    /// Whether Wasmtime counts operators itself.
    pub native: bool,
    /// The fuel counter, an `i64` global that all modules of the store import.
    fuel: Option<Global>,
}

impl Data {
    fn new(id: StoreId, limits: &StoreLimits, state: HostState) -> Self {
        Self {
            context: StoreContext::new(limits.clone(), state),
            held: Accounting::new(limits),
            functions: Functions::new(id),
            externals: Externals::default(),
            memories: Vec::new(),
            native: false,
            fuel: None,
        }
    }

    /// The fuel counter's value.
    #[inline]
    pub fn counter(store: &mut StoreContextMut<'_, Self>) -> i64 {
        match store.data().fuel.map(|fuel| fuel.get(&mut *store)) {
            Some(Val::I64(counter)) => counter,
            _ => 0,
        }
    }

    /// Sets the fuel counter.
    #[inline]
    pub fn set_counter(store: &mut StoreContextMut<'_, Self>, counter: i64) {
        if let Some(fuel) = store.data().fuel {
            // It is a mutable `i64` of this store, so this cannot fail.
            let _ = fuel.set(&mut *store, Val::I64(counter));
        }
    }
}

/// The modules whose code runs in a store: what traces are read with.
#[derive(Default)]
pub(crate) struct Code(Vec<Arc<Compiled>>);

impl Code {
    fn add(&mut self, module: &Arc<Compiled>) {
        if !self.0.iter().any(|known| Arc::ptr_eq(known, module)) {
            self.0.push(module.clone());
        }
    }

    /// Whether any module was linked yet, with or without success.
    fn holds_any(&self) -> bool {
        !self.0.is_empty()
    }

    /// What `module` was compiled from.
    pub fn prepared(&self, module: &wasmtime::Module) -> Option<&PreparedModule> {
        self.0.iter().find(|known| known.is(module)).map(|known| &known.prepared)
    }
}

/// The tick and the counters, which every module of the store imports.
#[derive(Clone, Copy)]
struct Meters {
    tick: Func,
    fuel: Global,
    stack: Global,
}

impl Meters {
    fn make(store: &mut wasmtime::Store<Data>) -> Result<Self, EngineFault> {
        let fault = |e| EngineFault::new("making a store's counters", e);
        let ty = types::func_type(store.engine(), &host::tick_type());
        let counter = |of| wasmtime::GlobalType::new(of, Mutability::Var);
        let fuel = Global::new(&mut *store, counter(wasmtime::ValType::I64), Val::I64(0)).map_err(fault)?;
        let stack = Global::new(&mut *store, counter(wasmtime::ValType::I32), Val::I32(0)).map_err(fault)?;
        store.data_mut().fuel = Some(fuel);
        Ok(Self { tick: host::tick(store, ty), fuel, stack })
    }
}

struct Linked {
    vm: Instance,
    module: Arc<Compiled>,
    /// Exports that were asked for.
    exports: Vec<(Box<str>, Extern)>,
}

pub(crate) struct WasmtimeStore {
    id: StoreId,
    engines: Engines,
    inner: wasmtime::Store<Data>,
    /// How the first module counts fuel; the counters mean different things in different modes.
    mode: Option<FuelMode>,
    /// The size of machine stack that the inner store's engine is for.
    stack: StackSize,
    meters: Meters,
    instances: Vec<Linked>,
    memories: Vec<Memory>,
    tables: Vec<Table>,
    globals: Vec<(Global, GlobalType)>,
    /// Host functions made by [`Store::new_func`] before the first instance.
    early: Vec<Arc<HostFunc>>,
    code: Code,
}

impl WasmtimeStore {
    pub fn new(engines: Engines, limits: &StoreLimits, state: HostState) -> Result<Self, EngineFault> {
        let id = StoreId::fresh();
        let stack = StackSize::for_units(limits.stack_units, 0, BYTES_PER_UNIT);
        let engine = engines.running(engines.likely_mode(), stack)?;
        let mut inner = wasmtime::Store::new(&engine, Data::new(id, limits, state));
        inner.limiter(|data| &mut data.held);
        let meters = Meters::make(&mut inner)?;
        Ok(Self {
            id,
            engines,
            inner,
            mode: None,
            stack,
            meters,
            instances: Vec::new(),
            memories: Vec::new(),
            tables: Vec::new(),
            globals: Vec::new(),
            early: Vec::new(),
            code: Code::default(),
        })
    }

    fn take_in(&mut self, found: wasmtime::Extern) -> Option<Extern> {
        let last = |len: usize| (len - 1) as u32;
        Some(match found {
            wasmtime::Extern::Func(func) => Extern::Func(crate::values::handle(&mut self.inner, func)?),
            wasmtime::Extern::Memory(memory) => {
                self.memories.push(memory);
                Extern::Memory(MemoryHandle::new(self.id, last(self.memories.len())))
            }
            wasmtime::Extern::Table(table) => {
                self.tables.push(table);
                Extern::Table(TableHandle::new(self.id, last(self.tables.len())))
            }
            wasmtime::Extern::Global(global) => {
                let ty = types::neutral_global_type(&global.ty(&self.inner));
                self.globals.push((global, ty));
                Extern::Global(GlobalHandle::new(self.id, last(self.globals.len())))
            }
            wasmtime::Extern::SharedMemory(_) | wasmtime::Extern::Tag(_) => return None,
        })
    }
}

impl Store for WasmtimeStore {
    fn id(&self) -> StoreId {
        self.id
    }

    fn instantiate(&mut self, module: &dyn CompiledModule, imports: &Imports) -> Result<InstanceId, InstantiateError> {
        let Some(WasmtimeModule(module)) = module.as_any().downcast_ref() else {
            return Err(EngineFault::new("instantiating", "the module belongs to another engine").into());
        };
        self.link(module, imports)
    }

    fn start(&mut self, instance: InstanceId) -> Option<FuncHandle> {
        let vm = self.instances.get(instance.index_in(self.id)?)?.vm;
        let start = vm.get_func(&mut self.inner, names::START)?;
        crate::values::handle(&mut self.inner, start)
    }

    fn call(
        &mut self,
        func: FuncHandle,
        args: &[Value],
        results: &mut [Value],
        budget: &mut CallBudget,
    ) -> Result<(), Stop> {
        self.run(func, args, results, budget)
    }

    fn export(&mut self, instance: InstanceId, name: &str) -> Option<Extern> {
        let at = instance.index_in(self.id)?;
        let known = self.instances.get(at)?;
        if let Some((_, found)) = known.exports.iter().find(|(n, _)| **n == *name) {
            return Some(*found);
        }
        // What `prepare` added has no place among the guest's own exports.
        if !known.module.exports(name) {
            return None;
        }
        let vm = known.vm;
        if let Some(ExternType::Func(None) | ExternType::Tag) = known.module.prepared.export(name) {
            return None;
        }
        let found = vm.get_export(&mut self.inner, name)?;
        let found = self.take_in(found)?;
        self.instances.get_mut(at)?.exports.push((name.into(), found));
        Some(found)
    }

    fn func_type(&self, func: FuncHandle) -> Option<FuncType> {
        Some(self.inner.data().functions.get(func)?.ty.clone())
    }

    fn memory_size(&self, memory: MemoryHandle) -> Result<u64, AccessError> {
        Ok(self.memory(memory)?.data_size(&self.inner) as u64)
    }

    fn memory_read(&self, memory: MemoryHandle, offset: u64, into: &mut [u8]) -> Result<(), AccessError> {
        let offset = usize::try_from(offset).map_err(|_| AccessError::OutOfBounds)?;
        self.memory(memory)?.read(&self.inner, offset, into).map_err(|_| AccessError::OutOfBounds)
    }

    fn memory_write(&mut self, memory: MemoryHandle, offset: u64, from: &[u8]) -> Result<(), AccessError> {
        let offset = usize::try_from(offset).map_err(|_| AccessError::OutOfBounds)?;
        self.memory(memory)?.write(&mut self.inner, offset, from).map_err(|_| AccessError::OutOfBounds)
    }

    fn memory_grow(&mut self, memory: MemoryHandle, pages: u64) -> Result<u64, AccessError> {
        self.memory(memory)?.grow(&mut self.inner, pages).map_err(|_| AccessError::Refused)
    }

    fn global_get(&mut self, global: GlobalHandle) -> Result<Value, AccessError> {
        self.read_global(global)
    }

    fn global_set(&mut self, global: GlobalHandle, value: Value) -> Result<(), AccessError> {
        self.write_global(global, value)
    }

    fn table_size(&self, table: TableHandle) -> Result<u64, AccessError> {
        Ok(self.table(table)?.size(&self.inner))
    }

    fn table_get(&mut self, table: TableHandle, index: u64) -> Result<Value, AccessError> {
        self.read_table(table, index)
    }

    fn table_set(&mut self, table: TableHandle, index: u64, value: Value) -> Result<(), AccessError> {
        self.write_table(table, index, value)
    }

    fn new_memory(&mut self, ty: MemoryType) -> Result<MemoryHandle, AccessError> {
        guarded("making a memory", || Ok(self.make_memory(ty))).unwrap_or(Err(AccessError::Unsupported))
    }

    fn new_table(&mut self, ty: TableType, init: Value) -> Result<TableHandle, AccessError> {
        guarded("making a table", || Ok(self.make_table(ty, init))).unwrap_or(Err(AccessError::Unsupported))
    }

    fn new_global(&mut self, ty: GlobalType, value: Value) -> Result<GlobalHandle, AccessError> {
        self.make_global(ty, value)
    }

    fn new_func(&mut self, func: Arc<HostFunc>) -> Result<FuncHandle, AccessError> {
        self.make_func(func)
    }

    fn usage(&self) -> Usage {
        let Data { held, context, .. } = self.inner.data();
        Usage {
            memory_bytes: held.memory(),
            peak_memory_bytes: held.peak(),
            table_elements: held.elements(),
            instances: self.instances.len() as u32,
            refused_growths: held.refused(),
            host_calls: context.host_calls,
        }
    }

    fn state(&mut self) -> &mut HostState {
        &mut self.inner.data_mut().context.state
    }
}
