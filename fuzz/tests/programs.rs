//! The structured programs: valid whatever is allowed, mostly running to their end, and what only they find: each fault
//! of Wasmi that `prepare` works around shows when it does not.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_engine::{
    Assist, CompileError, CompiledModule, Engine, EngineDescriptor, EngineFault, FeatureSet, HostState, LoadError,
    PreparedModule, Proposal, Store, StoreLimits, VerifiedArtefact,
};
use cofferdam_fuzz::case::Case;
use cofferdam_fuzz::differ::{Ends, Finding, check};
use cofferdam_fuzz::policy::Policy;
use cofferdam_fuzz::programs::program;
use cofferdam_fuzz::random::Random;
use cofferdam_fuzz::reduce::Reducer;
use cofferdam_fuzz::{engines, generate};
use wasmparser::Validator;

/// Any seed will do.
const SEED: u64 = 78;
/// Cases within which a fault is to be found; it takes a tenth of that.
const CASES: u64 = 3_000;

/// An engine that asks `prepare` for other help than it needs.
struct Unassisted {
    inner: Arc<dyn Engine>,
    assist: Assist,
}

impl Engine for Unassisted {
    fn descriptor(&self) -> &EngineDescriptor {
        self.inner.descriptor()
    }

    fn settings(&self) -> String {
        self.inner.settings()
    }

    fn assist(&self) -> Assist {
        self.assist
    }

    fn compile(&self, module: &PreparedModule) -> Result<Arc<dyn CompiledModule>, CompileError> {
        self.inner.compile(module)
    }

    fn load(&self, module: &PreparedModule, artefact: &VerifiedArtefact) -> Result<Arc<dyn CompiledModule>, LoadError> {
        self.inner.load(module, artefact)
    }

    fn store(&self, limits: &StoreLimits, state: HostState) -> Result<Box<dyn Store>, EngineFault> {
        self.inner.store(limits, state)
    }
}

fn engine(name: &str) -> Arc<dyn Engine> {
    engines::by_name(name).expect("it is built in")
}

fn case(index: u64, features: FeatureSet) -> Case {
    let mut random = Random::of(SEED, index);
    let policy = Policy { fuel: 200_000, memory_bytes: 10 << 20, ..Policy::random(&mut random, features) };
    let policy = Policy { table_elements: 100_000, stack_units: 512 << 10, host_calls: u64::MAX, ..policy };
    Case { module: program(&mut random, features), policy, origin: "program".into() }
}

#[test]
fn every_program_is_valid_with_what_is_allowed() {
    let all = engines::shared_features(&[engine("wasmtime"), engine("wasmi")]);
    for index in 0..3_000 {
        let mut random = Random::of(SEED, index);
        let features = match index {
            0..100 => FeatureSet::MVP,
            100..200 => FeatureSet::MVP.with(Proposal::Floats),
            _ => generate::some_of(&mut random, all),
        };
        let module = program(&mut random, features);
        let valid = Validator::new_with_features(features.validator()).validate_all(&module);
        assert!(valid.is_ok(), "case {index} with {features:?}: {:?}", valid.err());
    }
}

#[test]
fn programs_run_to_their_end_and_go_both_ways() {
    let pair = [engine("wasmtime"), engine("wasmi")];
    let features = engines::shared_features(&pair);
    let mut ends = Ends::default();
    let mut cannot = BTreeMap::new();
    for index in 0..200 {
        let mut case = case(index, features);
        case.policy.rounds = 0;
        let verdict = check(&pair, &case);
        assert_eq!((verdict.finding, verdict.refused), (None, None), "case {index}");
        ends.add(&verdict.ends);
        verdict.cannot.into_iter().for_each(|(_, why)| *cannot.entry(why).or_insert(0) += 1);
    }
    println!("{ends:?}, {cannot:?}");
    let others = ends.trapped + ends.fuel + ends.stack + ends.host;
    assert!(ends.completed > 2 * others && ends.trapped > 10, "{ends:?}");
    assert!(cannot.values().sum::<i32>() < 30, "{cannot:?}");
}

/// Wasmi beside Wasmtime, with other help from `prepare` than it needs.
fn pair(without: impl Fn(&mut Assist)) -> [Arc<dyn Engine>; 2] {
    let sound = engine("wasmi");
    let mut assist = sound.assist();
    without(&mut assist);
    assert_ne!(assist, sound.assist(), "Wasmi does not ask for this");
    [engine("wasmtime"), Arc::new(Unassisted { inner: sound, assist })]
}

/// The first program in which `pair` differs.
fn first_found(pair: &[Arc<dyn Engine>], features: FeatureSet) -> Option<(u64, Finding)> {
    (0..CASES).find_map(|index| Some((index, check(pair, &case(index, features)).finding?)))
}

#[test]
fn a_fault_with_block_parameters_is_found() {
    // What a wrong reference would do to this process is not to be seen here: only numbers.
    let pair = pair(|assist| assist.parameters_apart = false);
    let features = FeatureSet::STRICT.with(Proposal::Floats);
    let (index, finding) = first_found(&pair, features).expect("a case that shows it");
    let case = case(index, features);
    let small = Reducer::new(&pair, &case, &finding, Duration::from_secs(20)).run();
    println!("case {index}, {} bytes, reduced to {}", case.module.len(), small.module.len());
    // The reducer only keeps what shows the difference. It is not run again here: what Wasmi then reads is what others
    // left on its stack, and after other cases that may be the right value.
    assert!(small.module.len() < case.module.len() / 2);
}

#[test]
fn a_fault_with_select_is_found() {
    let pair = pair(|assist| assist.selects_apart = false);
    let found = first_found(&pair, FeatureSet::STRICT.with(Proposal::Floats));
    println!("case {:?}", found.as_ref().map(|(index, _)| index));
    assert!(found.is_some());
}

#[test]
fn a_fault_with_stores_of_lanes_is_found() {
    // It writes outside of memories: in a process of its own, whose end by a signal is as good.
    const CHILD: &str = "COFFERDAM_FUZZ_STORES_LANES";
    let features = FeatureSet::STANDARD.with(Proposal::Floats).with(Proposal::Simd).with(Proposal::MultiMemory);
    if std::env::var_os(CHILD).is_some() {
        let found = first_found(&pair(|assist| assist.lane_stores_in_two = false), features);
        return println!("case {:?}", found.map(|(index, _)| index));
    }
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child.args(["--exact", "a_fault_with_stores_of_lanes_is_found", "--nocapture"]).env(CHILD, "");
    let output = child.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{} {said}", output.status);
    assert!(output.status.signal().is_some() || said.contains("case Some"), "not found");
}
