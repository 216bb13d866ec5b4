//! WASI preview 1 as a thin layer of neutral host functions, the same on every engine.
//!
//! A guest has what its [`WasiConfig`] names and nothing else. All 46 calls link; [`known_imports`] says
//! which of them do something. The others only answer an error number: there are no sockets and no signals.
//!
//! | a guest that | is told |
//! |---|---|
//! | gives a pointer or length outside its memory | `EFAULT` |
//! | gives a path that leads out (`..`, absolute, by a symbolic link) | `EPERM` |
//! | gives a path that is no UTF-8, contains NUL, is empty | `EILSEQ`, `EINVAL`, `ENOENT` |
//! | would change something in a read-only directory | `EROFS` |
//! | makes a symbolic link that is absolute or contains `..` | `EPERM` |
//! | opens a FIFO, a device or a socket | `EACCES`, and nothing is opened |
//! | has too many descriptors, iovs, subscriptions, listings | `EMFILE`, `EINVAL`, `EINVAL`, `ENOMEM` |
//! | writes to a pipe that nobody reads any more | `EPIPE` |
//!
//! and one that writes more output than [`WasiLimits::output_bytes`] is ended. Waiting (for input, for
//! room in a pipe, for time, for the disk) gives the turn to others and ends at the call's deadline; only
//! the disk cannot be interrupted, so there the deadline is seen when it is done. Standard streams cannot
//! be seeked. Files of the host's keep their real times, inode numbers and device numbers when clocks and
//! randomness are not real; files in memory have the guest's own.
//!
//! Needs a Unix; made for Linux 5.8 and later, where paths are resolved by `openat2`.

mod abi;
mod async_stream;
mod calls;
pub(in crate::host) mod clock;
mod config;
mod descriptors;
mod environment;
mod errno;
mod fd;
mod fs;
mod io;
mod memory_dir;
mod open;
mod path;
mod poll;
mod quota;
pub(in crate::host) mod random;
mod readdir;
mod sock;
mod state;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(feature = "wasix")]
mod wasix;

pub use async_stream::AsyncOutput;
pub use calls::{KnownImport, add_to, imports, known_imports};
pub use config::{
    Access, AsyncInput, Clocks, Output, Preopen, Random, Source, Stdin, WasiConfig, WasiConfigError, WasiLimits,
};
pub use memory_dir::{MemoryDir, MemoryView, TreeTooLarge};
pub use state::{FileUsage, WasiState};
#[cfg(feature = "wasix")]
pub(in crate::host) use wasix::{read_some, settle, write_all};

/// The module half of every name of preview 1.
pub const MODULE: &str = "wasi_snapshot_preview1";
