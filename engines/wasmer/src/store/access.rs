//! Memories, globals, tables and functions, from the host's side.

use std::slice;
use std::sync::Arc;

use cofferdam_engine::{
    AccessError, FuncHandle, GlobalHandle, GlobalType, HostFunc, MemoryHandle, MemoryType, TableHandle, TableType,
    ValType, Value,
};
use wasmer_types::{GlobalType as WasmerGlobalType, Mutability, Pages, RawValue, TableType as WasmerTableType};
use wasmer_vm::{
    InternalStoreHandle, LinearMemory, TableElement, VMExternRef, VMFuncRef, VMFunction, VMGlobal, VMMemory, VMTable,
};

use super::WasmerStore;
use crate::held::Held;
use crate::host::{self, InstanceEnv};
use crate::shared::{Shared, Table};
use crate::signatures;
use crate::tables::Declared;
use crate::tunables::StoreTunables;
use crate::types;
use wasmer_compiler::Tunables;

impl WasmerStore {
    fn memory(&self, memory: MemoryHandle) -> Result<InternalStoreHandle<VMMemory>, AccessError> {
        let found = memory.index_in(self.id).and_then(|i| self.memories.get(i));
        found.copied().ok_or(AccessError::ForeignHandle)
    }

    pub(super) fn memory_bytes(&self, memory: MemoryHandle) -> Result<&[u8], AccessError> {
        let definition = self.memory(memory)?.get(self.objects()).vmmemory();
        // SAFETY: no guest runs while the store is borrowed, so the memory is there and does not change.
        Ok(unsafe { slice::from_raw_parts(definition.as_ref().base, definition.as_ref().current_length) })
    }

    pub(super) fn read_memory(&self, memory: MemoryHandle, offset: u64, into: &mut [u8]) -> Result<(), AccessError> {
        let all = self.memory_bytes(memory)?;
        let from = usize::try_from(offset).ok().and_then(|at| all.get(at..at.checked_add(into.len())?));
        into.copy_from_slice(from.ok_or(AccessError::OutOfBounds)?);
        Ok(())
    }

    pub(super) fn write_memory(&mut self, memory: MemoryHandle, offset: u64, from: &[u8]) -> Result<(), AccessError> {
        let definition = self.memory(memory)?.get(self.objects()).vmmemory();
        // SAFETY: as for reading, and the store is borrowed exclusively.
        let all = unsafe { slice::from_raw_parts_mut(definition.as_ref().base, definition.as_ref().current_length) };
        let into = usize::try_from(offset).ok().and_then(|at| all.get_mut(at..at.checked_add(from.len())?));
        into.ok_or(AccessError::OutOfBounds)?.copy_from_slice(from);
        Ok(())
    }

    pub(super) fn grow_memory(&mut self, memory: MemoryHandle, pages: u64) -> Result<u64, AccessError> {
        let memory = self.memory(memory)?;
        let pages = Pages(u32::try_from(pages).unwrap_or(u32::MAX));
        match memory.get_mut(self.objects_mut()).grow(pages) {
            Ok(before) => Ok(u64::from(before.0)),
            Err(_) => Err(AccessError::Refused),
        }
    }

    fn global(&self, global: GlobalHandle) -> Result<(InternalStoreHandle<VMGlobal>, GlobalType), AccessError> {
        let found = global.index_in(self.id).and_then(|i| self.globals.get(i));
        found.copied().ok_or(AccessError::ForeignHandle)
    }

    pub(super) fn read_global(&mut self, global: GlobalHandle) -> Result<Value, AccessError> {
        let (global, ty) = self.global(global)?;
        let ty = ty.value.ok_or(AccessError::WrongType)?;
        let at = global.get(self.objects()).vmglobal();
        let Shared { functions, signatures, .. } = self.shared_mut();
        // SAFETY: the global is the store's, and holds a value of its type.
        unsafe { functions.value_of(ty, at.as_ref().val, signatures) }.ok_or(AccessError::WrongType)
    }

    pub(super) fn write_global(&mut self, global: GlobalHandle, value: Value) -> Result<(), AccessError> {
        let (global, ty) = self.global(global)?;
        if !ty.mutable {
            return Err(AccessError::Immutable);
        }
        if ty.value != Some(value.ty()) {
            return Err(AccessError::WrongType);
        }
        let raw = self.shared().functions.raw_of(value).ok_or(AccessError::ForeignHandle)?;
        // SAFETY: the global is the store's, no guest runs, and the value is of its type.
        unsafe { (*global.get(self.objects()).vmglobal().as_ptr()).val = raw };
        Ok(())
    }

    fn table(&self, table: TableHandle) -> Result<&Table, AccessError> {
        table.index_in(self.id).and_then(|i| self.shared().tables.get(i)).ok_or(AccessError::ForeignHandle)
    }

    pub(super) fn read_table(&mut self, table: TableHandle, index: u64) -> Result<Value, AccessError> {
        let vm = self.table(table)?.vm;
        let index = u32::try_from(index).map_err(|_| AccessError::OutOfBounds)?;
        match vm.get(self.objects()).get(index).ok_or(AccessError::OutOfBounds)? {
            TableElement::ExternRef(element) => {
                // Our numbers travel in place of Wasmer's; see `Functions::raw_of`.
                let raw = element.map_or(RawValue::default(), VMExternRef::into_raw);
                let Shared { functions, signatures, .. } = self.shared_mut();
                // SAFETY: the table holds references of this type.
                unsafe { functions.value_of(ValType::ExternRef, raw, signatures) }.ok_or(AccessError::WrongType)
            }
            TableElement::FuncRef(None) => Ok(Value::FuncRef(None)),
            TableElement::FuncRef(Some(function)) => {
                let Shared { functions, signatures, .. } = self.shared_mut();
                // SAFETY: the reference comes from a table of this store, whose functions live as long as it.
                let handle = unsafe { functions.referenced(function.0, signatures) };
                handle.map(|f| Value::FuncRef(Some(f))).ok_or(AccessError::WrongType)
            }
        }
    }

    /// The element for `value` in a table of `ty`.
    fn element(&self, ty: Option<ValType>, value: Value) -> Result<TableElement, AccessError> {
        if ty != Some(value.ty()) {
            return Err(AccessError::WrongType);
        }
        let raw = self.shared().functions.raw_of(value).ok_or(AccessError::ForeignHandle)?;
        // SAFETY: the reference was just made from a value of this type and this store.
        unsafe {
            match value {
                Value::FuncRef(_) => Ok(TableElement::FuncRef(VMFuncRef::from_raw(raw))),
                Value::ExternRef(_) => Ok(TableElement::ExternRef(VMExternRef::from_raw(raw))),
                _ => Err(AccessError::WrongType),
            }
        }
    }

    pub(super) fn write_table(&mut self, table: TableHandle, index: u64, value: Value) -> Result<(), AccessError> {
        let Table { vm, ty } = self.table(table)?;
        let (vm, element) = (*vm, self.element(ty.element, value)?);
        let index = u32::try_from(index).map_err(|_| AccessError::OutOfBounds)?;
        vm.get_mut(self.objects_mut()).set(index, element).map_err(|_| AccessError::OutOfBounds)
    }

    pub(super) fn make_memory(&mut self, ty: MemoryType) -> Result<MemoryHandle, AccessError> {
        let ty = types::memory_type(ty).ok_or(AccessError::Unsupported)?;
        let none = Declared::default();
        let memory = {
            let tunables = StoreTunables { held: &self.shared().held, declared: &none };
            tunables.create_host_memory(&ty, &tunables.memory_style(&ty)).map_err(|_| AccessError::Refused)?
        };
        let memory = InternalStoreHandle::new(self.objects_mut(), memory);
        Ok(self.memory_handle(memory))
    }

    pub(super) fn make_table(&mut self, ty: TableType, init: Value) -> Result<TableHandle, AccessError> {
        let element = self.element(ty.element, init)?;
        let narrow = |n: u64| u32::try_from(n).map_err(|_| AccessError::Refused);
        if ty.table64 {
            return Err(AccessError::Unsupported);
        }
        let wanted = WasmerTableType {
            ty: types::val_type(ty.element.ok_or(AccessError::Unsupported)?),
            minimum: narrow(ty.minimum)?,
            maximum: ty.maximum.map(narrow).transpose()?,
            readonly: false,
        };
        let none = Declared::default();
        let mut table: VMTable = {
            let tunables = StoreTunables { held: &self.shared().held, declared: &none };
            tunables.create_host_table(&wanted, &tunables.table_style(&wanted)).map_err(|_| AccessError::Refused)?
        };
        for index in 0..wanted.minimum {
            table.set(index, element.clone()).map_err(|_| AccessError::OutOfBounds)?;
        }
        let vm = InternalStoreHandle::new(self.objects_mut(), table);
        Ok(TableHandle::new(self.id, self.table_position(vm, wanted) as u32))
    }

    pub(super) fn make_global(&mut self, ty: GlobalType, value: Value) -> Result<GlobalHandle, AccessError> {
        if ty.value != Some(value.ty()) {
            return Err(AccessError::WrongType);
        }
        let raw = self.shared().functions.raw_of(value).ok_or(AccessError::ForeignHandle)?;
        let mutability = if ty.mutable { Mutability::Var } else { Mutability::Const };
        let global = VMGlobal::new(WasmerGlobalType::new(types::val_type(value.ty()), mutability));
        // SAFETY: the global was just made, so nobody else knows it; the value is of its type.
        unsafe { (*global.vmglobal().as_ptr()).val = raw };
        let global = InternalStoreHandle::new(self.objects_mut(), global);
        Ok(self.global_handle(global, ty))
    }

    /// A host function that belongs to no instance: it sees no memory. Only signatures that can be entered
    /// directly are possible, because no module brings a trampoline.
    pub(super) fn make_func(&mut self, func: Arc<HostFunc>) -> Result<FuncHandle, AccessError> {
        let engine = self.engine;
        let env = Held::new(InstanceEnv { shared: self.shared.ptr(), memory: None });
        let ty = func.ty().clone();
        let made: VMFunction = host::function(func, (types::func_type(&ty), signatures::hash(&ty)), env.ptr(), None)
            .ok_or(AccessError::Unsupported)?;
        self.shared_mut().signatures.add(engine, &ty).map_err(|_| AccessError::Unsupported)?;
        self.environments.push(env);
        let at = made.anyfunc.as_ptr();
        let import = InternalStoreHandle::new(self.objects_mut(), made);
        let functions = &mut self.shared_mut().functions;
        let handle = functions.handle(at, || ty);
        if let Some(known) = functions.get_mut(handle) {
            known.import = Some(import);
        }
        Ok(handle)
    }
}
