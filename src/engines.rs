//! The only place that knows which engines exist: from cargo features to names to [`Engine`] values. Which of them
//! `auto` picks is a rule of its own: [`auto_for`].

mod choice;

use std::fmt;
use std::sync::Arc;

use cofferdam_engine::{Capabilities, Engine, FeatureSet, FuelMode, Proposal, mock::MockEngine};

use crate::policy::SecurityPolicy;

pub(crate) use choice::proposals;
pub use choice::{Choice, NoEngine, PassedOver, WhyNot, auto_among, auto_for};

type Make = fn() -> Arc<dyn Engine>;

/// Every engine of this build, the preferred one first.
const REGISTRY: &[(&str, Make)] = &[
    #[cfg(feature = "wasmer-cranelift")]
    ("wasmer-cranelift", || Arc::new(cofferdam_wasmer::WasmerEngine::cranelift())),
    #[cfg(feature = "wasmtime")]
    ("wasmtime", || Arc::new(cofferdam_wasmtime::WasmtimeEngine::new())),
    #[cfg(feature = "wasmi")]
    ("wasmi", || Arc::new(cofferdam_wasmi::WasmiEngine::eager())),
    #[cfg(feature = "wasmer-singlepass")]
    ("wasmer-singlepass", || Arc::new(cofferdam_wasmer::WasmerEngine::singlepass())),
];

/// An engine that can be built in.
struct Known {
    name: &'static str,
    /// The cargo feature that does it.
    feature: &'static str,
    /// The proposals it runs: told here as well, for builds that leave it out.
    features: FeatureSet,
    /// Whether its licence grants everybody every use. What does not is built in and picked by name alone: `auto` takes
    /// it only where there is nothing else, and no message proposes to build it in.
    free: bool,
}

/// Engines that can be built in, the preferred one first; those that are not free at the end.
const KNOWN: &[Known] = &[
    Known {
        name: "wasmer-cranelift",
        feature: "wasmer-cranelift",
        features: COMMON.with(Proposal::MultiMemory).with(Proposal::WideArithmetic),
        free: true,
    },
    Known {
        name: "wasmtime",
        feature: "wasmtime",
        features: COMMON
            .with(Proposal::TailCalls)
            .with(Proposal::MultiMemory)
            .with(Proposal::Memory64)
            .with(Proposal::WideArithmetic)
            .with(Proposal::CustomPageSizes),
        free: true,
    },
    Known {
        name: "wasmi",
        feature: "wasmi",
        features: COMMON
            .with(Proposal::TailCalls)
            .with(Proposal::MultiMemory)
            .with(Proposal::WideArithmetic)
            .with(Proposal::CustomPageSizes),
        free: true,
    },
    Known {
        name: "wasmer-singlepass",
        feature: "wasmer-singlepass",
        features: FeatureSet::STANDARD.with(Proposal::MultiMemory),
        free: false,
    },
];

impl Known {
    /// What it can do: every engine that Cofferdam has enforces every limit.
    const fn capabilities(&self) -> Capabilities {
        Capabilities {
            features: self.features,
            fuel_modes: &[FuelMode::Portable, FuelMode::Native],
            memory_cap: true,
            table_cap: true,
            deadline: true,
            nan_canonicalisation: true,
            artefacts: true,
            linking: true,
            trap_frames: true,
        }
    }
}

/// What all that are free run.
const COMMON: FeatureSet = FeatureSet::STANDARD.with(Proposal::Simd).with(Proposal::RelaxedSimd);

/// There is no such engine in this build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownEngine {
    /// Nobody knows it.
    #[error("no engine is called `{name}`; this build has {}", list(.available))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names that would do.
        available: Vec<&'static str>,
    },
    /// It exists, and this build leaves it out.
    #[error("engine `{name}` is not in this build; build with `--features {feature}`")]
    NotBuilt {
        /// The name asked for.
        name: &'static str,
        /// The cargo feature that adds it.
        feature: &'static str,
    },
}

fn list(names: &[&'static str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The names of the engines of this build, the preferred one first.
#[must_use]
pub fn names() -> Vec<&'static str> {
    REGISTRY.iter().map(|(name, _)| *name).collect()
}

/// The cargo features that build an engine in.
#[must_use]
pub fn features() -> Vec<&'static str> {
    KNOWN.iter().map(|known| known.feature).collect()
}

/// The cargo feature that builds the engine called `name` in, if it is one that Cofferdam knows.
#[must_use]
pub fn feature_of(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.name == name).map(|known| known.feature)
}

/// The engines that `auto` picks among: those of this build whose licence grants everybody every use, and all if there
/// are none such.
pub(crate) fn for_auto() -> Vec<Arc<dyn Engine>> {
    let free = |name: &str| KNOWN.iter().any(|known| known.name == name && known.free);
    let any_free = names().into_iter().any(free);
    REGISTRY.iter().filter(|(name, _)| !any_free || free(name)).map(|(_, make)| make()).collect()
}

/// Every engine of this build, the preferred one first.
#[must_use]
pub fn all() -> Vec<Arc<dyn Engine>> {
    REGISTRY.iter().map(|(_, make)| make()).collect()
}

/// The engine called `name`; `auto` is the preferred one of this build, which is what [`auto_for`] picks where every
/// engine would do; `mock` runs no WebAssembly.
///
/// # Errors
/// No such engine in this build.
pub fn by_name(name: &str) -> Result<Arc<dyn Engine>, UnknownEngine> {
    let found = match name {
        "mock" => return Ok(Arc::new(MockEngine::new())),
        "auto" => REGISTRY.first(),
        _ => REGISTRY.iter().find(|(known, _)| *known == name),
    };
    if let Some((_, make)) = found {
        return Ok(make());
    }
    match KNOWN.iter().find(|known| known.name == name) {
        Some(known) => Err(UnknownEngine::NotBuilt { name: known.name, feature: known.feature }),
        None => Err(UnknownEngine::Unknown { name: name.chars().take(64).collect(), available: names() }),
    }
}

/// Who runs what one engine does not. Says so in words: which option or cargo feature brings it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Elsewhere {
    /// Engines of this build, the preferred one first.
    pub built: Vec<&'static str>,
    /// Engines that this build leaves out, with the cargo feature that adds each; only those under a free licence.
    pub not_built: Vec<(&'static str, &'static str)>,
}

/// The engines that can enforce `policy` and run the proposals of `used`.
#[must_use]
pub fn that_run(used: FeatureSet, policy: &SecurityPolicy) -> Elsewhere {
    let mut found = Elsewhere::default();
    let able = |known: &&Known| {
        used.minus(known.features).is_empty() && policy.check(known.name, &known.capabilities()).is_ok()
    };
    for known in KNOWN.iter().filter(able) {
        if names().contains(&known.name) {
            found.built.push(known.name);
        } else if known.free {
            found.not_built.push((known.name, known.feature));
        }
    }
    found
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |words: Vec<String>| words.join(" or ");
        if !self.built.is_empty() {
            let options = self.built.iter().map(|name| format!("`--engine {name}`")).collect();
            write!(f, "{} can", quoted(options))
        } else if !self.not_built.is_empty() {
            let features = self.not_built.iter().map(|(name, feature)| format!("`{name}` (`--features {feature}`)"));
            write!(f, "a build with {} can", quoted(features.collect()))
        } else {
            f.write_str("no engine that Cofferdam knows can")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_answers_to_its_own_name() {
        for name in names() {
            let engine = by_name(name).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(engine.descriptor().id, name);
        }
        let unknown = by_name("v9").map(drop).expect_err("there is none");
        assert!(unknown.to_string().contains("`v9`"), "{unknown}");
    }

    #[test]
    fn what_is_told_of_engines_is_what_they_say_themselves() {
        let known: Vec<_> = KNOWN.iter().map(|known| known.name).filter(|name| names().contains(name)).collect();
        assert_eq!(known, names(), "in the same order");
        for engine in all() {
            let descriptor = engine.descriptor();
            let known = KNOWN.iter().find(|known| known.name == descriptor.id).expect("it is known");
            let (told, said) = (known.capabilities(), &descriptor.capabilities);
            assert_eq!((told.features, told.fuel_modes), (said.features, said.fuel_modes), "{}", descriptor.id);
            let enforces = [said.memory_cap, said.table_cap, said.deadline, said.nan_canonicalisation];
            assert_eq!(enforces, [true; 4], "{}", descriptor.id);
        }
    }

    #[test]
    fn auto_takes_what_is_not_free_only_where_there_is_nothing_else() {
        let free: Vec<_> = names().into_iter().filter(|name| *name != "wasmer-singlepass").collect();
        let among: Vec<_> = for_auto().iter().map(|engine| engine.descriptor().id).collect();
        assert_eq!(among, if free.is_empty() { names() } else { free });
        assert!(KNOWN.is_sorted_by_key(|known| !known.free), "the first of a build is what `auto` alone means");
        let proposed = that_run(FeatureSet::STRICT, &SecurityPolicy::standard()).not_built;
        assert!(proposed.iter().all(|(name, _)| *name != "wasmer-singlepass"), "{proposed:?}");
    }

    #[test]
    fn who_else_runs_a_module_is_said_with_what_brings_it() {
        let policy = SecurityPolicy::standard();
        let memory64 = that_run(FeatureSet::STANDARD.with(Proposal::Memory64), &policy);
        if names().contains(&"wasmtime") {
            assert_eq!(memory64.to_string(), "`--engine wasmtime` can");
        } else {
            assert_eq!(memory64.to_string(), "a build with `wasmtime` (`--features wasmtime`) can");
        }
        let threads = that_run(FeatureSet::STANDARD.with(Proposal::Threads), &policy);
        assert_eq!(threads.to_string(), "no engine that Cofferdam knows can");
        let listed = Elsewhere { built: vec!["a", "b"], not_built: vec![("c", "d")] };
        assert_eq!(listed.to_string(), "`--engine a` or `--engine b` can");
    }
}
