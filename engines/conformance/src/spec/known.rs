//! What the project's own engines are known not to pass, with the reason.

use std::ops::RangeInclusive;

use cofferdam_engine::FuelMode;

use super::suites::File;

/// Lines of a file that an engine is known to fail. The run fails when none of them does any more.
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

/// What the engines that the project has adapters for are known to fail.
pub const KNOWN: &[Known] = &[];
