//! Every hostile guest of `tests/guests`, every function of it: what traps, recurses, grows, floods and loops is
//! ended at the same point on every engine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use cofferdam::sandbox::LoadError;
use cofferdam::{Engine, ExternType, Sandbox, engines};
use cofferdam_conformance::compare::SplitMix;

use super::observe::{Loaded, Observed, Program, Run, difference, policy};
use super::programs::closed;

/// What endless ones are given.
const FUEL: u64 = 300_000;

/// Refused by one engine for what it alone cannot tell apart.
const OF_ONE_ENGINE: &[&str] = &[
    "signature_clash",
    "signature_clash_host",
    "signature_clash_linked_a",
    "signature_clash_linked_b",
    "signature_clash_tick",
];

fn files() -> Vec<(String, PathBuf)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/guests/hostile");
    let entries = std::fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it can be listed").path());
    let mut files: Vec<_> =
        entries.map(|path| (path.file_stem().expect("it has a name").to_string_lossy().into_owned(), path)).collect();
    files.sort();
    files
}

/// The engines that take a module: all but those that say by name which of its proposals they lack, or, with the same
/// reason from each, none.
fn takers(name: &str, module: &[u8], engines: &[Arc<dyn Engine>]) -> Vec<Arc<dyn Engine>> {
    let (mut takers, mut answers) = (Vec::new(), Vec::new());
    for engine in engines {
        let sandbox = Sandbox::builder(engine.clone()).policy(policy()).build().expect("the policy can be enforced");
        match sandbox.load(module) {
            Ok(_) => {
                takers.push(engine.clone());
                answers.push(None);
            }
            Err(LoadError::Lacks { .. }) => (),
            Err(refused) => answers.push(Some(refused.reason())),
        }
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{name}: {answers:?}");
    takers
}

/// Exported functions without parameters.
fn functions(module: &[u8], engine: &Arc<dyn Engine>) -> Vec<String> {
    let sandbox = Sandbox::builder(engine.clone()).policy(policy()).build().expect("the policy can be enforced");
    let module = sandbox.load(module).expect("it was loaded before");
    let exports = module.prepared().exports().iter();
    let plain = exports.filter(|e| matches!(&e.ty, ExternType::Func(Some(ty)) if ty.params().is_empty()));
    plain.map(|e| e.name.to_string()).collect()
}

#[test]
fn hostile_guests_end_at_the_same_point_on_every_engine() {
    let engines = engines::all();
    let mut random = SplitMix(4);
    let (mut runs, mut ends) = (0, BTreeMap::<_, u32>::new());
    for (name, path) in files() {
        let module = std::fs::read(path).expect("it can be read");
        if OF_ONE_ENGINE.contains(&&*name) {
            continue;
        }
        let takers = takers(&name, &module, &engines);
        let Some(first) = takers.first() else { continue };
        let exports = functions(&module, first);
        let program = Program { name, module, wasi: closed, script: |_| None, expect: |_| {}, fuel: FUEL };
        let loaded: Vec<_> = takers.iter().map(|engine| Loaded::new(engine, &program)).collect();
        let (first, others) = loaded.split_first().expect("this build has an engine");
        for export in exports {
            let call = |run: &mut Run| run.call(&export, &[]).map(drop);
            let full = first.try_run(FUEL, &call);
            let needed = full.as_ref().map_or(0, Observed::fuel);
            if let Ok(full) = &full {
                *ends.entry(full.ended().split(':').next().unwrap_or_default().to_owned()).or_default() += 1;
            }
            for budget in [FUEL, random.up_to(needed), random.up_to(needed)] {
                let expected = first.try_run(budget, &call);
                for other in others {
                    let found = other.try_run(budget, &call);
                    let what = match (&expected, &found) {
                        (Ok(expected), Ok(found)) => difference(expected, found),
                        (expected, found) => (expected != found).then(|| format!("{expected:?}\n{found:?}")),
                    };
                    if let Some(what) = what {
                        panic!("{} {export}: {first} and {other} differ at {budget}:\n{what}", program.name);
                    }
                }
                runs += 1;
            }
        }
    }
    let (trapped, stopped): (Vec<_>, Vec<_>) =
        ends.keys().filter(|k| !k.starts_with("completed")).partition(|k| k.starts_with("trapped"));
    assert!(runs > 300 && trapped.len() >= 8 && stopped.len() >= 3, "{runs} runs: {ends:?}");
}
