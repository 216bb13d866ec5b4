//! What the project's own engines are known not to pass, with the reason.

use std::ops::RangeInclusive;

use cofferdam_engine::FuelMode;

use super::suites::File;

const WASMER: Option<&str> = Some("wasmer-cranelift");
const SINGLEPASS: Option<&str> = Some("wasmer-singlepass");

/// Lines of a file that an engine is known to fail. The run fails when none of them does any more: one entry for one
/// directive, but where a single cause takes the rest of a file with it.
#[derive(Clone, Debug)]
pub struct Known {
    /// The engine's id; `None` for all, when it is the gate's doing.
    pub engine: Option<&'static str>,
    /// In one fuel mode only.
    pub mode: Option<FuelMode>,
    /// The suite.
    pub suite: &'static str,
    /// The file.
    pub file: &'static str,
    /// Lines at which the directives begin that may fail.
    pub lines: RangeInclusive<usize>,
    /// Why: an issue of the engine's, as a rule.
    pub reason: &'static str,
}

impl Known {
    pub(super) fn is_about(&self, engine: &str, mode: FuelMode, file: &File) -> bool {
        self.engine.is_none_or(|e| e == engine)
            && self.mode.is_none_or(|m| m == mode)
            && self.suite == file.suite.name
            && self.file == file.name
    }

    pub(super) fn covers(&self, line: usize) -> bool {
        self.lines.contains(&line)
    }
}

/// One directive that `engine` fails in both modes.
const fn one(
    engine: Option<&'static str>,
    suite: &'static str,
    file: &'static str,
    line: usize,
    reason: &'static str,
) -> Known {
    Known { engine, mode: None, suite, file, lines: line..=line, reason }
}

/// Wasmi from `line` of a file on, where an instance failed that had written functions into another's table.
const fn left_behind(suite: &'static str, file: &'static str, line: usize) -> Known {
    Known { engine: Some("wasmi"), mode: None, suite, file, lines: line..=usize::MAX, reason: LEFT_BEHIND }
}

/// What bulk memory changed about segments that do not fit.
const ONE_BY_ONE: &str =
    "superseded: nothing was written if any segment did not fit; since bulk memory those before it are";
/// The end of a store of Wasmi's.
const LEFT_BEHIND: &str = "Wasmi 2.0.0 leaves functions of an instance that failed in the tables of others, and calling \
    one uses an instance that is not there; the adapter lets nothing run in that store any more";
/// What Wasmer's translator does not take.
const COMPUTED: &str =
    "Wasmer 7.4.2 does not compile element segments with `global.get` (wasmer issue 6534); the adapter refuses them";

/// What the engines that the project has adapters for are known to fail.
pub const KNOWN: &[Known] = &[
    one(None, "mutable-global", "linking.wast", 236, ONE_BY_ONE),
    one(None, "mutable-global", "linking.wast", 248, ONE_BY_ONE),
    one(None, "mutable-global", "linking.wast", 342, ONE_BY_ONE),
    one(None, "mutable-global", "linking.wast", 354, ONE_BY_ONE),
    one(
        None,
        "bulk-memory",
        "table-sub.wast",
        1,
        "the file uses typed function references, which came later and which level standard refuses by name",
    ),
    one(
        None,
        "reference-types",
        "unreached-invalid.wast",
        539,
        "superseded: unreachable code has operands of any type, so this `br_table` is valid since version 2.0",
    ),
    one(WASMER, "wasm-v2", "elem.wast", 683, COMPUTED),
    one(WASMER, "wasm-v2", "elem.wast", 693, COMPUTED),
    one(WASMER, "extended-const", "elem.wast", 692, COMPUTED),
    one(WASMER, "extended-const", "elem.wast", 702, COMPUTED),
    one(WASMER, "function-references", "elem.wast", 1042, COMPUTED),
    one(WASMER, "function-references", "elem.wast", 1052, COMPUTED),
    one(WASMER, "wasm-latest", "elem.wast", 1043, COMPUTED),
    one(WASMER, "wasm-latest", "elem.wast", 1053, COMPUTED),
    one(SINGLEPASS, "wasm-v2", "elem.wast", 683, COMPUTED),
    one(SINGLEPASS, "wasm-v2", "elem.wast", 693, COMPUTED),
    one(SINGLEPASS, "extended-const", "elem.wast", 692, COMPUTED),
    one(SINGLEPASS, "extended-const", "elem.wast", 702, COMPUTED),
    one(SINGLEPASS, "function-references", "elem.wast", 1042, COMPUTED),
    one(SINGLEPASS, "function-references", "elem.wast", 1052, COMPUTED),
    one(SINGLEPASS, "wasm-latest", "elem.wast", 1043, COMPUTED),
    one(SINGLEPASS, "wasm-latest", "elem.wast", 1053, COMPUTED),
    left_behind("wasm-v1", "linking.wast", 254),
    left_behind("mutable-global", "linking.wast", 236),
    left_behind("wasm-v2", "linking.wast", 275),
    left_behind("reference-types", "linking.wast", 275),
    left_behind("multi-memory", "linking0.wast", 42),
    left_behind("function-references", "linking.wast", 427),
    left_behind("wasm-latest", "linking.wast", 410),
];
