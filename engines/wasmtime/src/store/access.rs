//! Memories, globals, tables and functions, from the host's side.

use std::sync::Arc;

use cofferdam_engine::{
    AccessError, FuncHandle, GlobalHandle, GlobalType, HostFunc, MemoryHandle, MemoryType, TableHandle, TableType,
    Value,
};
use wasmtime::{Global, Memory, Ref, RootScope, Table, Val};

use super::WasmtimeStore;
use crate::values::{handle, ref_of, val_of, value_of_val};
use crate::{host, types};

impl WasmtimeStore {
    pub(super) fn memory(&self, memory: MemoryHandle) -> Result<Memory, AccessError> {
        let found = memory.index_in(self.id).and_then(|i| self.memories.get(i));
        found.copied().ok_or(AccessError::ForeignHandle)
    }

    fn global(&self, global: GlobalHandle) -> Result<(Global, GlobalType), AccessError> {
        let found = global.index_in(self.id).and_then(|i| self.globals.get(i));
        found.copied().ok_or(AccessError::ForeignHandle)
    }

    pub(super) fn table(&self, table: TableHandle) -> Result<Table, AccessError> {
        let found = table.index_in(self.id).and_then(|i| self.tables.get(i));
        found.copied().ok_or(AccessError::ForeignHandle)
    }

    pub(super) fn read_global(&mut self, global: GlobalHandle) -> Result<Value, AccessError> {
        let (global, ty) = self.global(global)?;
        ty.value.ok_or(AccessError::WrongType)?;
        let mut scope = RootScope::new(&mut self.inner);
        let val = global.get(&mut scope);
        value_of_val(&mut scope, &val).ok_or(AccessError::WrongType)
    }

    pub(super) fn write_global(&mut self, global: GlobalHandle, value: Value) -> Result<(), AccessError> {
        let (global, ty) = self.global(global)?;
        if !ty.mutable {
            return Err(AccessError::Immutable);
        }
        if ty.value != Some(value.ty()) {
            return Err(AccessError::WrongType);
        }
        let mut scope = RootScope::new(&mut self.inner);
        let val = val_of(&mut scope, value).ok_or(AccessError::ForeignHandle)?;
        global.set(&mut scope, val).map_err(|_| AccessError::WrongType)
    }

    pub(super) fn read_table(&mut self, table: TableHandle, index: u64) -> Result<Value, AccessError> {
        let table = self.table(table)?;
        let mut scope = RootScope::new(&mut self.inner);
        let val = match table.get(&mut scope, index).ok_or(AccessError::OutOfBounds)? {
            Ref::Func(func) => Val::FuncRef(func),
            Ref::Extern(external) => Val::ExternRef(external),
            Ref::Any(_) | Ref::Exn(_) => return Err(AccessError::WrongType),
        };
        value_of_val(&mut scope, &val).ok_or(AccessError::WrongType)
    }

    pub(super) fn write_table(&mut self, table: TableHandle, index: u64, value: Value) -> Result<(), AccessError> {
        let table = self.table(table)?;
        if types::neutral_table_type(&table.ty(&self.inner)).element != Some(value.ty()) {
            return Err(AccessError::WrongType);
        }
        let mut scope = RootScope::new(&mut self.inner);
        let element = ref_of(&mut scope, value).ok_or(AccessError::ForeignHandle)?;
        table.set(&mut scope, index, element).map_err(|_| AccessError::OutOfBounds)
    }

    pub(super) fn make_memory(&mut self, ty: MemoryType) -> Result<MemoryHandle, AccessError> {
        let wanted = types::memory_type(ty).ok_or(AccessError::Unsupported)?;
        if !self.inner.data().held.memory_fits(ty.minimum_bytes()) {
            return Err(AccessError::Refused);
        }
        let before = self.inner.data().held.clone();
        let made = Memory::new(&mut self.inner, wanted);
        let memory = made.map_err(|_| {
            self.inner.data_mut().held.go_back_to(&before);
            AccessError::Refused
        })?;
        self.memories.push(memory);
        Ok(MemoryHandle::new(self.id, (self.memories.len() - 1) as u32))
    }

    pub(super) fn make_table(&mut self, ty: TableType, init: Value) -> Result<TableHandle, AccessError> {
        if ty.element != Some(init.ty()) {
            return Err(AccessError::WrongType);
        }
        if !self.inner.data().held.elements_fit(ty.minimum) {
            return Err(AccessError::Refused);
        }
        let wanted = types::table_type(ty).ok_or(AccessError::Unsupported)?;
        let before = self.inner.data().held.clone();
        let made = {
            let mut scope = RootScope::new(&mut self.inner);
            let element = ref_of(&mut scope, init).ok_or(AccessError::ForeignHandle)?;
            Table::new(&mut scope, wanted, element)
        };
        let table = made.map_err(|_| {
            self.inner.data_mut().held.go_back_to(&before);
            AccessError::Refused
        })?;
        self.tables.push(table);
        Ok(TableHandle::new(self.id, (self.tables.len() - 1) as u32))
    }

    pub(super) fn make_global(&mut self, ty: GlobalType, value: Value) -> Result<GlobalHandle, AccessError> {
        if ty.value != Some(value.ty()) {
            return Err(AccessError::WrongType);
        }
        let wanted = types::global_type(ty).ok_or(AccessError::Unsupported)?;
        let made = {
            let mut scope = RootScope::new(&mut self.inner);
            let val = val_of(&mut scope, value).ok_or(AccessError::ForeignHandle)?;
            Global::new(&mut scope, wanted, val)
        };
        self.globals.push((made.map_err(|_| AccessError::WrongType)?, ty));
        Ok(GlobalHandle::new(self.id, (self.globals.len() - 1) as u32))
    }

    /// A host function that belongs to no instance: it sees no memory.
    pub(super) fn make_func(&mut self, func: Arc<HostFunc>) -> Result<FuncHandle, AccessError> {
        let ty = types::func_type(self.inner.engine(), func.ty());
        if self.instances.is_empty() {
            self.early.push(func.clone());
        }
        let made = host::function(&mut self.inner, func, ty, None);
        handle(&mut self.inner, made).ok_or(AccessError::Unsupported)
    }
}
