//! [`WasmiStore`]: one guest and whatever is linked to it.

mod access;
mod call;
mod link;

use std::mem;
use std::sync::Arc;

use cofferdam_engine::{
    AccessError, CallBudget, CompiledModule, EngineFault, Extern, ExternType, FuncHandle, FuncType, GlobalHandle,
    GlobalType, HostFunc, HostState, Imports, InstanceId, InstantiateError, MemoryHandle, MemoryType, Stop, Store,
    StoreId, StoreLimits, TableHandle, TableType, Usage, Value,
};
use cofferdam_prepare::names;
use wasmi::{Global, Memory, Table};

use crate::compiled::{Compiled, WasmiModule};
use crate::engine::guarded;
use crate::host::{Host, meters};
use crate::pool::Pool;
use crate::types;
use crate::values::{self, Known};

struct Instance {
    vm: wasmi::Instance,
    module: Arc<Compiled>,
    /// Exports that were asked for, so that they are found without a search.
    exports: Vec<(Box<str>, Extern)>,
}

/// See the module's text.
pub(crate) struct WasmiStore {
    id: StoreId,
    /// Id of the engine whose modules it takes.
    engine: &'static str,
    vm: wasmi::Store<Host>,
    instances: Vec<Instance>,
    memories: Known<Memory, MemoryType>,
    tables: Known<Table, TableType>,
    globals: Known<Global, GlobalType>,
    /// What [`Store::new_func`] made before there was an instance, in the order of their handles.
    made_functions: Vec<Arc<HostFunc>>,
    /// Why nothing may run any more.
    broken: Option<&'static str>,
}

impl WasmiStore {
    pub fn new(engine: &'static str, pool: Arc<Pool>, limits: &StoreLimits, state: HostState) -> Self {
        let id = StoreId::fresh();
        let vm = Self::vm(&pool.likely(), Host::new(id, limits, state));
        Self {
            id,
            engine,
            vm,
            instances: Vec::new(),
            memories: Known::new(),
            tables: Known::new(),
            globals: Known::new(),
            made_functions: Vec::new(),
            broken: None,
        }
    }

    fn vm(engine: &wasmi::Engine, host: Host) -> wasmi::Store<Host> {
        let mut vm = wasmi::Store::new(engine, host);
        vm.limiter(|host| &mut host.held);
        let made = meters(&mut vm);
        vm.data_mut().meters = Some(made);
        vm
    }

    /// Moves a store without instances to `engine`, with all that the host made in it, under the same handles.
    fn move_to(&mut self, engine: &wasmi::Engine) -> Result<(), AccessError> {
        let memories: Vec<_> = self.memories.iter().map(|(memory, ty)| (*ty, memory.data(&self.vm).to_vec())).collect();
        let mut tables = Vec::new();
        let sizes: Vec<_> = self.tables.iter().map(|(table, ty)| (*ty, table.size(&self.vm))).collect();
        for (number, (ty, size)) in sizes.into_iter().enumerate() {
            let handle = TableHandle::new(self.id, number as u32);
            let items: Result<Vec<_>, _> = (0..size).map(|i| self.read_table(handle, i)).collect();
            tables.push((ty, items?));
        }
        let mut globals = Vec::new();
        let types: Vec<_> = self.globals.iter().map(|(_, ty)| *ty).collect();
        for (number, ty) in types.into_iter().enumerate() {
            globals.push((ty, self.read_global(GlobalHandle::new(self.id, number as u32))?));
        }

        let limits = self.vm.data().context.limits.clone();
        let stand_in = Self::vm(engine, Host::new(self.id, &limits, Box::new(())));
        let old = mem::replace(&mut self.vm, stand_in);
        let meters = self.vm.data().meters;
        let mut host = old.into_data();
        host.references = values::References::new(self.id);
        host.meters = meters;
        host.held.clear();
        *self.vm.data_mut() = host;
        (self.memories, self.tables, self.globals) = (Known::new(), Known::new(), Known::new());

        for func in mem::take(&mut self.made_functions) {
            self.make_func(func)?;
        }
        for (ty, bytes) in memories {
            let page = 1u64.checked_shl(ty.page_size_log2).unwrap_or(1 << 16);
            let pages = bytes.len() as u64 / page;
            let handle = self.make_memory(MemoryType { minimum: pages, ..ty })?;
            self.write_memory(handle, 0, &bytes)?;
        }
        for (ty, items) in tables {
            let init = Value::default_of(ty.element.ok_or(AccessError::Unsupported)?);
            let handle = self.make_table(TableType { minimum: items.len() as u64, ..ty }, init)?;
            for (at, item) in items.into_iter().enumerate() {
                self.write_table(handle, at as u64, item)?;
            }
        }
        for (ty, value) in globals {
            self.make_global(ty, value)?;
        }
        Ok(())
    }

    /// The handle of what instance number `instance` exports as `name`, of type `ty`.
    fn export_named(&mut self, instance: usize, name: &str, ty: &ExternType) -> Option<Extern> {
        let found = self.instances.get(instance)?.vm.get_export(&self.vm, name)?;
        Some(match (found, ty) {
            (wasmi::Extern::Func(func), ExternType::Func(Some(ty))) => {
                Extern::Func(values::handle_of_type(&mut self.vm, func, ty))
            }
            (wasmi::Extern::Memory(memory), ExternType::Memory(ty)) => {
                Extern::Memory(MemoryHandle::new(self.id, self.memories.add(memory, || *ty)))
            }
            (wasmi::Extern::Table(table), _) => {
                let ty = types::neutral_table_type(table.ty(&self.vm));
                Extern::Table(TableHandle::new(self.id, self.tables.add(table, || ty)))
            }
            (wasmi::Extern::Global(global), _) => {
                let ty = types::neutral_global_type(global.ty(&self.vm));
                Extern::Global(GlobalHandle::new(self.id, self.globals.add(global, || ty)))
            }
            _ => return None,
        })
    }
}

impl Store for WasmiStore {
    fn id(&self) -> StoreId {
        self.id
    }

    fn instantiate(&mut self, module: &dyn CompiledModule, imports: &Imports) -> Result<InstanceId, InstantiateError> {
        let own = module.as_any().downcast_ref::<WasmiModule>().filter(|m| m.0.id == self.engine);
        let Some(WasmiModule(module)) = own else {
            return Err(EngineFault::new("instantiating", "the module belongs to another engine").into());
        };
        self.link(module, imports)
    }

    fn start(&mut self, instance: InstanceId) -> Option<FuncHandle> {
        let Instance { vm, module, .. } = self.instances.get(instance.index_in(self.id)?)?;
        if !module.prepared.has_start() {
            return None;
        }
        let func = vm.get_func(&self.vm, names::START)?;
        Some(values::handle(&mut self.vm, func))
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
        let module = known.module.clone();
        let ty = module.prepared.export(name)?;
        let found = self.export_named(at, name, ty)?;
        self.instances.get_mut(at)?.exports.push((name.into(), found));
        Some(found)
    }

    fn func_type(&self, func: FuncHandle) -> Option<FuncType> {
        Some(self.vm.data().references.function(func)?.1.clone())
    }

    fn memory_size(&self, memory: MemoryHandle) -> Result<u64, AccessError> {
        Ok(self.memory(memory)?.data_size(&self.vm) as u64)
    }

    fn memory_read(&self, memory: MemoryHandle, offset: u64, into: &mut [u8]) -> Result<(), AccessError> {
        self.read_memory(memory, offset, into)
    }

    fn memory_write(&mut self, memory: MemoryHandle, offset: u64, from: &[u8]) -> Result<(), AccessError> {
        self.write_memory(memory, offset, from)
    }

    fn memory_grow(&mut self, memory: MemoryHandle, pages: u64) -> Result<u64, AccessError> {
        let memory = self.memory(memory)?;
        // The fuel counter, where Wasmi has one, is not asked: the host grows at its own cost.
        memory.grow(&mut self.vm, pages).map_err(|_| AccessError::Refused)
    }

    fn global_get(&mut self, global: GlobalHandle) -> Result<Value, AccessError> {
        self.read_global(global)
    }

    fn global_set(&mut self, global: GlobalHandle, value: Value) -> Result<(), AccessError> {
        self.write_global(global, value)
    }

    fn table_size(&self, table: TableHandle) -> Result<u64, AccessError> {
        Ok(self.table(table)?.size(&self.vm))
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
        let Host { held, context, .. } = self.vm.data();
        Usage {
            memory_bytes: held.memory,
            peak_memory_bytes: held.peak,
            table_elements: held.elements,
            instances: self.instances.len() as u32,
            refused_growths: held.refused,
            host_calls: context.host_calls,
        }
    }

    fn state(&mut self) -> &mut HostState {
        &mut self.vm.data_mut().context.state
    }
}
