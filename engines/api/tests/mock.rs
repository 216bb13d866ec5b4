//! The mock engine keeps the contract that real engines keep, so that what is tested on it holds.

use cofferdam_engine::mock::MockEngine;
use cofferdam_engine::{
    CallBudget, Engine, Extern, FuelMode, FuncType, HostError, Imports, InstantiateError, Limit, PreparedModule, Stop,
    Store, StoreLimits, ValType, Value,
};
use cofferdam_prepare::{FeatureSet, Gate, ModuleLimits, PrepareOptions, prepare, recognise, validate};

fn module(text: &str) -> PreparedModule {
    let gate = Gate { features: FeatureSet::STANDARD, level: "standard".into(), limits: ModuleLimits::default() };
    let bytes = recognise(text.as_bytes(), &gate.limits).expect("it is text");
    let valid = validate(bytes, &gate).expect("it is valid");
    prepare(valid, &PrepareOptions { mode: FuelMode::Portable, canonical_nans: false }).expect("it can be prepared")
}

fn spender() -> MockEngine {
    let ty = FuncType::new([ValType::I64], [ValType::I64]);
    MockEngine::new().export("spend", ty, |caller, params, results| {
        caller.charge(params[0].i64().unwrap_or_default().unsigned_abs())?;
        caller.write(8, b"spent")?;
        results[0] = Value::from(caller.fuel_left());
        Ok(())
    })
}

fn store(engine: &MockEngine, text: &str) -> (Box<dyn Store>, Extern) {
    let compiled = engine.compile(&module(text)).expect("it can be compiled");
    let mut store = engine.store(&StoreLimits::default(), Box::new(())).expect("a store");
    let instance = store.instantiate(&*compiled, &Imports::new()).expect("an instance");
    let spend = store.export(instance, "spend").expect("it is exported");
    (store, spend)
}

const SPEND: &str =
    r#"(module (memory (export "memory") 1) (func (export "spend") (param i64) (result i64) (i64.const 0)))"#;

#[test]
fn it_spends_stops_and_checks_arguments() {
    let (mut store, spend) = store(&spender(), SPEND);
    let Extern::Func(spend) = spend else { panic!("a function") };
    let mut results = [Value::I64(0)];
    let mut budget = CallBudget::of_fuel(100);
    store.call(spend, &[Value::I64(30)], &mut results, &mut budget).expect("it can pay");
    assert_eq!((results[0], budget.consumed), (Value::I64(70), 30));
    let stop = store.call(spend, &[Value::I64(101)], &mut results, &mut budget).expect_err("it cannot pay");
    assert!(matches!(stop, Stop::Limit { limit: Limit::Fuel, .. }) && budget.consumed == 100);
    let stop = store.call(spend, &[Value::I32(1)], &mut results, &mut budget).expect_err("wrong type");
    assert!(matches!(stop, Stop::BadArguments { .. }), "{stop}");
}

#[test]
fn it_keeps_the_memory_cap() {
    let engine = spender();
    let compiled = engine.compile(&module(SPEND)).expect("it can be compiled");
    let limits = StoreLimits { memory_bytes: 65_535, ..StoreLimits::default() };
    let mut small = engine.store(&limits, Box::new(())).expect("a store");
    match small.instantiate(&*compiled, &Imports::new()) {
        Err(InstantiateError::Memory { need: 65_536, cap: 65_535 }) => {}
        other => panic!("{other:?}"),
    }
    let (mut store, _) = store(&engine, SPEND);
    assert_eq!(store.usage().memory_bytes, 65_536);
    assert_eq!(store.state().downcast_ref::<()>(), Some(&()));
}

#[test]
fn a_panicking_body_is_the_hosts_fault() {
    let engine = MockEngine::new().export("spend", FuncType::new([], []), |_, _, _| panic!("a bug"));
    let (mut store, spend) = store(&engine, r#"(module (func (export "spend")))"#);
    let Extern::Func(spend) = spend else { panic!("a function") };
    let stop = store.call(spend, &[], &mut [], &mut CallBudget::of_fuel(1)).expect_err("it panics");
    assert!(matches!(stop, Stop::Host(_)), "{stop}");
    let engine = MockEngine::new().export("spend", FuncType::new([], []), |_, _, _| Err(HostError::Exit(4)));
    let (mut store, spend) = self::store(&engine, r#"(module (func (export "spend")))"#);
    let Extern::Func(spend) = spend else { panic!("a function") };
    let stop = store.call(spend, &[], &mut [], &mut CallBudget::of_fuel(1)).expect_err("it exits");
    assert!(matches!(stop, Stop::Exit(4)), "{stop}");
}
