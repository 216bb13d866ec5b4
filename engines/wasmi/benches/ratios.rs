//! What the contract costs on this engine: ratios to the raw engine, measured side by side in one run.
//! `cargo bench -p cofferdam-wasmi --bench ratios [-- calls|kernels]`
//!
//! Every figure is the least of many short rounds, and rounds of both sides alternate, so that a noisy
//! machine disturbs both alike. Quote the ratios, never the times.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam_engine::{
    CallBudget, CompiledModule, Engine, Extern, FuncHandle, FuncType, HostFunc, Imports, Store, StoreLimits,
    UNLIMITED_FUEL, ValType, Value,
};
use cofferdam_prepare::{FeatureSet, FuelMode, Gate, ModuleLimits, PrepareOptions, prepare, recognise, validate};
use cofferdam_wasmi::WasmiEngine;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is the system's allocator's; counting touches no memory of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations in a thousand runs of `work`.
fn allocations(mut work: impl FnMut()) -> u64 {
    work();
    let before = ALLOCATIONS.get();
    (0..1000).for_each(|_| work());
    ALLOCATIONS.get() - before
}

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

fn raw_instance(module: &wasmi::Module, engine: &wasmi::Engine) -> (wasmi::Store<u64>, wasmi::Instance) {
    let mut store = wasmi::Store::new(engine, 0u64);
    let add = wasmi::Func::wrap(&mut store, |_: wasmi::Caller<'_, u64>, a: i32, b: i32| -> i32 { a.wrapping_add(b) });
    let imports: Vec<_> = module.imports().map(|_| wasmi::Extern::Func(add)).collect();
    let instance = wasmi::Instance::new(&mut store, module, &imports).expect("an instance");
    (store, instance)
}

fn raw_engine() -> wasmi::Engine {
    let mut config = wasmi::Config::default();
    config.compilation_mode(wasmi::CompilationMode::Eager);
    wasmi::Engine::new(&config)
}

fn calls() {
    const CALLS: u32 = 10_000;
    const HOST_CALLS: i32 = 100_000;
    let engine = WasmiEngine::eager();
    let raw = raw_engine();
    let raw_module = wasmi::Module::new(&raw, wat::parse_str(SMALL).expect("it is right")).expect("it compiles");
    println!("ours, raw, ratio");
    for mode in [FuelMode::Portable, FuelMode::Native] {
        println!("{mode} fuel");
        let module = compiled(&engine, SMALL.as_bytes(), mode);
        let imports = add_import(true);
        let (mut store, add, calls) = instance(&engine, &*module, &imports);
        let (mut raw_store, raw_inst) = raw_instance(&raw_module, &raw);
        let mut raw_result = [wasmi::Val::I32(0)];
        let raw_add = raw_inst.get_func(&raw_store, "add").expect("it is exported");
        let raw_calls = raw_inst.get_func(&raw_store, "calls").expect("it is exported");

        let args = [Value::I32(2), Value::I32(3)];
        let raw_args = [wasmi::Val::I32(2), wasmi::Val::I32(3)];
        let mut results = [Value::I32(0)];
        let mut budget = CallBudget::of_fuel(UNLIMITED_FUEL);
        let mut with_deadline =
            CallBudget { timeout: Some(Duration::from_secs(60)), ..CallBudget::of_fuel(UNLIMITED_FUEL) };
        let mut raw_results = [wasmi::Val::I32(0)];
        let mut raw_round = |store: &mut wasmi::Store<u64>| {
            for _ in 0..CALLS {
                raw_add.call(&mut *store, black_box(&raw_args), &mut raw_results).expect("it returns");
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
        let calling = allocations(|| store.call(add, &args, &mut results, &mut budget).expect("it returns"));
        let hosting =
            allocations(|| store.call(calls, &[Value::I32(1)], &mut results, &mut budget).expect("it returns"));
        println!("  allocations in 1,000 calls: {calling}; in 1,000 host calls: {hosting} (aim 0)");
        let times = compare(
            60,
            || store.call(calls, &[Value::I32(HOST_CALLS)], &mut results, &mut budget).expect("it returns"),
            || raw_calls.call(&mut raw_store, &[wasmi::Val::I32(HOST_CALLS)], &mut raw_result).expect("it returns"),
        );
        print("host call, two integers", times, HOST_CALLS as u32, 1.5);

        let (mut watched, _, watched_calls) = instance(&engine, &*module, &add_import(false));
        let mut budget = CallBudget { timeout: Some(Duration::from_secs(60)), ..CallBudget::of_fuel(UNLIMITED_FUEL) };
        let times = compare(
            60,
            || watched.call(watched_calls, &[Value::I32(HOST_CALLS)], &mut results, &mut budget).expect("it returns"),
            || raw_calls.call(&mut raw_store, &[wasmi::Val::I32(HOST_CALLS)], &mut raw_result).expect("it returns"),
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
                    let add = inst.get_func(&store, "add").expect("it is exported");
                    add.call(&mut store, &raw_args, &mut raw_result).expect("it returns");
                }
            },
        );
        print("store + instance + first call", times, 20, 1.3);
    }
}

fn kernels() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guests/kernels.wasm");
    let bytes = std::fs::read(&path).expect("the example guests are there");
    let engine = WasmiEngine::eager();
    let raw = raw_engine();
    let raw_module = wasmi::Module::new(&raw, &bytes).expect("it compiles");
    let mut raw_store = wasmi::Store::new(&raw, 0u64);
    let raw_inst = wasmi::Instance::new(&mut raw_store, &raw_module, &[]).expect("an instance");
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
            let raw_func = raw_inst.get_func(&raw_store, name).expect("it is exported");
            let mut results = Value::results_of(&store.func_type(func).expect("it is ours"));
            let mut raw_results = vec![wasmi::Val::I32(0); results.len()];
            let mut budget = CallBudget::of_fuel(UNLIMITED_FUEL);
            let times = compare(
                6,
                || store.call(func, &[Value::I32(5)], &mut results, &mut budget).expect("it returns"),
                || raw_func.call(&mut raw_store, &[wasmi::Val::I32(5)], &mut raw_results).expect("it returns"),
            );
            product *= print(name, times, 5, 1.45);
            count += 1;
        }
        println!("  geometric mean of {count}: {:.3} (aim 1.45)", product.powf(1.0 / f64::from(count)));
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
