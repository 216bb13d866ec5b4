//! [`Held`]: what one store holds in memories and tables, to the byte, and the caps on it.

use cofferdam_engine::StoreLimits;
use wasmi::ResourceLimiter;
use wasmi::errors::{MemoryError, TableError};
use wasmi_core::LimiterError;

/// Asked by Wasmi before anything is made or grows, a guest's own or the host's. What is made lives as long as
/// the store, so nothing is ever given back but what could not be made after all.
#[derive(Debug)]
pub(crate) struct Held {
    memory_cap: u64,
    element_cap: u64,
    pub memory: u64,
    pub peak: u64,
    pub elements: u64,
    pub refused: u64,
    /// What was charged last, should it not come to pass.
    last: u64,
    peak_before: u64,
}

impl Held {
    /// Nothing held yet, under the caps of `limits`.
    pub const fn new(limits: &StoreLimits) -> Self {
        Self {
            memory_cap: limits.memory_bytes,
            element_cap: limits.table_elements,
            memory: 0,
            peak: 0,
            elements: 0,
            refused: 0,
            last: 0,
            peak_before: 0,
        }
    }

    /// Nothing held again; what was refused stays counted.
    pub fn clear(&mut self) {
        (self.memory, self.elements, self.last) = (0, 0, 0);
    }

    /// Whether `bytes` and `elements` fit beside what is held.
    pub fn room_for_memory(&self, bytes: u64) -> bool {
        within(self.memory, bytes, self.memory_cap).is_some()
    }

    /// Whether `count` table elements fit beside what is held.
    pub fn room_for_elements(&self, count: u64) -> bool {
        within(self.elements, count, self.element_cap).is_some()
    }
}

fn within(now: u64, more: u64, cap: u64) -> Option<u64> {
    now.checked_add(more).filter(|sum| *sum <= cap)
}

/// Wasmi's word for a refusal by a limiter.
type Verdict<E> = Result<bool, E>;

impl ResourceLimiter for Held {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Verdict<LimiterError> {
        // The memory's own maximum was asked before.
        let more = (desired as u64).saturating_sub(current as u64);
        let Some(after) = within(self.memory, more, self.memory_cap) else {
            self.refused += 1;
            return Ok(false);
        };
        (self.memory, self.last, self.peak_before) = (after, more, self.peak);
        self.peak = self.peak.max(after);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: &MemoryError) -> Result<(), LimiterError> {
        self.memory -= std::mem::take(&mut self.last);
        self.peak = self.peak_before;
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Verdict<LimiterError> {
        if maximum.is_some_and(|most| desired > most) {
            // Refused by the table's own maximum, which Wasmi asks only afterwards: no cap's doing.
            return Ok(false);
        }
        let more = (desired as u64).saturating_sub(current as u64);
        let Some(after) = within(self.elements, more, self.element_cap) else {
            self.refused += 1;
            return Ok(false);
        };
        (self.elements, self.last) = (after, more);
        Ok(true)
    }

    fn table_grow_failed(&mut self, _: &TableError) -> Result<(), LimiterError> {
        self.elements -= std::mem::take(&mut self.last);
        Ok(())
    }

    // Memories and tables are bounded by the module's limits and by their sizes; instances by the store.
    fn instances(&self) -> usize {
        usize::MAX
    }

    fn tables(&self) -> usize {
        usize::MAX
    }

    fn memories(&self) -> usize {
        usize::MAX
    }
}
