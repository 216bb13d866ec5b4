//! Linking and making instances.

use std::sync::Arc;

use cofferdam_engine::{
    EngineFault, Extern, ExternType, GlobalType, HostFunc, Import, ImportType, Imports, InstanceId, InstantiateError,
    MemoryType, TableType, TrapKind, ValType,
};
use wasmi::errors::{ErrorKind, InstantiationError};

use super::{Instance, WasmiStore};
use crate::compiled::{Compiled, Slot};
use crate::engine::guarded;
use crate::host::{Entry, Env};
use crate::traps;

const DOING: &str = "instantiating";

/// What was found for one import, and fits.
enum Found {
    Host(Arc<HostFunc>),
    Other(wasmi::Extern),
}

impl WasmiStore {
    pub(super) fn link(&mut self, module: &Arc<Compiled>, imports: &Imports) -> Result<InstanceId, InstantiateError> {
        if let Some(why) = self.broken {
            return Err(EngineFault::new(DOING, why).into());
        }
        let cap = self.vm.data().context.limits.instances;
        if self.instances.len() as u64 >= u64::from(cap) {
            return Err(InstantiateError::Instances { cap });
        }
        let mode = module.prepared.mode();
        let first = self.instances.is_empty();
        if !first && self.vm.data().mode != mode {
            return Err(
                EngineFault::new(DOING, "modules that count fuel in different modes cannot share a store").into()
            );
        }
        // Before anything of this store is resolved, because moving makes it anew.
        if first && !wasmi::Engine::same(self.vm.engine(), &module.engine) {
            let moved = guarded(DOING, || Ok(self.move_to(&module.engine)))?;
            moved.map_err(|e| EngineFault::new(DOING, e))?;
        }
        let found = self.resolve(module, imports)?;
        self.check_caps(module)?;
        self.vm.data_mut().mode = mode;
        let made = guarded(DOING, || Ok(self.make(module, found))).unwrap_or_else(|panicked| Err(panicked.into()));
        let vm = match made {
            Ok(vm) => vm,
            Err(error) => {
                // Segments are written in order, each whole or not at all, elements before data.
                let nothing_written = module.declared.active_segments == 1
                    && matches!(&error, InstantiateError::Trap(trap) if trap.kind == TrapKind::TableOutOfBounds);
                if module.declared.lends_functions && !nothing_written {
                    // Wasmi leaves functions of an instance that was never finished in the tables of others;
                    // calling one would read memory that is not there.
                    self.broken = Some("an instance that failed left functions in the tables of others");
                }
                return Err(error);
            }
        };
        self.instances.push(Instance { vm, module: module.clone(), exports: Vec::new() });
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
        let found: Result<Vec<_>, _> = module.imports.iter().map(find).collect();
        // Wasmi lists imports by kind. What is named is the first in the guest's own order, as everywhere.
        found.map_err(|error| match (0..module.prepared.imports().len()).find_map(|n| find(&Slot::Guest(n)).err()) {
            Some(first) => first,
            None => error,
        })
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
                let (func, ty) = self.vm.data().references.function(*handle).ok_or_else(foreign)?;
                let fits = matches!(&wanted.ty, ExternType::Func(Some(wanted)) if wanted == ty);
                fits.then_some(wasmi::Extern::Func(*func)).ok_or_else(|| unfit(format!("a function {ty}")))
            }
            Import::Extern(Extern::Memory(handle)) => {
                let (memory, ty) = handle.index_in(self.id).and_then(|i| self.memories.get(i)).ok_or_else(foreign)?;
                // Its minimum is its size now, which is what counts.
                let ty = MemoryType { minimum: memory.size(&self.vm), ..*ty };
                let fits = matches!(&wanted.ty, ExternType::Memory(wanted) if memory_fits(&ty, wanted));
                fits.then_some(wasmi::Extern::Memory(*memory)).ok_or_else(|| unfit(describe(&ExternType::Memory(ty))))
            }
            Import::Extern(Extern::Table(handle)) => {
                let (table, ty) = handle.index_in(self.id).and_then(|i| self.tables.get(i)).ok_or_else(foreign)?;
                let ty = TableType { minimum: table.size(&self.vm), ..*ty };
                let fits = matches!(&wanted.ty, ExternType::Table(wanted) if table_fits(&ty, wanted));
                fits.then_some(wasmi::Extern::Table(*table)).ok_or_else(|| unfit(describe(&ExternType::Table(ty))))
            }
            Import::Extern(Extern::Global(handle)) => {
                let (global, ty) = handle.index_in(self.id).and_then(|i| self.globals.get(i)).ok_or_else(foreign)?;
                let fits = matches!(&wanted.ty, ExternType::Global(wanted) if wanted == ty);
                fits.then_some(wasmi::Extern::Global(*global)).ok_or_else(|| unfit(describe(&ExternType::Global(*ty))))
            }
        };
        found.map(Found::Other)
    }

    /// Whether what the module defines fits beside what the store holds.
    fn check_caps(&self, module: &Compiled) -> Result<(), InstantiateError> {
        let (held, limits) = (&self.vm.data().held, &self.vm.data().context.limits);
        let need = module.declared.memory_bytes;
        if !held.room_for_memory(need) {
            return Err(InstantiateError::Memory { need, cap: limits.memory_bytes });
        }
        let need = module.declared.elements;
        if !held.room_for_elements(need) {
            return Err(InstantiateError::TableElements { need, cap: limits.table_elements });
        }
        Ok(())
    }

    fn make(&mut self, module: &Compiled, found: Vec<Option<Found>>) -> Result<wasmi::Instance, InstantiateError> {
        let translated = module.module_in(self.vm.engine())?;
        let meters = self.vm.data().meters.ok_or_else(|| EngineFault::new(DOING, "the store has no meters"))?;
        let env = Env::default();
        let mut externs = Vec::with_capacity(found.len());
        for (slot, found) in module.imports.iter().zip(found) {
            externs.push(match (slot, found) {
                (Slot::Tick, _) => wasmi::Extern::Func(meters.tick),
                (Slot::Fuel, _) => wasmi::Extern::Global(meters.fuel),
                (Slot::Stack, _) => wasmi::Extern::Global(meters.stack),
                (_, Some(Found::Other(other))) => other,
                (_, Some(Found::Host(func))) => {
                    let made = Entry { func, env: env.clone() }.make(&mut self.vm);
                    wasmi::Extern::Func(made.ok_or_else(|| EngineFault::new(DOING, "too many values in a signature"))?)
                }
                (Slot::Guest(_), None) => return Err(EngineFault::new(DOING, "an import was lost").into()),
            });
        }
        let vm = wasmi::Instance::new(&mut self.vm, &translated, &externs).map_err(failed)?;
        if let Some(ExternType::Memory(_)) = module.prepared.export("memory")
            && let Some(memory) = vm.get_memory(&self.vm, "memory")
        {
            // It was empty: nothing of this instance has run.
            let _ = env.set(memory);
        }
        Ok(vm)
    }
}

fn failed(error: wasmi::Error) -> InstantiateError {
    if let ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) = error.kind() {
        return InstantiateError::Trap(cofferdam_engine::Trap::new(TrapKind::TableOutOfBounds));
    }
    match traps::guest_trap(&error) {
        Some(trap) => InstantiateError::Trap(trap),
        None => EngineFault::new(DOING, error).into(),
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
