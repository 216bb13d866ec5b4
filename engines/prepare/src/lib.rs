//! From a guest's bytes to a module that any engine may compile: recognise, validate and gate, rewrite.
#![forbid(unsafe_code)]

mod artefact;
mod body;
mod code_map;
mod component;
mod divide;
mod features;
mod function_names;
mod inline;
mod limits;
pub mod metering;
pub mod names;
mod prepared;
mod price;
mod proposals;
mod recognise;
mod refusal;
mod rewrite;
mod segments;
mod survey;
mod types;
mod unsupported;
mod validate;
mod walk;
mod work;

pub use artefact::{ARTEFACT_MAGIC, ArtefactKey, Unverified, VerifiedArtefact};
pub use code_map::{CodeMap, MAX_NAME_BYTES, Place};
pub use component::{ComponentParts, component_parts};
pub use features::{FeatureSet, Proposal, UnknownProposal};
pub use inline::with_inline_charges;
pub use limits::ModuleLimits;
pub use prepared::{FuelMode, FunctionPlan, Layout, ModuleHash, PreparedModule};
pub use recognise::{ModuleBytes, recognise};
pub use refusal::{ENGINES_OWN, FunctionRef, Refusal};
pub use rewrite::{Assist, PrepareOptions, prepare, prepare_for};
pub use survey::{Above, FirstUse, Section, Survey, custom_sections, imports_from, survey};
pub use types::{ExportType, ExternType, FuncType, GlobalType, ImportType, MemoryType, TableType, ValType};
pub use validate::{Gate, ValidModule, validate};

/// Version of what [`prepare`] writes into modules; part of every cache key. Any change of the rewritten
/// bytes, of where segments are cut, or of stack weights is a new one.
pub const PREPARE_VERSION: u32 = 1;

/// Version of the price list; part of every cache key and of every result.
pub const PRICE_VERSION: u32 = 1;
