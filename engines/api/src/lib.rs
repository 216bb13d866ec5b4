//! The seam between Cofferdam and the engines it runs on: one object-safe trait and the neutral types
//! around it. Nothing here knows an engine, and nothing of an engine leaves its adapter.
//!
//! | to | look at |
//! |---|---|
//! | write an adapter | [`Engine`], [`CompiledModule`], [`Store`] |
//! | give a guest something to call | [`HostFunc`], [`Caller`], [`Imports`] |
//! | pass Rust types over the border | [`WasmValues`], [`HostFunc::typed`] |
//! | bound a call | [`CallBudget`], [`StoreLimits`] |
//! | read how it ended | [`Stop`], [`Trap`], [`Limit`] |
//! | test what stands above without WebAssembly | [`mock`] |
//!
//! What a module is and may be ([`PreparedModule`], [`FeatureSet`] …) comes from `cofferdam-prepare`.
#![forbid(unsafe_code)]

mod descriptor;
mod engine;
pub mod frames;
mod host;
mod limits;
mod meter;
pub mod mock;
mod outcome;
mod typed;
mod value;

pub use descriptor::{Capabilities, EngineDescriptor};
pub use engine::{AccessError, CompiledModule, Engine, Store};
pub use host::{
    Caller, HostFinish, HostFunc, HostFuture, HostPrice, HostState, Import, Imports, OutOfBounds, StoreContext,
};
pub use limits::{StoreLimits, Usage};
pub use meter::{CallBudget, CancelHandle, Meter, Scheduler, UNLIMITED_FUEL, Wake};
pub use outcome::{
    CompileError, EngineFault, HostError, InstantiateError, Limit, LoadError, SignatureClash, Stop, Trap, TrapKind,
};
pub use typed::{WasmValue, WasmValues, signature};
pub use value::{Extern, FuncHandle, GlobalHandle, InstanceId, MemoryHandle, StoreId, TableHandle, Value};

pub use cofferdam_prepare::{
    ArtefactKey, Assist, ExportType, ExternType, FeatureSet, FuelMode, FuncType, GlobalType, ImportType, MemoryType,
    ModuleHash, Place, PreparedModule, Proposal, TableType, Unverified, ValType, VerifiedArtefact,
};
