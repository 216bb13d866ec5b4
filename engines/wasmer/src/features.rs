//! Wasmer's own switches for proposals.

use cofferdam_engine::{FeatureSet, Proposal};
use wasmer_types::Features;

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
