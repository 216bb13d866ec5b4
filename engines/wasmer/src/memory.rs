//! [`CountedMemory`]: a linear memory that charges its store for every page.

use std::ptr::NonNull;
use std::sync::Arc;

use wasmer_types::{MemoryError, MemoryType, Pages};
use wasmer_vm::{LinearMemory, MemoryStyle, VMMemory, VMMemoryDefinition, VMOwnedMemory};

use crate::accounting::Accounting;

/// Wasmer's own memory, with the store's permission asked before it is made and before it grows.
#[derive(Debug)]
pub(crate) struct CountedMemory {
    inner: VMOwnedMemory,
    held: Arc<Accounting>,
    charged: u64,
}

impl CountedMemory {
    /// Charges the minimum of `ty` and makes the memory with `make`.
    pub fn create(
        ty: &MemoryType,
        held: &Arc<Accounting>,
        make: impl FnOnce() -> Result<VMOwnedMemory, MemoryError>,
    ) -> Result<VMMemory, MemoryError> {
        if ty.shared {
            // Other threads could grow it behind the accounting.
            return Err(MemoryError::Generic("shared memories cannot be counted".into()));
        }
        let charged = ty.minimum.bytes().0 as u64;
        if !held.take_memory(charged) {
            return Err(MemoryError::Generic("the minimum is above the store's cap".into()));
        }
        match make() {
            Ok(inner) => {
                let memory: Box<dyn LinearMemory + Send + Sync> = Box::new(Self { inner, held: held.clone(), charged });
                Ok(VMMemory::from_custom(memory))
            }
            Err(e) => {
                held.return_memory(charged);
                Err(e)
            }
        }
    }
}

impl Drop for CountedMemory {
    fn drop(&mut self) {
        self.held.return_memory(self.charged);
    }
}

impl LinearMemory for CountedMemory {
    fn ty(&self) -> MemoryType {
        self.inner.ty()
    }

    fn size(&self) -> Pages {
        self.inner.size()
    }

    fn style(&self) -> MemoryStyle {
        self.inner.style()
    }

    fn grow(&mut self, delta: Pages) -> Result<Pages, MemoryError> {
        let could_not = MemoryError::CouldNotGrow { current: self.size(), attempted_delta: delta };
        // The guest's own maximum is asked first: only what a cap refuses counts as refused.
        let maximum = self.inner.ty().maximum.unwrap_or(Pages::max_value());
        if self.size().checked_add(delta).is_none_or(|after| after > maximum) {
            return Err(could_not);
        }
        let bytes = delta.bytes().0 as u64;
        if !self.held.take_memory(bytes) {
            self.held.refuse();
            return Err(could_not);
        }
        match self.inner.grow(delta) {
            Ok(before) => {
                self.charged += bytes;
                Ok(before)
            }
            Err(e) => {
                self.held.return_memory(bytes);
                Err(e)
            }
        }
    }

    fn vmmemory(&self) -> NonNull<VMMemoryDefinition> {
        self.inner.vmmemory()
    }

    fn try_clone(&self) -> Result<Box<dyn LinearMemory + Send + Sync>, MemoryError> {
        Err(MemoryError::MemoryNotShared)
    }

    fn copy(&self) -> Result<Box<dyn LinearMemory + Send + Sync>, MemoryError> {
        Err(MemoryError::MemoryNotShared)
    }
}
