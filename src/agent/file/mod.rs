//! [`AgentsFile`]: agents and tools as a person declares them, in TOML, JSON or YAML, for `cofferdam up` and for
//! whoever embeds the same. Policies in it have the keys of policy files. The JSON Schema in
//! `docs/agents.schema.json` is made from these types; [`Plan`] is what a file comes to.

mod places;
mod plan;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::id::{AgentName, NameError, Topic};
use crate::host::agent::LogLevel;
use crate::policy::file::{Count, PolicyFile, Size, SmallCount, Time};

pub use plan::{DeclaredAgent, DeclaredTool, Plan};
pub use read::AgentsFileError;

/// Agents and tools as they are written in a file. Paths are relative to the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Cofferdam agents")]
pub struct AgentsFile {
    /// Where the schema of this file is, for editors.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The directory in which agents' storage is kept. Without one it is in memory and ends with the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
    /// The file to which the audit log is appended. Without one there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<PathBuf>,
    /// What all of them may have together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostPart>,
    /// What the policy of every agent begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyFile>,
    /// The agents by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, AgentPart>")]
    pub agents: BTreeMap<AgentName, AgentPart>,
    /// Tools by name, for agents that may call them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, ToolPart>,
    /// The file's name, for messages.
    #[serde(skip)]
    pub(crate) name: String,
    /// The file's directory.
    #[serde(skip)]
    pub(crate) folder: PathBuf,
}

/// What all agents and tools may have together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostPart {
    /// Agents that may be deployed at once. Default 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_agents: Option<Count>,
    /// What all live guests together may come to take of the host's memory. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Guests that make progress at once. Default: one per core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_permits: Option<Count>,
    /// Dead letters that are kept. Default 1,024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<Count>,
}

/// One agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentPart {
    /// Its module, binary or text.
    pub module: PathBuf,
    /// Its policy, over the one that all agents begin with: the keys of a policy file, `extends` among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyFile>,
    /// What `init` is given: text, or a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigPart>,
    /// Whether it is started. Default true; one that is not can be started later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<bool>,
    /// Topics whose messages it gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub topics: Vec<Topic>,
    /// Topics to which it may send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub publish: Vec<Topic>,
    /// Agents to which it may send, by name; ["*"] for all. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub peers: Vec<PeerPart>,
    /// Tools that it may call, by name; ["*"] for all. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// How much may wait for it, and what happens to more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<MailboxPart>,
    /// What follows when it traps or is stopped by a limit: "fail", or `{ restart = 3 }`. Default "fail".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailurePart>,
    /// Violations that it may have; with one more it is ended. Default: however many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_violations: Option<Count>,
    /// Host calls answered with `FULL` or `TOO_LARGE` that it may have, full mailboxes of busy peers among them; with
    /// one more it is ended. Default: however many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cap_hits: Option<Count>,
    /// Timers that may be pending at once. Default 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timers: Option<SmallCount>,
    /// Requests that may wait for their replies at once. Default 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<SmallCount>,
    /// Calls from outside that may wait for it at once. Default 1,024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<SmallCount>,
    /// Fuel over all its calls, in the long run. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel_rate: Option<FuelRatePart>,
    /// Bytes that it may keep in storage. Default 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Size>,
    /// The least important log lines that are kept. Default "info".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevelPart>,
    /// How long it may go on with what is queued when it is stopped. Default 5 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Time>,
}

/// One tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolPart {
    /// Its module, binary or text.
    pub module: PathBuf,
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its policy: the keys of a policy file, `extends` and `wasi` among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyFile>,
    /// How the standard output of a WASI command becomes an answer. Default "auto".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerPart>,
}

/// What `init` is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "text, or a table with `file`")]
pub enum ConfigPart {
    /// This text.
    Text(String),
    /// The bytes of a file.
    File(ConfigFile),
}

/// A file with what `init` is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// The file.
    pub file: PathBuf,
}

/// One to whom an agent may send, or everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PeerPart {
    /// Everybody: `*`.
    All,
    /// The agent of this name.
    Only(AgentName),
}

impl TryFrom<String> for PeerPart {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        if text == ALL { Ok(Self::All) } else { Ok(Self::Only(text.parse()?)) }
    }
}

impl From<PeerPart> for String {
    fn from(peer: PeerPart) -> Self {
        match peer {
            PeerPart::All => ALL.to_owned(),
            PeerPart::Only(name) => name.into(),
        }
    }
}

/// In a list of names: all there are.
const ALL: &str = "*";

/// How much may wait for an agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MailboxPart {
    /// Messages. Default 1,024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<SmallCount>,
    /// Bytes of their bodies together. Default 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Size>,
    /// What happens to a message for which there is no room: "reject", "drop-oldest", or `{ block = "1s" }`.
    /// Default "reject".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_full: Option<WhenFullPart>,
}

/// What happens to a message for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFullPart {
    /// Its sender is refused at once.
    Reject,
    /// The oldest ones make room and become dead letters.
    DropOldest,
    /// Its sender waits so long, and is then refused.
    Block(Time),
}

/// What follows when an agent traps or is stopped by a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailurePart {
    /// It has failed.
    Fail,
    /// A new instance takes its place, so many times.
    Restart(SmallCount),
}

/// Fuel over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FuelRatePart {
    /// Fuel that is added each second.
    pub per_second: Count,
    /// The most that may be saved up. Default: that of one second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Count>,
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevelPart {
    /// Something failed.
    Error,
    /// Something is odd.
    Warn,
    /// What happens.
    Info,
    /// For those who look for a mistake.
    Debug,
    /// Everything.
    Trace,
}

impl From<LogLevelPart> for LogLevel {
    fn from(level: LogLevelPart) -> Self {
        match level {
            LogLevelPart::Error => Self::Error,
            LogLevelPart::Warn => Self::Warn,
            LogLevelPart::Info => Self::Info,
            LogLevelPart::Debug => Self::Debug,
            LogLevelPart::Trace => Self::Trace,
        }
    }
}

/// How the standard output of a command becomes an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnswerPart {
    /// JSON if it is JSON, else text.
    Auto,
    /// JSON, or the call has failed.
    Json,
    /// Always text.
    Text,
}

/// The JSON Schema of files that declare agents, as pretty JSON with a line end.
#[must_use]
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(AgentsFile).to_value();
    // However the build keeps the order of keys, the text is the same.
    schema.sort_all_objects();
    format!("{schema:#}\n")
}
