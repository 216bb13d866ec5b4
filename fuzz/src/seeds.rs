//! Real modules to start from: the guests in the tree, the programs of the comparison, and every row of the
//! conformance kit that is one module.

use std::sync::LazyLock;

use cofferdam_conformance::{Body, Step, rows};
use cofferdam_prepare::{ModuleLimits, recognise};

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../", $name)) as &[u8])),*]
    };
}

/// Files of the tree. The large ones stay out: they take long to compile and are changed in one place of thousands.
const FILES: &[(&str, &[u8])] = files![
    "examples/guests/agents/counter.wasm" "examples/guests/agents/echo.wasm" "examples/guests/agents/ping.wasm"
    "examples/guests/agents/pong.wasm" "examples/guests/kernels.wasm" "examples/guests/mathlib.wasm"
    "examples/guests/statistics.wasm"
    "engines/conformance/tests/programs/interpreter.wat" "engines/conformance/tests/programs/matrix.wat"
    "engines/conformance/tests/programs/sieve.wat" "engines/conformance/tests/programs/sorting.wat"
    "engines/conformance/tests/programs/tables.wat"
    "engines/prepare/tests/golden/branches.wat" "engines/prepare/tests/golden/bulk.wat"
    "engines/prepare/tests/golden/calls.wat" "engines/prepare/tests/golden/dead_code.wat"
    "engines/prepare/tests/golden/leaf.wat" "engines/prepare/tests/golden/long_bulk.wat"
    "engines/prepare/tests/golden/loops.wat" "engines/prepare/tests/golden/renumbered.wat"
    "engines/prepare/tests/golden/start.wat" "engines/prepare/tests/golden/tail_calls.wat"
    "tests/guests/hostile/memory_bulk_loop.wat" "tests/guests/hostile/memory_grow_loop.wat"
    "tests/guests/hostile/recurse_mutual.wat" "tests/guests/hostile/recurse_params.wat"
    "tests/guests/hostile/recurse_results.wat" "tests/guests/hostile/recurse_small.wat"
    "tests/guests/hostile/table_bulk.wat" "tests/guests/hostile/table_grow.wat" "tests/guests/hostile/trap_frames.wat"
    "tests/guests/hostile/traps.wat"
];

/// Longest module taken from a row.
const LONGEST_ROW: usize = 4_000;

/// Each by name, as binary.
#[must_use]
pub fn all() -> &'static [(String, Vec<u8>)] {
    static ALL: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
        let limits = ModuleLimits::default();
        let binary = |bytes: &[u8]| recognise(bytes, &limits).ok().map(|module| module.bytes().to_vec());
        let mut all: Vec<_> =
            FILES.iter().filter_map(|(name, bytes)| Some(((*name).to_owned(), binary(bytes)?))).collect();
        for row in rows() {
            let Body::Script(script) = &row.body else { continue };
            let single = !script.steps.iter().any(|(_, s)| matches!(s, Step::Instantiate { .. } | Step::Gate { .. }));
            if let (true, [(_, text)]) = (single, &*script.modules)
                && let Some(bytes) = binary(text.as_bytes()).filter(|bytes| bytes.len() < LONGEST_ROW)
            {
                all.push((row.name.clone(), bytes));
            }
        }
        all
    });
    &ALL
}
