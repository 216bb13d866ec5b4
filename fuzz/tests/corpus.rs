//! What was once found stays mended, and a short run finds nothing new.

use std::path::Path;
use std::time::{Duration, Instant};

use cofferdam_fuzz::case::Case;
use cofferdam_fuzz::differ::{Ends, check};
use cofferdam_fuzz::{engines, random::Random};

/// How long the short run takes; `COFFERDAM_FUZZ_SECONDS` says otherwise.
const SECONDS: u64 = 20;

fn all() -> Vec<std::sync::Arc<dyn cofferdam_engine::Engine>> {
    engines::DEFAULT.iter().map(|name| engines::by_name(name).expect("it is built in")).collect()
}

#[test]
fn kept_cases_show_no_difference() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let entries = std::fs::read_dir(folder).expect("the corpus is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "json"));
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    let engines = all();
    for file in files {
        let verdict = check(&engines, &Case::read(&file).expect("a case"));
        assert_eq!(verdict.finding, None, "{}", file.display());
        assert_eq!(verdict.refused, None, "{}", file.display());
        assert!(!verdict.engines.is_empty(), "{} runs nowhere: {:?}", file.display(), verdict.cannot);
    }
}

#[test]
fn a_short_run_finds_nothing() {
    let seconds = std::env::var("COFFERDAM_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(SECONDS);
    let engines = all();
    let features = engines::shared_features(&engines);
    // The seed is the same every time, so that a failure here is somebody's change and not chance.
    let seed = 2026;
    let (mut ends, mut compared, mut native) = (Ends::default(), 0, 0);
    let began = Instant::now();
    for index in (0..).take_while(|_| began.elapsed() < Duration::from_secs(seconds)) {
        let Some(case) = Case::of(seed, index, features) else { continue };
        let verdict = check(&engines, &case);
        if let Some(found) = verdict.finding {
            panic!(
                "case {index} of seed {seed}, {}: {} and {}\n{}",
                found.what, found.first, found.second, found.detail
            );
        }
        ends.add(&verdict.ends);
        compared += u64::from(verdict.engines.len() > 1);
        native += verdict.native;
    }
    println!("{compared} modules compared, {native} native modes, {ends:?}");
    assert!(compared > 20 && native > 5, "{compared} compared, {native} native");
    assert!(ends.completed > 20 && ends.trapped > 10 && ends.fuel > 5, "{ends:?}");
}

#[test]
fn a_seed_and_a_number_name_one_case() {
    let features = engines::shared_features(&all());
    for index in 0..50 {
        assert_eq!(Case::of(1, index, features), Case::of(1, index, features));
    }
    assert_ne!(Random::of(1, 0).draw(), Random::of(1, 1).draw());
    assert_ne!(Random::of(1, 0).draw(), Random::of(2, 0).draw());
}
