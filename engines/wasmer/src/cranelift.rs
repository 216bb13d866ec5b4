//! Wasmer's Cranelift: optimising, quick to compile, and free of Wasmer's own licence restrictions.

use cofferdam_engine::{Assist, FeatureSet, Proposal};
use wasmer::sys::{CompilerConfig, Cranelift, CraneliftOptLevel};

use crate::engine::{Compiler, Settings};

/// What Wasmer's Cranelift runs inside our limits.
///
/// Not among them: tail calls, 64-bit memories, function references and GC, which it does not translate
/// (some it panics on); threads, whose memories cannot be counted; exceptions, because each one thrown
/// stays in the store until the store is dropped, with a copy of its machine backtrace (0.4 KiB and 50
/// bytes a frame), and takes 4 µs and 0.6 µs a frame: a guest that throws in a loop would have the host's
/// memory and time without bound.
pub(crate) const FEATURES: FeatureSet = FeatureSet::STANDARD
    .with(Proposal::Simd)
    .with(Proposal::RelaxedSimd)
    .with(Proposal::MultiMemory)
    .with(Proposal::WideArithmetic);

pub(crate) const COMPILER: Compiler = Compiler { config, refusal: |_| None, exact_traps: true, assist: Assist::NONE };

fn config(settings: Settings) -> Box<dyn CompilerConfig> {
    let mut config = Cranelift::new();
    config.opt_level(CraneliftOptLevel::Speed);
    config.canonicalize_nans(settings.canonical_nans);
    config.num_threads(settings.threads);
    for middleware in settings.middlewares {
        config.push_middleware(middleware);
    }
    Box::new(config)
}
