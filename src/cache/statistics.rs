//! [`Statistics`]: what the disk cache did, in this process and in all that share it.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// How often the disk cache did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Statistics {
    /// Artefacts found and loaded.
    pub hits: u64,
    /// Refusals found, so that a module was refused without being read again.
    pub refusal_hits: u64,
    /// Looked for and not found, and therefore compiled.
    pub misses: u64,
    /// Artefacts and refusals stored.
    pub stored: u64,
    /// Files removed because others were used later and the directory was full.
    pub evicted: u64,
    /// Files that were damaged, forged or foreign and were set aside.
    pub set_aside: u64,
}

impl Statistics {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            hits: self.hits.saturating_add(other.hits),
            refusal_hits: self.refusal_hits.saturating_add(other.refusal_hits),
            misses: self.misses.saturating_add(other.misses),
            stored: self.stored.saturating_add(other.stored),
            evicted: self.evicted.saturating_add(other.evicted),
            set_aside: self.set_aside.saturating_add(other.set_aside),
        }
    }
}

/// The same, counted from many threads.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub hits: AtomicU64,
    pub refusal_hits: AtomicU64,
    pub misses: AtomicU64,
    pub stored: AtomicU64,
    pub evicted: AtomicU64,
    pub set_aside: AtomicU64,
}

impl Counters {
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    pub fn read(&self) -> Statistics {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            hits: of(&self.hits),
            refusal_hits: of(&self.refusal_hits),
            misses: of(&self.misses),
            stored: of(&self.stored),
            evicted: of(&self.evicted),
            set_aside: of(&self.set_aside),
        }
    }
}
