//! What a guest may do, said without any engine: the [`Level`] decides which proposals its module may
//! use, [`Limits`] how much it may consume, [`Grants`] what it may import, [`Determinism`] whether the
//! world looks the same in every run. [`mod@file`] is all of it written down. This room only describes;
//! `sandbox` enforces.

mod declare;
pub mod file;
mod grants;
mod limits;
pub mod units;
pub mod wasix;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cofferdam_engine::{Capabilities, FeatureSet, FuelMode, Proposal};
use cofferdam_prepare::Gate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cofferdam_prepare::ModuleLimits;
pub use declare::{
    Declaration, Given, MAX_DECLARATION_BYTES, Needs, SECTION as DECLARATION_SECTION, Unmet, WantedAccess, WantedDir,
};
pub use grants::{Grants, UnknownImports};
pub(crate) use limits::More;
pub use limits::{Fuel, Limits, MemoryBytes};
pub use wasix::WasixPermission;

/// A named set of proposals to start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The MVP, mutable globals, sign extension, saturating conversion, multi-value.
    Strict,
    /// Strict and bulk memory, reference types, extended constants: what compilers emit today.
    #[default]
    #[serde(alias = "default")]
    Standard,
    /// Standard and SIMD, tail calls, several memories, exceptions.
    Relaxed,
    /// Relaxed, with debug output.
    Development,
}

impl Level {
    /// Every level, tightest first.
    pub const ALL: &'static [Self] = &[Self::Strict, Self::Standard, Self::Relaxed, Self::Development];

    /// `strict`, `standard`, `relaxed` or `development`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Standard => "standard",
            Self::Relaxed => "relaxed",
            Self::Development => "development",
        }
    }

    /// The proposals that modules may use at this level.
    #[must_use]
    pub const fn features(self) -> FeatureSet {
        match self {
            Self::Strict => FeatureSet::STRICT,
            Self::Standard => FeatureSet::STANDARD,
            Self::Relaxed | Self::Development => FeatureSet::RELAXED,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A level name that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy levels are `strict`, `standard` (or `default`), `relaxed` and `development`")]
pub struct UnknownLevel;

impl FromStr for Level {
    type Err = UnknownLevel;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let s = if s == "default" { "standard" } else { s };
        Self::ALL.iter().copied().find(|l| l.name() == s).ok_or(UnknownLevel)
    }
}

/// Whether the guest's world is the same in every run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Determinism {
    /// Real clocks, real randomness, NaNs as the processor makes them.
    #[default]
    Off,
    /// Canonical NaNs, a virtual clock, randomness from this seed.
    Full {
        /// Where randomness starts.
        seed: u64,
    },
}

/// Everything that is decided about a guest before it is looked at.
///
/// ```
/// use cofferdam::policy::{Level, Limits, SecurityPolicy};
/// use cofferdam::Proposal;
/// let policy = SecurityPolicy::new(Level::Strict).allow(Proposal::Simd).limits(Limits::tool());
/// assert!(policy.features.has(Proposal::Simd) && !policy.features.has(Proposal::BulkMemory));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SecurityPolicy {
    /// The level it started from; named in refusals.
    pub level: Level,
    /// The proposals that modules may use.
    #[serde(serialize_with = "proposal_names")]
    pub features: FeatureSet,
    /// What a module may declare.
    #[serde(skip)]
    pub module_limits: ModuleLimits,
    /// How much a guest may use.
    pub limits: Limits,
    /// What a guest may import.
    pub grants: Grants,
    /// Guests are WASIX programs, with these permissions; `None`: they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wasix: Option<BTreeSet<WasixPermission>>,
    /// What happens to imports that nobody knows.
    pub unknown_imports: UnknownImports,
    /// Whether the guest's world is the same in every run.
    pub determinism: Determinism,
    /// Who counts fuel.
    pub fuel_mode: FuelMode,
}

fn proposal_names<S: serde::Serializer>(set: &FeatureSet, s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(set.iter().map(Proposal::name))
}

/// A requirement of a policy that an engine cannot meet. Found when the sandbox is built, never later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("engine `{engine}` cannot enforce {requirement}, which the policy requires")]
pub struct CannotEnforce {
    /// The engine's id.
    pub engine: &'static str,
    /// What it cannot do.
    pub requirement: &'static str,
}

impl SecurityPolicy {
    /// A policy at `level`: that level's proposals, [`Limits::agent`], no imports granted.
    #[must_use]
    pub fn new(level: Level) -> Self {
        Self {
            level,
            features: level.features(),
            module_limits: ModuleLimits::default(),
            limits: Limits::default(),
            grants: Grants::none(),
            wasix: None,
            unknown_imports: UnknownImports::default(),
            determinism: Determinism::default(),
            fuel_mode: FuelMode::default(),
        }
    }

    /// The level `standard`.
    #[must_use]
    pub fn standard() -> Self {
        Self::new(Level::Standard)
    }

    /// Lets modules use `proposal`.
    #[must_use]
    pub fn allow(mut self, proposal: Proposal) -> Self {
        self.features = self.features.with(proposal);
        self
    }

    /// Refuses modules that use `proposal`.
    #[must_use]
    pub fn deny(mut self, proposal: Proposal) -> Self {
        self.features = self.features.without(proposal);
        self
    }

    /// Sets how much a guest may use.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets what a module may declare.
    #[must_use]
    pub fn module_limits(mut self, limits: ModuleLimits) -> Self {
        self.module_limits = limits;
        self
    }

    /// Sets what a guest may import.
    #[must_use]
    pub fn grants(mut self, grants: Grants) -> Self {
        self.grants = grants;
        self
    }

    /// Sets what happens to imports that nobody knows.
    #[must_use]
    pub fn unknown_imports(mut self, unknown: UnknownImports) -> Self {
        self.unknown_imports = unknown;
        self
    }

    /// Sets whether the guest's world is the same in every run.
    #[must_use]
    pub fn determinism(mut self, determinism: Determinism) -> Self {
        self.determinism = determinism;
        self
    }

    /// Sets who counts fuel.
    #[must_use]
    pub fn fuel_mode(mut self, mode: FuelMode) -> Self {
        self.fuel_mode = mode;
        self
    }

    /// What `prepare` is told of it.
    #[must_use]
    pub fn gate(&self) -> Gate {
        Gate { features: self.features, level: Arc::from(self.level.name()), limits: self.module_limits.clone() }
    }

    /// Whether an engine with `capabilities` can enforce all of it.
    ///
    /// # Errors
    /// The first requirement that it cannot.
    pub fn check(&self, engine: &'static str, capabilities: &Capabilities) -> Result<(), CannotEnforce> {
        let determined = self.determinism != Determinism::Off;
        let relaxed_simd = determined && self.features.has(Proposal::RelaxedSimd);
        let requirements = [
            (capabilities.memory_cap, "the memory cap"),
            (capabilities.table_cap, "the table cap"),
            (capabilities.deadline || self.limits.timeout.is_none(), "the deadline"),
            (
                capabilities.fuel_modes.contains(&self.fuel_mode),
                match self.fuel_mode {
                    FuelMode::Portable => "portable fuel",
                    FuelMode::Native => "native fuel",
                },
            ),
            (
                capabilities.nan_canonicalisation || !determined || !self.features.has(Proposal::Floats),
                "canonical NaNs (determinism)",
            ),
            (
                self.module_limits.br_table_targets <= ModuleLimits::BR_TABLE_TARGETS,
                "more than 65,520 targets of one `br_table`",
            ),
            (!relaxed_simd, "determinism together with proposal `relaxed-simd`"),
            (!(determined && self.features.has(Proposal::Threads)), "determinism together with proposal `threads`"),
        ];
        let unmet = requirements.into_iter().find(|(met, _)| !met).map(|(_, requirement)| requirement);
        match unmet.or_else(|| self.wasix_unenforced(engine)) {
            Some(requirement) => Err(CannotEnforce { engine, requirement }),
            None => Ok(()),
        }
    }
}

impl Default for SecurityPolicy {
    fn default() -> Self {
        Self::standard()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_engine::{Engine, mock::MockEngine};

    #[test]
    fn levels_grow_and_are_named() {
        for pair in Level::ALL.windows(2) {
            assert!(pair[0].features().minus(pair[1].features()).is_empty(), "{} is not within {}", pair[0], pair[1]);
        }
        for level in Level::ALL {
            assert_eq!(level.name().parse::<Level>(), Ok(*level));
        }
        assert_eq!("default".parse::<Level>(), Ok(Level::Standard));
        assert!("lax".parse::<Level>().is_err());
        assert!(!Level::Strict.features().has(Proposal::Simd));
        assert!(!Level::Development.features().has(Proposal::Threads));
    }

    #[test]
    fn what_an_engine_cannot_enforce_is_named() {
        let lacks = |change: fn(&mut Capabilities)| MockEngine::new().with_capabilities(change);
        let policy = SecurityPolicy::standard().determinism(Determinism::Full { seed: 1 });
        let refused = |engine: MockEngine| {
            let d = engine.descriptor();
            policy.check(d.id, &d.capabilities).map_err(|e| e.to_string())
        };
        assert_eq!(refused(MockEngine::new()), Ok(()));
        for (engine, word) in [
            (lacks(|c| c.memory_cap = false), "memory cap"),
            (lacks(|c| c.table_cap = false), "table cap"),
            (lacks(|c| c.deadline = false), "deadline"),
            (lacks(|c| c.fuel_modes = &[]), "portable fuel"),
            (lacks(|c| c.nan_canonicalisation = false), "NaN"),
        ] {
            let message = refused(engine).expect_err(word);
            assert!(message.contains(word) && message.contains("`mock`"), "{message}");
        }
        let mut policy = SecurityPolicy::standard();
        assert!(policy.module_limits.set("br_table_targets", 65_521));
        let engine = MockEngine::new();
        let descriptor = engine.descriptor();
        let refused = policy.check(descriptor.id, &descriptor.capabilities).expect_err("no engine has tables so large");
        assert!(refused.to_string().contains("br_table"), "{refused}");
    }
}
