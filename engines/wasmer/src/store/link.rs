//! Linking and making instances.

use std::sync::Arc;

use cofferdam_engine::frames::MOST_BYTES_PER_UNIT;
use cofferdam_engine::{
    EngineFault, Extern, ExternType, FuncHandle, GlobalType, HostFunc, Import, ImportType, Imports, InstanceId,
    InstantiateError, MemoryType, Stop, TableType, ValType,
};
use wasmer_compiler::{ArtifactCreate, InstantiationError};
use wasmer_types::entity::EntityRef;
use wasmer_types::{ExportIndex, FunctionIndex, ModuleInfo, TableIndex};
use wasmer_vm::{
    InternalStoreHandle, LinearMemory, MaybeInstanceOwned, VMExtern, VMFunction, VMFunctionKind, VMInstance,
};

use super::{Instance, WasmerStore};
use crate::compiled::{Compiled, Slot};
use crate::engine::guarded;
use crate::held::Held;
use crate::host::{self, InstanceEnv};
use crate::memory_hooks;
use crate::shared::Shared;
use crate::table_hooks::{self, InstanceTables};
use crate::traps;
use crate::tunables::StoreTunables;
use crate::types;

const DOING: &str = "instantiating";

/// What was found for one import, and fits.
enum Found {
    Host(Arc<HostFunc>, FunctionIndex),
    Func(FuncHandle),
    Other(VMExtern),
}

impl WasmerStore {
    pub(super) fn link(&mut self, module: &Arc<Compiled>, imports: &Imports) -> Result<InstanceId, InstantiateError> {
        let cap = self.shared().context.limits.instances;
        if self.instances.len() as u64 >= u64::from(cap) {
            return Err(InstantiateError::Instances { cap });
        }
        let mode = module.prepared.mode();
        if self.mode.is_some_and(|first| first != mode) {
            return Err(
                EngineFault::new(DOING, "modules that count fuel in different modes cannot share a store").into()
            );
        }
        let found = self.resolve(module, imports)?;
        let artifact = module.artifact()?;
        self.check_caps(artifact.module_info())?;
        let engine = self.engine;
        self.shared_mut().signatures.add_module(engine, &module.signatures)?;
        self.mode = Some(mode);
        // From here on the module's code may be reached from the store, whatever happens.
        self.shared_mut().code.add(module);
        let made = guarded(DOING, || Ok(self.make(module, found)))?;
        let vm = made?;
        self.make_room_for(module.heaviest, module.bytes_per_unit.unwrap_or(MOST_BYTES_PER_UNIT));
        self.instances.push(Instance { vm, module: module.clone(), exports: Vec::new() });
        Ok(InstanceId::new(self.id, (self.instances.len() - 1) as u32))
    }

    /// Finds every import of the guest's and checks its type.
    fn resolve(&self, module: &Compiled, imports: &Imports) -> Result<Vec<Option<Found>>, InstantiateError> {
        let find = |slot: &Slot| {
            let Slot::Guest(number, function) = slot else { return Ok(None) };
            let wanted = &module.prepared.imports()[*number];
            match imports.get(&wanted.module, &wanted.name) {
                None => Err(InstantiateError::MissingImport {
                    module: wanted.module.to_string(),
                    name: wanted.name.to_string(),
                    kind: wanted.ty.kind(),
                }),
                Some(given) => self.fit(wanted, *function, given).map(Some),
            }
        };
        module.imports.iter().map(find).collect()
    }

    fn fit(
        &self,
        wanted: &ImportType,
        function: Option<FunctionIndex>,
        given: &Import,
    ) -> Result<Found, InstantiateError> {
        let unfit = |given: String| InstantiateError::ImportType {
            module: wanted.module.to_string(),
            name: wanted.name.to_string(),
            given,
            wanted: describe(&wanted.ty),
        };
        let foreign = || unfit("of another store".into());
        let found = match given {
            Import::Host(func) => {
                return match (&wanted.ty, function) {
                    (ExternType::Func(Some(ty)), Some(index)) if ty == func.ty() => {
                        Ok(Found::Host(func.clone(), index))
                    }
                    _ => Err(unfit(format!("a host function {}", func.ty()))),
                };
            }
            Import::Extern(Extern::Func(handle)) => {
                let ty = &self.shared().functions.get(*handle).ok_or_else(foreign)?.ty;
                match &wanted.ty {
                    ExternType::Func(Some(wanted)) if wanted == ty => return Ok(Found::Func(*handle)),
                    _ => return Err(unfit(format!("a function {ty}"))),
                }
            }
            Import::Extern(Extern::Memory(handle)) => {
                let memory = handle.index_in(self.id).and_then(|i| self.memories.get(i)).ok_or_else(foreign)?;
                // Its minimum is its size now, which is what counts.
                let ty = types::neutral_memory_type(memory.get(self.objects()).ty());
                let fits = matches!(&wanted.ty, ExternType::Memory(wanted) if memory_fits(&ty, wanted));
                fits.then_some(VMExtern::Memory(*memory)).ok_or_else(|| unfit(describe(&ExternType::Memory(ty))))
            }
            Import::Extern(Extern::Table(handle)) => {
                let table = handle.index_in(self.id).and_then(|i| self.shared().tables.get(i)).ok_or_else(foreign)?;
                let size = u64::from(table.vm.get(self.objects()).size());
                let ty = TableType { minimum: size, ..table.ty };
                let fits = matches!(&wanted.ty, ExternType::Table(wanted) if table_fits(&ty, wanted));
                fits.then_some(VMExtern::Table(table.vm)).ok_or_else(|| unfit(describe(&ExternType::Table(ty))))
            }
            Import::Extern(Extern::Global(handle)) => {
                let (global, ty) = handle.index_in(self.id).and_then(|i| self.globals.get(i)).ok_or_else(foreign)?;
                let fits = matches!(&wanted.ty, ExternType::Global(wanted) if wanted == ty && ty.value.is_some());
                fits.then_some(VMExtern::Global(*global)).ok_or_else(|| unfit(describe(&ExternType::Global(*ty))))
            }
        };
        found.map(Found::Other)
    }

    /// Whether what the module defines fits beside what the store holds.
    fn check_caps(&self, info: &ModuleInfo) -> Result<(), InstantiateError> {
        let Shared { held, context, .. } = self.shared();
        let pages = info.memories.values().skip(info.num_imported_memories).map(|m| m.minimum.bytes().0 as u64);
        let (need, cap) = (pages.sum::<u64>(), context.limits.memory_bytes);
        if held.memory().checked_add(need).is_none_or(|sum| sum > cap) {
            return Err(InstantiateError::Memory { need, cap });
        }
        let elements = info.tables.values().skip(info.num_imported_tables).map(|t| u64::from(t.minimum));
        let (need, cap) = (elements.sum::<u64>(), context.limits.table_elements);
        if held.elements().checked_add(need).is_none_or(|sum| sum > cap) {
            return Err(InstantiateError::TableElements { need, cap });
        }
        Ok(())
    }

    fn make(&mut self, module: &Arc<Compiled>, found: Vec<Option<Found>>) -> Result<VMInstance, InstantiateError> {
        let artifact = module.artifact()?;
        let env = Held::new(InstanceEnv { shared: self.shared.ptr(), memory: None });
        let env_at = env.ptr();
        self.environments.push(env);
        let mut externs = Vec::with_capacity(found.len());
        for (slot, found) in module.imports.iter().zip(found) {
            externs.push(match (slot, found) {
                (Slot::Tick, _) => VMExtern::Function(self.meters.tick),
                (Slot::Fuel, _) => VMExtern::Global(self.meters.fuel),
                (Slot::Stack, _) => VMExtern::Global(self.meters.stack),
                (_, Some(Found::Other(other))) => other,
                (_, Some(Found::Func(handle))) => VMExtern::Function(self.as_import(handle)?),
                (_, Some(Found::Host(func, index))) => {
                    let info = artifact.module_info();
                    let signature = info.functions[index];
                    let ty = (info.signatures[signature].clone(), artifact.signatures()[signature]);
                    let trampoline = artifact.finished_dynamic_function_trampolines().get(index).copied();
                    let made = host::function(func, ty, env_at, trampoline);
                    let made = made.ok_or_else(|| EngineFault::new(DOING, "no way to enter a host function"))?;
                    VMExtern::Function(InternalStoreHandle::new(self.objects_mut(), made))
                }
                (Slot::Guest(..), None) => return Err(EngineFault::new(DOING, "an import was lost").into()),
            });
        }

        let held = self.shared().held.clone();
        let tunables = StoreTunables { held: &held, declared: &module.declared };
        // SAFETY: the code was compiled or loaded by this adapter and stays alive with the store; the
        // imports are of this store, of the types that the module wants.
        let made = unsafe { artifact.instantiate(&tunables, &externs, self.objects_mut()) };
        let mut vm = made.map_err(|e| self.failed(e))?;
        if !vm.module().memories.is_empty() {
            // SAFETY: the instance was just made, and nothing has run in it.
            unsafe { memory_hooks::install(&vm) };
        }
        if module.writes_tables {
            self.watch_tables(module, &mut vm);
        }
        // Kept also when Wasmer panics on the way: functions of the instance may be in somebody's table by then.
        let finished = guarded(DOING, || {
            // SAFETY: the instance was just made, nothing has run in it, and this is done once.
            Ok(unsafe { artifact.finish_instantiation(&self.config, None, &mut vm) })
        });
        match finished {
            Ok(Ok(())) => {}
            Ok(Err(e)) => {
                self.remains.push(vm);
                return Err(self.failed(e));
            }
            Err(fault) => {
                self.remains.push(vm);
                return Err(fault.into());
            }
        }
        if let Some(index) = module.memory
            && let VMExtern::Memory(memory) = vm.lookup_by_declaration(index)
        {
            let definition = memory.get(self.objects()).vmmemory();
            // SAFETY: the environment was made above and lives as long as the store; no guest runs, so nobody
            // reads it.
            unsafe { (*env_at.as_ptr()).memory = Some(definition) };
        }
        Ok(vm)
    }

    fn as_import(&mut self, handle: FuncHandle) -> Result<InternalStoreHandle<VMFunction>, EngineFault> {
        let lost = || EngineFault::new(DOING, "a function was lost");
        let function = self.shared().functions.get(handle).ok_or_else(lost)?;
        if let Some(known) = function.import {
            return Ok(known);
        }
        // It came by as a reference only; its entry says all that an import needs.
        let made = VMFunction {
            anyfunc: MaybeInstanceOwned::Instance(function.anyfunc),
            signature: types::func_type(&function.ty),
            kind: VMFunctionKind::Static,
            host_data: Box::new(()),
        };
        let import = InternalStoreHandle::new(self.objects_mut(), made);
        self.shared_mut().functions.get_mut(handle).ok_or_else(lost)?.import = Some(import);
        Ok(import)
    }

    /// Puts our table operators into `vm`, and notes what they need to know.
    fn watch_tables(&mut self, module: &Compiled, vm: &mut VMInstance) {
        let info = vm.module().clone();
        let mut tables = Vec::with_capacity(info.tables.len());
        for (index, told) in info.tables.iter() {
            if let VMExtern::Table(table) = vm.lookup_by_declaration(ExportIndex::Table(index)) {
                tables.push(self.table_position(table, module.declared.restore(index, *told)));
            }
        }
        if tables.is_empty() {
            return;
        }
        let extern_refs =
            |index: TableIndex| types::neutral_val_type(info.tables[index].ty) == Some(ValType::ExternRef);
        let segments = if (0..info.tables.len()).any(|i| extern_refs(TableIndex::new(i))) {
            info.passive_elements.iter().map(|(index, items)| (*index, items.len() as u32)).collect()
        } else {
            Default::default()
        };
        // SAFETY: the instance was just made, and nothing has run in it.
        unsafe { table_hooks::install(vm) };
        let imported = info.num_imported_tables;
        let context = vm.vmctx_ptr();
        self.shared_mut().instance_tables.push(InstanceTables { context, imported, tables, segments });
    }

    fn failed(&self, error: InstantiationError) -> InstantiateError {
        match error {
            InstantiationError::Start(trap) => match traps::stop(trap, &self.shared().code) {
                Stop::Trap(trap) => InstantiateError::Trap(trap),
                other => EngineFault::new(DOING, other).into(),
            },
            other => EngineFault::new(DOING, other).into(),
        }
    }
}

fn memory_fits(given: &MemoryType, wanted: &MemoryType) -> bool {
    limits_fit((given.minimum, given.maximum), (wanted.minimum, wanted.maximum))
        && (given.shared, given.memory64, given.page_size_log2)
            == (wanted.shared, wanted.memory64, wanted.page_size_log2)
}

fn table_fits(given: &TableType, wanted: &TableType) -> bool {
    limits_fit((given.minimum, given.maximum), (wanted.minimum, wanted.maximum))
        && given.element.is_some()
        && (given.element, given.table64) == (wanted.element, wanted.table64)
}

fn limits_fit(given: (u64, Option<u64>), wanted: (u64, Option<u64>)) -> bool {
    given.0 >= wanted.0 && wanted.1.is_none_or(|most| given.1.is_some_and(|m| m <= most))
}

/// A type in words, for messages.
fn describe(ty: &ExternType) -> String {
    let limits = |minimum: u64, maximum: Option<u64>| match maximum {
        Some(maximum) => format!("{minimum} to {maximum}"),
        None => format!("{minimum} or more"),
    };
    let name = |ty: Option<ValType>| ty.map_or_else(|| "references without a name here".to_owned(), |t| t.to_string());
    match ty {
        ExternType::Func(Some(ty)) => format!("a function {ty}"),
        ExternType::Func(None) => "a function whose type cannot cross the border".into(),
        ExternType::Memory(ty) => format!("a memory of {} pages", limits(ty.minimum, ty.maximum)),
        ExternType::Table(ty) => {
            format!("a table of {} elements, {}", limits(ty.minimum, ty.maximum), name(ty.element))
        }
        ExternType::Global(GlobalType { value, mutable }) => {
            format!("{} global {}", if *mutable { "a mutable" } else { "an immutable" }, name(*value))
        }
        ExternType::Tag => "an exception tag".into(),
    }
}
