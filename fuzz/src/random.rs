//! Numbers from a seed: the same on every machine, so that a seed names a case.

use cofferdam_conformance::compare::SplitMix;

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Random(SplitMix);

impl Random {
    /// The stream of case `index` in the campaign of `seed`.
    #[must_use]
    pub fn of(seed: u64, index: u64) -> Self {
        let mut mixed = SplitMix(seed);
        let first = mixed.draw();
        Self(SplitMix(first ^ index.wrapping_mul(0xd605_1a31_9eb7_4e2d)))
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0.draw()
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw().checked_rem(end).unwrap_or(0)
    }

    /// An index below `end`; 0 if there is none.
    pub fn index(&mut self, end: usize) -> usize {
        self.below(end as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `items`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.index(items.len())]
    }

    /// A number of up to `bits` bits with as many small ones as large ones.
    pub fn spread(&mut self, bits: u64) -> u64 {
        let width = self.below(bits + 1);
        self.draw() & (1u64.checked_shl(width as u32).unwrap_or(0).wrapping_sub(1))
    }

    /// `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.draw().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}
