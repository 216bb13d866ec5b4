//! Each fuzz target for a moment, and a control: a body that is wrong is found.

use std::time::Duration;

use cofferdam_fuzz::targets::{ALL, Target, by_name, run};

const MOMENT: Duration = Duration::from_secs(2);

#[test]
fn every_target_runs_and_finds_nothing() {
    for target in ALL {
        let (inputs, failure) = run(*target, 9, MOMENT);
        assert_eq!(failure, None, "{}", target.name);
        assert!(inputs > 10, "{}: {inputs} inputs", target.name);
        println!("{}: {inputs} inputs", target.name);
    }
}

#[test]
fn what_is_wrong_is_found() {
    let wrong = Target {
        name: "wrong",
        about: "",
        body: |data| assert!(!data.windows(2).any(|pair| pair == [0, 0]), "two zeros"),
        seeds: Vec::new,
    };
    let (_, failure) = run(wrong, 1, MOMENT * 10);
    assert_eq!(failure.map(|failure| failure.said).as_deref(), Some("two zeros"));
}

#[test]
fn every_target_has_one_for_cargo_fuzz() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("cargo-fuzz/fuzz_targets");
    for target in ALL {
        let file = folder.join(target.name.replace('-', "_")).with_extension("rs");
        assert!(file.exists(), "{} is missing", file.display());
        assert!(by_name(target.name).is_some());
    }
}
