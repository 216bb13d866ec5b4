//! Differential fuzzing: random modules under random policies on every engine, and whatever differs is a finding.
//!
//! | to | look at |
//! |---|---|
//! | run one case on several engines | [`differ::check`] |
//! | make a case from a seed | [`case::Case`] |
//! | see what is compared | [`observe`] |
#![forbid(unsafe_code)]

pub use cofferdam_engine::Engine;

pub mod campaign;
pub mod case;
pub mod differ;
pub mod edit;
pub mod engines;
pub mod generate;
pub mod host;
pub mod mutate;
pub mod observe;
pub mod policy;
pub mod programs;
pub mod random;
pub mod reduce;
pub mod seeds;
pub mod targets;
