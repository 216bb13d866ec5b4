//! [`CodeMap`]: from a place in the rewritten module back to the guest's own function and offset.

use std::sync::Arc;

/// A place in the guest's own module: what a trap shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Function index in the original module.
    pub function: u32,
    /// Name of the function, from the name section or else its first export, capped in length.
    pub name: Option<Arc<str>>,
    /// Byte offset in the original module.
    pub offset: Option<u32>,
}

/// Longest function name kept, in bytes; the guest writes names, so they are cut and escaped before they are shown.
pub const MAX_NAME_BYTES: usize = 128;

/// The map kept beside a rewritten module.
#[derive(Clone, Debug, Default)]
pub struct CodeMap {
    pub(crate) imported_functions: u32,
    /// Per defined function, its pairs `(rewritten offset, original offset)`, ascending.
    pub(crate) functions: Vec<FunctionMap>,
    /// Names by original function index, ascending.
    pub(crate) names: Vec<(u32, Arc<str>)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FunctionMap {
    /// Runs of operators whose distance between rewritten and original offset is constant:
    /// `(first rewritten offset, original offset of that operator)`.
    pub runs: Vec<(u32, u32)>,
}

impl CodeMap {
    /// The original place of rewritten function `function` at rewritten module offset `offset`.
    /// `None` for functions that the guest does not have.
    #[must_use]
    pub fn place(&self, function: u32, offset: Option<u32>) -> Option<Place> {
        let original = match function.checked_sub(self.imported_functions) {
            None => function,
            // The injected tick stands directly after the guest's own function imports.
            Some(0) => return None,
            Some(_) => function - 1,
        };
        let offset = offset.and_then(|at| {
            let map = self.functions.get(original.checked_sub(self.imported_functions)? as usize)?;
            let run = map.runs.partition_point(|(from, _)| *from <= at).checked_sub(1)?;
            let (from, to) = map.runs[run];
            // Injected code stands directly before the operator it guards; it maps to that operator
            // because a new run starts where the injected code does.
            to.checked_add(at - from)
        });
        Some(Place { function: original, name: self.name(original), offset })
    }

    /// The name of original function `function`, if it has one.
    #[must_use]
    pub fn name(&self, function: u32) -> Option<Arc<str>> {
        let at = self.names.binary_search_by_key(&function, |(f, _)| *f).ok()?;
        Some(self.names[at].1.clone())
    }
}
