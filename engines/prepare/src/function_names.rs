//! Names of functions, for traps and messages: from the name section, or else the first export. Guests
//! write them, so they are capped, and a malformed section only means fewer names.

use std::sync::Arc;

use wasmparser::{ExternalKind, KnownCustom, Name, Parser, Payload};

use crate::code_map::MAX_NAME_BYTES;
use crate::refusal::capped;

/// The names in module `bytes`, by function index, ascending; for the first `functions` functions at most.
pub(crate) fn function_names(bytes: &[u8], functions: usize) -> Vec<(u32, Arc<str>)> {
    // One slot per function, because a section can name the same one any number of times.
    let mut slots: Vec<Option<(Source, Arc<str>)>> = vec![None; functions];
    visit(bytes, |index, name, source| {
        let Some(slot) = slots.get_mut(index as usize) else { return };
        if slot.as_ref().is_none_or(|(known, _)| source < *known) {
            *slot = Some((source, Arc::from(capped(name, MAX_NAME_BYTES))));
        }
    });
    (0..).zip(slots).filter_map(|(index, slot)| Some((index, slot?.1))).collect()
}

/// The name of one function, by the same rules; for refusals.
pub(crate) fn name_of(bytes: &[u8], function: u32) -> Option<Arc<str>> {
    let mut best: Option<(Source, Arc<str>)> = None;
    visit(bytes, |index, name, source| {
        if index == function && best.as_ref().is_none_or(|(known, _)| source < *known) {
            best = Some((source, Arc::from(capped(name, MAX_NAME_BYTES))));
        }
    });
    best.map(|(_, name)| name)
}

/// Where a name stands; the smaller one is preferred.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Source {
    NameSection,
    Export,
}

/// Calls `found` for every function name, and stops quietly at the first thing that cannot be read.
fn visit(bytes: &[u8], mut found: impl FnMut(u32, &str, Source)) {
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::ExportSection(exports)) => {
                for export in exports.into_iter().map_while(Result::ok) {
                    if export.kind == ExternalKind::Func {
                        found(export.index, export.name, Source::Export);
                    }
                }
            }
            Ok(Payload::CustomSection(custom)) => {
                let KnownCustom::Name(subsections) = custom.as_known() else { continue };
                for subsection in subsections.into_iter().map_while(Result::ok) {
                    let Name::Function(names) = subsection else { continue };
                    for naming in names.into_iter().map_while(Result::ok) {
                        found(naming.index, naming.name, Source::NameSection);
                    }
                }
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
