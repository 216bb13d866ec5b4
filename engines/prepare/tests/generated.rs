//! Properties over generated modules: what validates is accepted and stays valid, the proposals listed as
//! used are enough, every operator is found again through the code map, and broken bytes never panic.

use arbitrary::Unstructured;
use cofferdam_prepare::{
    Assist, FeatureSet, FuelMode, Gate, ModuleLimits, PrepareOptions, PreparedModule, Proposal, Refusal, prepare,
    prepare_for, recognise, validate,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use wasm_smith::{Config, Module};
use wasmparser::{Operator, Parser, Payload, Validator};

/// The same cases in every run.
fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: count,
        rng_seed: RngSeed::Fixed(0x00c0_ffe7),
        failure_persistence: None,
        ..Default::default()
    }
}

/// `len` bytes that follow from `seed`.
fn noise(mut seed: u64, len: usize) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).to_le_bytes()[7]
    };
    (0..len).map(|_| next()).collect()
}

/// A valid module that uses no more than `features`.
fn generate(seed: u64, features: FeatureSet) -> Vec<u8> {
    let has = |proposal| features.has(proposal);
    let several = |proposal, count| if has(proposal) { count } else { 1 };
    let config = Config {
        bulk_memory_enabled: has(Proposal::BulkMemory),
        reference_types_enabled: has(Proposal::ReferenceTypes),
        multi_value_enabled: has(Proposal::MultiValue),
        sign_extension_ops_enabled: has(Proposal::SignExtension),
        saturating_float_to_int_enabled: has(Proposal::SaturatingFloatToInt),
        extended_const_enabled: has(Proposal::ExtendedConst),
        simd_enabled: has(Proposal::Simd),
        relaxed_simd_enabled: has(Proposal::RelaxedSimd),
        tail_call_enabled: has(Proposal::TailCalls),
        exceptions_enabled: has(Proposal::Exceptions),
        memory64_enabled: has(Proposal::Memory64),
        threads_enabled: has(Proposal::Threads),
        gc_enabled: has(Proposal::Gc),
        wide_arithmetic_enabled: has(Proposal::WideArithmetic),
        custom_page_sizes_enabled: has(Proposal::CustomPageSizes),
        allow_floats: has(Proposal::Floats),
        max_memories: several(Proposal::MultiMemory, 3),
        max_tables: several(Proposal::ReferenceTypes, 3),
        min_funcs: 1,
        max_instructions: 400,
        // Indices written in more bytes than they need must survive too.
        min_uleb_size: [1, 1, 1, 3, 5][(seed % 5) as usize],
        generate_custom_sections: true,
        allow_start_export: true,
        max_memory32_bytes: 1 << 24,
        max_memory64_bytes: 1 << 24,
        max_table_elements: 1000,
        ..Config::default()
    };
    let noise = noise(seed, 16 << 10);
    Module::new(config, &mut Unstructured::new(&noise)).expect("noise enough").to_bytes()
}

fn gate(features: FeatureSet) -> Gate {
    Gate { features, level: "test".into(), limits: ModuleLimits::default() }
}

fn pipeline(bytes: &[u8], features: FeatureSet, mode: FuelMode) -> Result<PreparedModule, Refusal> {
    let gate = gate(features);
    let module = validate(recognise(bytes, &gate.limits)?, &gate)?;
    prepare(module, &PrepareOptions { mode, canonical_nans: false })
}

fn switches(features: FeatureSet) -> wasmparser::WasmFeatures {
    let flag = |proposal| match proposal {
        Proposal::MutableGlobals => wasmparser::WasmFeatures::MUTABLE_GLOBAL,
        Proposal::SignExtension => wasmparser::WasmFeatures::SIGN_EXTENSION,
        Proposal::SaturatingFloatToInt => wasmparser::WasmFeatures::SATURATING_FLOAT_TO_INT,
        Proposal::MultiValue => wasmparser::WasmFeatures::MULTI_VALUE,
        Proposal::BulkMemory => wasmparser::WasmFeatures::BULK_MEMORY,
        Proposal::ReferenceTypes => wasmparser::WasmFeatures::REFERENCE_TYPES,
        Proposal::ExtendedConst => wasmparser::WasmFeatures::EXTENDED_CONST,
        Proposal::Simd => wasmparser::WasmFeatures::SIMD,
        Proposal::RelaxedSimd => wasmparser::WasmFeatures::RELAXED_SIMD,
        Proposal::TailCalls => wasmparser::WasmFeatures::TAIL_CALL,
        Proposal::MultiMemory => wasmparser::WasmFeatures::MULTI_MEMORY,
        Proposal::Memory64 => wasmparser::WasmFeatures::MEMORY64,
        Proposal::LegacyExceptions => wasmparser::WasmFeatures::LEGACY_EXCEPTIONS,
        Proposal::Exceptions => wasmparser::WasmFeatures::EXCEPTIONS,
        Proposal::Threads => wasmparser::WasmFeatures::THREADS,
        Proposal::FunctionReferences => wasmparser::WasmFeatures::FUNCTION_REFERENCES,
        Proposal::Gc => wasmparser::WasmFeatures::GC,
        Proposal::WideArithmetic => wasmparser::WasmFeatures::WIDE_ARITHMETIC,
        Proposal::CustomPageSizes => wasmparser::WasmFeatures::CUSTOM_PAGE_SIZES,
        Proposal::Floats => wasmparser::WasmFeatures::FLOATS,
        other => panic!("{other} needs a switch here"),
    };
    features.iter().map(flag).fold(wasmparser::WasmFeatures::GC_TYPES, std::ops::BitOr::bitor)
}

fn assert_valid(bytes: &[u8], features: FeatureSet) {
    let features = switches(features);
    if let Err(error) = Validator::new_with_features(features).validate_all(bytes) {
        panic!("{error}\n{}", wasmprinter::print_bytes(bytes).unwrap_or_default());
    }
}

/// Each defined function's operators with their offsets.
fn operators(bytes: &[u8]) -> Vec<Vec<(Operator<'_>, u32)>> {
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let Payload::CodeSectionEntry(body) = payload.expect("valid") else { continue };
        let reader = body.get_operators_reader().expect("valid").into_iter_with_offsets();
        bodies.push(
            reader.map(|found| found.expect("valid")).map(|(op, at)| (op, u32::try_from(at).expect("small"))).collect(),
        );
    }
    bodies
}

/// `operator` of the original as it must be in the rewritten module.
fn moved<'a>(operator: &Operator<'a>, module: &PreparedModule) -> Operator<'a> {
    let layout = module.layout();
    let function = |index: u32| if index < layout.tick { index } else { index + 1 };
    let global = |index: u32| if index < layout.fuel { index } else { index + 2 };
    match operator {
        Operator::Call { function_index } => Operator::Call { function_index: function(*function_index) },
        Operator::ReturnCall { function_index } => Operator::ReturnCall { function_index: function(*function_index) },
        Operator::RefFunc { function_index } => Operator::RefFunc { function_index: function(*function_index) },
        Operator::GlobalGet { global_index } => Operator::GlobalGet { global_index: global(*global_index) },
        Operator::GlobalSet { global_index } => Operator::GlobalSet { global_index: global(*global_index) },
        other => other.clone(),
    }
}

/// `after` without the free `nop`s that native mode puts behind operators which get code inserted: they map
/// to the operator before them, because that is how an engine reports it.
fn without_markers<'a>(
    after: &[(Operator<'a>, u32)],
    module: &PreparedModule,
    function: u32,
) -> Vec<(Operator<'a>, u32)> {
    let place = |offset: u32| module.code_map().place(function + 1, Some(offset)).and_then(|place| place.offset);
    let mut kept: Vec<(Operator<'a>, u32)> = Vec::new();
    for (operator, offset) in after {
        let marks = kept.last().is_some_and(|(_, before)| place(*before) == place(*offset));
        if module.mode() == FuelMode::Native && matches!(operator, Operator::Nop) && marks {
            continue;
        }
        kept.push((operator.clone(), *offset));
    }
    kept
}

/// Every rewritten operator maps to an original one, in order; of those that map to the same, the last is
/// that operator itself and the others were injected before it.
fn assert_mapped(original: &[u8], module: &PreparedModule) {
    let (before, after) = (operators(original), operators(module.bytes()));
    assert_eq!(before.len(), after.len());
    for (defined, (before, after)) in before.iter().zip(&after).enumerate() {
        let function = module.layout().imported_functions + u32::try_from(defined).expect("few");
        let after = without_markers(after, module, function);
        let mut expected = before.iter().peekable();
        for (at, (operator, offset)) in after.iter().enumerate() {
            let place = module.code_map().place(function + 1, Some(*offset)).expect("a guest's function");
            assert_eq!(place.function, function);
            let mapped = place.offset.expect("inside the body");
            let (own, own_offset) = expected.peek().expect("no more operators than before");
            assert_eq!(mapped, *own_offset, "function {function}, rewritten operator {at}");
            let next = after.get(at + 1).map(|(_, offset)| module.code_map().place(function + 1, Some(*offset)));
            let next = next.map(|place| place.expect("a guest's function").offset.expect("inside the body"));
            if next != Some(mapped) {
                // Compared as printed: two `br_table`s read from different places are never equal.
                assert_eq!(format!("{operator:?}"), format!("{:?}", moved(own, module)), "function {function}");
                expected.next();
            }
        }
        assert!(expected.next().is_none(), "every operator of function {function} is still there");
    }
}

/// Everything that can be rewritten.
fn rewritable() -> FeatureSet {
    let all: FeatureSet = Proposal::ALL.iter().copied().collect();
    all.without(Proposal::Gc).without(Proposal::Threads).without(Proposal::LegacyExceptions)
}

fn check(seed: u64, features: FeatureSet) {
    let original = generate(seed, features);
    let mut plans = Vec::new();
    for mode in [FuelMode::Portable, FuelMode::Native] {
        let module = match pipeline(&original, features, mode) {
            Ok(module) => module,
            Err(refusal) => panic!("{refusal}\n{}", wasmprinter::print_bytes(&original).unwrap_or_default()),
        };
        assert!(module.used().minus(features).is_empty());
        assert_valid(&original, module.used());
        assert_valid(module.bytes(), module.used().with(Proposal::MutableGlobals));
        assert_mapped(&original, &module);
        assert_eq!(module.function_plans().len(), operators(&original).len());
        plans.push(module.function_plans().iter().map(|p| (p.entry_price, p.stack_weight)).collect::<Vec<_>>());
    }
    assert_eq!(plans[0], plans[1], "both modes charge entries and count stacks alike");
}

/// Written for an engine that needs everything: valid, with the same plans, and every operator in its place.
fn check_assisted(seed: u64, features: FeatureSet) {
    let original = generate(seed, features);
    let gate = gate(features);
    for mode in [FuelMode::Portable, FuelMode::Native] {
        let valid = recognise(&original, &gate.limits).and_then(|bytes| validate(bytes, &gate)).expect("valid");
        let assist = Assist {
            native_charges: true,
            divided_bulk: true,
            unreachable_apart: true,
            selects_apart: true,
            parameters_apart: true,
            elses_written: true,
            lane_stores_in_two: true,
        };
        let module = prepare_for(valid, &PrepareOptions { mode, canonical_nans: false }, assist).expect("preparable");
        assert_valid(module.bytes(), module.used().with(Proposal::MutableGlobals));
        let plain = pipeline(&original, features, mode).expect("preparable");
        assert_eq!(module.function_plans(), plain.function_plans());
        let (before, after) = (operators(&original), operators(module.bytes()));
        for (defined, after) in after.iter().enumerate() {
            let function = module.layout().imported_functions + u32::try_from(defined).expect("few");
            let places = after.iter().map(|(_, at)| module.code_map().place(function + 1, Some(*at)));
            let Some(before) = before.get(defined) else {
                assert!(places.into_iter().all(|place| place.is_none()), "a helper has no place in the guest's module");
                continue;
            };
            let places: Vec<_> = places.map(|place| place.expect("a guest's function").offset).collect();
            assert!(places.is_sorted(), "function {function}");
            for (_, at) in before {
                assert!(places.contains(&Some(*at)), "function {function}: the operator at {at} is lost");
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn assisted_modules_are_rewritten(seed in any::<u64>()) {
        check_assisted(seed, rewritable());
    }

    #[test]
    fn strict_modules_are_rewritten(seed in any::<u64>()) {
        check(seed, FeatureSet::STRICT);
    }

    #[test]
    fn standard_modules_are_rewritten(seed in any::<u64>()) {
        check(seed, FeatureSet::STANDARD);
    }

    #[test]
    fn relaxed_modules_are_rewritten(seed in any::<u64>()) {
        check(seed, FeatureSet::RELAXED);
    }

    #[test]
    fn all_that_can_be_rewritten_is(seed in any::<u64>()) {
        check(seed, rewritable());
    }

    #[test]
    fn what_cannot_be_rewritten_is_refused_by_name(seed in any::<u64>()) {
        let features = rewritable().with(Proposal::Gc).with(Proposal::Threads);
        let original = generate(seed, features);
        match pipeline(&original, features, FuelMode::Portable) {
            Ok(module) => assert_valid(module.bytes(), features),
            Err(refusal) => assert!(matches!(refusal, Refusal::Unsupported { .. }), "{refusal}"),
        }
    }

    #[test]
    fn a_narrower_gate_refuses_by_proposal(seed in any::<u64>()) {
        let original = generate(seed, FeatureSet::RELAXED);
        match pipeline(&original, FeatureSet::STRICT, FuelMode::Portable) {
            Ok(module) => assert!(module.used().minus(FeatureSet::STRICT).is_empty()),
            Err(Refusal::Proposal { proposal, .. }) => assert!(!FeatureSet::STRICT.has(proposal)),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn broken_modules_never_panic(
        seed in any::<u64>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = generate(seed, rewritable());
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let all: FeatureSet = Proposal::ALL.iter().copied().collect();
        for features in [FeatureSet::STRICT, all] {
            if let Ok(module) = pipeline(&bytes, features, FuelMode::Portable) {
                assert_valid(module.bytes(), features.with(Proposal::MutableGlobals));
            }
        }
    }

    #[test]
    fn noise_never_panics(seed in any::<u64>(), len in 0usize..2000, binary in any::<bool>()) {
        let mut bytes = noise(seed, len);
        if binary {
            bytes.splice(0..0, *b"\0asm\x01\0\0\0");
        }
        let _ = pipeline(&bytes, rewritable(), FuelMode::Portable);
    }

    #[test]
    fn text_never_panics(text in "[ ()a-z0-9$\";@.{}=-]{0,200}") {
        let _ = pipeline(format!("(module {text})").as_bytes(), rewritable(), FuelMode::Native);
    }
}
