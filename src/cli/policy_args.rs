//! The options that make a policy, shared by every command that needs one, and how they are put over the
//! environment, the policy file, the user's configuration and the defaults, in this order.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cofferdam::engines::{self, NoEngine};
use cofferdam::host::wasi::{self, Preopen};
use cofferdam::policy::file::{
    Count, DeterminismPart, DirPart, FeaturesPart, FuelAmount, FuelModeName, GrantsPart, Layers, LimitName, LimitsPart,
    PolicyFile, PolicyFileError, Problems, ProposalName, Size, SmallCount, StackUnits, StdinPart, Time, WasiPart,
    parse_key, read_beside,
};
use cofferdam::policy::units::{self as amounts, Timeout};
use cofferdam::policy::{
    Declaration, Fuel, Given, Grants, Level, Limits, MAX_DECLARATION_BYTES, MemoryBytes, SecurityPolicy,
    UnknownImports, WasixPermission, wasix,
};
use cofferdam::{Engine, FuelMode, Proposal};
use cofferdam_prepare::{ModuleLimits, imports_from, recognise};

use super::config::UserConfig;
use super::report::Context;
use super::run::module_in;
use super::units::{self, Grant};

/// What a guest is given and how much it may use.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PolicyArgs {
    /// The engine to run on; `cofferdam engines` lists them. `auto` is the first of that list that can enforce the
    /// policy and runs every proposal that the module uses; --stats says which and why
    /// [env: COFFERDAM_ENGINE] [default: auto].
    #[arg(long, value_name = "NAME")]
    pub engine: Option<String>,

    /// Read the policy from this file (TOML, JSON or YAML); options override it key by key
    /// [env: COFFERDAM_POLICY_FILE].
    #[arg(long, value_name = "FILE", help_heading = "Permissions")]
    pub policy_file: Option<PathBuf>,

    /// Which WebAssembly proposals the module may use: strict, standard, relaxed or development
    /// [env: COFFERDAM_POLICY] [default: standard].
    #[arg(long, value_name = "LEVEL", help_heading = "Permissions")]
    pub policy: Option<Level>,

    /// Allow one more proposal than the policy does, such as `simd`. May be repeated.
    #[arg(long, value_name = "PROPOSAL", help_heading = "Permissions")]
    pub feature: Vec<Proposal>,

    /// Refuse a proposal that the policy allows. May be repeated.
    #[arg(long, value_name = "PROPOSAL", help_heading = "Permissions")]
    pub no_feature: Vec<Proposal>,

    /// Let the module import what the host has under MODULE, or one NAME of it. May be repeated. Of agents,
    /// `cofferdam_v1.kv` and the like grant a capability.
    #[arg(long, value_name = "MODULE[#NAME]", value_parser = units::grant, help_heading = "Permissions")]
    pub grant: Vec<Grant>,

    /// Do not let the module import WASI.
    #[arg(long, help_heading = "Permissions")]
    pub no_wasi: bool,

    /// Run the module as a program of this kind: preview1 or wasix. A module that imports `wasix_32v1` is run as
    /// wasix unless something else is said. Needs a build with `--features wasix` [default: preview1].
    #[arg(long, value_name = "KIND", help_heading = "Permissions")]
    pub wasi: Option<WasiKind>,

    /// Give a WASIX program a permission: threads, processes, sockets or dynamic-loading. At present each of them is
    /// refused at the start, because the guest's limits would not hold. May be repeated.
    #[arg(long, value_name = "PERMISSION", help_heading = "Permissions")]
    pub wasix: Vec<WasixPermission>,

    /// Give the guest a directory: to be changed, with `:ro` to be read, with `:overlay` to be read with
    /// changes in memory that vanish. May be repeated.
    #[arg(long, value_name = "HOST[:GUEST][:ro|:overlay]", value_parser = units::preopen, help_heading = "Permissions")]
    pub dir: Vec<Preopen>,

    /// Give the guest a directory in memory, empty at first, such as /tmp. May be repeated.
    #[arg(long, value_name = "GUEST", value_parser = units::tmpfs, help_heading = "Permissions")]
    pub tmpfs: Vec<Preopen>,

    /// Give the guest a variable: NAME=VALUE, or NAME to pass on your own. May be repeated.
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = units::variable, help_heading = "Permissions")]
    pub env: Vec<(String, String)>,

    /// Feed standard input from this file instead of our own.
    #[arg(long, value_name = "FILE", help_heading = "Permissions")]
    pub stdin: Option<PathBuf>,

    /// What to do about imports that nobody provides: refuse, trap or default [default: refuse].
    #[arg(long, value_name = "HOW", help_heading = "Permissions")]
    pub unknown_imports: Option<UnknownImports>,

    /// Take no notice of what the module declares that it needs.
    #[arg(long, help_heading = "Permissions")]
    pub ignore_declared: bool,

    /// Fuel for the run: a count such as 500k, 2M or unlimited [default: 50G, about 10 s of work].
    #[arg(long, value_parser = amounts::fuel, help_heading = "Limits")]
    pub fuel: Option<Fuel>,

    /// Who counts fuel: portable (the same number on every engine) or native (the engine's own meter)
    /// [default: portable].
    #[arg(long, value_name = "MODE", help_heading = "Limits")]
    pub fuel_mode: Option<FuelMode>,

    /// Linear memory: a size such as 10MiB [default: 64MiB].
    #[arg(long, value_name = "SIZE", value_parser = amounts::memory, help_heading = "Limits")]
    pub memory: Option<MemoryBytes>,

    /// Wall-clock time: a duration such as 500ms or 2m, plain seconds, or none [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = amounts::timeout, help_heading = "Limits")]
    pub timeout: Option<Timeout>,

    /// Stack, in units of about a byte [default: 512KiB].
    #[arg(long, value_name = "UNITS", value_parser = amounts::stack, help_heading = "Limits")]
    pub stack: Option<u32>,

    /// Bytes that the guest may write to stdout and stderr together [default: 64MiB].
    #[arg(long, value_name = "SIZE", value_parser = amounts::memory, help_heading = "Limits")]
    pub output: Option<MemoryBytes>,

    /// Bytes of a tool's arguments, and of a schema tool's answer [default: 64MiB].
    #[arg(long, value_name = "SIZE", value_parser = amounts::memory, help_heading = "Limits")]
    pub message: Option<MemoryBytes>,

    /// Elements over all tables [default: 100k].
    #[arg(long, value_name = "COUNT", value_parser = amounts::count, help_heading = "Limits")]
    pub table_elements: Option<u64>,

    /// Calls of host functions [default: bounded by fuel only].
    #[arg(long, value_name = "COUNT", value_parser = amounts::count, help_heading = "Limits")]
    pub host_calls: Option<u64>,

    /// Files and directories that the guest may hold open [default: 1024].
    #[arg(long, value_name = "COUNT", value_parser = units::small_count, help_heading = "Limits")]
    pub open_files: Option<u32>,

    /// Memory that directories in memory and overlays may hold together; above it writes fail with ENOSPC
    /// [default: 64MiB].
    #[arg(long, value_name = "SIZE", value_parser = amounts::memory, help_heading = "Limits")]
    pub scratch: Option<MemoryBytes>,

    /// Bytes that the guest may write to directories of the host; above it writes fail with ENOSPC
    /// [default: 1GiB].
    #[arg(long, value_name = "SIZE", value_parser = amounts::memory, help_heading = "Limits")]
    pub disk: Option<MemoryBytes>,

    /// Raise or lower what a module may declare: NAME=COUNT, such as nesting=10k. May be repeated.
    #[arg(long, value_name = "NAME=COUNT", value_parser = units::module_limit, help_heading = "Limits")]
    pub module_limit: Vec<(String, u64)>,

    /// Make the run repeatable: virtual clock, randomness from SEED, canonical NaNs.
    #[arg(long, value_name = "SEED")]
    pub deterministic: Option<u64>,

    /// The user's configuration [env: COFFERDAM_CONFIG] [default: cofferdam/config.toml in $XDG_CONFIG_HOME
    /// or ~/.config].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What kind of WASI program a module is run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WasiKind {
    /// WASI preview 1, by Cofferdam itself, on every engine.
    Preview1,
    /// WASIX, by the crate `wasmer-wasix`, on Wasmer.
    Wasix,
}

/// Environment variables that stand for one key of a policy.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("COFFERDAM_ENGINE", "engine"),
    ("COFFERDAM_POLICY", "level"),
    ("COFFERDAM_FUEL_MODE", "fuel_mode"),
    ("COFFERDAM_UNKNOWN_IMPORTS", "unknown_imports"),
    ("COFFERDAM_FUEL", "limits.fuel"),
    ("COFFERDAM_MEMORY", "limits.memory"),
    ("COFFERDAM_TIMEOUT", "limits.timeout"),
    ("COFFERDAM_STACK", "limits.stack"),
    ("COFFERDAM_OUTPUT", "limits.output"),
    ("COFFERDAM_MESSAGE", "limits.message"),
    ("COFFERDAM_TABLE_ELEMENTS", "limits.table_elements"),
    ("COFFERDAM_HOST_CALLS", "limits.host_calls"),
    ("COFFERDAM_OPEN_FILES", "limits.open_files"),
    ("COFFERDAM_SCRATCH", "limits.scratch"),
    ("COFFERDAM_DISK", "limits.disk"),
];

/// What an environment variable says; an empty one is one that is not set.
pub fn variable_set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The engine that is to be picked by what the module and the policy need.
pub const AUTO: &str = "auto";

/// An engine and why it was picked.
pub type Picked = (Arc<dyn Engine>, String);

/// What came of all that says something about the policy.
#[derive(Debug)]
pub struct Resolved {
    /// Every key, with who said it.
    pub layers: Layers,
    /// All of it as one file.
    pub file: PolicyFile,
    /// What it means for the sandbox.
    pub policy: SecurityPolicy,
    /// The user's configuration.
    pub config: UserConfig,
}

impl Resolved {
    /// The engine asked for; `auto` if none is.
    pub fn engine(&self) -> &str {
        self.file.engine.as_deref().unwrap_or(AUTO)
    }

    /// Fails if the engine asked for is not in this build: to be said before anything is read.
    pub fn engine_is_known(&self) -> anyhow::Result<()> {
        if self.engine() != AUTO {
            engines::by_name(self.engine())?;
        }
        Ok(())
    }

    /// The engine to run `file` on under `policy`, and why that one; or why there is none for what the module uses.
    pub fn pick(&self, policy: &SecurityPolicy, file: &[u8]) -> anyhow::Result<Result<Picked, NoEngine>> {
        if self.engine() != AUTO {
            return Ok(Ok((engines::by_name(self.engine())?, Context::NAMED.to_owned())));
        }
        match engines::auto_for(policy, Some(module_in(file))) {
            Ok(choice) => {
                let because = format!("auto: {choice}");
                Ok(Ok((choice.engine, because)))
            }
            Err(none) if none.is_about_the_module() => Ok(Err(none)),
            Err(none) => Err(none.into()),
        }
    }

    /// Makes the module in `file` a WASIX program if it imports WASIX, where nobody says what kind it is.
    pub fn find_wasix(&mut self, file: &[u8]) {
        let said = self.file.grants.as_ref().is_some_and(|grants| grants.wasix.is_some());
        let granted = self.policy.grants.modules().any(|module| module == wasi::MODULE);
        let [module, _] = wasix::MODULES;
        let imports = || {
            recognise(module_in(file), &self.policy.module_limits).is_ok_and(|file| imports_from(file.bytes(), module))
        };
        if wasix::BUILT && granted && !said && self.policy.wasix.is_none() && imports() {
            self.policy.wasix = Some(std::collections::BTreeSet::new());
        }
    }

    /// Everything that the guest is granted.
    pub fn given(&self) -> Given {
        Given { policy: self.policy.clone(), dirs: self.preopens(), env: self.env() }
    }

    /// Directories that the guest is given.
    fn preopens(&self) -> Vec<Preopen> {
        let dirs = self.file.wasi.iter().flat_map(|w| w.dirs.iter().flatten());
        dirs.filter_map(DirPart::preopen).collect()
    }

    /// Variables that the guest is given.
    fn env(&self) -> Vec<(String, String)> {
        let Some(wasi) = &self.file.wasi else { return Vec::new() };
        let passed = wasi.pass_env.iter().flatten().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
        passed.chain(wasi.env.iter().flatten().map(|(name, value)| (name.clone(), value.clone()))).collect()
    }
}

/// What the command does when nobody says anything.
pub fn defaults() -> SecurityPolicy {
    SecurityPolicy::standard().limits(Limits::tool()).grants(Grants::wasi())
}

impl PolicyArgs {
    /// Puts everything together.
    pub fn resolve(&self) -> anyhow::Result<Resolved> {
        let problem = |problem| anyhow::anyhow!("{}", Problems(vec![problem]));
        let config = UserConfig::find(self.config.as_deref())?;
        let mut layers = Layers::default();
        let default = PolicyFile { engine: Some("auto".into()), ..PolicyFile::describe(&defaults()) };
        layers.push("default", &default).map_err(problem)?;
        let configured =
            PolicyFile { engine: config.engine.clone(), limits: config.limits.clone(), ..PolicyFile::default() };
        layers.push(&config.name(), &configured).map_err(problem)?;
        if let Some(path) = self.policy_file(&config) {
            layers.push_layers(&PolicyFile::load_layers(&path)?);
        }
        for (variable, key) in ENVIRONMENT {
            let Some(value) = variable_set(variable) else { continue };
            let source = format!("environment variable {variable}");
            let policy = parse_key::<PolicyFile>(&source, key, &value.to_string_lossy())
                .map_err(|problems| anyhow::anyhow!("{}", Problems(problems)))?;
            layers.push(&source, &policy).map_err(problem)?;
        }
        let below = layers.policy().map_err(problem)?;
        layers.push("command line", &self.written(&below)?).map_err(problem)?;
        let file = layers.policy().map_err(problem)?;
        Ok(Resolved { policy: file.over(defaults()), layers, file, config })
    }

    /// The policy file that is in force.
    pub fn policy_file(&self, config: &UserConfig) -> Option<PathBuf> {
        let variable = || variable_set("COFFERDAM_POLICY_FILE").map(PathBuf::from);
        self.policy_file.clone().or_else(variable).or_else(|| config.policy_file.clone())
    }

    /// What `module` declares that it needs: in the file beside it, and in its custom section.
    pub fn declared(
        &self,
        path: &Path,
        module: &[u8],
        resolved: &Resolved,
    ) -> Result<Vec<Declaration>, PolicyFileError> {
        if self.ignore_declared {
            return Ok(Vec::new());
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(".policy.toml");
        let beside = PathBuf::from(beside);
        let mut declared = Vec::new();
        let text = read_beside(&beside, MAX_DECLARATION_BYTES as u64)
            .map_err(|error| PolicyFileError::Read { path: beside.clone(), error })?;
        if let Some(text) = text {
            declared.push(Declaration::from_text(&beside.display().to_string(), &text)?);
        }
        declared.extend(Declaration::in_module(module, &resolved.policy.module_limits)?);
        Ok(declared)
    }

    /// The options as a policy over `below`. Options that may be repeated add to its lists.
    fn written(&self, below: &PolicyFile) -> anyhow::Result<PolicyFile> {
        let limits = LimitsPart {
            memory: self.memory.map(Size),
            fuel: self.fuel.map(FuelAmount),
            timeout: self.timeout.map(|t| Time(t.0)),
            stack: self.stack.map(StackUnits),
            output: self.output.map(Size),
            table_elements: self.table_elements.map(Count),
            host_calls: self.host_calls.map(Count),
            open_files: self.open_files.map(SmallCount),
            scratch: self.scratch.map(Size),
            disk: self.disk.map(Size),
            message: self.message.map(Size),
            instances: None,
        };
        Ok(PolicyFile {
            engine: self.engine.clone(),
            level: self.policy,
            features: self.features(below)?,
            limits: Some(limits),
            module_limits: self.module_limits()?,
            grants: self.grants(below)?,
            unknown_imports: self.unknown_imports,
            determinism: self.deterministic.map(DeterminismPart::Seed),
            fuel_mode: self.fuel_mode.map(FuelModeName),
            wasi: Some(self.wasi(below)),
            ..PolicyFile::default()
        })
    }

    fn features(&self, below: &PolicyFile) -> anyhow::Result<Option<FeaturesPart>> {
        if let Some(both) = self.feature.iter().find(|p| self.no_feature.contains(p)) {
            anyhow::bail!("`--feature {both}` and `--no-feature {both}` contradict each other");
        }
        if self.feature.is_empty() && self.no_feature.is_empty() {
            return Ok(None);
        }
        let part = below.features.clone().unwrap_or_default();
        let list = |kept: Option<Vec<ProposalName>>, added: &[Proposal], taken: &[Proposal]| {
            let mut list: Vec<_> = kept.into_iter().flatten().filter(|p| !taken.contains(&p.0)).collect();
            list.extend(added.iter().copied().map(ProposalName));
            list.sort_unstable();
            list.dedup();
            Some(list)
        };
        Ok(Some(FeaturesPart {
            allow: list(part.allow, &self.feature, &self.no_feature),
            deny: list(part.deny, &self.no_feature, &self.feature),
        }))
    }

    fn module_limits(&self) -> anyhow::Result<Option<std::collections::BTreeMap<LimitName, Count>>> {
        let caps = self.module_limit.iter().map(|(name, cap)| {
            let known = ModuleLimits::ALL.iter().map(|(known, _)| *known).find(|known| known == name);
            known.map(|known| (LimitName(known), Count(*cap))).ok_or_else(|| {
                let all: Vec<_> = ModuleLimits::ALL.iter().map(|(name, _)| *name).collect();
                anyhow::anyhow!("there is no module limit `{name}`; there are {}", all.join(", "))
            })
        });
        let caps = caps.collect::<anyhow::Result<std::collections::BTreeMap<_, _>>>()?;
        Ok((!caps.is_empty()).then_some(caps))
    }

    fn grants(&self, below: &PolicyFile) -> anyhow::Result<Option<GrantsPart>> {
        let kept = below.grants.clone().unwrap_or_default();
        let wasix = match self.wasi {
            Some(kind) => Some(kind == WasiKind::Wasix),
            None => (!self.wasix.is_empty()).then_some(true),
        };
        anyhow::ensure!(
            wasix != Some(false) || self.wasix.is_empty(),
            "`--wasi preview1` and `--wasix {}` contradict each other",
            self.wasix.first().map_or("", |permission| permission.name())
        );
        let wasix_permissions = (!self.wasix.is_empty()).then(|| {
            let mut all = kept.wasix_permissions.clone().unwrap_or_default();
            all.extend(self.wasix.iter().copied());
            all.sort_unstable();
            all.dedup();
            all
        });
        if self.grant.is_empty() && !self.no_wasi {
            let asked = wasix.is_some() || wasix_permissions.is_some();
            return Ok(asked.then(|| GrantsPart { wasix, wasix_permissions, ..GrantsPart::default() }));
        }
        let mut modules = kept.modules.unwrap_or_default();
        let mut imports = kept.imports.unwrap_or_default();
        let mut with_wasi = self.no_wasi.then_some(false);
        let mut capabilities = kept.capabilities;
        for grant in &self.grant {
            let of_wasi = matches!(grant, Grant::Module(module) | Grant::Import(module, _) if module == wasi::MODULE);
            anyhow::ensure!(
                !(self.no_wasi && of_wasi),
                "`--no-wasi` and `--grant {}` contradict each other",
                wasi::MODULE
            );
            match grant {
                Grant::Import(module, name) => imports.entry(module.clone()).or_default().push(name.clone()),
                Grant::Module(_) if of_wasi => with_wasi = Some(true),
                Grant::Module(module) => modules.push(module.clone()),
                Grant::Capability(capability) => capabilities.get_or_insert_default().push(*capability),
            }
        }
        if self.no_wasi {
            modules.retain(|module| module != wasi::MODULE);
            // An empty list takes the place of what was granted below.
            imports.entry(wasi::MODULE.to_owned()).and_modify(Vec::clear);
        }
        Ok(Some(GrantsPart {
            wasi: with_wasi,
            wasix,
            wasix_permissions,
            modules: Some(modules),
            imports: Some(imports),
            capabilities,
        }))
    }

    fn wasi(&self, below: &PolicyFile) -> WasiPart {
        let mut part = WasiPart::default();
        let below = below.wasi.clone().unwrap_or_default();
        if !self.dir.is_empty() || !self.tmpfs.is_empty() {
            let given = self.dir.iter().chain(&self.tmpfs).map(DirPart::from);
            let mut dirs = below.dirs.unwrap_or_default();
            dirs.retain(|dir| self.dir.iter().chain(&self.tmpfs).all(|given| given.guest != dir.guest));
            dirs.extend(given);
            part.dirs = Some(dirs);
        }
        if !self.env.is_empty() {
            part.env = Some(self.env.iter().cloned().collect());
            let set = |name: &String| self.env.iter().any(|(given, _)| given == name);
            part.pass_env = below.pass_env.map(|names| names.into_iter().filter(|name| !set(name)).collect());
        }
        part.stdin = self.stdin.clone().map(StdinPart::File);
        part
    }
}
