//! The same random programs on Wasmer and here, with portable fuel: the same outcome, results, fuel, frames,
//! memories and globals, at full budgets, at random ones and at exhaustion.

use std::hash::{DefaultHasher, Hasher};

use cofferdam_engine::{
    CallBudget, Engine, Extern, FeatureSet, FuelMode, Imports, InstantiateError, Limit, Place, Stop, Store,
    StoreLimits, TrapKind, Value,
};
use cofferdam_prepare::{Gate, PrepareOptions, prepare_for, recognise, validate};
use cofferdam_wasmer::WasmerEngine;

use crate::common::engine;
use crate::random::random_module;

const MODULES: u64 = 250;
const FUEL: u64 = 100_000;

/// How one call ended, with the fuel that it consumed.
#[derive(Debug, PartialEq)]
enum Ended {
    Completed(Vec<Value>),
    Trapped(TrapKind, Vec<Place>),
    Limited(Limit, Vec<Place>),
}

/// All that can be seen of a run: each call's end and fuel, and what is left in exported memories and globals.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    calls: Vec<(Ended, u64)>,
    memories: Vec<(u64, u64)>,
    globals: Vec<Option<Value>>,
    usage: (u64, u64, u64, u64),
    refused: Option<String>,
}

/// A handle says of which store it is, so only whether there is one can be compared.
fn comparable(value: Value) -> Option<Value> {
    (!matches!(value, Value::FuncRef(Some(_)))).then_some(value)
}

fn hash(store: &dyn Store, memory: cofferdam_engine::MemoryHandle) -> (u64, u64) {
    let size = store.memory_size(memory).expect("it is the store's");
    let mut bytes = vec![0; usize::try_from(size).expect("small")];
    store.memory_read(memory, 0, &mut bytes).expect("it is there");
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    (size, hasher.finish())
}

/// Runs the start function and every export, each with the next of `budgets`; `None` if the engine cannot
/// compile the module, which some limits of its own decide.
fn run(engine: &dyn Engine, features: FeatureSet, bytes: &[u8], budgets: &[u64]) -> Option<Seen> {
    let gate = Gate { features, level: "test".into(), ..Gate::default() };
    let valid = validate(recognise(bytes, &gate.limits).ok()?, &gate).ok()?;
    let options = PrepareOptions { mode: FuelMode::Portable, canonical_nans: true };
    let prepared = prepare_for(valid, &options, engine.assist()).ok()?;
    let compiled = engine.compile(&prepared).ok()?;
    let mut store = engine.store(&StoreLimits::default(), Box::new(())).expect("a store can be made");
    let mut seen = Seen::default();
    let instance = match store.instantiate(&*compiled, &Imports::new()) {
        Ok(instance) => instance,
        Err(InstantiateError::Engine(e)) => panic!("{e}"),
        Err(other) => {
            seen.refused = Some(other.to_string());
            return Some(seen);
        }
    };
    let start = store.start(instance);
    let exports: Vec<_> = prepared.exports().iter().filter_map(|e| store.export(instance, &e.name)).collect();
    let functions = exports.iter().filter_map(|e| if let Extern::Func(f) = e { Some(*f) } else { None });
    for (at, func) in start.into_iter().chain(functions).enumerate() {
        let ty = store.func_type(func).expect("the function is the store's");
        let args: Vec<_> = ty.params().iter().map(|t| Value::default_of(*t)).collect();
        let mut results = Value::results_of(&ty);
        let mut budget = CallBudget::of_fuel(budgets[at % budgets.len()]);
        let ended = match store.call(func, &args, &mut results, &mut budget) {
            Ok(()) => Ended::Completed(results.into_iter().filter_map(comparable).collect()),
            Err(Stop::Trap(mut trap)) => {
                // Wasmer may name the operator that uses what was loaded: Cranelift joins a load with its use, and
                // without a bounds check in front the joined instruction is the one that traps.
                if trap.kind == TrapKind::MemoryOutOfBounds
                    && let Some(innermost) = trap.frames.first_mut()
                {
                    innermost.offset = None;
                }
                Ended::Trapped(trap.kind, trap.frames)
            }
            Err(Stop::Limit { limit, frames }) => Ended::Limited(limit, frames),
            Err(other) => panic!("{other}"),
        };
        seen.calls.push((ended, budget.consumed));
    }
    for export in exports {
        match export {
            Extern::Memory(memory) => seen.memories.push(hash(&*store, memory)),
            Extern::Global(global) => seen.globals.push(store.global_get(global).ok().and_then(comparable)),
            _ => {}
        }
    }
    let usage = store.usage();
    seen.usage = (usage.memory_bytes, usage.peak_memory_bytes, usage.table_elements, usage.refused_growths);
    Some(seen)
}

#[test]
fn random_programs_are_the_same_on_wasmer() {
    let wasmer = WasmerEngine::cranelift();
    let features = engine().descriptor().capabilities.features.and(wasmer.descriptor().capabilities.features);
    let (mut completed, mut trapped, mut limited, mut skipped) = (0, 0, 0, 0);
    for seed in 0..MODULES {
        let Some(bytes) = random_module(seed) else { continue };
        let random: Vec<u64> = (1..8).map(|i| (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 * i) >> 52).collect();
        for budgets in [vec![FUEL], random, vec![0]] {
            let here = run(engine(), features, &bytes, &budgets);
            let there = run(&wasmer, features, &bytes, &budgets);
            let (Some(here), Some(there)) = (here, there) else {
                skipped += 1;
                continue;
            };
            assert_eq!(here, there, "seed {seed}, budgets {budgets:?}");
            for (ended, _) in &here.calls {
                match ended {
                    Ended::Completed(_) => completed += 1,
                    Ended::Trapped(..) => trapped += 1,
                    Ended::Limited(..) => limited += 1,
                }
            }
        }
    }
    println!("{completed} completed, {trapped} trapped, {limited} limited, {skipped} skipped");
    assert!(completed > MODULES && trapped > MODULES / 4 && limited > MODULES, "{completed} {trapped} {limited}");
    assert!(skipped < MODULES, "{skipped} of {} skipped", 3 * MODULES);
}
