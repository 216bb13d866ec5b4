//! [`Declaration`]: what a module says that it needs, in a custom section or in a file beside it. It grants
//! nothing: a guest gets what is declared *and* granted, so a declaration can only make a policy tighter.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_engine::FeatureSet;
use cofferdam_prepare::{ModuleLimits, custom_sections, recognise};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{Format, LimitsPart, PolicyFileError, Problem, ProposalName, parse};
use super::{Grants, Limits, SecurityPolicy, units};
use crate::host::wasi::{Access, Preopen};
use crate::inspect::{option, quoted, shell};
use crate::sandbox::Printable;

/// Name of the custom section that holds a declaration, in TOML or JSON.
pub const SECTION: &str = "cofferdam.policy";
/// Largest declaration that is read, in bytes.
pub const MAX_DECLARATION_BYTES: usize = 64 << 10;
/// Stands for every name of an import module.
const EVERY_NAME: &str = "*";

/// What a module says that it needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Without these it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<Needs>,
    /// These it would like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<Needs>,
}

/// Things that a module needs. A key that is neither required nor optional leaves what was granted alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// Proposals beyond level `strict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<ProposalName>>,
    /// Amounts. Required ones are the least, optional ones the most that it makes use of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsPart>,
    /// Imports: names by module, `*` for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imports: Option<BTreeMap<String, Vec<String>>>,
    /// Directories, by the guest's names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirs: Option<Vec<WantedDir>>,
    /// Variables, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
}

/// A directory that a module needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedDir {
    /// The guest's name for it.
    pub guest: String,
    /// "ro" to look and read, "rw" for everything.
    pub access: WantedAccess,
}

/// What a module needs to do in a directory. Where the directory is, and whether what is written there lasts,
/// is for whoever gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WantedAccess {
    /// Look and read.
    Ro,
    /// Everything.
    Rw,
}

impl WantedAccess {
    const fn name(self) -> &'static str {
        match self {
            Self::Ro => "ro",
            Self::Rw => "rw",
        }
    }
}

impl From<WantedAccess> for Access {
    fn from(wanted: WantedAccess) -> Self {
        match wanted {
            WantedAccess::Ro => Self::ReadOnly,
            WantedAccess::Rw => Self::ReadWrite,
        }
    }
}

/// What a guest is given: what was granted, or what is left of it after a declaration.
#[derive(Clone, Debug)]
pub struct Given {
    /// The policy.
    pub policy: SecurityPolicy,
    /// Directories.
    pub dirs: Vec<Preopen>,
    /// Variables with their values.
    pub env: Vec<(String, String)>,
}

/// Something that a module requires and that was not granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("the module declares that it requires {what}, which is not granted; grant it with {}", words(options))]
pub struct Unmet {
    /// What.
    pub what: String,
    /// The options that grant it.
    pub options: Vec<String>,
    /// The line of a policy file that grants it.
    pub policy_line: String,
    /// Whether the options can be used as they are; else they have a word in capitals to be filled in.
    pub complete: bool,
}

/// Options as they are given to a shell.
fn words(options: &[String]) -> String {
    options.iter().map(|option| shell(option)).collect::<Vec<_>>().join(" ")
}

impl Declaration {
    /// Reads the declaration in `text`, TOML or JSON; `name` is named in errors.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_text(name: &str, text: &str) -> Result<Self, PolicyFileError> {
        let json = text.trim_start_matches('\u{feff}').trim_start().starts_with('{');
        Ok(parse(name, text, Some(if json { Format::Json } else { Format::Toml }))?)
    }

    /// The declaration in the custom section of a module, binary or text; `None` if there is none, or if the
    /// bytes are no module.
    ///
    /// # Errors
    /// A section that is too large, stands twice, or does not say what a declaration can.
    pub fn in_module(input: &[u8], limits: &ModuleLimits) -> Result<Option<Self>, PolicyFileError> {
        let Ok(module) = recognise(input, limits) else { return Ok(None) };
        let name = format!("custom section `{SECTION}`");
        let wrong = |message: &str| Err(vec![Problem::new(&name, "", message)].into());
        match custom_sections(module.bytes(), SECTION).as_slice() {
            [] => Ok(None),
            [one] if one.len() > MAX_DECLARATION_BYTES => {
                wrong(&format!("it has {} bytes; at most {MAX_DECLARATION_BYTES} are read", one.len()))
            }
            [one] => match std::str::from_utf8(one) {
                Ok(text) => Self::from_text(&name, text).map(Some),
                Err(_) => wrong("it is no UTF-8 text"),
            },
            many => wrong(&format!("there are {} of them; there can be one", many.len())),
        }
    }

    fn needs(&self) -> impl Iterator<Item = &Needs> {
        self.required.iter().chain(&self.optional)
    }

    /// What is left of `given`: the intersection with what is declared.
    ///
    /// # Errors
    /// Everything that is required and was not granted.
    pub fn within(&self, given: &Given) -> Result<Given, Vec<Unmet>> {
        let unmet = self.unmet(given);
        if !unmet.is_empty() {
            return Err(unmet);
        }
        let mut policy = given.policy.clone();
        if self.needs().any(|needs| needs.features.is_some()) {
            let declared: FeatureSet = self.needs().flat_map(|n| n.features.iter().flatten()).map(|p| p.0).collect();
            policy.features = policy.features.minus(policy.features.minus(FeatureSet::STRICT).minus(declared));
        }
        lower(&mut policy.limits, &self.most());
        if self.needs().any(|needs| needs.imports.is_some()) {
            policy.grants = self.imports_within(&policy.grants);
        }
        let mut dirs = given.dirs.clone();
        if self.needs().any(|needs| needs.dirs.is_some()) {
            dirs.retain_mut(|dir| {
                let wanted = self.needs().flat_map(|n| n.dirs.iter().flatten()).filter(|w| w.guest == dir.guest);
                let Some(most) = wanted.map(|w| w.access).max() else { return false };
                dir.access = dir.access.min(most.into());
                true
            });
        }
        let mut env = given.env.clone();
        if self.needs().any(|needs| needs.env.is_some()) {
            env.retain(|(name, _)| self.needs().any(|n| n.env.iter().flatten().any(|wanted| wanted == name)));
        }
        Ok(Given { policy, dirs, env })
    }

    /// For each limit the most that the module makes use of: what is optional, else what is required.
    fn most(&self) -> LimitsPart {
        let of = |needs: &Option<Needs>| needs.as_ref().and_then(|n| n.limits.clone()).unwrap_or_default();
        let (least, most) = (of(&self.required), of(&self.optional));
        LimitsPart {
            memory: most.memory.or(least.memory),
            fuel: most.fuel.or(least.fuel),
            timeout: most.timeout.or(least.timeout),
            stack: most.stack.or(least.stack),
            output: most.output.or(least.output),
            table_elements: most.table_elements.or(least.table_elements),
            host_calls: most.host_calls.or(least.host_calls),
            open_files: most.open_files.or(least.open_files),
            scratch: most.scratch.or(least.scratch),
            disk: most.disk.or(least.disk),
            message: most.message.or(least.message),
            instances: most.instances.or(least.instances),
        }
    }

    fn imports_within(&self, granted: &Grants) -> Grants {
        let mut grants = Grants::none();
        for (module, names) in self.needs().flat_map(|n| n.imports.iter().flatten()) {
            for name in names {
                if name == EVERY_NAME {
                    if granted.modules().any(|m| m == module) {
                        grants = grants.module(module);
                    }
                    for (module, name) in granted.imports().filter(|(m, _)| m == module) {
                        grants = grants.import(module, name);
                    }
                } else if granted.allows(module, name) {
                    grants = grants.import(module, name);
                }
            }
        }
        grants
    }

    /// `given` with everything granted that is required: what it would be after [`Declaration::unmet`] was
    /// met. For answering what would happen, never for running anything.
    #[must_use]
    pub(crate) fn granting(&self, given: &Given) -> Given {
        let mut granted = given.clone();
        let Some(required) = &self.required else { return granted };
        for proposal in required.features.iter().flatten() {
            granted.policy = granted.policy.allow(proposal.0);
        }
        if let Some(least) = &required.limits {
            raise(&mut granted.policy.limits, least);
        }
        for (module, names) in required.imports.iter().flatten() {
            for name in names {
                let grants = granted.policy.grants.clone();
                granted.policy.grants =
                    if name == EVERY_NAME { grants.module(module) } else { grants.import(module, name) };
            }
        }
        for dir in required.dirs.iter().flatten() {
            let access = dir.access.into();
            granted.dirs.push(Preopen { access, ..Preopen::read_write(".", dir.guest.as_str()) });
        }
        granted.env.extend(required.env.iter().flatten().map(|name| (name.clone(), String::new())));
        granted
    }

    /// Everything that is required and not in `given`.
    #[must_use]
    pub fn unmet(&self, given: &Given) -> Vec<Unmet> {
        let Some(required) = &self.required else { return Vec::new() };
        let mut unmet = Vec::new();
        let mut seen = BTreeSet::new();
        let mut miss = |what: String, options: Vec<String>, policy_line: String, complete: bool| {
            if seen.insert(policy_line.clone()) {
                unmet.push(Unmet { what, options, policy_line, complete });
            }
        };
        for proposal in required.features.iter().flatten().map(|p| p.0) {
            if !given.policy.features.has(proposal) {
                let line = format!("features.allow = [\"{proposal}\"]");
                miss(format!("proposal `{proposal}`"), option("--feature", proposal.name()), line, true);
            }
        }
        if let Some(limits) = &required.limits {
            for (name, flag, amount) in short(limits, &given.policy.limits) {
                let line = format!("limits.{name} = \"{amount}\"");
                if flag.is_empty() {
                    miss(format!("{name} of {amount}"), option("--policy-file", "FILE"), line, false);
                } else {
                    miss(format!("{name} of {amount}"), option(flag, &amount), line, true);
                }
            }
        }
        for (module, names) in required.imports.iter().flatten() {
            for name in names {
                let all = name == EVERY_NAME;
                let granted = if all {
                    given.policy.grants.modules().any(|m| m == module)
                } else {
                    given.policy.grants.allows(module, name)
                };
                if !granted {
                    let (text, grant) = if all {
                        (module.clone(), module.clone())
                    } else {
                        (format!("{module}.{name}"), format!("{module}#{name}"))
                    };
                    let line = if all {
                        format!("grants.modules = [{}]", quoted(module))
                    } else {
                        format!("grants.imports.{} = [{}]", quoted(module), quoted(name))
                    };
                    miss(format!("import `{}`", Printable::new(&text)), option("--grant", &grant), line, true);
                }
            }
        }
        for dir in required.dirs.iter().flatten() {
            let has = given.dirs.iter().any(|d| d.guest == dir.guest && d.access >= dir.access.into());
            if !has {
                let (guest, access) = (quoted(&dir.guest), dir.access.name());
                let line = format!("wasi.dirs = [{{ host = \"HOST\", guest = {guest}, access = \"{access}\" }}]");
                let what = format!("directory `{}` ({access})", Printable::new(&dir.guest));
                miss(what, option("--dir", &format!("HOST:{}:{access}", dir.guest)), line, false);
            }
        }
        for name in required.env.iter().flatten() {
            if !given.env.iter().any(|(given, _)| given == name) {
                let line = format!("wasi.env.{} = \"VALUE\"", quoted(name));
                let what = format!("variable `{}`", Printable::new(name));
                miss(what, option("--env", &format!("{name}=VALUE")), line, false);
            }
        }
        unmet
    }
}

/// Lowers `limits` to what `most` says.
fn lower(limits: &mut Limits, most: &LimitsPart) {
    limits.memory = most.memory.map_or(limits.memory, |v| limits.memory.min(v.0));
    limits.fuel = most.fuel.map_or(limits.fuel, |v| limits.fuel.min(v.0));
    if let Some(time) = most.timeout.and_then(|t| t.0) {
        limits.timeout = Some(limits.timeout.map_or(time, |granted| granted.min(time)));
    }
    limits.stack_units = most.stack.map_or(limits.stack_units, |v| limits.stack_units.min(v.0));
    limits.output = most.output.map_or(limits.output, |v| limits.output.min(v.0));
    limits.table_elements = most.table_elements.map_or(limits.table_elements, |v| limits.table_elements.min(v.0));
    limits.host_calls = most.host_calls.map_or(limits.host_calls, |v| limits.host_calls.min(v.0));
    limits.open_files = most.open_files.map_or(limits.open_files, |v| limits.open_files.min(v.0));
    limits.scratch = most.scratch.map_or(limits.scratch, |v| limits.scratch.min(v.0));
    limits.disk = most.disk.map_or(limits.disk, |v| limits.disk.min(v.0));
    limits.message = most.message.map_or(limits.message, |v| limits.message.min(v.0));
    limits.instances = most.instances.map_or(limits.instances, |v| limits.instances.min(v.0));
}

/// Raises `limits` to what `least` says.
fn raise(limits: &mut Limits, least: &LimitsPart) {
    limits.memory = least.memory.map_or(limits.memory, |v| limits.memory.max(v.0));
    limits.fuel = least.fuel.map_or(limits.fuel, |v| limits.fuel.max(v.0));
    if let Some(time) = least.timeout {
        limits.timeout = limits.timeout.and_then(|granted| time.0.map(|wanted| granted.max(wanted)));
    }
    limits.stack_units = least.stack.map_or(limits.stack_units, |v| limits.stack_units.max(v.0));
    limits.output = least.output.map_or(limits.output, |v| limits.output.max(v.0));
    limits.table_elements = least.table_elements.map_or(limits.table_elements, |v| limits.table_elements.max(v.0));
    limits.host_calls = least.host_calls.map_or(limits.host_calls, |v| limits.host_calls.max(v.0));
    limits.open_files = least.open_files.map_or(limits.open_files, |v| limits.open_files.max(v.0));
    limits.scratch = least.scratch.map_or(limits.scratch, |v| limits.scratch.max(v.0));
    limits.disk = least.disk.map_or(limits.disk, |v| limits.disk.max(v.0));
    limits.message = least.message.map_or(limits.message, |v| limits.message.max(v.0));
    limits.instances = least.instances.map_or(limits.instances, |v| limits.instances.max(v.0));
}

/// Limits of which `least` is more than what is granted: key, option, and the amount as it is written.
fn short(least: &LimitsPart, granted: &Limits) -> Vec<(&'static str, &'static str, String)> {
    let time = least.timeout.map(|t| t.0);
    let too_soon = |wanted: Option<std::time::Duration>| match (wanted, granted.timeout) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(wanted), Some(granted)) => wanted > granted,
    };
    let rows = [
        ("memory", "--memory", least.memory.filter(|v| v.0 > granted.memory).map(|v| units::show_memory(v.0))),
        ("fuel", "--fuel", least.fuel.filter(|v| v.0 > granted.fuel).map(|v| units::show_fuel(v.0))),
        ("timeout", "--timeout", time.filter(|t| too_soon(*t)).map(units::show_timeout)),
        ("stack", "--stack", least.stack.filter(|v| v.0 > granted.stack_units).map(|v| v.0.to_string())),
        ("output", "--output", least.output.filter(|v| v.0 > granted.output).map(|v| units::show_memory(v.0))),
        (
            "table_elements",
            "--table-elements",
            least.table_elements.filter(|v| v.0 > granted.table_elements).map(|v| units::show_count(v.0)),
        ),
        (
            "host_calls",
            "--host-calls",
            least.host_calls.filter(|v| v.0 > granted.host_calls).map(|v| units::show_count(v.0)),
        ),
        ("open_files", "--open-files", least.open_files.filter(|v| v.0 > granted.open_files).map(|v| v.0.to_string())),
        ("scratch", "--scratch", least.scratch.filter(|v| v.0 > granted.scratch).map(|v| units::show_memory(v.0))),
        ("disk", "--disk", least.disk.filter(|v| v.0 > granted.disk).map(|v| units::show_memory(v.0))),
        ("message", "", least.message.filter(|v| v.0 > granted.message).map(|v| units::show_memory(v.0))),
        ("instances", "", least.instances.filter(|v| v.0 > granted.instances).map(|v| v.0.to_string())),
    ];
    rows.into_iter().filter_map(|(key, option, amount)| Some((key, option, amount?))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use cofferdam_engine::Proposal;

    use super::super::file::{Count, FuelAmount, Size, Time};
    use super::super::{Fuel, MemoryBytes};
    use super::*;
    use crate::host::wasi;

    fn limits() -> impl Strategy<Value = LimitsPart> {
        let some = || proptest::option::of(any::<u64>());
        (some(), some(), proptest::option::of(proptest::option::of(0u64..100)), some()).prop_map(
            |(memory, fuel, time, calls)| LimitsPart {
                memory: memory.map(|n| Size(MemoryBytes::new(n))),
                fuel: fuel.map(|n| FuelAmount(Fuel::new(n))),
                timeout: time.map(|t| Time(t.map(std::time::Duration::from_secs))),
                host_calls: calls.map(Count),
                ..LimitsPart::default()
            },
        )
    }

    fn needs() -> impl Strategy<Value = Option<Needs>> {
        let features = proptest::option::of(proptest::sample::subsequence(Proposal::ALL.to_vec(), 0..8));
        let dirs = proptest::option::of(Just(vec![WantedDir { guest: "/a".into(), access: WantedAccess::Rw }]));
        let names = prop_oneof![Just("*".to_owned()), Just("fd_write".to_owned()), Just("log".to_owned())];
        let imports = proptest::option::of((prop_oneof![Just(wasi::MODULE), Just("env")], names));
        let needs = (features, limits(), imports, dirs).prop_map(|(features, limits, imports, dirs)| Needs {
            features: features.map(|list| list.into_iter().map(ProposalName).collect()),
            limits: Some(limits),
            imports: imports.map(|(module, name)| BTreeMap::from([(module.to_owned(), vec![name])])),
            dirs,
            env: None,
        });
        proptest::option::of(needs)
    }

    proptest! {
        /// Whatever a module declares, it gets nothing that was not granted.
        #[test]
        fn nothing_is_gained_by_declaring(required in needs(), optional in needs(), wide in any::<bool>()) {
            let mut policy = SecurityPolicy::standard().grants(Grants::none().import("env", "log"));
            if wide {
                policy = policy.grants(Grants::wasi()).limits(Limits::tool());
            }
            let dirs = vec![Preopen::read_only(".", "/a"), Preopen::read_only(".", "/b")];
            let given = Given { policy, dirs, env: vec![("A".into(), "1".into())] };
            let declaration = Declaration { required, optional };
            let Ok(left) = declaration.within(&given) else {
                prop_assert!(!declaration.unmet(&given).is_empty());
                return Ok(());
            };
            prop_assert!(left.policy.features.minus(given.policy.features).is_empty());
            let (now, before) = (&left.policy.limits, &given.policy.limits);
            prop_assert!(now.memory <= before.memory && now.fuel <= before.fuel && now.host_calls <= before.host_calls);
            prop_assert!(now.timeout.is_some() && now.timeout <= before.timeout);
            for (module, name) in [(wasi::MODULE, "fd_write"), (wasi::MODULE, "fd_read"), ("env", "log"), ("env", "*")] {
                prop_assert!(!left.policy.grants.allows(module, name) || given.policy.grants.allows(module, name));
            }
            prop_assert!(left.dirs.iter().all(|dir| dir.access == Access::ReadOnly) && left.dirs.len() <= 2);
            // What is asked for is granted at the second time of asking, if it was granted in full.
            prop_assert!(declaration.within(&declaration.granting(&given)).is_ok());
        }

        /// No section makes the reader panic.
        #[test]
        fn no_declaration_panics(text in ".{0,120}") {
            let _ = Declaration::from_text("d", &text);
        }
    }
}
