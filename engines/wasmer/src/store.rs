//! [`WasmerStore`]: one guest and whatever is linked to it.

mod access;
mod call;
mod link;

use std::ptr::NonNull;
use std::sync::Arc;

use cofferdam_engine::frames::BYTES_PER_UNIT;
use cofferdam_engine::{
    AccessError, CallBudget, CompiledModule, Extern, ExternType, FuelMode, FuncHandle, FuncType, GlobalHandle,
    GlobalType, HostFunc, HostState, Imports, InstanceId, InstantiateError, MemoryHandle, MemoryType, Stop, Store,
    StoreContext, StoreId, StoreLimits, TableHandle, TableType, Usage, Value,
};
use wasmer_types::{ExportIndex, GlobalType as WasmerGlobalType, Mutability, Type};
use wasmer_vm::{InternalStoreHandle, StoreObjects, VMConfig, VMExtern, VMGlobal, VMInstance, VMMemory, init_traps};

use crate::accounting::Accounting;
use crate::compiled::{Compiled, WasmerModule};
use crate::engine::guarded;
use crate::held::Held;
use crate::host::InstanceEnv;
use crate::shared::{Shared, Table};
use crate::signatures::StoreSignatures;
use crate::traces::CodeRanges;
use crate::types;
use crate::values::Functions;

/// The tick and the counters, which every module of the store imports. Made with the first instance.
struct Meters {
    tick: InternalStoreHandle<wasmer_vm::VMFunction>,
    fuel: InternalStoreHandle<VMGlobal>,
    stack: InternalStoreHandle<VMGlobal>,
}

struct Instance {
    vm: VMInstance,
    module: Arc<Compiled>,
    /// Exports that were asked for.
    exports: Vec<(Box<str>, Extern)>,
}

/// The fields are dropped in this order: instances before the objects they use, code last (`shared`
/// holds the modules).
pub(crate) struct WasmerStore {
    id: StoreId,
    engine: &'static str,
    /// How the first module counts fuel; the counters mean different things in different modes.
    mode: Option<FuelMode>,
    instances: Vec<Instance>,
    /// Instances whose segments did not fit: their functions may already be in somebody's table.
    remains: Vec<VMInstance>,
    /// What the host functions of each instance point to.
    environments: Vec<Held<InstanceEnv>>,
    memories: Vec<InternalStoreHandle<VMMemory>>,
    globals: Vec<(InternalStoreHandle<VMGlobal>, GlobalType)>,
    meters: Meters,
    stack: NonNull<wasmer_vm::VMGlobalDefinition>,
    /// Sizes the machine stack of calls.
    config: VMConfig,
    objects: Held<StoreObjects>,
    shared: Held<Shared>,
}

// SAFETY: what is not `Send` here is raw pointers into things that the store itself owns, and Wasmer's
// instances, functions and memories, which hold such pointers. They move as one. Between calls no guest
// frame is live and no thread-local state refers to the store (`Running` ends with its call; Wasmer's
// machine stacks are taken for a call and given back). Host functions and the host's state are `Send` by
// their types. All use goes through `&mut self`, or reads through `&self`, and the store is not `Sync`.
unsafe impl Send for WasmerStore {}

/// Machine stack beside the budget: trampolines, library calls, and the guard page that Wasmer counts in.
const STACK_MARGIN: usize = 256 << 10;

impl WasmerStore {
    pub fn new(engine: &'static str, limits: &StoreLimits, state: HostState) -> Self {
        init_traps();
        let id = StoreId::fresh();
        let mut objects = Held::new(StoreObjects::default());
        let counter = |ty| VMGlobal::new(WasmerGlobalType::new(ty, Mutability::Var));
        let (fuel, stack) = (counter(Type::I64), counter(Type::I32));
        let (fuel_at, stack_at) = (fuel.vmglobal(), stack.vmglobal());
        let shared = Held::new(Shared {
            context: StoreContext::new(limits.clone(), state),
            fuel: fuel_at,
            objects: objects.ptr(),
            held: Accounting::new(limits),
            functions: Functions::new(id),
            signatures: StoreSignatures::default(),
            tables: Vec::new(),
            instance_tables: Vec::new(),
            code: CodeRanges::default(),
        });
        // SAFETY: the objects were just made, and nobody uses them yet.
        let all = unsafe { objects.get_mut() };
        let meters = Meters {
            tick: InternalStoreHandle::new(all, crate::host::tick(shared.ptr())),
            fuel: InternalStoreHandle::new(all, fuel),
            stack: InternalStoreHandle::new(all, stack),
        };
        let mut store = Self {
            id,
            engine,
            mode: None,
            instances: Vec::new(),
            remains: Vec::new(),
            environments: Vec::new(),
            memories: Vec::new(),
            globals: Vec::new(),
            meters,
            stack: stack_at,
            config: VMConfig { wasm_stack_size: None },
            objects,
            shared,
        };
        store.make_room_for(0, BYTES_PER_UNIT);
        store
    }

    /// Sizes the machine stack for functions of up to `heaviest` units, each of so many bytes. A function's frame is
    /// there before its check runs, so the heaviest one must still fit when the budget is all but spent.
    fn make_room_for(&mut self, heaviest: u32, bytes_per_unit: u32) {
        let units = self.shared().context.limits.stack_units as usize + heaviest as usize;
        let bytes = (units * bytes_per_unit as usize + STACK_MARGIN).next_multiple_of(STACK_MARGIN);
        self.config.wasm_stack_size = self.config.wasm_stack_size.max(Some(bytes));
    }

    fn shared(&self) -> &Shared {
        // SAFETY: no guest runs while `self` is borrowed from outside, so nobody writes it.
        unsafe { self.shared.get() }
    }

    fn shared_mut(&mut self) -> &mut Shared {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { self.shared.get_mut() }
    }

    fn objects(&self) -> &StoreObjects {
        // SAFETY: as for `shared`.
        unsafe { self.objects.get() }
    }

    fn objects_mut(&mut self) -> &mut StoreObjects {
        // SAFETY: as for `shared_mut`.
        unsafe { self.objects.get_mut() }
    }

    /// The handle of what instance number `instance` has at `index`.
    fn extern_at(&mut self, instance: usize, index: ExportIndex) -> Option<Extern> {
        let Instance { vm, module, .. } = self.instances.get_mut(instance)?;
        let module = module.clone();
        Some(match vm.lookup_by_declaration(index) {
            VMExtern::Function(function) => {
                let at = function.get(self.objects()).anyfunc.as_ptr();
                let Shared { functions, signatures, .. } = self.shared_mut();
                // SAFETY: the entry belongs to a function of this store, and lives as long as it.
                let handle = unsafe { functions.referenced(at, signatures)? };
                if let Some(known) = functions.get_mut(handle) {
                    known.import.get_or_insert(function);
                }
                Extern::Func(handle)
            }
            VMExtern::Memory(memory) => Extern::Memory(self.memory_handle(memory)),
            VMExtern::Table(table) => {
                let told = *table.get(self.objects()).ty();
                let declared = match index {
                    ExportIndex::Table(at) => module.declared.restore(at, told),
                    _ => told,
                };
                Extern::Table(TableHandle::new(self.id, self.table_position(table, declared) as u32))
            }
            VMExtern::Global(global) => {
                let ty = types::neutral_global_type(*global.get(self.objects()).ty());
                Extern::Global(self.global_handle(global, ty))
            }
            VMExtern::Tag(_) => return None,
        })
    }

    fn memory_handle(&mut self, memory: InternalStoreHandle<VMMemory>) -> MemoryHandle {
        let known = self.memories.iter().position(|m| *m == memory);
        let index = known.unwrap_or_else(|| {
            self.memories.push(memory);
            self.memories.len() - 1
        });
        MemoryHandle::new(self.id, index as u32)
    }

    fn global_handle(&mut self, global: InternalStoreHandle<VMGlobal>, ty: GlobalType) -> GlobalHandle {
        let known = self.globals.iter().position(|(g, _)| *g == global);
        let index = known.unwrap_or_else(|| {
            self.globals.push((global, ty));
            self.globals.len() - 1
        });
        GlobalHandle::new(self.id, index as u32)
    }

    /// The position of `table` in [`Shared::tables`]; an imported table is there with its real type.
    fn table_position(
        &mut self,
        vm: InternalStoreHandle<wasmer_vm::VMTable>,
        declared: wasmer_types::TableType,
    ) -> usize {
        let tables = &mut self.shared_mut().tables;
        tables.iter().position(|t| t.vm == vm).unwrap_or_else(|| {
            tables.push(Table { vm, ty: types::neutral_table_type(declared) });
            tables.len() - 1
        })
    }
}

impl Store for WasmerStore {
    fn id(&self) -> StoreId {
        self.id
    }

    fn instantiate(&mut self, module: &dyn CompiledModule, imports: &Imports) -> Result<InstanceId, InstantiateError> {
        let own = module.as_any().downcast_ref::<WasmerModule>().filter(|m| m.0.id == self.engine);
        let Some(WasmerModule(module)) = own else {
            return Err(
                cofferdam_engine::EngineFault::new("instantiating", "the module belongs to another engine").into()
            );
        };
        self.link(module, imports)
    }

    fn start(&mut self, instance: InstanceId) -> Option<FuncHandle> {
        let at = instance.index_in(self.id)?;
        let start = self.instances.get(at)?.module.start?;
        match self.extern_at(at, start)? {
            Extern::Func(f) => Some(f),
            _ => None,
        }
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
        let (ty, index) = known.module.exports.get(name)?;
        if let ExternType::Func(None) | ExternType::Tag = ty {
            return None;
        }
        let found = self.extern_at(at, *index)?;
        self.instances.get_mut(at)?.exports.push((name.into(), found));
        Some(found)
    }

    fn func_type(&self, func: FuncHandle) -> Option<FuncType> {
        Some(self.shared().functions.get(func)?.ty.clone())
    }

    fn memory_size(&self, memory: MemoryHandle) -> Result<u64, AccessError> {
        Ok(self.memory_bytes(memory)?.len() as u64)
    }

    fn memory_read(&self, memory: MemoryHandle, offset: u64, into: &mut [u8]) -> Result<(), AccessError> {
        self.read_memory(memory, offset, into)
    }

    fn memory_write(&mut self, memory: MemoryHandle, offset: u64, from: &[u8]) -> Result<(), AccessError> {
        self.write_memory(memory, offset, from)
    }

    fn memory_grow(&mut self, memory: MemoryHandle, pages: u64) -> Result<u64, AccessError> {
        self.grow_memory(memory, pages)
    }

    fn global_get(&mut self, global: GlobalHandle) -> Result<Value, AccessError> {
        self.read_global(global)
    }

    fn global_set(&mut self, global: GlobalHandle, value: Value) -> Result<(), AccessError> {
        self.write_global(global, value)
    }

    fn table_size(&self, table: TableHandle) -> Result<u64, AccessError> {
        let table = table.index_in(self.id).and_then(|i| self.shared().tables.get(i));
        Ok(u64::from(table.ok_or(AccessError::ForeignHandle)?.vm.get(self.objects()).size()))
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
        let Shared { held, context, .. } = self.shared();
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
        &mut self.shared_mut().context.state
    }
}
