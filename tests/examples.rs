//! Every program in `examples/` is run and says what its reader is told it says. `cargo test` builds them; with
//! `--test examples` alone, `cargo build --examples` must come first.
#![cfg(feature = "any-engine")]

use std::path::PathBuf;
use std::process::Command;

/// Beside the directory of this test's own executable.
fn directory() -> PathBuf {
    let mut path = std::env::current_exe().expect("it runs from somewhere");
    path.pop();
    path.pop();
    path.join("examples")
}

/// What the example prints.
fn run(name: &str) -> String {
    let program = directory().join(name);
    let output = Command::new(&program).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("COFFERDAM_ENGINE").output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}; `cargo build --examples` makes it", program.display()));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} ended with {}: {error}", output.status);
    String::from_utf8(output.stdout).expect("it prints text")
}

#[track_caller]
fn says(name: &str, lines: &[&str]) {
    let text = run(name);
    let mut rest = text.lines();
    for line in lines {
        assert!(rest.any(|said| said.starts_with(line)), "{name} does not say `{line}` in its turn:\n{text}");
    }
}

#[test]
fn embed() {
    says(
        "embed",
        &[
            "the greatest common divisor of 48 and 18 is 6",
            "Fibonacci number 90 is 2880067194370816120, for ",
            "1 / 0: integer division by zero",
            "  in checked_quotient",
            "  in divide",
        ],
    );
}

#[test]
fn host_function() {
    says("host_function", &["lie: memory access out of bounds", r#"logged: ["hello from the guest"]"#]);
}

#[test]
fn cancel() {
    says("cancel", &["first: its future was dropped, and it ended with it", "second: cancelled"]);
}

#[test]
fn choose_engine() {
    let names = cofferdam::engines::names().join(", ");
    let (has, runs) = (format!("this build has {names}"), format!("running on {}", cofferdam::engines::names()[0]));
    says("choose_engine", &[&has, &runs, "isqrt(1000000007) = 31622, for "]);
}

#[test]
fn custom_limits() {
    says(
        "custom_limits",
        &[
            "spin: fuel budget spent (raise it with `Limits::fuel`)",
            "spin: deadline passed (raise it with `Limits::timeout`)",
            "recurse: stack budget spent (raise it with `Limits::stack_units`)",
            "grow by 15 pages: 1, by one more: -1",
            "memory: 1048576 bytes, 1 growths refused",
        ],
    );
}

#[test]
fn stream() {
    says("stream", &[r#"it says "       3       8      39""#, "exit code 0"]);
}

#[test]
fn virtual_files() {
    says(
        "virtual_files",
        &[
            "       2       6      31 /in/poem.txt",
            "out.txt: 5 bytes",
            "poem.txt: 31 bytes",
            r#"out.txt says "made\n""#,
        ],
    );
}

#[test]
fn pipeline() {
    says(
        "pipeline",
        &[
            r#"words: {"numbers":[1,9,5,3,5,3,5,3,4,2,4]} for "#,
            r#"statistics: {"count":11,"max":9,"mean":4,"min":1,"sum":44} for "#,
            r#"scale: ".===|=====\n" for "#,
            "statistics of nothing: the arguments are refused: /numbers: ",
        ],
    );
}

#[test]
fn ping_pong() {
    says(
        "ping_pong",
        &[
            "ping says: done",
            "a ball took ",
            "ping got 10000 messages, sent 10000, used ",
            "pong got 10000 messages, sent 10000, used ",
        ],
    );
}

#[test]
fn auction() {
    // Ten offers, ten bids, and word to the winner.
    says("auction", &["auctioneer: sold to bidder-5 for 900", "bidder-5: it is mine for 900", "21 messages"]);
}

#[test]
fn three_engines() {
    let built = cofferdam::engines::names();
    let text = run("three_engines");
    let skipped = text.lines().filter(|line| line.starts_with("skipped: engine ")).count();
    assert_eq!(skipped, 3 - built.len(), "{text}");
    let letters: String = "abc".chars().take(built.len()).cycle().take(12).collect();
    assert!(text.lines().any(|line| line == letters), "{text}");
    // Each had as many messages as the others, and the last one logs in place of sending.
    assert_eq!(text.lines().filter(|line| line.starts_with("on-") && line.ends_with(" fuel")).count(), built.len());
}

#[test]
fn every_example_is_one_idea_and_is_run_here() {
    let here = include_str!("examples.rs");
    let examples = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).expect("it is there");
    for path in examples.map(|entry| entry.expect("it can be read").path()) {
        if path.extension().is_some_and(|e| e == "rs") {
            let name = path.file_stem().expect("it has one").to_string_lossy().into_owned();
            assert!(here.contains(&format!("fn {name}()")), "no test here runs `{name}`");
            let lines = std::fs::read_to_string(&path).expect("it can be read").lines().count();
            assert!((15..=48).contains(&lines), "{name} has {lines} lines: one idea fits in fewer");
        }
    }
}
