//! [`CodeMap`]: from a place in the rewritten module back to the guest's own function and offset.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CodeMap {
    pub(crate) imported_functions: u32,
    /// Offset in the rewritten module of the first function body's size field.
    pub(crate) code_start: u32,
    /// Per defined function.
    pub(crate) bodies: Vec<BodyMap>,
    /// Names by original function index, ascending.
    pub(crate) names: Vec<(u32, Arc<str>)>,
}

/// The map of one function body. Offsets in the rewritten module count from `code_start`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct BodyMap {
    /// Where the body begins.
    pub start: u32,
    /// Its length.
    pub len: u32,
    /// Original offset of its first operator.
    pub first: u32,
    /// Events in order, three LEB128 numbers each; see [`BodyMapBuilder::operator`].
    #[serde(with = "serde_bytes")]
    pub events: Box<[u8]>,
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
        // Behind the guest's own functions stand helpers of ours.
        if original.checked_sub(self.imported_functions).is_some_and(|defined| defined as usize >= self.bodies.len()) {
            return None;
        }
        let offset = offset.and_then(|at| {
            let body = self.bodies.get(original.checked_sub(self.imported_functions)? as usize)?;
            body.original(at.checked_sub(self.code_start)?)
        });
        Some(Place { function: original, name: self.name(original), offset })
    }

    /// The name of original function `function`, if it has one.
    #[must_use]
    pub fn name(&self, function: u32) -> Option<Arc<str>> {
        let at = self.names.binary_search_by_key(&function, |(f, _)| *f).ok()?;
        Some(self.names[at].1.clone())
    }

    /// Bytes that the map keeps in memory, for cache weights.
    #[must_use]
    pub fn size(&self) -> usize {
        let events: usize = self.bodies.iter().map(|body| body.events.len()).sum();
        let names: usize = self.names.iter().map(|(_, name)| name.len() + 32).sum();
        size_of_val(&*self.bodies) + events + names
    }
}

impl BodyMap {
    /// Original offset of the operator at `at`. Injected code belongs to the operator it stands before.
    fn original(&self, at: u32) -> Option<u32> {
        let at = at.checked_sub(self.start).filter(|at| *at < self.len)?;
        let (mut new, mut old) = (0u32, self.first);
        let mut events = &*self.events;
        while let Some((copied, injected, original)) = next_event(&mut events) {
            let (injected, marker) = (injected >> 1, injected & 1 != 0);
            let injected_from = new.checked_add(copied)?;
            let next_new = injected_from.checked_add(injected)?;
            let next_old = old.checked_add(original)?;
            if at < injected_from {
                // Never into the next operator, should the last one have become longer. A marker stands
                // behind its own operator, so that one may be reached.
                let last = if marker { next_old } else { next_old.saturating_sub(1) };
                return Some(old.checked_add(at - new)?.min(last.max(old)));
            }
            if at < next_new {
                return Some(next_old);
            }
            (new, old) = (next_new, next_old);
        }
        old.checked_add(at - new)
    }
}

fn next_event(events: &mut &[u8]) -> Option<(u32, u32, u32)> {
    Some((read(events)?, read(events)?, read(events)?))
}

fn read(bytes: &mut &[u8]) -> Option<u32> {
    let (mut value, mut shift) = (0u32, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
        shift += 7;
    }
}

fn write(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

/// Makes a [`BodyMap`] while a body is written.
pub(crate) struct BodyMapBuilder {
    first: Option<u32>,
    /// Rewritten and original offset of the last event's operator.
    last: (u32, u32),
    events: Vec<u8>,
}

impl BodyMapBuilder {
    pub(crate) fn new() -> Self {
        Self { first: None, last: (0, 0), events: Vec::new() }
    }

    /// The operator at `original` in the module that came in is at `rewritten` in the new body; what stands
    /// from `injected_from` up to it was injected.
    ///
    /// An event is written only where the distance between the two changes: how far the last event's
    /// distance held, how many bytes were injected, how far on this operator is in the original.
    pub(crate) fn operator(&mut self, injected_from: u32, rewritten: u32, original: u32) {
        self.event(injected_from, rewritten, original, false);
    }

    /// What is injected at `rewritten` stands behind the operator at `original` and belongs to it.
    pub(crate) fn marker(&mut self, rewritten: u32, original: u32) {
        self.event(rewritten, rewritten, original, true);
    }

    fn event(&mut self, injected_from: u32, rewritten: u32, original: u32, marker: bool) {
        if self.first.is_none() {
            self.first = Some(original);
            self.last.1 = original;
        }
        let (new, old) = self.last;
        let moved = rewritten.saturating_sub(new);
        let was = original.saturating_sub(old);
        if injected_from == rewritten && moved == was {
            return;
        }
        write(&mut self.events, injected_from.saturating_sub(new));
        write(&mut self.events, rewritten.saturating_sub(injected_from) << 1 | u32::from(marker));
        write(&mut self.events, was);
        self.last = (rewritten, original);
    }

    pub(crate) fn finish(self, start: u32, len: u32) -> BodyMap {
        BodyMap { start, len, first: self.first.unwrap_or(0), events: self.events.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> CodeMap {
        let mut body = BodyMapBuilder::new();
        // Locals take 2 bytes, then 10 bytes are injected before the first operator.
        body.operator(2, 12, 100);
        body.operator(14, 14, 102);
        // This one became 3 bytes longer than its original.
        body.operator(20, 20, 105);
        // 5 bytes injected before this one.
        body.operator(22, 27, 107);
        CodeMap {
            imported_functions: 2,
            code_start: 1000,
            bodies: vec![body.finish(1, 30)],
            names: vec![(0, "host".into()), (2, "guest".into())],
        }
    }

    #[test]
    fn every_offset_maps_into_the_operator_it_belongs_to() {
        let map = map();
        let at = |offset: u32| map.place(3, Some(1001 + offset)).expect("a guest's function").offset;
        assert_eq!([0, 1, 2, 11, 12, 13].map(at), [100, 100, 100, 100, 100, 101].map(Some));
        assert_eq!([14, 15, 16, 17, 19, 20].map(at), [102, 103, 104, 104, 104, 105].map(Some));
        assert_eq!([21, 22, 26, 27, 28, 29].map(at), [106, 107, 107, 107, 108, 109].map(Some));
        assert_eq!([30, u32::MAX - 1001].map(at), [None, None]);
        assert_eq!(map.place(3, Some(1000)).expect("a guest's function").offset, None);
    }

    #[test]
    fn indices_shift_past_the_tick() {
        let map = map();
        let place = |f| map.place(f, None).map(|p| (p.function, p.name.as_deref().map(str::to_owned)));
        assert_eq!(place(0), Some((0, Some("host".into()))));
        assert_eq!(place(1), Some((1, None)));
        assert_eq!(place(2), None);
        assert_eq!(place(3), Some((2, Some("guest".into()))));
    }

    #[test]
    fn numbers_of_every_length_survive() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u32::MAX] {
            let mut bytes = Vec::new();
            write(&mut bytes, value);
            assert_eq!(read(&mut &*bytes), Some(value));
        }
        assert_eq!(read(&mut &[0x80u8, 0x80][..]), None);
    }
}
