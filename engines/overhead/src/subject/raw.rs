//! The engines' own crates, used as their documentation says, with no limit of any kind.
//!
//! All of them compile for speed, which is their default, on one thread, as our adapters do for modules of this size.
//! `bare` sets what an adapter sets beside its limits; where the two differ, a comment says by what.

pub(super) mod wasmer;
pub(super) mod wasmi;
pub(super) mod wasmtime;
