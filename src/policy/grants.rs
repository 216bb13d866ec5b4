//! [`Grants`]: the allow-list of imports. A name that is not on it is not linked, whatever the host has.

use std::collections::BTreeSet;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a guest may import. Empty allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Grants {
    modules: BTreeSet<String>,
    names: BTreeSet<(String, String)>,
}

impl Grants {
    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// WASI preview 1. What it can reach is decided by its own configuration: no directory, variable or
    /// argument is there unless given.
    #[must_use]
    pub fn wasi() -> Self {
        Self::none().module(crate::host::wasi::MODULE)
    }

    /// Adds everything that the host has under `module`.
    #[must_use]
    pub fn module(mut self, module: &str) -> Self {
        self.modules.insert(module.to_owned());
        self
    }

    /// Adds one import.
    #[must_use]
    pub fn import(mut self, module: &str, name: &str) -> Self {
        self.names.insert((module.to_owned(), name.to_owned()));
        self
    }

    /// The modules of which everything may be imported.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.modules.iter().map(String::as_str)
    }

    /// The single imports, as module and name.
    pub fn imports(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().map(|(module, name)| (module.as_str(), name.as_str()))
    }

    /// Whether `module` and `name` may be imported.
    #[must_use]
    pub fn allows(&self, module: &str, name: &str) -> bool {
        self.modules.contains(module) || self.names.iter().any(|(m, n)| m == module && n == name)
    }
}

/// What happens to an import that nobody provides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownImports {
    /// The module is refused.
    #[default]
    Refuse,
    /// Functions are linked and end the guest when called; anything else is refused.
    Trap,
    /// Functions return zeros; globals are zero; memories and tables are as small as the module allows.
    Default,
}

impl FromStr for UnknownImports {
    type Err = &'static str;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "refuse" => Ok(Self::Refuse),
            "trap" => Ok(Self::Trap),
            "default" => Ok(Self::Default),
            _ => Err("unknown imports can be met with `refuse`, `trap` or `default`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_granted_is_allowed() {
        let grants = Grants::none().import("env", "log").module("clock");
        assert!(grants.allows("env", "log") && grants.allows("clock", "now"));
        assert!(!grants.allows("env", "abort") && !grants.allows("envlog", "") && !grants.allows("cloc", "know"));
        assert!(!Grants::none().allows("", ""));
    }
}
