//! Random modules for [`crate::compare`]: any seed gives the same module everywhere.

use arbitrary::Unstructured;
use cofferdam_engine::{FeatureSet, Proposal};
use wasm_smith::{Config, Module};

use crate::compare::SplitMix;

/// Bytes that a module is made from.
const BYTES: usize = 4096;

/// A module that uses nothing but `features` and exports everything it has; `None` for the few seeds that
/// give none.
#[must_use]
pub fn module(seed: u64, features: FeatureSet) -> Option<Vec<u8>> {
    let mut numbers = SplitMix(seed);
    let bytes: Vec<u8> = (0..BYTES / 8).flat_map(|_| numbers.draw().to_le_bytes()).collect();
    let has = |proposal| features.has(proposal);
    let config = Config {
        max_imports: 0,
        min_funcs: 4,
        export_everything: true,
        max_memories: if has(Proposal::MultiMemory) { 2 } else { 1 },
        max_memory32_bytes: 4 << 20,
        max_memory64_bytes: 4 << 20,
        max_table_elements: 1000,
        simd_enabled: has(Proposal::Simd),
        tail_call_enabled: has(Proposal::TailCalls),
        memory64_enabled: has(Proposal::Memory64),
        exceptions_enabled: has(Proposal::Exceptions),
        wide_arithmetic_enabled: has(Proposal::WideArithmetic),
        // What differs between processors, cannot be bounded, or cannot be gated alone.
        relaxed_simd_enabled: false,
        threads_enabled: false,
        gc_enabled: false,
        custom_page_sizes_enabled: false,
        generate_custom_sections: false,
        ..Config::default()
    };
    Some(Module::new(config, &mut Unstructured::new(&bytes)).ok()?.to_bytes())
}
