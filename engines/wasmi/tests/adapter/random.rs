//! Random modules: whatever they do, Wasmi and Wasmer agree about it to the last unit of fuel, at every budget,
//! and both of Wasmi's modes agree about what the guest sees.

use std::hash::{DefaultHasher, Hash, Hasher};

use arbitrary::Unstructured;
use cofferdam_engine::{
    CallBudget, Engine, Extern, ExternType, FuelMode, FuncHandle, Imports, InstanceId, InstantiateError, Limit,
    PreparedModule, Stop, Store, StoreLimits, TrapKind, Value,
};
use cofferdam_prepare::{Gate, PrepareOptions, prepare_for, recognise, validate};
use cofferdam_wasmer::WasmerEngine;

use crate::common::{engine, store_with};

/// Modules that are tried; each takes some milliseconds.
const MODULES: u64 = 300;
const FUEL: u64 = 100_000;

/// How one call ended.
#[derive(Clone, Debug, PartialEq)]
enum Ended {
    Completed(Vec<Value>),
    Trapped(TrapKind),
    Limit(Limit),
}

/// What can be seen from outside after a call.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    ended: Ended,
    consumed: u64,
    /// Hash of memories, globals and table sizes.
    state: u64,
}

struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn random_module(seed: u64) -> Option<Vec<u8>> {
    let mut noise = Noise(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let bytes: Vec<u8> = (0..4096).map(|_| (noise.next() >> 32) as u8).collect();
    let config = wasm_smith::Config {
        max_imports: 0,
        min_funcs: 4,
        export_everything: true,
        max_memories: 2,
        max_memory32_bytes: 4 << 20,
        max_table_elements: 1000,
        gc_enabled: false,
        exceptions_enabled: false,
        tail_call_enabled: false,
        memory64_enabled: false,
        threads_enabled: false,
        custom_page_sizes_enabled: false,
        relaxed_simd_enabled: false,
        generate_custom_sections: false,
        ..wasm_smith::Config::default()
    };
    Some(wasm_smith::Module::new(config, &mut Unstructured::new(&bytes)).ok()?.to_bytes())
}

fn prepared(bytes: &[u8], mode: FuelMode) -> Option<PreparedModule> {
    let ours = engine().descriptor().capabilities.features;
    let features = WasmerEngine::cranelift().descriptor().capabilities.features.and(ours);
    let gate = Gate { features, level: "test".into(), ..Gate::default() };
    let valid = validate(recognise(bytes, &gate.limits).ok()?, &gate).ok()?;
    prepare_for(valid, &PrepareOptions { mode, canonical_nans: true }, crate::common::engine().assist()).ok()
}

/// A handle says of which store it is, so only whether there is one can be compared.
fn comparable(value: Value) -> Value {
    match value {
        Value::FuncRef(Some(_)) => Value::ExternRef(Some(1)),
        other => other,
    }
}

fn state(store: &mut dyn Store, instance: InstanceId, module: &PreparedModule) -> u64 {
    let mut hasher = DefaultHasher::new();
    for export in module.exports() {
        match (store.export(instance, &export.name), &export.ty) {
            (Some(Extern::Memory(memory)), _) => {
                let mut bytes = vec![0; store.memory_size(memory).expect("it is the store's") as usize];
                store.memory_read(memory, 0, &mut bytes).expect("all of it");
                bytes.hash(&mut hasher);
            }
            (Some(Extern::Global(global)), ExternType::Global(_)) => {
                let value = store.global_get(global).expect("it is the store's");
                format!("{:?}", comparable(value)).hash(&mut hasher);
            }
            (Some(Extern::Table(table)), _) => {
                let size = store.table_size(table).expect("it is the store's");
                for at in 0..size {
                    let item = store.table_get(table, at).expect("it is there");
                    format!("{:?}", comparable(item)).hash(&mut hasher);
                }
            }
            _ => {}
        }
    }
    hasher.finish()
}

fn call(store: &mut dyn Store, func: FuncHandle, fuel: u64) -> (Ended, u64) {
    let ty = store.func_type(func).expect("the function is the store's");
    let args: Vec<_> = ty.params().iter().map(|t| Value::default_of(*t)).collect();
    let mut results = Value::results_of(&ty);
    let mut budget = CallBudget::of_fuel(fuel);
    let ended = match store.call(func, &args, &mut results, &mut budget) {
        Ok(()) => Ended::Completed(results.into_iter().map(comparable).collect()),
        Err(Stop::Trap(trap)) => Ended::Trapped(trap.kind),
        Err(Stop::Limit { limit, .. }) => Ended::Limit(limit),
        Err(other) => panic!("{other}"),
    };
    (ended, budget.consumed)
}

/// Runs the start function and every export in one store, each with the budget that `budgets` gives; `None` if
/// the engine cannot compile the module.
fn run(
    engine: &dyn Engine,
    store: Box<dyn Store>,
    module: &PreparedModule,
    mut budgets: impl FnMut() -> u64,
) -> Option<Vec<Seen>> {
    let compiled = engine.compile(module).ok()?;
    let mut store = store;
    let failed = |kind| Some(vec![Seen { ended: Ended::Trapped(kind), consumed: 0, state: 0 }]);
    let instance = match store.instantiate(&*compiled, &Imports::new()) {
        Ok(instance) => instance,
        Err(InstantiateError::Trap(trap)) => return failed(trap.kind),
        Err(InstantiateError::Memory { .. } | InstantiateError::TableElements { .. }) => return Some(Vec::new()),
        Err(other) => panic!("{other}"),
    };
    let start = store.start(instance);
    let exports = module.exports().iter().filter_map(|e| match store.export(instance, &e.name) {
        Some(Extern::Func(f)) => Some(f),
        _ => None,
    });
    let calls: Vec<_> = start.into_iter().chain(exports.collect::<Vec<_>>()).collect();
    let mut all = Vec::new();
    for func in calls {
        let (ended, consumed) = call(&mut *store, func, budgets());
        all.push(Seen { ended, consumed, state: state(&mut *store, instance, module) });
    }
    Some(all)
}

fn on_wasmer(module: &PreparedModule, budgets: impl FnMut() -> u64) -> Option<Vec<Seen>> {
    let engine = WasmerEngine::cranelift();
    let store = engine.store(&StoreLimits::default(), Box::new(())).expect("a store can be made");
    run(&engine, store, module, budgets)
}

fn on_wasmi(module: &PreparedModule, budgets: impl FnMut() -> u64) -> Option<Vec<Seen>> {
    run(engine(), store_with(StoreLimits::default()), module, budgets)
}

#[test]
fn wasmi_and_wasmer_agree_about_random_modules_to_the_last_unit_of_fuel() {
    let (mut completed, mut trapped, mut spent, mut skipped) = (0, 0, 0, 0);
    for seed in 0..MODULES {
        let Some(bytes) = random_module(seed) else { continue };
        let Some(module) = prepared(&bytes, FuelMode::Portable) else {
            skipped += 1;
            continue;
        };
        let (Some(wasmer), Some(wasmi)) = (on_wasmer(&module, || FUEL), on_wasmi(&module, || FUEL)) else {
            skipped += 1;
            continue;
        };
        assert_eq!(wasmer, wasmi, "seed {seed}");
        for seen in &wasmi {
            completed += u64::from(matches!(seen.ended, Ended::Completed(_)));
            trapped += u64::from(matches!(seen.ended, Ended::Trapped(_)));
        }
        // And where fuel runs out half-way.
        for round in 1..4 {
            let budgets = || {
                let mut noise = Noise(seed * 7 + round);
                move || noise.next() % 300
            };
            let (wasmer, wasmi) = (on_wasmer(&module, budgets()), on_wasmi(&module, budgets()));
            assert_eq!(wasmer, wasmi, "seed {seed}, round {round}");
            let all = wasmi.into_iter().flatten();
            spent += all.filter(|seen| seen.ended == Ended::Limit(Limit::Fuel)).count();
        }
    }
    println!("{completed} completed, {trapped} trapped, {spent} out of fuel, {skipped} modules skipped");
    assert!(completed > MODULES / 4 && trapped > MODULES / 20 && spent > MODULES as usize / 4);
    assert!(skipped < MODULES / 4, "{skipped} skipped");
}

#[test]
fn both_modes_show_the_guest_the_same() {
    let (mut completed, mut trapped) = (0, 0);
    for seed in 0..MODULES {
        let Some(bytes) = random_module(seed) else { continue };
        let modules = crate::common::MODES.map(|mode| prepared(&bytes, mode));
        let [Some(portable), Some(native)] = modules else { continue };
        let (portable, native) = (on_wasmi(&portable, || FUEL), on_wasmi(&native, || 8 * FUEL));
        assert_eq!(portable.is_none(), native.is_none(), "seed {seed}");
        for (portable, native) in portable.iter().flatten().zip(native.iter().flatten()) {
            let out = Ended::Limit(Limit::Fuel);
            if portable.ended == out || native.ended == out {
                // From here on the two modes may have different memories.
                break;
            }
            assert_eq!((&portable.ended, portable.state), (&native.ended, native.state), "seed {seed}");
            completed += u64::from(matches!(portable.ended, Ended::Completed(..)));
            trapped += u64::from(matches!(portable.ended, Ended::Trapped(_)));
        }
    }
    assert!(completed > MODULES / 4 && trapped > MODULES / 20, "{completed} completed, {trapped} trapped");
}
