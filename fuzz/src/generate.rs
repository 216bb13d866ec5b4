//! Random modules: structured programs, modules from `wasm-smith` in several shapes, and real ones with changes.

use arbitrary::Unstructured;
use cofferdam_engine::{FeatureSet, Proposal};
use wasm_encoder::ExportKind;
use wasm_smith::{Config, MemoryOffsetChoices, Module};

use crate::edit::Parts;
use crate::mutate::mutate;
use crate::programs;
use crate::random::Random;
use crate::seeds;

/// A level, or all of `features`, now and then with a proposal left out.
#[must_use]
pub fn some_of(random: &mut Random, features: FeatureSet) -> FeatureSet {
    let set = match random.below(10) {
        0 => FeatureSet::STRICT,
        1 | 2 => FeatureSet::STANDARD,
        3 | 4 => FeatureSet::RELAXED,
        _ => features,
    };
    let mut set = set.and(features);
    if random.one_in(8) {
        let all: Vec<_> = set.iter().collect();
        let out = random.pick(&all);
        // Every other proposal leans on one of these.
        if !matches!(out, Proposal::MutableGlobals | Proposal::BulkMemory | Proposal::ReferenceTypes) {
            set = set.without(out);
        }
    }
    set
}

/// A module that uses nothing but `features`, and how it was made.
#[must_use]
pub fn module(random: &mut Random, features: FeatureSet) -> Option<(Vec<u8>, String)> {
    let (module, origin) = any_module(random, features)?;
    Some((with_memory_named(&module).unwrap_or(module), origin))
}

/// The same with one of its memories exported as `memory`, where host functions look for it; `None` if it has none
/// or has it already.
fn with_memory_named(module: &[u8]) -> Option<Vec<u8>> {
    let mut parts = Parts::read(module).ok()?;
    if parts.exports.iter().any(|(name, ..)| *name == "memory") {
        return None;
    }
    let memory = parts.exports.iter_mut().find(|(_, kind, _)| *kind == ExportKind::Memory)?;
    memory.0 = "memory";
    Some(parts.write())
}

fn any_module(random: &mut Random, features: FeatureSet) -> Option<(Vec<u8>, String)> {
    match random.below(12) {
        8.. => {
            let program = programs::program(random, features);
            if !random.one_in(6) {
                return Some((program, "program".to_owned()));
            }
            let changes = 1 + random.spread(3) as usize;
            let changed = mutate(random, &program, features, changes);
            Some((changed.unwrap_or(program), "changed program".to_owned()))
        }
        0 | 1 => {
            let seeds = seeds::all();
            let (name, module) = &seeds[random.index(seeds.len())];
            let changes = 1 + random.spread(4) as usize;
            // What needs more than the policy allows stays as it is, and is refused by name.
            let changed = mutate(random, module, features, changes);
            Some((changed.unwrap_or_else(|| module.clone()), format!("changed {name}")))
        }
        2..5 => {
            let (module, shape) = smith(random, features)?;
            let changes = 1 + random.spread(5) as usize;
            let changed = mutate(random, &module, features, changes);
            Some((changed.unwrap_or(module), format!("changed {shape}")))
        }
        _ => smith(random, features),
    }
}

fn smith(random: &mut Random, features: FeatureSet) -> Option<(Vec<u8>, String)> {
    let (bytes, shape) = match random.below(16) {
        0..4 => (256, "tiny"),
        4..11 => (1_024, "small"),
        11..15 => (4_096, "medium"),
        _ => (16_384, "large"),
    };
    let config = config(random, features);
    let bytes = random.bytes(bytes);
    let module = Module::new(config, &mut Unstructured::new(&bytes)).ok()?.to_bytes();
    Some((module, format!("wasm-smith, {shape}")))
}

fn config(random: &mut Random, features: FeatureSet) -> Config {
    let has = |proposal| features.has(proposal);
    let several = has(Proposal::ReferenceTypes);
    let page = 1 << 16;
    Config {
        max_imports: if random.one_in(2) { 0 } else { 1 + random.index(12) },
        min_funcs: 1 + random.index(6),
        max_funcs: 8 + random.index(24),
        max_instructions: random.pick(&[20, 60, 100, 400]),
        max_types: 4 + random.index(20),
        max_globals: 2 + random.index(10),
        max_nesting_depth: 10,
        min_memories: random.below(2) as u32,
        max_memories: if has(Proposal::MultiMemory) { 1 + random.index(3) } else { 1 },
        min_tables: random.below(2) as u32,
        max_tables: if several { 1 + random.index(3) } else { 1 },
        max_memory32_bytes: page * random.pick(&[1, 2, 8, 64]),
        max_memory64_bytes: u128::from(page * random.pick(&[1, 2, 8])),
        max_table_elements: random.pick(&[4, 20, 200, 2_000]),
        max_element_segments: 4,
        max_elements: 20,
        max_data_segments: 4,
        memory_offset_choices: random.pick(&[(90, 9, 1), (100, 0, 0), (50, 40, 10)]).into_choices(),
        export_everything: true,
        allow_start_export: random.one_in(2),
        disallow_traps: random.one_in(4),
        allow_floats: has(Proposal::Floats),
        multi_value_enabled: has(Proposal::MultiValue),
        sign_extension_ops_enabled: has(Proposal::SignExtension),
        saturating_float_to_int_enabled: has(Proposal::SaturatingFloatToInt),
        bulk_memory_enabled: has(Proposal::BulkMemory),
        reference_types_enabled: has(Proposal::ReferenceTypes),
        extended_const_enabled: has(Proposal::ExtendedConst),
        simd_enabled: has(Proposal::Simd),
        tail_call_enabled: has(Proposal::TailCalls) && random.one_in(3),
        memory64_enabled: has(Proposal::Memory64) && random.one_in(4),
        wide_arithmetic_enabled: has(Proposal::WideArithmetic),
        custom_page_sizes_enabled: has(Proposal::CustomPageSizes) && random.one_in(4),
        // What differs between processors, or what no engine offers.
        relaxed_simd_enabled: false,
        exceptions_enabled: false,
        threads_enabled: false,
        gc_enabled: false,
        generate_custom_sections: false,
        ..Config::default()
    }
}

trait IntoChoices {
    fn into_choices(self) -> MemoryOffsetChoices;
}

impl IntoChoices for (u32, u32, u32) {
    fn into_choices(self) -> MemoryOffsetChoices {
        MemoryOffsetChoices(self.0, self.1, self.2)
    }
}
