//! Wasmtime's settings: one function from our feature set and modes to its `Config`. Defaults move between
//! releases, so everything that matters to the contract is said here.

use std::num::NonZeroUsize;

use cofferdam_engine::{FeatureSet, FuelMode, Proposal, Trap};
use wasmtime::wasmparser::WasmFeatures;
use wasmtime::{Collector, Config, Inlining, OptLevel, RegallocAlgorithm, Strategy, WasmBacktraceDetails};

use crate::native;
use crate::stacks::StackSize;

/// What Wasmtime runs inside our limits.
///
/// Not among them: threads, whose memories cannot be counted; function references and GC, whose values have
/// no neutral form; legacy exceptions, which it does not have; exceptions, because each one thrown is an
/// object on a collected heap beside the guest's memory, which would count against the guest's cap here and
/// nowhere else.
pub(crate) const FEATURES: FeatureSet = FeatureSet::STANDARD
    .with(Proposal::Simd)
    .with(Proposal::RelaxedSimd)
    .with(Proposal::TailCalls)
    .with(Proposal::MultiMemory)
    .with(Proposal::Memory64)
    .with(Proposal::WideArithmetic)
    .with(Proposal::CustomPageSizes);

/// Address space set aside for each memory. A memory that outgrows it moves. Small enough that a host with
/// little address space holds thousands, and large enough that guests under the usual caps never move.
pub(crate) const MEMORY_RESERVATION: u64 = 64 << 20;
/// How many times that is set aside for a memory that moves: moving copies all of it, which nobody pays for, so it must
/// be rare.
const GROWTH: u64 = 16;
/// Address space behind each memory where an access traps by itself.
const MEMORY_GUARD: u64 = 2 << 20;

/// Everything that makes one Wasmtime engine differ from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    pub features: FeatureSet,
    pub canonical_nans: bool,
    pub mode: FuelMode,
    pub stack: StackSize,
    pub threads: bool,
    pub memory_reservation: u64,
}

/// Wasmtime's own switch for `proposal`. Mutable globals, sign extension, saturating conversion, multi-value
/// and floats have none that can be off in earnest; the validator's is set all the same.
fn switch(proposal: Proposal) -> Option<WasmFeatures> {
    Some(match proposal {
        Proposal::MutableGlobals => WasmFeatures::MUTABLE_GLOBAL,
        Proposal::SignExtension => WasmFeatures::SIGN_EXTENSION,
        Proposal::SaturatingFloatToInt => WasmFeatures::SATURATING_FLOAT_TO_INT,
        Proposal::MultiValue => WasmFeatures::MULTI_VALUE,
        Proposal::BulkMemory => WasmFeatures::BULK_MEMORY,
        Proposal::ReferenceTypes => WasmFeatures::REFERENCE_TYPES.union(WasmFeatures::GC_TYPES),
        Proposal::ExtendedConst => WasmFeatures::EXTENDED_CONST,
        Proposal::Simd => WasmFeatures::SIMD,
        Proposal::RelaxedSimd => WasmFeatures::RELAXED_SIMD,
        Proposal::TailCalls => WasmFeatures::TAIL_CALL,
        Proposal::MultiMemory => WasmFeatures::MULTI_MEMORY,
        Proposal::Memory64 => WasmFeatures::MEMORY64,
        Proposal::LegacyExceptions => WasmFeatures::LEGACY_EXCEPTIONS,
        Proposal::Exceptions => WasmFeatures::EXCEPTIONS,
        Proposal::Threads => WasmFeatures::THREADS,
        Proposal::FunctionReferences => WasmFeatures::FUNCTION_REFERENCES,
        Proposal::Gc => WasmFeatures::GC,
        Proposal::WideArithmetic => WasmFeatures::WIDE_ARITHMETIC,
        Proposal::CustomPageSizes => WasmFeatures::CUSTOM_PAGE_SIZES,
        Proposal::Floats => WasmFeatures::FLOATS,
        _ => return None,
    })
}

/// All switches that `features` turn on.
fn switches(features: FeatureSet) -> WasmFeatures {
    // Wasmtime makes no engine with the relaxed vectors and without the others; a module that uses them is gated by both.
    let features = if features.has(Proposal::Simd) { features } else { features.without(Proposal::RelaxedSimd) };
    // The counters that `prepare` imports are mutable globals.
    features.with(Proposal::MutableGlobals).iter().filter_map(switch).collect()
}

/// Wasmtime's settings for `settings`: every proposal that is not in the set is off.
pub(crate) fn config(settings: &Settings) -> Config {
    let mut config = Config::new();
    config.wasm_features(WasmFeatures::all(), false);
    config.wasm_features(switches(settings.features), true);
    let native = settings.mode == FuelMode::Native;
    config.consume_fuel(native);
    config.epoch_interruption(native);
    if native {
        config.operator_cost(native::prices());
    }

    config.strategy(Strategy::Cranelift);
    config.cranelift_opt_level(OptLevel::Speed);
    config.cranelift_regalloc_algorithm(RegallocAlgorithm::Backtracking);
    config.cranelift_nan_canonicalization(settings.canonical_nans);
    config.relaxed_simd_deterministic(true);
    config.compiler_inlining(Inlining::No);
    config.parallel_compilation(settings.threads);
    config.debug_info(false);

    // Externals are numbers in references that never touch the collected heap, so the simplest one will do.
    config.collector(Collector::Null);
    config.gc_heap_initial_size(0);
    config.gc_heap_reservation(0);
    config.gc_heap_reservation_for_growth(64 << 10);

    config.signals_based_traps(true);
    config.generate_address_map(true);
    // One frame may be a helper of ours.
    config.wasm_backtrace_max_frames(NonZeroUsize::new(Trap::MAX_FRAMES + 2));
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config.native_unwind_info(false);

    config.max_wasm_stack(settings.stack.bytes());
    // No guest runs asynchronously; this must only not be less.
    config.async_stack_size(settings.stack.bytes());
    config.memory_reservation(settings.memory_reservation);
    config.memory_reservation_for_growth(settings.memory_reservation.saturating_mul(GROWTH));
    config.memory_guard_size(MEMORY_GUARD);
    config.guard_before_linear_memory(false);
    config.memory_may_move(true);
    config.memory_init_cow(true);
    config.table_lazy_init(true);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_proposal_has_a_switch_of_its_own() {
        let mut seen = WasmFeatures::empty();
        for proposal in Proposal::ALL {
            let switch = switch(*proposal).unwrap_or_else(|| panic!("no switch for {proposal}"));
            assert!(!seen.intersects(switch), "{proposal}");
            seen |= switch;
        }
    }

    #[test]
    fn exactly_the_features_asked_for_are_on() {
        for proposal in FEATURES.iter() {
            let got = switches(FEATURES.without(proposal));
            for other in Proposal::ALL {
                let on = switch(*other).is_some_and(|switch| got.intersects(switch));
                let without_its_base = *other == Proposal::RelaxedSimd && proposal == Proposal::Simd;
                let wanted = *other == Proposal::MutableGlobals || (*other != proposal && !without_its_base);
                assert_eq!(on, FEATURES.has(*other) && wanted, "{other} without {proposal}");
            }
        }
    }

    #[test]
    fn every_level_makes_an_engine() {
        for features in [FeatureSet::NONE, FeatureSet::MVP, FeatureSet::STRICT, FeatureSet::STANDARD, FEATURES] {
            for mode in [FuelMode::Portable, FuelMode::Native] {
                let settings = Settings {
                    features,
                    canonical_nans: true,
                    mode,
                    stack: StackSize::default(),
                    threads: false,
                    memory_reservation: MEMORY_RESERVATION,
                };
                let engine = wasmtime::Engine::new(&config(&settings));
                engine.unwrap_or_else(|e| panic!("{features:?}, {mode}: {e}"));
            }
        }
    }
}
