//! What the contract costs on this engine: ratios to the raw engine, measured side by side in one run.
//! `cargo bench -p cofferdam-wasmer --bench ratios [-- calls|kernels]`
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
use cofferdam_prepare::{FeatureSet, FuelMode, Gate, ModuleLimits, PrepareOptions, prepare, recognise, validate};
use cofferdam_wasmer::WasmerEngine;

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
    let prepared = prepare(valid, &PrepareOptions { mode, canonical_nans: false }).expect("it can be prepared");
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

fn raw_instance(module: &wasmer::Module, engine: &wasmer::Engine) -> (wasmer::Store, wasmer::Instance) {
    let mut store = wasmer::Store::new(engine.clone());
    let env = wasmer::FunctionEnv::new(&mut store, 0u64);
    let add = wasmer::Function::new_typed_with_env(
        &mut store,
        &env,
        |_: wasmer::FunctionEnvMut<'_, u64>, a: i32, b: i32| -> i32 { a.wrapping_add(b) },
    );
    let imports = wasmer::imports! { "env" => { "add" => add } };
    let instance = wasmer::Instance::new(&mut store, module, &imports).expect("an instance");
    (store, instance)
}

fn raw_engine() -> wasmer::Engine {
    use wasmer::sys::{Cranelift, EngineBuilder};
    EngineBuilder::new(Cranelift::default()).engine().into()
}

fn calls() {
    const CALLS: u32 = 10_000;
    const HOST_CALLS: i32 = 100_000;
    let engine = WasmerEngine::cranelift();
    let raw = raw_engine();
    let raw_module = wasmer::Module::new(&raw, SMALL).expect("it compiles");
    println!("ours, raw, ratio");
    for mode in [FuelMode::Portable, FuelMode::Native] {
        println!("{mode} fuel");
        let module = compiled(&engine, SMALL.as_bytes(), mode);
        let imports = add_import(true);
        let (mut store, add, calls) = instance(&engine, &*module, &imports);
        let (mut raw_store, raw_inst) = raw_instance(&raw_module, &raw);
        let raw_add = raw_inst.exports.get_function("add").expect("it is exported").clone();
        let raw_calls = raw_inst.exports.get_function("calls").expect("it is exported").clone();

        let args = [Value::I32(2), Value::I32(3)];
        let raw_args = [wasmer::Value::I32(2), wasmer::Value::I32(3)];
        let mut results = [Value::I32(0)];
        let mut budget = CallBudget::of_fuel(UNLIMITED_FUEL);
        let mut with_deadline =
            CallBudget { timeout: Some(Duration::from_secs(60)), ..CallBudget::of_fuel(UNLIMITED_FUEL) };
        let raw_round = |store: &mut wasmer::Store| {
            for _ in 0..CALLS {
                black_box(raw_add.call(store, black_box(&raw_args)).expect("it returns"));
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
            || drop(raw_calls.call(&mut raw_store, &[wasmer::Value::I32(HOST_CALLS)]).expect("it returns")),
        );
        print("host call, two integers", times, HOST_CALLS as u32, 1.5);

        let (mut watched, _, watched_calls) = instance(&engine, &*module, &add_import(false));
        let mut budget = CallBudget { timeout: Some(Duration::from_secs(60)), ..CallBudget::of_fuel(UNLIMITED_FUEL) };
        let times = compare(
            60,
            || watched.call(watched_calls, &[Value::I32(HOST_CALLS)], &mut results, &mut budget).expect("it returns"),
            || drop(raw_calls.call(&mut raw_store, &[wasmer::Value::I32(HOST_CALLS)]).expect("it returns")),
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
                    let (mut store, inst) = raw_instance(&raw_module, &raw);
                    let add = inst.exports.get_function("add").expect("it is exported");
                    drop(add.call(&mut store, &raw_args).expect("it returns"));
                }
            },
        );
        print("store + instance + first call", times, 20, 1.3);
    }
}

fn kernels() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guests/kernels.wasm");
    let bytes = std::fs::read(&path).expect("the example guests are there");
    let engine = WasmerEngine::cranelift();
    let raw = raw_engine();
    let raw_module = wasmer::Module::new(&raw, &bytes).expect("it compiles");
    let mut raw_store = wasmer::Store::new(raw);
    let raw_inst = wasmer::Instance::new(&mut raw_store, &raw_module, &wasmer::Imports::new()).expect("an instance");
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
            let raw_func = raw_inst.exports.get_function(name).expect("it is exported").clone();
            let mut results = Value::results_of(&store.func_type(func).expect("it is ours"));
            let mut budget = CallBudget::of_fuel(UNLIMITED_FUEL);
            let times = compare(
                40,
                || store.call(func, &[Value::I32(5)], &mut results, &mut budget).expect("it returns"),
                || drop(raw_func.call(&mut raw_store, &[wasmer::Value::I32(5)]).expect("it returns")),
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
