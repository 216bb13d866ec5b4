//! What `prepare` writes: each module in `golden/` before, and after in both modes. `COFFERDAM_BLESS=1`
//! writes the expected files anew; read the difference before committing it, and think of the version.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use cofferdam_prepare::{Assist, FuelMode, Gate, ModuleLimits, PrepareOptions, PreparedModule, Proposal, recognise};

const CASES: &[&str] = &[
    "empty",
    "leaf",
    "branches",
    "loops",
    "calls",
    "tail_calls",
    "exceptions",
    "bulk",
    "bulk64",
    "long_bulk",
    "dead_code",
    "renumbered",
    "start",
    "start_import",
];

/// Cases that are also written for an engine that needs everything.
const ASSISTED: &[&str] = &["calls", "tail_calls", "bulk", "bulk64", "long_bulk"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn prepare(text: &str, mode: FuelMode, assist: Assist) -> PreparedModule {
    let limits = ModuleLimits::default();
    let gate = Gate { features: Proposal::ALL.iter().copied().collect(), level: "test".into(), limits };
    let module = recognise(text.as_bytes(), &gate.limits).expect("text");
    let module = cofferdam_prepare::validate(module, &gate).expect("valid");
    let prepared = cofferdam_prepare::prepare_for(module, &PrepareOptions { mode, canonical_nans: false }, assist);
    prepared.expect("preparable")
}

/// The module as text, and before it what only the adapters see.
fn print(module: &PreparedModule) -> String {
    let mut out = format!(";; {} fuel\n", module.mode());
    for (at, plan) in module.function_plans().iter().enumerate() {
        let _ =
            writeln!(out, ";; defined function {at}: entry {}, stack weight {}", plan.entry_price, plan.stack_weight);
    }
    out + &wasmprinter::print_bytes(module.bytes()).expect("printable") + "\n"
}

#[test]
fn modules_are_rewritten_as_expected() {
    let mut differing = Vec::new();
    for case in CASES {
        let before = fs::read_to_string(folder().join(format!("{case}.wat"))).expect("a case");
        let all = Assist { native_charges: true, divided_bulk: true, unreachable_apart: true, ..Assist::default() };
        let mut variants = vec![(FuelMode::Portable, Assist::default(), ""), (FuelMode::Native, Assist::default(), "")];
        if ASSISTED.contains(case) {
            variants.extend([(FuelMode::Portable, all, ".assisted"), (FuelMode::Native, all, ".assisted")]);
        }
        for (mode, assist, suffix) in variants {
            let module = prepare(&before, mode, assist);
            let features = wasmparser::WasmFeatures::all();
            wasmparser::Validator::new_with_features(features)
                .validate_all(module.bytes())
                .unwrap_or_else(|e| panic!("{case}, {mode}: {e}"));
            let after = print(&module);
            let path = folder().join(format!("{case}.{mode}{suffix}.wat"));
            if env::var_os("COFFERDAM_BLESS").is_some() {
                fs::write(&path, &after).expect("a writable folder");
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            if after != expected {
                differing.push(format!("--- {case}.{mode}{suffix}.wat, expected\n{expected}\n+++ written\n{after}"));
            }
        }
    }
    assert!(differing.is_empty(), "{}\nCOFFERDAM_BLESS=1 accepts the new files", differing.join("\n"));
}

#[test]
fn no_file_is_without_a_case() {
    for entry in fs::read_dir(folder()).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a plain name");
        let case = name.split('.').next().expect("a first part");
        assert!(CASES.contains(&case), "{name}");
    }
}
