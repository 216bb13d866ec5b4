//! The same programs on several engines: equal to the last unit of fuel and the last byte, at any budget.

mod engines;

use std::sync::Arc;

use cofferdam_conformance::compare::{Agreement, Difference, Program, compare, observe};
use cofferdam_conformance::{Trouble, generate};
use cofferdam_engine::{Engine, FeatureSet, FuelMode, Proposal, Value};
use cofferdam_wasmer::WasmerEngine;

/// Every engine, and the first once more: two compilations of one engine must agree as well.
fn engines() -> Vec<Arc<dyn Engine>> {
    let mut all = engines::all();
    all.push(all[0].clone());
    all
}

/// What all of them run.
fn common() -> FeatureSet {
    let all: FeatureSet = Proposal::ALL.iter().copied().collect();
    engines().iter().fold(all, |set, engine| set.and(engine.descriptor().capabilities.features))
}

const PROGRAMS: &[(&str, &str)] = &[
    ("sorting", include_str!("programs/sorting.wat")),
    ("sieve", include_str!("programs/sieve.wat")),
    ("matrix", include_str!("programs/matrix.wat")),
    ("interpreter", include_str!("programs/interpreter.wat")),
    ("tables", include_str!("programs/tables.wat")),
];

#[test]
fn programs_agree_at_every_budget() {
    for (name, wat) in PROGRAMS {
        let args = [Value::I32(60)];
        let program = Program::new(*wat).calling(&[("run", &args), ("run", &args)]);
        let agreement = compare(&engines(), &program, 40, 7).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((agreement.engines.len(), agreement.runs), (engines().len(), 41), "{name}");
        assert!(agreement.completed >= 2 && agreement.limited > 20, "{name}: {agreement:?}");
    }
}

#[test]
fn random_modules_agree_at_random_budgets() {
    let mut sum = Agreement::default();
    let mut refused = 0;
    for seed in 0..150 {
        let Some(module) = generate::module(seed, common()) else { continue };
        let program = Program { fuel: 100_000, ..Program::new(module) };
        match compare(&engines(), &program, 4, seed) {
            Ok(agreement) => {
                sum.runs += agreement.runs;
                sum.completed += agreement.completed;
                sum.trapped += agreement.trapped;
                sum.limited += agreement.limited;
            }
            Err(Difference::Gate(_)) => refused += 1,
            Err(other) => panic!("seed {seed}: {other}"),
        }
    }
    println!("{sum:?}, {refused} refused");
    assert!(sum.runs > 300 && sum.completed > 100 && sum.trapped > 20 && sum.limited > 100, "{sum:?}");
}

#[test]
fn a_generated_module_is_the_same_every_time() {
    for seed in [0, 1, 99] {
        assert_eq!(generate::module(seed, common()), generate::module(seed, common()));
    }
}

#[test]
fn both_modes_of_wasmer_agree_about_completed_runs() {
    let wasmer: Arc<dyn Engine> = Arc::new(WasmerEngine::cranelift());
    for (name, wat) in PROGRAMS {
        let args = [Value::I32(60)];
        let program = Program::new(*wat).calling(&[("run", &args)]);
        let [portable, native] = [FuelMode::Portable, FuelMode::Native]
            .map(|mode| observe(&wasmer, mode, &program, &[]).unwrap_or_else(|e| panic!("{name}: {e}")));
        assert_eq!(portable, native, "{name}");
        assert!(portable.calls[0].ended.starts_with("completed"), "{name}: {:?}", portable.calls);
    }
}

#[test]
fn what_an_engine_cannot_run_is_said() {
    let tail_call = r#"(module (func $f (export "run") (return_call $f)))"#;
    let agreement = compare(&engines(), &Program::new(tail_call), 1, 0).expect("nobody differs");
    let runs = |engine: &Arc<dyn Engine>| engine.descriptor().capabilities.features.has(Proposal::TailCalls);
    let able = engines().iter().filter(|engine| runs(engine)).count();
    assert_eq!((agreement.engines.len(), agreement.cannot.len()), (able, engines().len() - able));
    let wasmer = engines().remove(0);
    let lacks = observe(&wasmer, FuelMode::Portable, &Program::new(tail_call), &[]);
    assert!(matches!(lacks, Err(Trouble::Lacks(what)) if what.contains("tail-calls")));
}
