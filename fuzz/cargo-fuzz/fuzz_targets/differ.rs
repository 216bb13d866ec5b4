//! Eight bytes are the seed of a case, eight its number: every engine must agree about it.
#![no_main]

use std::sync::{Arc, LazyLock};

use cofferdam_fuzz::case::Case;
use cofferdam_fuzz::{differ, engines};

static ENGINES: LazyLock<Vec<Arc<dyn cofferdam_fuzz::Engine>>> =
    LazyLock::new(|| engines::DEFAULT.iter().filter_map(|name| engines::by_name(name).ok()).collect());

libfuzzer_sys::fuzz_target!(|numbers: (u64, u64)| {
    if let Some(case) = Case::of(numbers.0, numbers.1, engines::shared_features(&ENGINES)) {
        let found = differ::check(&ENGINES, &case).finding;
        assert!(found.is_none(), "{found:?}");
    }
});
