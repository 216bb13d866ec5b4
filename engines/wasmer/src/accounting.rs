//! [`Accounting`]: what one store holds in memories and tables, to the byte, and the caps on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use cofferdam_engine::StoreLimits;

/// Shared by everything that allocates for one store. A store is driven by one thread at a time; the
/// counters are atomic only because Wasmer asks that a memory could be shared.
#[derive(Debug)]
pub(crate) struct Accounting {
    memory_cap: u64,
    element_cap: u64,
    memory: AtomicU64,
    peak: AtomicU64,
    elements: AtomicU64,
    refused: AtomicU64,
}

impl Accounting {
    /// Nothing held yet, under the caps of `limits`.
    pub fn new(limits: &StoreLimits) -> Arc<Self> {
        Arc::new(Self {
            memory_cap: limits.memory_bytes,
            element_cap: limits.table_elements,
            memory: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            elements: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Charges `bytes` of memory, or leaves everything as it is and says false.
    #[must_use]
    pub fn take_memory(&self, bytes: u64) -> bool {
        let Some(after) = add_within(&self.memory, bytes, self.memory_cap) else { return false };
        self.peak.fetch_max(after, Relaxed);
        true
    }

    /// Returns what [`Accounting::take_memory`] charged.
    pub fn return_memory(&self, bytes: u64) {
        self.memory.fetch_sub(bytes, Relaxed);
    }

    /// Charges `count` table elements, or leaves everything as it is and says false.
    #[must_use]
    pub fn take_elements(&self, count: u64) -> bool {
        add_within(&self.elements, count, self.element_cap).is_some()
    }

    /// Returns what [`Accounting::take_elements`] charged.
    pub fn return_elements(&self, count: u64) {
        self.elements.fetch_sub(count, Relaxed);
    }

    /// Counts a growth that a cap refused.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> u64 {
        self.memory.load(Relaxed)
    }

    /// The most bytes of memory held at any moment.
    pub fn peak(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    /// Table elements held.
    pub fn elements(&self) -> u64 {
        self.elements.load(Relaxed)
    }

    /// Growths refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}

fn add_within(counter: &AtomicU64, amount: u64, cap: u64) -> Option<u64> {
    let after = |now: u64| now.checked_add(amount).filter(|sum| *sum <= cap);
    counter.fetch_update(Relaxed, Relaxed, after).ok().and_then(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_itself_fits_and_one_more_does_not() {
        let limits = StoreLimits { memory_bytes: 10, table_elements: 3, ..StoreLimits::default() };
        let held = Accounting::new(&limits);
        assert!(held.take_memory(10) && !held.take_memory(1) && held.take_memory(0));
        held.return_memory(4);
        assert!(!held.take_memory(5) && !held.take_memory(u64::MAX) && held.take_memory(2));
        assert_eq!((held.memory(), held.peak()), (8, 10));
        assert!(held.take_elements(3) && !held.take_elements(1));
        held.return_elements(3);
        assert_eq!(held.elements(), 0);
    }
}
