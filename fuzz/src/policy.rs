//! The policy of a case: what the module may use, what it may consume, and how it is called.

use cofferdam_engine::{FeatureSet, Proposal, StoreLimits};
use serde::{Deserialize, Serialize};

use crate::random::Random;

/// What one case is run under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Proposals allowed, by name.
    pub features: Vec<Proposal>,
    /// Fuel of each call in the first run.
    pub fuel: u64,
    /// Further runs with smaller budgets for each call.
    pub rounds: u32,
    /// Cap on bytes of memory.
    pub memory_bytes: u64,
    /// Cap on table elements.
    pub table_elements: u64,
    /// Stack budget in units.
    pub stack_units: u32,
    /// Cap on host calls.
    pub host_calls: u64,
    /// Whether calls have a deadline, so that ticks read the clock. It is far off.
    pub deadline: bool,
    /// Whether calls share the processor through a scheduler.
    pub scheduler: bool,
    /// Whether the module also runs in native mode.
    pub native: bool,
    /// Seed of arguments and of smaller budgets.
    pub seed: u64,
}

impl Policy {
    /// A random one that allows at most `features`.
    #[must_use]
    pub fn random(random: &mut Random, features: FeatureSet) -> Self {
        let fuel = match random.below(10) {
            0 => random.below(64),
            1..4 => 1_000 + random.below(20_000),
            4..9 => 20_000 + random.below(80_000),
            // More than the first slice, so that guests tick.
            _ => 100_000 + random.below(900_000),
        };
        let memory_bytes = match random.below(4) {
            0 => random.below(8) << 16,
            1 => random.below(1 << 20),
            _ => 10 << 20,
        };
        let table_elements = if random.one_in(3) { random.below(300) } else { 100_000 };
        let stack_units = match random.below(4) {
            0 => random.below(2_000) as u32,
            1 => random.below(64 << 10) as u32,
            _ => 512 << 10,
        };
        Self {
            features: features.iter().collect(),
            fuel,
            rounds: random.below(4) as u32,
            memory_bytes,
            table_elements,
            stack_units,
            host_calls: if random.one_in(4) { random.below(40) } else { u64::MAX },
            deadline: random.one_in(2),
            scheduler: random.one_in(3),
            native: random.one_in(3),
            seed: random.draw(),
        }
    }

    /// Proposals allowed.
    #[must_use]
    pub fn features(&self) -> FeatureSet {
        self.features.iter().copied().collect()
    }

    /// Caps of the store.
    #[must_use]
    pub fn limits(&self) -> StoreLimits {
        StoreLimits {
            memory_bytes: self.memory_bytes,
            table_elements: self.table_elements,
            stack_units: self.stack_units,
            host_calls: self.host_calls,
            ..StoreLimits::default()
        }
    }
}
