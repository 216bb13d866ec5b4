//! Memories, globals, tables and functions, from the host's side.

use std::sync::Arc;

use cofferdam_engine::{
    AccessError, FuncHandle, GlobalHandle, GlobalType, HostFunc, MemoryHandle, MemoryType, TableHandle, TableType,
    Value,
};
use wasmi::{Global, Memory, Mutability, Table};

use super::WasmiStore;
use crate::host::{Entry, Env};
use crate::types;
use crate::values::{handle, lift, lower, of_reference, reference};

impl WasmiStore {
    pub(super) fn memory(&self, memory: MemoryHandle) -> Result<Memory, AccessError> {
        let known = memory.index_in(self.id).and_then(|i| self.memories.get(i));
        Ok(known.ok_or(AccessError::ForeignHandle)?.0)
    }

    pub(super) fn table(&self, table: TableHandle) -> Result<Table, AccessError> {
        let known = table.index_in(self.id).and_then(|i| self.tables.get(i));
        Ok(known.ok_or(AccessError::ForeignHandle)?.0)
    }

    fn global(&self, global: GlobalHandle) -> Result<(Global, GlobalType), AccessError> {
        let known = global.index_in(self.id).and_then(|i| self.globals.get(i));
        known.copied().ok_or(AccessError::ForeignHandle)
    }

    pub(super) fn read_memory(&self, memory: MemoryHandle, offset: u64, into: &mut [u8]) -> Result<(), AccessError> {
        let offset = usize::try_from(offset).map_err(|_| AccessError::OutOfBounds)?;
        self.memory(memory)?.read(&self.vm, offset, into).map_err(|_| AccessError::OutOfBounds)
    }

    pub(super) fn write_memory(&mut self, memory: MemoryHandle, offset: u64, from: &[u8]) -> Result<(), AccessError> {
        let offset = usize::try_from(offset).map_err(|_| AccessError::OutOfBounds)?;
        self.memory(memory)?.write(&mut self.vm, offset, from).map_err(|_| AccessError::OutOfBounds)
    }

    pub(super) fn read_global(&mut self, global: GlobalHandle) -> Result<Value, AccessError> {
        let (global, _) = self.global(global)?;
        let value = global.get(&self.vm);
        lift(&mut self.vm, &value).ok_or(AccessError::Unsupported)
    }

    pub(super) fn write_global(&mut self, global: GlobalHandle, value: Value) -> Result<(), AccessError> {
        let (global, ty) = self.global(global)?;
        if ty.value != Some(value.ty()) {
            return Err(AccessError::WrongType);
        }
        if !ty.mutable {
            return Err(AccessError::Immutable);
        }
        let value = lower(&mut self.vm, value).ok_or(AccessError::ForeignHandle)?;
        global.set(&mut self.vm, value).map_err(|_| AccessError::WrongType)
    }

    pub(super) fn read_table(&mut self, table: TableHandle, index: u64) -> Result<Value, AccessError> {
        let item = self.table(table)?.get(&self.vm, index).ok_or(AccessError::OutOfBounds)?;
        lift(&mut self.vm, &of_reference(item)).ok_or(AccessError::Unsupported)
    }

    pub(super) fn write_table(&mut self, table: TableHandle, index: u64, value: Value) -> Result<(), AccessError> {
        let position = table.index_in(self.id);
        let (table, ty) = *position.and_then(|i| self.tables.get(i)).ok_or(AccessError::ForeignHandle)?;
        if ty.element != Some(value.ty()) {
            return Err(AccessError::WrongType);
        }
        let item = lower(&mut self.vm, value).and_then(reference).ok_or(AccessError::ForeignHandle)?;
        table.set(&mut self.vm, index, item).map_err(|_| AccessError::OutOfBounds)
    }

    pub(super) fn make_memory(&mut self, ty: MemoryType) -> Result<MemoryHandle, AccessError> {
        let wanted = types::memory_type(ty).ok_or(AccessError::Unsupported)?;
        if !self.vm.data().held.room_for_memory(ty.minimum_bytes()) {
            return Err(AccessError::Refused);
        }
        let memory = Memory::new(&mut self.vm, wanted).map_err(|_| AccessError::Refused)?;
        Ok(MemoryHandle::new(self.id, self.memories.add(memory, || ty)))
    }

    pub(super) fn make_table(&mut self, ty: TableType, init: Value) -> Result<TableHandle, AccessError> {
        let wanted = types::table_type(ty).ok_or(AccessError::Unsupported)?;
        if ty.maximum.is_some_and(|most| most < ty.minimum) {
            return Err(AccessError::Unsupported);
        }
        if ty.element != Some(init.ty()) {
            return Err(AccessError::WrongType);
        }
        if !self.vm.data().held.room_for_elements(ty.minimum) {
            return Err(AccessError::Refused);
        }
        let init = lower(&mut self.vm, init).and_then(reference).ok_or(AccessError::ForeignHandle)?;
        let table = Table::new(&mut self.vm, wanted, init).map_err(|_| AccessError::Refused)?;
        Ok(TableHandle::new(self.id, self.tables.add(table, || ty)))
    }

    pub(super) fn make_global(&mut self, ty: GlobalType, value: Value) -> Result<GlobalHandle, AccessError> {
        if ty.value != Some(value.ty()) {
            return Err(AccessError::WrongType);
        }
        let value = lower(&mut self.vm, value).ok_or(AccessError::ForeignHandle)?;
        let mutability = if ty.mutable { Mutability::Var } else { Mutability::Const };
        let global = Global::new(&mut self.vm, value, mutability);
        Ok(GlobalHandle::new(self.id, self.globals.add(global, || ty)))
    }

    pub(super) fn make_func(&mut self, func: Arc<HostFunc>) -> Result<FuncHandle, AccessError> {
        if self.instances.is_empty() {
            self.made_functions.push(func.clone());
        }
        let made = Entry { func, env: Env::default() }.make(&mut self.vm).ok_or(AccessError::Unsupported)?;
        Ok(handle(&mut self.vm, made))
    }
}
