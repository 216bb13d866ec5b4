//! [`WasixPermission`]: what of WASIX stands behind a permission of its own, and why none can be given yet.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Determinism, SecurityPolicy};

/// The engine that runs WASIX programs.
pub const ENGINE: &str = "wasmer-cranelift";
/// Whether this build has WASIX.
pub const BUILT: bool = cfg!(feature = "wasix");
/// The module halves of WASIX's names, for 32-bit and 64-bit memories.
pub const MODULES: [&str; 2] = ["wasix_32v1", "wasix_64v1"];

/// Something that WASIX offers beyond one program with files. Denied unless given, and asking for one is an error
/// when the sandbox is built, as long as the guest's limits would not hold there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WasixPermission {
    /// Threads beside the first one.
    Threads,
    /// Other programs: fork, exec, spawn, join, signals to them, pipes.
    Processes,
    /// Sockets, name resolution and network interfaces.
    Sockets,
    /// Code and calls that are found while the program runs.
    DynamicLoading,
}

impl WasixPermission {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Threads, Self::Processes, Self::Sockets, Self::DynamicLoading];

    /// `threads`, `processes`, `sockets` or `dynamic-loading`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Processes => "processes",
            Self::Sockets => "sockets",
            Self::DynamicLoading => "dynamic-loading",
        }
    }

    /// What could not be enforced if it were given.
    #[must_use]
    pub const fn unenforced(self) -> &'static str {
        match self {
            Self::Threads => {
                "the limits under WASIX permission `threads` (a second thread would run outside of the guest's fuel, \
                 deadline and memory cap)"
            }
            Self::Processes => {
                "the limits under WASIX permission `processes` (another process would run outside of the guest's fuel, \
                 deadline and caps, and its module would not be checked)"
            }
            Self::Sockets => {
                "the limits under WASIX permission `sockets` (a socket's waits do not all end at the deadline, and its \
                 buffers have no cap)"
            }
            Self::DynamicLoading => {
                "the limits under WASIX permission `dynamic-loading` (a module that is loaded while the program runs \
                 would not be checked or metered)"
            }
        }
    }
}

impl fmt::Display for WasixPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A permission's name that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the WASIX permissions are `threads`, `processes`, `sockets` and `dynamic-loading`")]
pub struct UnknownPermission;

impl FromStr for WasixPermission {
    type Err = UnknownPermission;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|p| p.name() == s).ok_or(UnknownPermission)
    }
}

impl SecurityPolicy {
    /// Runs guests as WASIX programs, with these permissions beyond what every one of them has.
    #[must_use]
    pub fn wasix(mut self, permissions: impl IntoIterator<Item = WasixPermission>) -> Self {
        self.wasix = Some(permissions.into_iter().collect());
        self
    }

    /// The first thing about WASIX that `engine` cannot enforce, if there is one.
    pub(super) fn wasix_unenforced(&self, engine: &str) -> Option<&'static str> {
        let permissions = self.wasix.as_ref()?;
        if !BUILT {
            return Some("WASIX, which this build leaves out (build it with `--features wasix`)");
        }
        if engine != ENGINE {
            return Some("WASIX (only engine `wasmer-cranelift` can)");
        }
        if self.determinism != Determinism::Off {
            return Some("determinism together with WASIX");
        }
        permissions.iter().copied().chain(self.wasix_granted()).map(WasixPermission::unenforced).next()
    }

    /// Permissions that single grants would give.
    fn wasix_granted(&self) -> BTreeSet<WasixPermission> {
        let all = self.grants.modules().any(|module| MODULES.contains(&module));
        let whole = WasixPermission::ALL.iter().copied().filter(|_| all);
        // Preview 1 is granted as a whole, by all its names; what of it needs a permission is refused at the import.
        let own = self.grants.imports().filter(|(module, _)| MODULES.contains(module));
        let single = own.filter_map(|(module, name)| crate::host::wasix::needs(module, name));
        whole.chain(single).collect()
    }
}
