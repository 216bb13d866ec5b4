//! Code under licences that restrict its use comes in by a feature of its own, and by no other way.

use std::process::Command;

/// Packages of a build with `features`, as `name version` and licence; without a licence's name, the licence is a text
/// of its own.
fn packages(features: &[&str]) -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--package", "cofferdam", "--edges", "normal,build"])
        .args(["--target", "all", "--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"])
        .args(["--features", &features.join(",")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("names are text");
    let mut packages: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once('|'))
        .map(|(package, licence)| (package.to_owned(), licence.to_owned()))
        .collect();
    packages.sort();
    packages.dedup();
    packages
}

/// Those of them that not everybody may use for everything.
fn restricted(features: &[&str]) -> Vec<String> {
    let packages = packages(features);
    assert!(packages.len() > 100, "{features:?}: the list is too short: {packages:?}");
    let names = packages.into_iter().filter(|(_, licence)| licence.is_empty() || licence.contains("BUSL"));
    names.map(|(package, _)| package.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn what_is_built_by_default_and_what_is_called_free_is_free() {
    for features in [&[][..], &["default"], &["all-free"], &["wasmer-cranelift", "wasmtime", "wasmi"]] {
        assert_eq!(restricted(features), [""; 0], "{features:?}");
    }
}

#[test]
fn singlepass_brings_itself_and_the_check_sees_it() {
    for features in [&["wasmer-singlepass"][..], &["all-free", "wasmer-singlepass"]] {
        assert_eq!(restricted(features), ["wasmer-compiler-singlepass"], "{features:?}");
    }
}
