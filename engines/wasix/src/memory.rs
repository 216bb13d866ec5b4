//! [`Lent`]: the memory of the guest that calls, as wasmer-wasix sees it.
//!
//! The guest lives in a store of its adapter's own. wasmer-wasix's functions live in a [`wasmer::Store`] beside
//! it, whose one memory has no bytes of its own: it shows those of the guest for as long as one call takes, and
//! none otherwise.

use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::Arc;

use wasmer_compiler::Tunables;
use wasmer_types::{MemoryError, MemoryType, Pages, TableType};
use wasmer_vm::{LinearMemory, MemoryStyle, TableStyle, VMMemory, VMMemoryDefinition, VMTable, VMTableDefinition};

/// Where the bytes are now. Shared by the memory in the store and whoever lends.
#[derive(Debug)]
pub(crate) struct Lent(UnsafeCell<VMMemoryDefinition>);

// SAFETY: it is written only by `lend` and by the end of a loan, both through the exclusive borrow of the guest's
// `Wasix`, and read only by functions of the store in that same `Wasix`, which run inside the loan on its thread.
unsafe impl Send for Lent {}
// SAFETY: as above.
unsafe impl Sync for Lent {}

impl Lent {
    /// Nothing lent.
    pub fn new() -> Arc<Self> {
        let nothing = VMMemoryDefinition { base: NonNull::dangling().as_ptr(), current_length: 0 };
        Arc::new(Self(UnsafeCell::new(nothing)))
    }

    /// Shows `len` bytes at `base` until the loan is dropped.
    ///
    /// # Safety
    /// The bytes are valid and nobody else touches them until then; nothing of this guest's store runs now.
    pub unsafe fn lend(&self, base: *mut u8, len: usize) -> Loan<'_> {
        // SAFETY: the caller vouches that nothing reads it now.
        unsafe { *self.0.get() = VMMemoryDefinition { base, current_length: len } };
        Loan(self)
    }

    fn definition(&self) -> NonNull<VMMemoryDefinition> {
        // SAFETY: a cell's contents are never at null.
        unsafe { NonNull::new_unchecked(self.0.get()) }
    }
}

/// The time for which the bytes are lent.
pub(crate) struct Loan<'a>(&'a Lent);

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        // SAFETY: the call for which they were lent is over, so nothing reads it now.
        unsafe {
            *self.0.0.get() = VMMemoryDefinition { base: NonNull::dangling().as_ptr(), current_length: 0 };
        }
    }
}

/// What the store is told is a memory.
#[derive(Debug)]
struct Shown {
    lent: Arc<Lent>,
    ty: MemoryType,
}

impl LinearMemory for Shown {
    fn ty(&self) -> MemoryType {
        self.ty
    }

    fn size(&self) -> Pages {
        // SAFETY: read inside a call, when nobody writes it.
        let bytes = unsafe { self.lent.definition().as_ref() }.current_length;
        Pages(u32::try_from(bytes / wasmer_types::WASM_PAGE_SIZE).unwrap_or(u32::MAX))
    }

    fn style(&self) -> MemoryStyle {
        MemoryStyle::Static
    }

    fn grow(&mut self, delta: Pages) -> Result<Pages, MemoryError> {
        // It is not ours to grow: only the guest grows it, under its cap.
        Err(MemoryError::CouldNotGrow { current: self.size(), attempted_delta: delta })
    }

    fn vmmemory(&self) -> NonNull<VMMemoryDefinition> {
        self.lent.definition()
    }

    fn try_clone(&self) -> Result<Box<dyn LinearMemory + Send + Sync>, MemoryError> {
        Err(MemoryError::MemoryNotShared)
    }

    fn copy(&self) -> Result<Box<dyn LinearMemory + Send + Sync>, MemoryError> {
        Err(MemoryError::MemoryNotShared)
    }
}

/// Makes the one memory of the store, and nothing else: no code of a guest's ever runs in it.
pub(crate) struct ShowLent(pub Arc<Lent>);

impl Tunables for ShowLent {
    fn memory_style(&self, _: &MemoryType) -> MemoryStyle {
        MemoryStyle::Static
    }

    fn table_style(&self, _: &TableType) -> TableStyle {
        TableStyle::CallerChecksSignature
    }

    fn create_host_memory(&self, ty: &MemoryType, _: &MemoryStyle) -> Result<VMMemory, MemoryError> {
        let shown: Box<dyn LinearMemory + Send + Sync> = Box::new(Shown { lent: self.0.clone(), ty: *ty });
        Ok(VMMemory::from_custom(shown))
    }

    unsafe fn create_vm_memory(
        &self,
        _: &MemoryType,
        _: &MemoryStyle,
        _: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        Err(MemoryError::Generic("no memories are made beside a guest's".into()))
    }

    fn create_host_table(&self, _: &TableType, _: &TableStyle) -> Result<VMTable, String> {
        Err("no tables are made beside a guest's".into())
    }

    unsafe fn create_vm_table(
        &self,
        _: &TableType,
        _: &TableStyle,
        _: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        Err("no tables are made beside a guest's".into())
    }
}
