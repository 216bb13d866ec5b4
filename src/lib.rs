//! Cofferdam runs untrusted WebAssembly inside limits that really hold, on whichever engine you pick.
//!
//! Any engine, one contract: the same module under the same policy gives the same answer, the same limit
//! errors and the same fuel on every engine; and a limit that an engine cannot enforce is an error at
//! start, never silently dropped.
//!
//! ```
//! use cofferdam::policy::{Fuel, Level, Limits, SecurityPolicy};
//! use cofferdam::{engines, GuestState, Outcome, Sandbox, Value};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if engines::names().is_empty() { return Ok(()); }
//! let engine = engines::by_name("auto")?; // chosen at run time
//! let limits = Limits { fuel: Fuel::new(10_000), ..Limits::agent() };
//! let sandbox = Sandbox::builder(engine).policy(SecurityPolicy::new(Level::Strict).limits(limits)).build()?;
//! let module = sandbox.load(br#"(module (func (export "add") (param i32 i32) (result i32)
//!     (i32.add (local.get 0) (local.get 1))))"#)?;
//! let mut guest = sandbox.guest(&module, GuestState::default())?;
//!
//! let report = guest.call("add", &[Value::I32(2), Value::I32(3)]);
//! assert_eq!(report.outcome.values(), Some(&[Value::I32(5)][..]));
//! assert!(report.receipt.fuel > 0 && report.receipt.fuel < 10_000);
//! # Ok(())
//! # }
//! ```
//!
//! The [embedding guide](https://github.com/cofferdam/cofferdam/blob/main/docs/embedding.md) goes on from here.
//!
//! | room | what is in it |
//! |---|---|
//! | [`policy`] | what a guest may do: levels, limits, grants, determinism |
//! | [`sandbox`] | one guest: load, instantiate, call (typed, with bytes, awaited), report; one program: [`Command`](sandbox::Command) |
//! | [`host`] | what a guest may call: WASI preview 1, and what agents have |
//! | [`audit`] | who was refused what, who broke what, when |
//! | [`agent`] | guests that stay: deployed, started, sent messages, stopped: [`Runtime`](agent::Runtime) |
//! | [`cache`] | compiled modules, kept in memory, on disk and in files |
//! | [`tool`] | guests called by name with JSON: WASI commands and schema tools, in a registry |
//! | [`inspect`] | what a module is, what it needs, and how to grant it |
//! | [`engines`] | the engines of this build |
#![forbid(unsafe_code)]

pub mod agent;
pub mod audit;
pub mod cache;
pub mod engines;
pub mod host;
pub mod inspect;
mod own_file;
pub mod policy;
pub mod sandbox;
pub mod tool;

pub use cofferdam_engine::{
    AccessError, ArtefactKey, Caller, CancelHandle, Capabilities, Engine, EngineDescriptor, EngineFault, ExportType,
    ExternType, FeatureSet, FuelMode, FuncType, HostError, HostFinish, HostFunc, HostFuture, HostPrice, ImportType,
    Imports, Limit, OutOfBounds, Place, Proposal, StoreLimits, Trap, TrapKind, Usage, ValType, Value, Wake, WasmValue,
    WasmValues,
};
pub use host::GuestState;
pub use policy::SecurityPolicy;
pub use sandbox::{AsyncGuest, CallError, CallOptions, Guest, Module, Outcome, Receipt, Report, Sandbox, TypedFunc};

/// The programs in the guide are compiled and run like any other documentation test.
#[cfg(all(doctest, feature = "any-engine"))]
#[doc = include_str!("../docs/embedding.md")]
#[doc = include_str!("../docs/cache.md")]
#[doc = include_str!("../docs/tools.md")]
struct EmbeddingGuide;
