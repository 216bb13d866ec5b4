//! The traits that an adapter implements: [`Engine`], [`CompiledModule`], [`Store`].

use std::any::Any;
use std::sync::Arc;

use cofferdam_prepare::{Assist, FuncType, GlobalType, MemoryType, PreparedModule, TableType, VerifiedArtefact};

use crate::descriptor::EngineDescriptor;
use crate::host::{HostFunc, HostState, Imports};
use crate::limits::{StoreLimits, Usage};
use crate::meter::CallBudget;
use crate::outcome::{CompileError, EngineFault, InstantiateError, LoadError, Stop};
use crate::value::{Extern, FuncHandle, GlobalHandle, InstanceId, MemoryHandle, StoreId, TableHandle, Value};

/// An engine behind its adapter: a value chosen at run time.
pub trait Engine: Send + Sync {
    /// Who it is and what it can do.
    fn descriptor(&self) -> &EngineDescriptor;

    /// What else decides its machine code: compiler settings, the processor's features. Part of cache keys.
    fn settings(&self) -> String;

    /// What it needs to have written into its modules; they are prepared with these options.
    fn assist(&self) -> Assist {
        Assist::default()
    }

    /// Compiles a prepared module.
    ///
    /// # Errors
    /// A proposal or a determinism that the engine lacks, types it cannot tell apart, its own failure.
    fn compile(&self, module: &PreparedModule) -> Result<Arc<dyn CompiledModule>, CompileError>;

    /// Loads what [`CompiledModule::serialize`] gave for the same module.
    ///
    /// # Errors
    /// [`LoadError::Foreign`] if it was made for something else: compile again.
    fn load(&self, module: &PreparedModule, artefact: &VerifiedArtefact) -> Result<Arc<dyn CompiledModule>, LoadError>;

    /// A new, empty store for one guest.
    ///
    /// # Errors
    /// The engine's own failure.
    fn store(&self, limits: &StoreLimits, state: HostState) -> Result<Box<dyn Store>, EngineFault>;
}

/// Machine code (or what an interpreter runs), shared by every store that instantiates it.
pub trait CompiledModule: Send + Sync + Any {
    /// The module it was compiled from.
    fn prepared(&self) -> &PreparedModule;

    /// The engine's own form, for [`Engine::load`]. To be authenticated before it is kept.
    ///
    /// # Errors
    /// The engine's own failure, or that it cannot do this.
    fn serialize(&self) -> Result<Vec<u8>, EngineFault>;

    /// Bytes of code it keeps in memory: its weight in a cache.
    fn code_bytes(&self) -> usize;

    /// For the adapter, to find its own type again.
    fn as_any(&self) -> &dyn Any;
}

/// A memory, table or global was used in a way that its type or size does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The handle is of another store, or made up.
    #[error("the handle does not belong to this store")]
    ForeignHandle,
    /// Past the end.
    #[error("access out of bounds")]
    OutOfBounds,
    /// Another type.
    #[error("the value has another type")]
    WrongType,
    /// The global is not mutable.
    #[error("the global is immutable")]
    Immutable,
    /// A cap, or a maximum that the guest declared.
    #[error("growth refused by a cap")]
    Refused,
    /// The engine cannot do this.
    #[error("the engine cannot do this")]
    Unsupported,
}

/// One guest and whatever is linked to it, dropped together. Driven by one thread at a time, and movable
/// to another between calls. Everything in it shares one fuel counter, one stack budget, one deadline
/// and one memory cap.
pub trait Store: Send {
    /// Its number, which its handles carry.
    fn id(&self) -> StoreId;

    /// Links and makes an instance. The guest's start function is *not* run: see [`Store::start`].
    ///
    /// # Errors
    /// Caps, missing or mistyped imports, segments that do not fit, the engine's own failure.
    fn instantiate(&mut self, module: &dyn CompiledModule, imports: &Imports) -> Result<InstanceId, InstantiateError>;

    /// The start function of `instance`, to be called once with a budget before anything else.
    fn start(&mut self, instance: InstanceId) -> Option<FuncHandle>;

    /// Calls `func`. `results` is overwritten and has as many entries as the function has results.
    /// `budget.consumed` is set however it ends.
    ///
    /// # Errors
    /// Every way to end but returning.
    fn call(
        &mut self,
        func: FuncHandle,
        args: &[Value],
        results: &mut [Value],
        budget: &mut CallBudget,
    ) -> Result<(), Stop>;

    /// What `instance` exports as `name`; never anything that `prepare` added.
    fn export(&mut self, instance: InstanceId, name: &str) -> Option<Extern>;

    /// The signature of `func`.
    fn func_type(&self, func: FuncHandle) -> Option<FuncType>;

    /// Size of `memory` in bytes.
    ///
    /// # Errors
    /// A handle of another store.
    fn memory_size(&self, memory: MemoryHandle) -> Result<u64, AccessError>;

    /// Fills `into` from `memory` at `offset`.
    ///
    /// # Errors
    /// A handle of another store; out of bounds.
    fn memory_read(&self, memory: MemoryHandle, offset: u64, into: &mut [u8]) -> Result<(), AccessError>;

    /// Writes `from` into `memory` at `offset`.
    ///
    /// # Errors
    /// A handle of another store; out of bounds, and then nothing is written.
    fn memory_write(&mut self, memory: MemoryHandle, offset: u64, from: &[u8]) -> Result<(), AccessError>;

    /// Grows `memory` by `pages` and returns the pages before.
    ///
    /// # Errors
    /// A handle of another store; a cap or the memory's own maximum.
    fn memory_grow(&mut self, memory: MemoryHandle, pages: u64) -> Result<u64, AccessError>;

    /// The value of `global`.
    ///
    /// # Errors
    /// A handle of another store; a type that cannot cross the border.
    fn global_get(&mut self, global: GlobalHandle) -> Result<Value, AccessError>;

    /// Sets `global`.
    ///
    /// # Errors
    /// A handle of another store; an immutable global; a value of another type.
    fn global_set(&mut self, global: GlobalHandle, value: Value) -> Result<(), AccessError>;

    /// Elements in `table`.
    ///
    /// # Errors
    /// A handle of another store.
    fn table_size(&self, table: TableHandle) -> Result<u64, AccessError>;

    /// Element `index` of `table`.
    ///
    /// # Errors
    /// A handle of another store; out of bounds.
    fn table_get(&mut self, table: TableHandle, index: u64) -> Result<Value, AccessError>;

    /// Sets element `index` of `table`.
    ///
    /// # Errors
    /// A handle of another store; out of bounds; a value of another type.
    fn table_set(&mut self, table: TableHandle, index: u64, value: Value) -> Result<(), AccessError>;

    /// A host-made memory, charged to the store's cap.
    ///
    /// # Errors
    /// A cap; a type that the engine cannot make.
    fn new_memory(&mut self, ty: MemoryType) -> Result<MemoryHandle, AccessError>;

    /// A host-made table, charged to the store's cap and filled with `init`.
    ///
    /// # Errors
    /// A cap; a type that the engine cannot make.
    fn new_table(&mut self, ty: TableType, init: Value) -> Result<TableHandle, AccessError>;

    /// A host-made global.
    ///
    /// # Errors
    /// A value of another type.
    fn new_global(&mut self, ty: GlobalType, value: Value) -> Result<GlobalHandle, AccessError>;

    /// A host function as a value, for tables and globals.
    ///
    /// # Errors
    /// A type that the engine cannot tell from one already in the store.
    fn new_func(&mut self, func: Arc<HostFunc>) -> Result<FuncHandle, AccessError>;

    /// What it holds and has held at most.
    fn usage(&self) -> Usage;

    /// The guest's own state on the host's side.
    fn state(&mut self) -> &mut HostState;
}
