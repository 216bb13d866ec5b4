//! What `prepare` writes: each module in `golden/` before, and after in both modes. `COFFERDAM_BLESS=1`
//! writes the expected files anew; read the difference before committing it, and think of the version.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use cofferdam_prepare::{FuelMode, Gate, ModuleLimits, PrepareOptions, PreparedModule, Proposal, recognise};

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
    "dead_code",
    "renumbered",
    "start",
    "start_import",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn prepare(text: &str, mode: FuelMode) -> PreparedModule {
    let limits = ModuleLimits::default();
    let gate = Gate { features: Proposal::ALL.iter().copied().collect(), level: "test".into(), limits };
    let module = recognise(text.as_bytes(), &gate.limits).expect("text");
    let module = cofferdam_prepare::validate(module, &gate).expect("valid");
    let prepared = cofferdam_prepare::prepare(module, &PrepareOptions { mode, canonical_nans: false });
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
        for mode in [FuelMode::Portable, FuelMode::Native] {
            let module = prepare(&before, mode);
            let features = wasmparser::WasmFeatures::all();
            wasmparser::Validator::new_with_features(features)
                .validate_all(module.bytes())
                .unwrap_or_else(|e| panic!("{case}, {mode}: {e}"));
            let after = print(&module);
            let path = folder().join(format!("{case}.{mode}.wat"));
            if env::var_os("COFFERDAM_BLESS").is_some() {
                fs::write(&path, &after).expect("a writable folder");
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            if after != expected {
                differing.push(format!("--- {case}.{mode}.wat, expected\n{expected}\n+++ written\n{after}"));
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
