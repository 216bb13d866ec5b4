//! Compiled modules, kept: in memory by weight, on disk for the next process, and in files that people ship.
//! What comes from outside this process is loaded only behind a keyed MAC, because an engine's loader trusts
//! its input with the whole process. This room knows engines only as [`Engine`](cofferdam_engine::Engine) values.
//!
//! | what | where |
//! |---|---|
//! | in memory | [`ModuleCache`] |
//! | on disk, shared by processes | [`DiskCache`] |
//! | shipped by `cofferdam compile` | [`bundle`] |

pub mod bundle;
mod directory;
mod disk;
mod key;
mod memory;
mod statistics;

pub use directory::{CacheError, create_key_file, read_key_file, within_reach};
pub use disk::{DiskCache, DiskCacheConfig, Inventory, Verified};
pub use key::CacheKey;
pub use memory::ModuleCache;
pub use statistics::Statistics;

pub(crate) use disk::{Found, open_module, seal_module};
pub(crate) use memory::Kept;
pub(crate) use statistics::Counters;
