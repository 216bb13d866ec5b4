//! Random modules: whatever they do, both modes agree about it, and nothing harms the host.

use arbitrary::Unstructured;
use cofferdam_engine::{
    CallBudget, Engine, Extern, FuelMode, FuncHandle, Imports, InstantiateError, Limit, PreparedModule, Stop, Store,
    StoreLimits, TrapKind, Value,
};
use cofferdam_prepare::{Gate, PrepareOptions, prepare, recognise, validate};

use crate::common::store_with;

/// Modules that are tried; each takes some milliseconds.
const MODULES: u64 = 300;
const FUEL: u64 = 100_000;

/// How one call ended, as far as both modes must agree.
#[derive(Debug, PartialEq)]
enum Ended {
    Completed(Vec<Value>, u64),
    Trapped(TrapKind),
    Stack,
    /// Where fuel runs out differs between modes, and so does what happens shortly before.
    OutOfFuel,
}

fn random_module(seed: u64) -> Option<Vec<u8>> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let bytes: Vec<u8> = (0..4096).map(|_| next()).collect();
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
        simd_enabled: crate::common::runs(cofferdam_engine::Proposal::Simd),
        relaxed_simd_enabled: false,
        generate_custom_sections: false,
        ..wasm_smith::Config::default()
    };
    Some(wasm_smith::Module::new(config, &mut Unstructured::new(&bytes)).ok()?.to_bytes())
}

fn prepared(bytes: &[u8], mode: FuelMode) -> Option<PreparedModule> {
    let features = crate::wasmer().descriptor().capabilities.features;
    let gate = Gate { features, level: "test".into(), ..Gate::default() };
    let valid = validate(recognise(bytes, &gate.limits).ok()?, &gate).ok()?;
    prepare(valid, &PrepareOptions { mode, canonical_nans: true }).ok()
}

fn call(store: &mut dyn Store, func: FuncHandle) -> Ended {
    let ty = store.func_type(func).expect("the function is the store's");
    let args: Vec<_> = ty.params().iter().map(|t| Value::default_of(*t)).collect();
    let mut results = Value::results_of(&ty);
    let mut budget = CallBudget::of_fuel(FUEL);
    match store.call(func, &args, &mut results, &mut budget) {
        Ok(()) => {
            // A handle says of which store it is.
            results.retain(|r| !matches!(r, Value::FuncRef(Some(_))));
            Ended::Completed(results, budget.consumed)
        }
        Err(Stop::Trap(trap)) => Ended::Trapped(trap.kind),
        Err(Stop::Limit { limit: Limit::Fuel, .. }) => Ended::OutOfFuel,
        Err(Stop::Limit { limit: Limit::Stack, .. }) => Ended::Stack,
        Err(other) => panic!("{other}"),
    }
}

/// Runs the start function and every export, in one store; `None` if this Wasmer cannot compile the module.
fn run(module: &PreparedModule) -> Option<Vec<Ended>> {
    let compiled = crate::wasmer().compile(module).ok()?;
    let mut store = store_with(StoreLimits::default());
    let instance = match store.instantiate(&*compiled, &Imports::new()) {
        Ok(instance) => instance,
        Err(InstantiateError::Trap(trap)) => return Some(vec![Ended::Trapped(trap.kind)]),
        Err(InstantiateError::Memory { .. } | InstantiateError::TableElements { .. }) => return Some(Vec::new()),
        Err(other) => panic!("{other}"),
    };
    let start = store.start(instance);
    let exports = module.exports().iter().filter_map(|e| match store.export(instance, &e.name) {
        Some(Extern::Func(f)) => Some(f),
        _ => None,
    });
    let calls: Vec<_> = start.into_iter().chain(exports.collect::<Vec<_>>()).collect();
    let mut ends = Vec::new();
    for func in calls {
        ends.push(call(&mut *store, func));
        if *ends.last()? == Ended::OutOfFuel {
            // From here on the two modes may have different memories.
            break;
        }
    }
    Some(ends)
}

#[test]
fn both_modes_agree_about_random_modules() {
    let (mut completed, mut trapped, mut skipped) = (0, 0, 0);
    for seed in 0..MODULES {
        let Some(bytes) = random_module(seed) else { continue };
        let modules = crate::common::MODES.map(|mode| prepared(&bytes, mode));
        let [Some(portable), Some(native)] = modules else {
            skipped += 1;
            continue;
        };
        let (portable, native) = (run(&portable), run(&native));
        skipped += u64::from(portable.is_none());
        let both = portable.iter().flatten().zip(native.iter().flatten());
        for (portable, native) in both.take_while(|(p, n)| **p != Ended::OutOfFuel && **n != Ended::OutOfFuel) {
            assert_eq!(portable, native, "seed {seed}");
            completed += u64::from(matches!(portable, Ended::Completed(..)));
            trapped += u64::from(matches!(portable, Ended::Trapped(_)));
        }
        assert_eq!(portable.is_none(), native.is_none(), "seed {seed}");
    }
    println!("{completed} completed, {trapped} trapped, {skipped} modules skipped");
    assert!(completed > MODULES / 4 && trapped > MODULES / 20, "{completed} completed, {trapped} trapped");
    assert!(skipped < MODULES / 4, "{skipped} skipped");
}
