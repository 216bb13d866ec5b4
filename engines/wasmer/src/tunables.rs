//! [`StoreTunables`]: makes the memories and tables of one store, each charged to it.

use std::ptr::NonNull;
use std::sync::Arc;

use wasmer_compiler::{LinkError, Tunables};
use wasmer_types::entity::PrimaryMap;
use wasmer_types::{LocalTableIndex, MemoryError, MemoryType, ModuleInfo, TableIndex, TableType};
use wasmer_vm::{
    InternalStoreHandle, MemoryStyle, StoreObjects, TableStyle, VMMemory, VMMemoryDefinition, VMOwnedMemory, VMTable,
    VMTableDefinition,
};

use crate::accounting::Accounting;
use crate::memory::CountedMemory;
use crate::tables::Declared;

/// Every memory reserves 8 GiB of address space, so that compiled code needs no bounds checks; a process
/// can hold about 16,000 of them at a time.
pub(crate) const MEMORY_STYLE: MemoryStyle = MemoryStyle::Static;

/// Wasmer refuses tables with a larger maximum than this.
const TABLE_MAX: u32 = 128 << 20;

/// For one instantiation in one store.
pub(crate) struct StoreTunables<'a> {
    pub held: &'a Arc<Accounting>,
    pub declared: &'a Declared,
}

/// Elements below which a table is one of the small things that every process must find room for.
const FEW: u64 = 1 << 12;

/// Whether the host has memory for a table of so many elements. Wasmer would end the process if it had not.
pub(crate) fn has_room(elements: u64) -> bool {
    // An element is a pointer.
    let room = |n: usize| Vec::<usize>::new().try_reserve_exact(n).is_ok();
    elements < FEW || usize::try_from(elements).is_ok_and(room)
}

/// Charges the minimum of `ty` and makes the table with `make`. The table's own maximum is the declared
/// one, as far as Wasmer takes it; growth is decided by the accounting.
fn counted_table(
    ty: &TableType,
    held: &Accounting,
    make: impl FnOnce(&TableType) -> Result<VMTable, String>,
) -> Result<VMTable, String> {
    let elements = u64::from(ty.minimum);
    if !held.take_elements(elements) {
        return Err("the table's minimum is above the store's cap".into());
    }
    if !has_room(elements) {
        held.return_elements(elements);
        return Err(format!("the host has no memory for a table of {elements} elements"));
    }
    let maximum = ty.maximum.unwrap_or(TABLE_MAX).min(TABLE_MAX);
    make(&TableType { maximum: Some(maximum), ..*ty }).inspect_err(|_| held.return_elements(elements))
}

impl Tunables for StoreTunables<'_> {
    fn memory_style(&self, _: &MemoryType) -> MemoryStyle {
        MEMORY_STYLE
    }

    fn table_style(&self, _: &TableType) -> TableStyle {
        TableStyle::CallerChecksSignature
    }

    fn create_host_memory(&self, ty: &MemoryType, style: &MemoryStyle) -> Result<VMMemory, MemoryError> {
        CountedMemory::create(ty, self.held, || VMOwnedMemory::new(ty, style))
    }

    unsafe fn create_vm_memory(
        &self,
        ty: &MemoryType,
        style: &MemoryStyle,
        location: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        CountedMemory::create(ty, self.held, || {
            // SAFETY: the caller vouches for `location`.
            unsafe { VMOwnedMemory::from_definition(ty, style, location) }
        })
    }

    fn create_host_table(&self, ty: &TableType, style: &TableStyle) -> Result<VMTable, String> {
        counted_table(ty, self.held, |ty| VMTable::new(ty, style))
    }

    unsafe fn create_vm_table(
        &self,
        ty: &TableType,
        style: &TableStyle,
        location: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        counted_table(ty, self.held, |ty| {
            // SAFETY: the caller vouches for `location`.
            unsafe { VMTable::from_definition(ty, style, location) }
        })
    }

    unsafe fn create_tables(
        &self,
        context: &mut StoreObjects,
        module: &ModuleInfo,
        styles: &PrimaryMap<TableIndex, TableStyle>,
        locations: &[NonNull<VMTableDefinition>],
    ) -> Result<PrimaryMap<LocalTableIndex, InternalStoreHandle<VMTable>>, LinkError> {
        let mut tables = PrimaryMap::with_capacity(locations.len());
        for ((index, ty), location) in module.tables.iter().skip(module.num_imported_tables).zip(locations) {
            let ty = self.declared.restore(index, *ty);
            // SAFETY: the caller vouches for `locations`.
            let table = unsafe { self.create_vm_table(&ty, &styles[index], *location) };
            tables.push(InternalStoreHandle::new(context, table.map_err(LinkError::Resource)?));
        }
        Ok(tables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_larger_than_the_machine_has_no_room() {
        assert!(has_room(0) && has_room(FEW) && has_room(1 << 20));
        assert!(!has_room(1 << 60) && !has_room(u64::MAX));
    }
}
