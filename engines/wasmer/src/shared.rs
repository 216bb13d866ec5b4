//! [`Shared`]: the part of a store that its running guests reach, through host functions, the tick and the
//! growth of tables.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use cofferdam_engine::{StoreContext, TableType};
use wasmer_vm::{InternalStoreHandle, StoreObjects, VMGlobalDefinition, VMTable};

use crate::accounting::Accounting;
use crate::signatures::StoreSignatures;
use crate::table_hooks::InstanceTables;
use crate::traces::CodeRanges;
use crate::values::Functions;

pub(crate) struct Shared {
    /// What every engine keeps for a guest.
    pub context: StoreContext,
    /// The fuel counter, an `i64` global that all modules of the store import.
    pub fuel: NonNull<VMGlobalDefinition>,
    /// Where Wasmer keeps the store's objects.
    pub objects: NonNull<StoreObjects>,
    pub held: Arc<Accounting>,
    pub functions: Functions,
    pub signatures: StoreSignatures,
    pub tables: Vec<Table>,
    /// Which tables the instances see that may change them.
    pub instance_tables: Vec<InstanceTables>,
    pub code: CodeRanges,
}

/// A table that has a handle or that guests may change.
pub(crate) struct Table {
    pub vm: InternalStoreHandle<VMTable>,
    /// As it was declared; Wasmer may have been told another maximum.
    pub ty: TableType,
}

thread_local! {
    static RUNNING: Cell<*mut Shared> = const { Cell::new(ptr::null_mut()) };
}

/// Marks a store as the one that runs on this thread, until dropped.
pub(crate) struct Running(*mut Shared);

impl Running {
    pub fn enter(shared: NonNull<Shared>) -> Self {
        Self(RUNNING.replace(shared.as_ptr()))
    }

    /// The store that runs on this thread.
    pub fn store() -> Option<NonNull<Shared>> {
        NonNull::new(RUNNING.get())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.set(self.0);
    }
}
