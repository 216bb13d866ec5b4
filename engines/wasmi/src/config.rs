//! Wasmi's switches, every one of them said.

use cofferdam_engine::{FeatureSet, FuelMode, Proposal};
use wasmi::{CompilationMode, Config, EnforcedLimits};

use crate::costs;

/// What Wasmi runs inside our limits. It has no exceptions, threads, function references or GC, and 64-bit
/// memories are left out of this build, because they cost every load and store of 32-bit ones.
pub(crate) const FEATURES: FeatureSet = FeatureSet::STANDARD
    .with(Proposal::Simd)
    .with(Proposal::RelaxedSimd)
    .with(Proposal::TailCalls)
    .with(Proposal::MultiMemory)
    .with(Proposal::WideArithmetic)
    .with(Proposal::CustomPageSizes);

/// Bytes and frames that Wasmi's stack may grow to. Never reached: the stack budget, at most `i32::MAX` units,
/// ends the guest before, and Wasmi needs at most 24 bytes for a value, which costs 16 units. Nothing is set
/// aside for it.
const STACK_BYTES: usize = isize::MAX.cast_unsigned();
const STACK_FRAMES: usize = usize::MAX;
/// Bytes that a stack starts with: enough for a small call.
const FIRST_STACK_BYTES: usize = 4 << 10;
/// Stacks kept for the next calls on one Wasmi engine. Each keeps what its deepest guest needed: by how vectors
/// grow, at most four bytes for each unit of the stack budget, and one frame of 512 KiB.
const KEPT_STACKS: usize = 8;

/// Wasmi for exactly `set`: the second line behind our own gate.
pub(crate) fn config(set: FeatureSet, mode: FuelMode, compilation: CompilationMode) -> Config {
    let mut config = Config::default();
    for proposal in Proposal::ALL {
        switch(&mut config, *proposal, set.has(*proposal));
    }
    // The counters that every prepared module imports are mutable.
    config.wasm_mutable_global(true);
    config
        .set_max_stack_height(STACK_BYTES)
        .set_min_stack_height(FIRST_STACK_BYTES)
        .set_max_recursion_depth(STACK_FRAMES)
        .set_max_cached_stacks(KEPT_STACKS)
        .consume_fuel(mode == FuelMode::Native)
        .ignore_custom_sections(true)
        .allow_start_fn(false)
        .operator_cost(costs::operators())
        .fuel_cost(costs::BESIDE)
        .compilation_mode(compilation)
        // Our own gate has bounded the module already.
        .enforced_limits(EnforcedLimits::default());
    config
}

/// Turns `proposal` on or off where Wasmi has a switch for it. A proposal that is new in the list falls to the
/// last arm, and a test finds it there.
fn switch(config: &mut Config, proposal: Proposal, on: bool) {
    match proposal {
        Proposal::MutableGlobals => config.wasm_mutable_global(on),
        Proposal::SignExtension => config.wasm_sign_extension(on),
        Proposal::SaturatingFloatToInt => config.wasm_saturating_float_to_int(on),
        Proposal::MultiValue => config.wasm_multi_value(on),
        Proposal::BulkMemory => config.wasm_bulk_memory(on),
        Proposal::ReferenceTypes => config.wasm_reference_types(on),
        Proposal::ExtendedConst => config.wasm_extended_const(on),
        Proposal::Simd => config.wasm_simd(on),
        Proposal::RelaxedSimd => config.wasm_relaxed_simd(on),
        Proposal::TailCalls => config.wasm_tail_call(on),
        Proposal::MultiMemory => config.wasm_multi_memory(on),
        Proposal::WideArithmetic => config.wasm_wide_arithmetic(on),
        Proposal::CustomPageSizes => config.wasm_custom_page_sizes(on),
        Proposal::Floats => config.floats(on),
        // Always off: this build of Wasmi has no switch, and no code, for them.
        _ => config,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`switch`] leaves to its last arm.
    const WITHOUT_SWITCH: [Proposal; 6] = [
        Proposal::Memory64,
        Proposal::LegacyExceptions,
        Proposal::Exceptions,
        Proposal::Threads,
        Proposal::FunctionReferences,
        Proposal::Gc,
    ];

    #[test]
    fn every_proposal_is_either_switched_or_off_for_good() {
        let parts = |set, proposal| {
            let config = config(set, FuelMode::Portable, CompilationMode::Eager);
            let mut other = config.clone();
            switch(&mut other, proposal, !set.has(proposal));
            (format!("{config:?}"), format!("{other:?}"))
        };
        for proposal in Proposal::ALL {
            let (before, after) = parts(FEATURES, *proposal);
            assert_eq!(before == after, WITHOUT_SWITCH.contains(proposal), "{proposal}");
            assert!(!(FEATURES.has(*proposal) && WITHOUT_SWITCH.contains(proposal)), "{proposal}");
        }
    }
}
