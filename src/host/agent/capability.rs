//! [`Capability`]: groups of functions under one name, as policies grant them.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an agent can be granted of [`MODULE`](super::MODULE). Each stands for the functions of
/// [`Capability::functions`]. [`Capability::Io`] comes along with any of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Capability {
    /// To read the input of a call and results, and to write output.
    Io,
    /// To write log lines.
    Log,
    /// To read the clock.
    Time,
    /// To have random bytes.
    Random,
    /// To keep bytes under keys, beyond its life.
    Kv,
    /// To send, receive and answer messages.
    Messages,
    /// To be called later.
    Timers,
    /// To call the tools that its configuration names.
    Tools,
}

impl Capability {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::Io, Self::Log, Self::Time, Self::Random, Self::Kv, Self::Messages, Self::Timers, Self::Tools];

    /// Its name in policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Log => "log",
            Self::Time => "time",
            Self::Random => "random",
            Self::Kv => "kv",
            Self::Messages => "messages",
            Self::Timers => "timers",
            Self::Tools => "tools",
        }
    }

    /// What a guest may do with it.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Io => "read what it is called with and answer",
            Self::Log => "write log lines",
            Self::Time => "read the agent's clock",
            Self::Random => "have random bytes",
            Self::Kv => "keep bytes beyond its life",
            Self::Messages => "send, receive and answer messages",
            Self::Timers => "be called later",
            Self::Tools => "call tools",
        }
    }

    /// The option of `cofferdam` that grants it.
    #[must_use]
    pub const fn option(self) -> &'static str {
        match self {
            Self::Io => "--grant cofferdam_v1.io",
            Self::Log => "--grant cofferdam_v1.log",
            Self::Time => "--grant cofferdam_v1.time",
            Self::Random => "--grant cofferdam_v1.random",
            Self::Kv => "--grant cofferdam_v1.kv",
            Self::Messages => "--grant cofferdam_v1.messages",
            Self::Timers => "--grant cofferdam_v1.timers",
            Self::Tools => "--grant cofferdam_v1.tools",
        }
    }

    /// The functions that it stands for.
    #[must_use]
    pub const fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Io => &["input_len", "input_read", "output_write", "result_read"],
            Self::Log => &["log"],
            Self::Time => &["get_time"],
            Self::Random => &["random"],
            Self::Kv => &["kv_get", "kv_set", "kv_delete", "kv_list"],
            Self::Messages => &[
                "send_message",
                "request",
                "receive_message",
                "message_from",
                "message_topic",
                "message_kind",
                "message_correlation",
                "reply",
            ],
            Self::Timers => &["set_timer"],
            Self::Tools => &["call_tool"],
        }
    }

    /// The one that `function` belongs to.
    #[must_use]
    pub fn of(function: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.functions().contains(&function))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A capability that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the capabilities of agents are `io`, `log`, `time`, `random`, `kv`, `messages`, `timers` and `tools`")]
pub struct UnknownCapability;

impl FromStr for Capability {
    type Err = UnknownCapability;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|c| c.name() == s).ok_or(UnknownCapability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_belongs_to_one_capability() {
        let imports = super::super::imports();
        for (_, name, _) in imports.iter() {
            assert_eq!(Capability::ALL.iter().filter(|c| c.functions().contains(&name)).count(), 1, "{name}");
        }
        for name in Capability::ALL.iter().flat_map(|c| c.functions()) {
            assert!(imports.get(super::super::MODULE, name).is_some(), "{name} is nowhere recorded");
        }
        for capability in Capability::ALL {
            assert_eq!(capability.name().parse(), Ok(*capability));
            let option = format!("--grant {}.{capability}", super::super::MODULE);
            assert_eq!(capability.option(), option);
            assert!(UnknownCapability.to_string().contains(&format!("`{capability}`")));
        }
        assert_eq!("clock".parse::<Capability>(), Err(UnknownCapability));
    }
}
