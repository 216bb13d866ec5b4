//! [`Grants`]: the allow-list of imports. A name that is not on it is not linked, whatever the host has.

use std::collections::BTreeSet;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::host::agent::{self, Capability};

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

    /// What every agent has: to read what it is called with and to answer. What else an agent may do is added with
    /// [`Grants::capability`].
    #[must_use]
    pub fn agent() -> Self {
        Self::none().capability(Capability::Io)
    }

    /// Adds the functions of an agent's capability, and those of [`Capability::Io`] along with them.
    ///
    /// ```
    /// use cofferdam::host::agent::{Capability, MODULE};
    /// use cofferdam::policy::Grants;
    /// let grants = Grants::none().capability(Capability::Kv);
    /// assert!(grants.allows(MODULE, "kv_get") && grants.allows(MODULE, "input_read"));
    /// assert!(!grants.allows(MODULE, "send_message"));
    /// ```
    #[must_use]
    pub fn capability(self, capability: Capability) -> Self {
        capability.functions().iter().fold(self, |grants, name| grants.import(agent::MODULE, name))
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

    /// Whether `module` and `name` may be imported. Whoever may import anything of the agents' module may import
    /// [`Capability::Io`].
    #[must_use]
    pub fn allows(&self, module: &str, name: &str) -> bool {
        let io = module == agent::MODULE && Capability::of(name) == Some(Capability::Io);
        self.modules.contains(module) || self.names.iter().any(|(m, n)| m == module && (io || n == name))
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

    #[test]
    fn reading_and_writing_come_along_with_anything_an_agent_may_do() {
        let names: Vec<_> = Capability::ALL.iter().flat_map(|c| c.functions()).collect();
        for capability in Capability::ALL {
            let grants = Grants::none().capability(*capability);
            for name in &names {
                let owner = Capability::of(name).expect("each has one");
                let expected = owner == *capability || owner == Capability::Io;
                assert_eq!(grants.allows(agent::MODULE, name), expected, "{name} with {capability}");
            }
        }
        let one = Grants::none().import(agent::MODULE, "kv_get");
        assert!(one.allows(agent::MODULE, "input_len") && !one.allows(agent::MODULE, "kv_set"));
        assert!(!Grants::none().import("env", "kv_get").allows(agent::MODULE, "input_len"));
        assert!(!Grants::wasi().allows(agent::MODULE, "input_len") && !one.allows("env", "input_len"));
    }
}
