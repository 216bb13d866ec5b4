//! From a guest's bytes to a module that any engine may compile: recognise, validate and gate, rewrite.
#![forbid(unsafe_code)]

mod code_map;
mod features;
pub mod names;
mod prepared;
mod types;

pub use code_map::{CodeMap, MAX_NAME_BYTES, Place};
pub use features::{FeatureSet, Proposal, UnknownProposal};
pub use prepared::{FuelMode, FunctionPlan, Layout, ModuleHash, PreparedModule};
pub use types::{ExportType, ExternType, FuncType, GlobalType, ImportType, MemoryType, TableType, ValType};
