//! [`Accounting`]: what one store holds in memories and tables, and the caps on it. Wasmtime asks it before
//! it makes or grows anything.

use cofferdam_engine::StoreLimits;
use wasmtime::ResourceLimiter;

/// Counts the sum over all memories and over all tables of one store.
#[derive(Clone, Debug)]
pub(crate) struct Accounting {
    memory_cap: u64,
    element_cap: u64,
    memory: u64,
    peak: u64,
    elements: u64,
    refused: u64,
}

impl Accounting {
    /// Nothing held yet, under the caps of `limits`.
    pub const fn new(limits: &StoreLimits) -> Self {
        Self {
            memory_cap: limits.memory_bytes,
            element_cap: limits.table_elements,
            memory: 0,
            peak: 0,
            elements: 0,
            refused: 0,
        }
    }

    /// Whether `bytes` of memory fit beside what is held.
    pub fn memory_fits(&self, bytes: u64) -> bool {
        self.memory.checked_add(bytes).is_some_and(|sum| sum <= self.memory_cap)
    }

    /// Whether `count` table elements fit beside what is held.
    pub fn elements_fit(&self, count: u64) -> bool {
        self.elements.checked_add(count).is_some_and(|sum| sum <= self.element_cap)
    }

    /// As at an earlier moment, after something that was to be made was not; the peak stays.
    pub fn go_back_to(&mut self, before: &Self) {
        (self.memory, self.elements) = (before.memory, before.elements);
    }

    /// Nothing held, as at first; the peak stays.
    pub fn forget(&mut self) {
        (self.memory, self.elements) = (0, 0);
    }

    /// Bytes of memory held.
    pub const fn memory(&self) -> u64 {
        self.memory
    }

    /// The most bytes of memory held at any moment.
    pub const fn peak(&self) -> u64 {
        self.peak
    }

    /// Table elements held.
    pub const fn elements(&self) -> u64 {
        self.elements
    }

    /// Growths that a cap refused.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn memory_grows(&mut self, by: u64) -> bool {
        if !self.memory_fits(by) {
            self.refused += 1;
            return false;
        }
        self.memory += by;
        self.peak = self.peak.max(self.memory);
        true
    }

    fn table_grows(&mut self, by: u64) -> bool {
        if !self.elements_fit(by) {
            self.refused += 1;
            return false;
        }
        self.elements += by;
        true
    }
}

/// What the guest's own maximum forbids is refused before the caps are asked: only what a cap refuses counts
/// as refused, and what was charged is then also made. The exception is a machine that has no memory left;
/// such a growth stays charged, because Wasmtime tells it in the same words as a growth it never asked about.
impl ResourceLimiter for Accounting {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = maximum.is_none_or(|most| desired <= most);
        Ok(allowed && self.memory_grows(desired.saturating_sub(current) as u64))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // Past its own maximum, or the largest that indices allow, is no cap's doing: counted on no engine.
        let allowed = maximum.is_none_or(|most| desired <= most);
        Ok(allowed && self.table_grows(desired.saturating_sub(current) as u64))
    }

    // Instances are capped by the store; how many memories and tables they have is the module's gate's matter.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_itself_fits_and_one_more_does_not() {
        let limits = StoreLimits { memory_bytes: 10, table_elements: 3, ..StoreLimits::default() };
        let mut held = Accounting::new(&limits);
        let mut grow = |from, to, most| held.memory_growing(from, to, most).expect("it never fails");
        assert!(grow(0, 6, None) && grow(0, 4, None) && !grow(4, 5, None) && grow(4, 4, None));
        assert!(!grow(4, 9, Some(8)) && !grow(0, usize::MAX, None));
        assert_eq!((held.memory(), held.peak(), held.refused()), (10, 10, 2), "a declared maximum is no cap");
        assert!(held.table_growing(0, 3, None).is_ok_and(|fits| fits));
        assert!(held.table_growing(3, 4, None).is_ok_and(|fits| !fits));
        assert_eq!((held.elements(), held.refused()), (3, 3));
    }

    #[test]
    fn going_back_keeps_the_peak() {
        let mut held = Accounting::new(&StoreLimits::default());
        let before = held.clone();
        assert!(held.memory_grows(7));
        held.go_back_to(&before);
        assert_eq!((held.memory(), held.peak()), (0, 7));
    }
}
