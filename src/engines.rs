//! The only place that knows which engines exist: from cargo features to names to [`Engine`] values.

use std::sync::Arc;

use cofferdam_engine::{Engine, mock::MockEngine};

type Make = fn() -> Arc<dyn Engine>;

/// Every engine of this build, the preferred one first.
const REGISTRY: &[(&str, Make)] = &[
    #[cfg(feature = "wasmer-cranelift")]
    ("wasmer-cranelift", || Arc::new(cofferdam_wasmer::WasmerEngine::cranelift())),
    #[cfg(feature = "wasmtime")]
    ("wasmtime", || Arc::new(cofferdam_wasmtime::WasmtimeEngine::new())),
    #[cfg(feature = "wasmi")]
    ("wasmi", || Arc::new(cofferdam_wasmi::WasmiEngine::eager())),
];

/// Engines that could be built in, with the cargo feature that does it.
const FEATURES: &[(&str, &str)] =
    &[("wasmer-cranelift", "wasmer-cranelift"), ("wasmtime", "wasmtime"), ("wasmi", "wasmi")];

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
    FEATURES.iter().map(|(_, feature)| *feature).collect()
}

/// Every engine of this build, the preferred one first.
#[must_use]
pub fn all() -> Vec<Arc<dyn Engine>> {
    REGISTRY.iter().map(|(_, make)| make()).collect()
}

/// The engine called `name`; `auto` is the preferred one of this build; `mock` runs no WebAssembly.
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
    match FEATURES.iter().find(|(known, _)| *known == name) {
        Some((name, feature)) => Err(UnknownEngine::NotBuilt { name, feature }),
        None => Err(UnknownEngine::Unknown { name: name.chars().take(64).collect(), available: names() }),
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
}
