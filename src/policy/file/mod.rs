//! [`PolicyFile`]: a policy as a person writes it down, in TOML, JSON or YAML. Every key is optional; what is
//! left out stays as it is below: in the file that this one extends, or in the policy it is put [`over`].
//! The JSON Schema in `docs/policy.schema.json` is made from these types.
//!
//! [`over`]: PolicyFile::over

mod amounts;
mod apply;
mod layers;
mod problem;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use amounts::{Count, FuelAmount, FuelModeName, LimitName, ProposalName, Size, SmallCount, StackUnits, Time};
pub use layers::Layers;
pub use problem::{PolicyFileError, Problem, Problems};
pub(crate) use read::suggestion;
pub use read::{Format, MAX_FILE_BYTES, parse, parse_key, read_beside, read_text};

use super::{Level, UnknownImports, WasixPermission};
use crate::host::agent::Capability;
use crate::host::wasi::{Access, MemoryDir, Preopen, Source};

/// A policy as it is written in a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Cofferdam policy")]
pub struct PolicyFile {
    /// Where the schema of this file is, for editors.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Another policy file that this one changes; relative to this file. Keys override key by key, a list
    /// replaces a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<PathBuf>,
    /// The level that says which WebAssembly proposals a module may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Proposals beyond or below the level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<FeaturesPart>,
    /// How much a guest may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsPart>,
    /// How large a module may be: caps by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ModuleLimitsSchema>")]
    pub module_limits: Option<BTreeMap<LimitName, Count>>,
    /// What a guest may import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<GrantsPart>,
    /// What happens to imports that nobody provides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_imports: Option<UnknownImports>,
    /// Whether the guest's world is the same in every run: "off", or a seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub determinism: Option<DeterminismPart>,
    /// Who counts fuel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel_mode: Option<FuelModeName>,
    /// The engine to run on; "auto" for the first of the build that policy and module can run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// What the guest is given of WASI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasi: Option<WasiPart>,
}

/// Proposals beyond or below the level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeaturesPart {
    /// Proposals to allow beyond the level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<ProposalName>>,
    /// Proposals to refuse though the level allows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<Vec<ProposalName>>,
}

/// How much a guest may use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsPart {
    /// Bytes over all linear memories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Fuel of one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<FuelAmount>,
    /// Wall-clock time of one call, host functions included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Time>,
    /// Stack of one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<StackUnits>,
    /// Bytes written to stdout and stderr together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Size>,
    /// Elements over all tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_elements: Option<Count>,
    /// Calls of host functions over the life of an instance: of one run, or of an agent from `start` to `stop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_calls: Option<Count>,
    /// Files and directories open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<SmallCount>,
    /// Bytes of memory that directories in memory and overlays hold together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<Size>,
    /// Bytes written to directories of the host, over the guest's life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Size>,
    /// Bytes of one message or of one argument or result that goes in or out as bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Size>,
    /// Instances in the guest's store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<SmallCount>,
}

/// What a guest may import.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantsPart {
    /// Whether WASI preview 1 may be imported. What it reaches is decided under `wasi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasi: Option<bool>,
    /// Whether the guest is a WASIX program. Needs a build with the cargo feature `wasix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasix: Option<bool>,
    /// What a WASIX program may do beyond files and streams. None of these can be enforced at present, so naming one
    /// is an error when the program is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasix_permissions: Option<Vec<WasixPermission>>,
    /// What agents may do: any of "io", "log", "time", "random", "kv", "messages", "timers", "tools".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<Capability>>,
    /// Import modules of which everything that the host has may be imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules: Option<Vec<String>>,
    /// Single imports: names by module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imports: Option<BTreeMap<String, Vec<String>>>,
}

/// Whether the guest's world is the same in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeterminismPart {
    /// Real clocks and randomness.
    Off,
    /// Virtual clock, randomness from this seed, canonical NaNs.
    Seed(u64),
}

/// What the guest is given of WASI.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WasiPart {
    /// Directories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirs: Option<Vec<DirPart>>,
    /// Variables with their values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// Variables to pass on from the host's own environment, where they are set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_env: Option<Vec<String>>,
    /// Arguments, when the command line gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// Standard input: "inherit", "empty", or a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<StdinPart>,
}

/// A directory that the guest is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirPart {
    /// The directory on the host; relative to the file that says it. None for a directory in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<PathBuf>,
    /// The name by which the guest knows it.
    pub guest: String,
    /// "ro" to look and read, "rw" for everything, "overlay" for everything with changes in memory that the
    /// host never sees, "memory" for an empty directory in memory.
    pub access: AccessPart,
}

/// What a guest may do in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessPart {
    /// Look and read.
    Ro,
    /// Everything.
    Rw,
    /// Everything, with changes in memory.
    Overlay,
    /// Everything, in memory.
    Memory,
}

impl AccessPart {
    /// `ro`, `rw`, `overlay` or `memory`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ro => "ro",
            Self::Rw => "rw",
            Self::Overlay => "overlay",
            Self::Memory => "memory",
        }
    }
}

impl DirPart {
    /// The directory for a guest; `None` if it has a host directory and should have none, or the other way round.
    #[must_use]
    pub fn preopen(&self) -> Option<Preopen> {
        let guest = self.guest.as_str();
        match (&self.host, self.access) {
            (Some(host), AccessPart::Ro) => Some(Preopen::read_only(host, guest)),
            (Some(host), AccessPart::Rw) => Some(Preopen::read_write(host, guest)),
            (Some(host), AccessPart::Overlay) => Some(Preopen::overlay(host, guest)),
            (None, AccessPart::Memory) => Some(Preopen::memory(MemoryDir::new(), guest)),
            _ => None,
        }
    }
}

/// How a file would say it; files put into a directory in memory are left out.
impl From<&Preopen> for DirPart {
    fn from(preopen: &Preopen) -> Self {
        let (host, access) = match (&preopen.source, preopen.access) {
            (Source::Host(host), Access::ReadOnly) => (Some(host.clone()), AccessPart::Ro),
            (Source::Host(host), Access::ReadWrite) => (Some(host.clone()), AccessPart::Rw),
            (Source::Overlay(host), _) => (Some(host.clone()), AccessPart::Overlay),
            (Source::Memory(_), _) => (None, AccessPart::Memory),
        };
        Self { host, guest: preopen.guest.clone(), access }
    }
}

/// Where the guest's standard input comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StdinPart {
    /// The host's own.
    Inherit,
    /// At its end from the start.
    Empty,
    /// This file; relative to the file that says it.
    File(PathBuf),
}

/// The shape of `module_limits` for the schema: a map whose keys are known.
struct ModuleLimitsSchema;

impl JsonSchema for ModuleLimitsSchema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ModuleLimits".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let count = generator.subschema_for::<Count>();
        let properties: serde_json::Map<_, _> = cofferdam_prepare::ModuleLimits::ALL
            .iter()
            .map(|(name, unit)| {
                let mut property = count.clone();
                property.insert("description".to_owned(), format!("Most {unit}.").into());
                ((*name).to_owned(), property.into())
            })
            .collect();
        schemars::json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
    }
}

/// The JSON Schema of policy files, as pretty JSON with a line end.
#[must_use]
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(PolicyFile).to_value();
    // However the build keeps the order of keys, the text is the same.
    schema.sort_all_objects();
    format!("{schema:#}\n")
}
