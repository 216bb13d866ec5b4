//! Between files and [`SecurityPolicy`]: what a file changes in one, and one written down as a file.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Count, DeterminismPart, FeaturesPart, FuelAmount, FuelModeName, GrantsPart, LimitName, LimitsPart, PolicyFile,
    ProposalName, Size, SmallCount, StackUnits, Time,
};
use crate::host::agent::{self, Capability};
use crate::host::wasi;
use crate::policy::{Determinism, Grants, Limits, SecurityPolicy, WasixPermission};

use cofferdam_prepare::ModuleLimits;

impl PolicyFile {
    /// `base` with everything changed that the file says.
    ///
    /// ```
    /// use cofferdam::policy::{MemoryBytes, SecurityPolicy, file::{Format, PolicyFile}};
    /// let file = PolicyFile::from_text("p.toml", "level = 'strict'\nlimits.memory = '1MiB'", Some(Format::Toml))?;
    /// let policy = file.over(SecurityPolicy::standard());
    /// assert_eq!(policy.limits.memory, MemoryBytes::mib(1));
    /// # Ok::<(), cofferdam::policy::file::PolicyFileError>(())
    /// ```
    #[must_use]
    pub fn over(&self, base: SecurityPolicy) -> SecurityPolicy {
        let mut policy = base;
        if let Some(level) = self.level {
            policy.level = level;
            policy.features = level.features();
        }
        if let Some(features) = &self.features {
            for proposal in features.allow.iter().flatten() {
                policy = policy.allow(proposal.0);
            }
            for proposal in features.deny.iter().flatten() {
                policy = policy.deny(proposal.0);
            }
        }
        if let Some(limits) = &self.limits {
            limits.set(&mut policy.limits);
        }
        for (name, cap) in self.module_limits.iter().flatten() {
            // The type holds only names that exist.
            policy.module_limits.set(name.0, cap.0);
        }
        if let Some(grants) = &self.grants {
            policy.grants = grants.over(&policy.grants);
            policy.wasix = grants.wasix_over(policy.wasix);
        }
        policy.unknown_imports = self.unknown_imports.unwrap_or(policy.unknown_imports);
        policy.determinism = match self.determinism {
            None => policy.determinism,
            Some(DeterminismPart::Off) => Determinism::Off,
            Some(DeterminismPart::Seed(seed)) => Determinism::Full { seed },
        };
        policy.fuel_mode = self.fuel_mode.map_or(policy.fuel_mode, |mode| mode.0);
        policy
    }

    /// `policy` written down, every key of it.
    #[must_use]
    pub fn describe(policy: &SecurityPolicy) -> Self {
        let names = |set: cofferdam_engine::FeatureSet| Some(set.iter().map(ProposalName).collect());
        let of_level = policy.level.features();
        Self {
            level: Some(policy.level),
            features: Some(FeaturesPart {
                allow: names(policy.features.minus(of_level)),
                deny: names(of_level.minus(policy.features)),
            }),
            limits: Some(LimitsPart::describe(&policy.limits)),
            module_limits: Some(describe_module_limits(&policy.module_limits)),
            grants: Some(GrantsPart {
                wasix: policy.wasix.is_some().then_some(true),
                wasix_permissions: policy
                    .wasix
                    .as_ref()
                    .filter(|given| !given.is_empty())
                    .map(|given| given.iter().copied().collect()),
                ..GrantsPart::describe(&policy.grants)
            }),
            unknown_imports: Some(policy.unknown_imports),
            determinism: Some(match policy.determinism {
                Determinism::Off => DeterminismPart::Off,
                Determinism::Full { seed } => DeterminismPart::Seed(seed),
            }),
            fuel_mode: Some(FuelModeName(policy.fuel_mode)),
            ..Self::default()
        }
    }
}

fn describe_module_limits(limits: &ModuleLimits) -> BTreeMap<LimitName, Count> {
    let caps = ModuleLimits::ALL.iter().filter_map(|(name, _)| Some((LimitName(name), Count(limits.get(name)?))));
    caps.collect()
}

impl LimitsPart {
    fn set(&self, limits: &mut Limits) {
        limits.memory = self.memory.map_or(limits.memory, |v| v.0);
        limits.fuel = self.fuel.map_or(limits.fuel, |v| v.0);
        limits.timeout = self.timeout.map_or(limits.timeout, |v| v.0);
        limits.stack_units = self.stack.map_or(limits.stack_units, |v| v.0);
        limits.output = self.output.map_or(limits.output, |v| v.0);
        limits.table_elements = self.table_elements.map_or(limits.table_elements, |v| v.0);
        limits.host_calls = self.host_calls.map_or(limits.host_calls, |v| v.0);
        limits.open_files = self.open_files.map_or(limits.open_files, |v| v.0);
        limits.scratch = self.scratch.map_or(limits.scratch, |v| v.0);
        limits.disk = self.disk.map_or(limits.disk, |v| v.0);
        limits.message = self.message.map_or(limits.message, |v| v.0);
        limits.instances = self.instances.map_or(limits.instances, |v| v.0);
    }

    /// `limits` written down.
    #[must_use]
    pub fn describe(limits: &Limits) -> Self {
        Self {
            memory: Some(Size(limits.memory)),
            fuel: Some(FuelAmount(limits.fuel)),
            timeout: Some(Time(limits.timeout)),
            stack: Some(StackUnits(limits.stack_units)),
            output: Some(Size(limits.output)),
            table_elements: Some(Count(limits.table_elements)),
            host_calls: Some(Count(limits.host_calls)),
            open_files: Some(SmallCount(limits.open_files)),
            scratch: Some(Size(limits.scratch)),
            disk: Some(Size(limits.disk)),
            message: Some(Size(limits.message)),
            instances: Some(SmallCount(limits.instances)),
        }
    }
}

impl GrantsPart {
    fn over(&self, base: &Grants) -> Grants {
        let mut grants = Grants::none();
        let had_wasi = base.modules().any(|m| m == wasi::MODULE);
        match &self.modules {
            Some(modules) => grants = modules.iter().fold(grants, |grants, m| grants.module(m)),
            None => grants = base.modules().filter(|m| *m != wasi::MODULE).fold(grants, Grants::module),
        }
        if self.wasi.unwrap_or(had_wasi) {
            grants = grants.module(wasi::MODULE);
        }
        // A list takes the place of what was granted below: `imports` of all names, `capabilities` of agents' only.
        let kept = |module: &str| self.imports.is_none() && (self.capabilities.is_none() || module != agent::MODULE);
        grants = base.imports().filter(|(m, _)| kept(m)).fold(grants, |grants, (m, name)| grants.import(m, name));
        for (module, names) in self.imports.iter().flatten() {
            grants = names.iter().fold(grants, |grants, name| grants.import(module, name));
        }
        self.capabilities.iter().flatten().fold(grants, |grants, capability| grants.capability(*capability))
    }

    /// Naming a permission asks for WASIX as well.
    fn wasix_over(&self, base: Option<BTreeSet<WasixPermission>>) -> Option<BTreeSet<WasixPermission>> {
        let asked = self.wasix_permissions.as_ref().is_some_and(|list| !list.is_empty());
        if !self.wasix.unwrap_or(asked || base.is_some()) {
            return None;
        }
        let kept = base.unwrap_or_default();
        Some(self.wasix_permissions.as_ref().map_or(kept, |list| list.iter().copied().collect()))
    }

    fn describe(grants: &Grants) -> Self {
        let mut imports: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // Those whose functions are all there; what is left stands among the imports.
        let single = |name: &str| grants.imports().any(|(m, n)| m == agent::MODULE && n == name);
        let whole = |c: &&Capability| c.functions().iter().all(|name| single(name));
        let capabilities: Vec<Capability> = Capability::ALL.iter().filter(whole).copied().collect();
        let told = |m: &str, n: &str| m == agent::MODULE && capabilities.iter().any(|c| c.functions().contains(&n));
        for (module, name) in grants.imports().filter(|(module, name)| !told(module, name)) {
            imports.entry(module.to_owned()).or_default().push(name.to_owned());
        }
        Self {
            wasi: Some(grants.modules().any(|m| m == wasi::MODULE)),
            modules: Some(grants.modules().filter(|m| *m != wasi::MODULE).map(str::to_owned).collect()),
            imports: Some(imports),
            capabilities: (!capabilities.is_empty()).then_some(capabilities),
            ..Self::default()
        }
    }
}
