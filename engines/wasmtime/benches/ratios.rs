//! What the contract costs on this engine: ratios to the raw engine, measured side by side in one run.
//! `cargo bench -p cofferdam-wasmtime --bench ratios [-- calls|kernels]`
//!
//! Every figure is the least of many short rounds, and rounds of both sides alternate, so that a noisy
//! machine disturbs both alike. Quote the ratios, never the times.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam_engine::{
    CallBudget, CompiledModule, Engine, Extern, FuncHandle, FuncType, HostFunc, Imports, Store, StoreLimits,
    UNLIMITED_FUEL, ValType, Value,
};
use cofferdam_prepare::{FeatureSet, FuelMode, Gate, ModuleLimits, PrepareOptions, prepare_for, recognise, validate};
use cofferdam_wasmtime::WasmtimeEngine;
use wasmtime::{Config, Instance, Linker, Module, Val};

const SMALL: &str = r#"(module
  (import "env" "add" (func $add (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "calls") (param $n i32) (result i32) (local $sum i32)
    (loop $l
      (local.set $sum (call $add (local.get $sum) (local.get $n)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))"#;

/// Least times of both sides over alternating rounds.
fn compare(rounds: usize, mut ours: impl FnMut(), mut raw: impl FnMut()) -> (Duration, Duration) {
    let time = |work: &mut dyn FnMut()| {
        let began = Instant::now();
        work();
        began.elapsed()
    };
    let mut least = (Duration::MAX, Duration::MAX);
    for _ in 0..rounds {
        least.0 = least.0.min(time(&mut ours));
        least.1 = least.1.min(time(&mut raw));
    }
    least
}

fn print(name: &str, (ours, raw): (Duration, Duration), per: u32, aim: f64) -> f64 {
    let ratio = ours.as_secs_f64() / raw.as_secs_f64();
    let mark = if ratio > aim { "  <- over the aim" } else { "" };
    println!("  {name:<34} {:>10.1?} {:>10.1?}  {ratio:>5.2}  (aim {aim}){mark}", ours / per, raw / per);
    ratio
}

fn compiled(engine: &dyn Engine, bytes: &[u8], mode: FuelMode) -> Arc<dyn CompiledModule> {
    let gate = Gate { features: FeatureSet::STANDARD, level: "standard".into(), limits: ModuleLimits::default() };
    let valid = validate(recognise(bytes, &gate.limits).expect("a module"), &gate).expect("it is valid");
    let options = PrepareOptions { mode, canonical_nans: false };
    let prepared = prepare_for(valid, &options, engine.assist()).expect("it can be prepared");
    engine.compile(&prepared).expect("it compiles")
}

fn add_import(quick: bool) -> Imports {
    let mut imports = Imports::new();
    let ty = FuncType::new([ValType::I32, ValType::I32], [ValType::I32]);
    let add = HostFunc::new(ty, |_, params, results| {
        if let [Value::I32(a), Value::I32(b)] = params {
            results[0] = Value::I32(a.wrapping_add(*b));
        }
        Ok(())
    });
    imports.host("env", "add", if quick { add.quick() } else { add });
    imports
}

fn instance(
    engine: &dyn Engine,
    module: &dyn CompiledModule,
    imports: &Imports,
) -> (Box<dyn Store>, FuncHandle, FuncHandle) {
    let mut store = engine.store(&StoreLimits::default(), Box::new(())).expect("a store");
    let instance = store.instantiate(module, imports).expect("an instance");
    let mut func = |name| match store.export(instance, name) {
        Some(Extern::Func(func)) => func,
        _ => panic!("{name} is exported"),
    };
    let (add, calls) = (func("add"), func("calls"));
    (store, add, calls)
}

/// As a host would do it by hand: the host function typed, and resolved once for all instances.
fn raw_linker(engine: &wasmtime::Engine) -> Linker<u64> {
    let mut linker = Linker::new(engine);
    let add = |_: wasmtime::Caller<'_, u64>, a: i32, b: i32| a.wrapping_add(b);
    linker.func_wrap("env", "add", add).expect("it is defined once");
    linker
}

/// On demand, with the address space that ours uses; nothing else is set.
fn raw_engine() -> wasmtime::Engine {
    let mut config = Config::new();
    config.memory_reservation(64 << 20).memory_guard_size(2 << 20);
    wasmtime::Engine::new(&config).expect("an engine")
}

fn calls() {
    const CALLS: u32 = 10_000;
    const HOST_CALLS: i32 = 100_000;
    let engine = WasmtimeEngine::new();
    let raw = raw_engine();
    let raw_module = Module::new(&raw, wat::parse_str(SMALL).expect("it is right")).expect("it compiles");
    let raw_pre = raw_linker(&raw).instantiate_pre(&raw_module).expect("it links");
    println!("ours, raw, ratio");
    for mode in [FuelMode::Portable, FuelMode::Native] {
        println!("{mode} fuel");
        let module = compiled(&engine, SMALL.as_bytes(), mode);
        let imports = add_import(true);
        let (mut store, add, calls) = instance(&engine, &*module, &imports);
        let mut raw_store = wasmtime::Store::new(&raw, 0u64);
        let raw_inst = raw_pre.instantiate(&mut raw_store).expect("an instance");
        let raw_add = raw_inst.get_func(&mut raw_store, "add").expect("it is exported");
        let raw_calls = raw_inst.get_func(&mut raw_store, "calls").expect("it is exported");
        let mut raw_results = [Val::I32(0)];

        let args = [Value::I32(2), Value::I32(3)];
        let raw_args = [Val::I32(2), Val::I32(3)];
        let mut results = [Value::I32(0)];
        let mut budget = CallBudget::of_fuel(UNLIMITED_FUEL);
        let mut with_deadline =
            CallBudget { timeout: Some(Duration::from_secs(60)), ..CallBudget::of_fuel(UNLIMITED_FUEL) };
        let mut raw_round = |store: &mut wasmtime::Store<u64>| {
            for _ in 0..CALLS {
                raw_add.call(&mut *store, black_box(&raw_args), black_box(&mut raw_results)).expect("it returns");
            }
        };
        for (name, budget) in [("call", &mut budget), ("call with a deadline", &mut with_deadline)] {
            let times = compare(
                60,
                || {
                    for _ in 0..CALLS {
                        store.call(add, black_box(&args), &mut results, budget).expect("it returns");
                    }
                },
                || raw_round(&mut raw_store),
            );
            print(name, times, CALLS, 1.3);
        }

        let mut budget = CallBudget::of_fuel(UNLIMITED_FUEL);
        let times = compare(
            60,
            || store.call(calls, &[Value::I32(HOST_CALLS)], &mut results, &mut budget).expect("it returns"),
            || raw_calls.call(&mut raw_store, &[Val::I32(HOST_CALLS)], &mut [Val::I32(0)]).expect("it returns"),
        );
        print("host call, two integers", times, HOST_CALLS as u32, 1.5);

        let (mut watched, _, watched_calls) = instance(&engine, &*module, &add_import(false));
        let mut budget = CallBudget { timeout: Some(Duration::from_secs(60)), ..CallBudget::of_fuel(UNLIMITED_FUEL) };
        let times = compare(
            60,
            || watched.call(watched_calls, &[Value::I32(HOST_CALLS)], &mut results, &mut budget).expect("it returns"),
            || raw_calls.call(&mut raw_store, &[Val::I32(HOST_CALLS)], &mut [Val::I32(0)]).expect("it returns"),
        );
        print("the same, not quick, deadline", times, HOST_CALLS as u32, 1.5);

        let times = compare(
            200,
            || {
                for _ in 0..20 {
                    let (mut store, add, _) = instance(&engine, &*module, &imports);
                    let mut budget = CallBudget::of_fuel(UNLIMITED_FUEL);
                    store.call(add, &args, &mut results, &mut budget).expect("it returns");
                }
            },
            || {
                for _ in 0..20 {
                    let mut store = wasmtime::Store::new(&raw, 0u64);
                    let inst = raw_pre.instantiate(&mut store).expect("an instance");
                    let add = inst.get_func(&mut store, "add").expect("it is exported");
                    add.call(&mut store, &raw_args, &mut [Val::I32(0)]).expect("it returns");
                }
            },
        );
        print("store + instance + first call", times, 20, 1.3);
    }
}

fn kernels() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guests/kernels.wasm");
    let bytes = std::fs::read(&path).expect("the example guests are there");
    let engine = WasmtimeEngine::new();
    let raw = raw_engine();
    let raw_module = Module::new(&raw, &bytes).expect("it compiles");
    let mut raw_store = wasmtime::Store::new(&raw, ());
    let raw_inst = Instance::new(&mut raw_store, &raw_module, &[]).expect("an instance");
    for mode in [FuelMode::Portable, FuelMode::Native] {
        println!("{mode} fuel against unmetered");
        let module = compiled(&engine, &bytes, mode);
        let mut store = engine.store(&StoreLimits { memory_bytes: 64 << 20, ..StoreLimits::default() }, Box::new(()));
        let store = store.as_mut().expect("a store");
        let instance = store.instantiate(&*module, &Imports::new()).expect("an instance");
        let (mut product, mut count) = (1.0f64, 0);
        let names: Vec<_> = module.prepared().exports().iter().map(|e| e.name.clone()).collect();
        for name in names.iter().filter(|n| n.starts_with("k_")) {
            let Some(Extern::Func(func)) = store.export(instance, name) else { continue };
            let raw_func = raw_inst.get_func(&mut raw_store, name).expect("it is exported");
            let mut results = Value::results_of(&store.func_type(func).expect("it is ours"));
            let mut raw_results = vec![Val::I32(0); results.len()];
            let mut budget = CallBudget::of_fuel(UNLIMITED_FUEL);
            let times = compare(
                40,
                || store.call(func, &[Value::I32(5)], &mut results, &mut budget).expect("it returns"),
                || raw_func.call(&mut raw_store, &[Val::I32(5)], &mut raw_results).expect("it returns"),
            );
            product *= print(name, times, 5, 1.35);
            count += 1;
        }
        println!("  geometric mean of {count}: {:.3} (aim 1.35)", product.powf(1.0 / f64::from(count)));
    }
}

fn main() {
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    if wanted.as_deref().is_none_or(|w| w == "calls") {
        calls();
    }
    if wanted.as_deref().is_none_or(|w| w == "kernels") {
        kernels();
    }
}
