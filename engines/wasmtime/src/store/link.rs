//! Linking and making instances.

use std::sync::Arc;

use cofferdam_engine::{
    EngineFault, Extern, ExternType, FuelMode, GlobalType, HostFunc, Import, ImportType, Imports, InstanceId,
    InstantiateError, MemoryType, TableType, Trap as GuestTrap, ValType,
};
use wasmtime::{Instance, Trap};

use super::{Linked, WasmtimeStore};
use crate::compiled::{Compiled, Needs, Slot};
use crate::engine::guarded;
use crate::traps::{self, Meaning};
use crate::{host, types};

const DOING: &str = "instantiating";

/// What was found for one import, and fits.
enum Found {
    Host(Arc<HostFunc>),
    Other(wasmtime::Extern),
}

impl WasmtimeStore {
    pub(super) fn link(&mut self, module: &Arc<Compiled>, imports: &Imports) -> Result<InstanceId, InstantiateError> {
        let cap = self.inner.data().context.limits.instances;
        if self.instances.len() as u64 >= u64::from(cap) {
            return Err(InstantiateError::Instances { cap });
        }
        let mode = module.prepared.mode();
        let stack = module.stack_for(self.inner.data().context.limits.stack_units);
        match self.mode.filter(|_| self.code.holds_any()) {
            None => self.bind(mode, stack)?,
            Some(first) if first != mode => {
                let what = "modules that count fuel in different modes cannot share a store";
                return Err(EngineFault::new(DOING, what).into());
            }
            Some(_) if stack.bytes() > self.stack.bytes() => {
                let what =
                    "a module whose functions have larger frames than the store's first module has to come first";
                return Err(EngineFault::new(DOING, what).into());
            }
            Some(_) => {}
        }
        let found = self.resolve(module, imports)?;
        self.check_caps(module)?;
        // From here on the module's code may be reached from the store, whatever happens.
        self.code.add(module);
        let made = guarded(DOING, || Ok(self.make(module, found)))?;
        let vm = made?;
        self.instances.push(Linked { vm, module: module.clone(), exports: Vec::new() });
        Ok(InstanceId::new(self.id, (self.instances.len() - 1) as u32))
    }

    /// Finds every import of the guest's and checks its type.
    fn resolve(&self, module: &Compiled, imports: &Imports) -> Result<Vec<Option<Found>>, InstantiateError> {
        let find = |slot: &Slot| {
            let Slot::Guest(number) = slot else { return Ok(None) };
            let wanted = &module.prepared.imports()[*number];
            match imports.get(&wanted.module, &wanted.name) {
                None => Err(InstantiateError::MissingImport {
                    module: wanted.module.to_string(),
                    name: wanted.name.to_string(),
                    kind: wanted.ty.kind(),
                }),
                Some(given) => self.fit(wanted, given).map(Some),
            }
        };
        module.imports.iter().map(find).collect()
    }

    fn fit(&self, wanted: &ImportType, given: &Import) -> Result<Found, InstantiateError> {
        let unfit = |given: String| InstantiateError::ImportType {
            module: wanted.module.to_string(),
            name: wanted.name.to_string(),
            given,
            wanted: describe(&wanted.ty),
        };
        let foreign = || unfit("of another store".into());
        let found = match given {
            Import::Host(func) => {
                return match &wanted.ty {
                    ExternType::Func(Some(ty)) if ty == func.ty() => Ok(Found::Host(func.clone())),
                    _ => Err(unfit(format!("a host function {}", func.ty()))),
                };
            }
            Import::Extern(Extern::Func(handle)) => {
                let function = self.inner.data().functions.get(*handle).ok_or_else(foreign)?;
                match &wanted.ty {
                    ExternType::Func(Some(wanted)) if *wanted == function.ty => function.func.into(),
                    _ => return Err(unfit(format!("a function {}", function.ty))),
                }
            }
            Import::Extern(Extern::Memory(handle)) => {
                let memory = self.memory(*handle).map_err(|_| foreign())?;
                // Its minimum is its size now, which is what counts.
                let ty = types::neutral_memory_type(&memory.ty(&self.inner));
                let ty = MemoryType { minimum: memory.size(&self.inner), ..ty };
                if !matches!(&wanted.ty, ExternType::Memory(wanted) if memory_fits(&ty, wanted)) {
                    return Err(unfit(describe(&ExternType::Memory(ty))));
                }
                memory.into()
            }
            Import::Extern(Extern::Table(handle)) => {
                let table = self.table(*handle).map_err(|_| foreign())?;
                let ty = types::neutral_table_type(&table.ty(&self.inner));
                let ty = TableType { minimum: table.size(&self.inner), ..ty };
                if !matches!(&wanted.ty, ExternType::Table(wanted) if table_fits(&ty, wanted)) {
                    return Err(unfit(describe(&ExternType::Table(ty))));
                }
                table.into()
            }
            Import::Extern(Extern::Global(handle)) => {
                let (global, ty) = handle.index_in(self.id).and_then(|i| self.globals.get(i)).ok_or_else(foreign)?;
                if !matches!(&wanted.ty, ExternType::Global(wanted) if wanted == ty && ty.value.is_some()) {
                    return Err(unfit(describe(&ExternType::Global(*ty))));
                }
                (*global).into()
            }
        };
        Ok(Found::Other(found))
    }

    /// Whether what the module defines fits beside what the store holds.
    fn check_caps(&self, module: &Compiled) -> Result<(), InstantiateError> {
        let (held, limits) = (&self.inner.data().held, &self.inner.data().context.limits);
        let Needs { memory_bytes, table_elements } = module.needs;
        if !held.memory_fits(memory_bytes) {
            return Err(InstantiateError::Memory { need: memory_bytes, cap: limits.memory_bytes });
        }
        if !held.elements_fit(table_elements) {
            return Err(InstantiateError::TableElements { need: table_elements, cap: limits.table_elements });
        }
        Ok(())
    }

    fn make(&mut self, module: &Arc<Compiled>, found: Vec<Option<Found>>) -> Result<Instance, InstantiateError> {
        let fault = |e: wasmtime::Error| EngineFault::new(DOING, e);
        let meters = self.meters;
        let code = module.loaded(self.stack)?;
        let place = self.inner.data().memories.len();
        let mut externs: Vec<wasmtime::Extern> = Vec::with_capacity(found.len());
        for ((slot, found), ty) in module.imports.iter().zip(found).zip(&code.functions) {
            externs.push(match (slot, found) {
                (Slot::Tick, _) => meters.tick.into(),
                (Slot::Fuel, _) => meters.fuel.into(),
                (Slot::Stack, _) => meters.stack.into(),
                (Slot::Guest(_), Some(Found::Other(other))) => other,
                (Slot::Guest(_), Some(Found::Host(func))) => {
                    let Some(ty) = ty else {
                        return Err(EngineFault::new(DOING, "a function import is something else").into());
                    };
                    host::function(&mut self.inner, func, ty.clone(), Some(place)).into()
                }
                (Slot::Guest(_), None) => return Err(EngineFault::new(DOING, "an import was lost").into()),
            });
        }
        if self.mode == Some(FuelMode::Native) {
            // Writing the segments may be compiled code too.
            self.inner.set_fuel(u64::MAX).map_err(fault)?;
            self.inner.set_epoch_deadline(u64::MAX / 2);
        }
        let before = self.inner.data().held.clone();
        // Its host functions find their memory at this place.
        self.inner.data_mut().memories.push(None);
        let vm = match Instance::new(&mut self.inner, &code.module, &externs) {
            Ok(vm) => vm,
            Err(error) => return Err(self.failed(&error, &before)),
        };
        let memory = if module.exports("memory") { vm.get_memory(&mut self.inner, "memory") } else { None };
        if let Some(known) = self.inner.data_mut().memories.get_mut(place) {
            *known = memory;
        }
        Ok(vm)
    }

    fn failed(&mut self, error: &wasmtime::Error, before: &crate::accounting::Accounting) -> InstantiateError {
        match error.downcast_ref::<Trap>().map(|trap| traps::meaning(*trap)) {
            // What was made stays: its functions may already be in somebody's table.
            Some(Some(Meaning::Guest(kind))) => InstantiateError::Trap(GuestTrap::new(kind)),
            _ => {
                self.inner.data_mut().held.go_back_to(before);
                EngineFault::new(DOING, error).into()
            }
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
