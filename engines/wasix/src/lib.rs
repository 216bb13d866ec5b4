//! WASIX for Cofferdam, by the crate `wasmer-wasix`.
//!
//! The guest itself never enters that crate. It lives in the store of its own adapter, prepared, metered and
//! capped like every guest, and is linked with neutral host functions; each of them lends the guest's memory to
//! one of wasmer-wasix's functions in a store beside it, in which no code of the guest's ever runs. What is
//! offered is an allow-list: threads, processes, sockets and dynamic loading are not on it.
//!
//! | to | look at |
//! |---|---|
//! | see what is offered and what is refused | `standing`, `names.rs` |
//! | link a guest | `imports` |
//! | give a guest something | `Wasix`, `Config` |
//! | see how memory is lent | `memory.rs` |
//! | see how waiting ends at the deadline | `tasks.rs` |
//!
//! All of it is behind the cargo feature `bridge`.
#![cfg(feature = "bridge")]

mod descriptors;
mod guest;
mod link;
mod memory;
mod names;
mod streams;
mod tasks;

pub use guest::{Config, Limits, Wasix, WasixError};
pub use link::{Host, imports, offered, replace};
pub use names::{MODULE, MODULE_64, PREVIEW1, Permission, Standing, standing};
pub use streams::{Allowance, Stream};
pub use wasmer_wasix::virtual_fs;
