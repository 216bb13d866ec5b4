//! Which proposals this Wasmer runs, and its own switches for them.

use cofferdam_engine::{FeatureSet, Proposal};
use wasmer_types::Features;

/// What Wasmer's Cranelift runs inside our limits.
///
/// Not among them: tail calls, 64-bit memories, function references and GC, which it does not translate
/// (some it panics on); threads, whose memories cannot be counted; exceptions, because each one thrown
/// stays in the store, with a copy of its machine backtrace, until the store is dropped, so that a guest
/// that throws in a loop has the host's memory without bound.
pub(crate) const CRANELIFT: FeatureSet = FeatureSet::STANDARD
    .with(Proposal::Simd)
    .with(Proposal::RelaxedSimd)
    .with(Proposal::MultiMemory)
    .with(Proposal::WideArithmetic);

/// Wasmer's switches for exactly `set`: the second line behind our own gate. What has no switch there
/// (mutable globals, sign extension, saturating conversion, floats) is always on.
pub(crate) fn switches(set: FeatureSet) -> Features {
    Features {
        threads: set.has(Proposal::Threads),
        reference_types: set.has(Proposal::ReferenceTypes),
        simd: set.has(Proposal::Simd),
        bulk_memory: set.has(Proposal::BulkMemory),
        multi_value: set.has(Proposal::MultiValue),
        tail_call: set.has(Proposal::TailCalls),
        module_linking: false,
        multi_memory: set.has(Proposal::MultiMemory),
        memory64: set.has(Proposal::Memory64),
        exceptions: set.has(Proposal::Exceptions),
        relaxed_simd: set.has(Proposal::RelaxedSimd),
        extended_const: set.has(Proposal::ExtendedConst),
        wide_arithmetic: set.has(Proposal::WideArithmetic),
    }
}
