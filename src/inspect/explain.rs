//! [`explain()`]: what a module needs, what the policy gives, what is missing, and how to grant it. Every
//! answer is tried: the policy with all steps taken goes through the same gates as a run.

use std::collections::BTreeSet;
use std::sync::Arc;

use cofferdam_engine::{Engine, ExternType, ImportType, Imports, Proposal};
use cofferdam_prepare::{ModuleBytes, Refusal, Survey, recognise, survey, validate};
use serde::Serialize;

use super::module::function;
use super::next::{Missing, Step, option, quoted};
use super::{ModuleFacts, said};
use crate::host::agent;
use crate::host::wasi;
use crate::policy::units::{show_count, show_memory};
use crate::policy::{Declaration, Given, Grants, MemoryBytes, SecurityPolicy, UnknownImports};
use crate::sandbox::{COMMAND, ImportRefusal, LoadError, Printable, Sandbox, refused_imports};

/// What is asked about.
pub struct Question<'a> {
    /// The file.
    pub input: &'a [u8],
    /// What the guest would be given.
    pub given: &'a Given,
    /// What the module declares that it needs, or why that cannot be read.
    pub declared: Result<&'a [Declaration], String>,
    /// The engine it would run on.
    pub engine: &'a Arc<dyn Engine>,
    /// Whether another engine may take its place without being asked for, as with `auto`.
    pub auto: bool,
    /// Engines that it could run on instead.
    pub others: &'a [Arc<dyn Engine>],
    /// What the host has.
    pub host: &'a Imports,
    /// The export that would be called instead of `_start`.
    pub invoke: Option<&'a str>,
}

/// Whether a module runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does, as things are.
    Runs,
    /// It does once everything that is missing is granted.
    Needs,
    /// Nothing that can be granted makes it run on this build.
    Never,
}

/// What a module needs, what it gets and what is missing.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether it runs.
    pub verdict: Verdict,
    /// The engine that was asked.
    pub engine: &'static str,
    /// The module, as far as it could be read.
    pub module: Option<ModuleFacts>,
    /// What it may do through WASI and as an agent, and what it is given of that.
    pub capabilities: Vec<Capability>,
    /// What is missing.
    pub missing: Vec<Missing>,
    /// Options that grant all of it together, for `cofferdam run`.
    pub options: Vec<String>,
}

/// Something that a module may do through WASI or as an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// What it may do.
    pub what: &'static str,
    /// The first of the imports that say so.
    pub import: &'static str,
    /// What it is given.
    pub given: String,
    /// How to give it more.
    pub how: &'static str,
}

/// Modules that compile in less than this are compiled to see that the engine takes them.
const TRIED_WORK: u64 = 2_000_000;
/// The largest file for which a step is named: four times the default cap on modules.
pub const MOST_BYTES: u64 = 200 << 20;
/// Things that a declaration requires which are named one by one.
pub const MOST_UNMET: usize = 20;
/// Names of one import module that are granted one by one.
const NAMED: usize = 4;

struct Answer<'a> {
    question: &'a Question<'a>,
    /// The policy with every step taken.
    policy: SecurityPolicy,
    engine: Arc<dyn Engine>,
    missing: Vec<Missing>,
}

/// Tells what stands between a module and running.
#[must_use]
pub fn explain(question: &Question<'_>) -> Explanation {
    let mut answer = Answer {
        question,
        policy: question.given.policy.clone(),
        engine: question.engine.clone(),
        missing: Vec::new(),
    };
    let survey = answer.recognise().map(|bytes| {
        let survey = survey(&bytes, &answer.policy.module_limits);
        answer.module(&bytes, &survey);
        survey
    });
    let verdict = match answer.missing.as_slice() {
        [] => Verdict::Runs,
        missing if missing.iter().all(|m| m.step.is_some()) => Verdict::Needs,
        _ => Verdict::Never,
    };
    let steps = answer.missing.iter().filter_map(|m| m.step.as_ref());
    let mut options: Vec<String> = Vec::new();
    for step in steps {
        // The same option can take two things out of the way.
        if !options.windows(step.options.len().max(1)).any(|taken| taken == step.options) {
            options.extend(step.options.iter().cloned());
        }
    }
    if verdict == Verdict::Never {
        options.clear();
    }
    Explanation {
        verdict,
        engine: answer.engine.descriptor().id,
        capabilities: survey.as_ref().map(|s| capabilities(&s.imports, question)).unwrap_or_default(),
        module: survey.map(|s| ModuleFacts::new(&s, &question.given.policy)),
        missing: answer.missing,
        options,
    }
}

impl Answer<'_> {
    fn hopeless(&mut self, reason: &'static str, what: String, advice: &str) {
        self.missing.push(Missing::hopeless(reason, what, advice));
    }

    /// Takes the module in, with limits on its size raised where that is what is missing.
    fn recognise(&mut self) -> Option<ModuleBytes> {
        loop {
            match recognise(self.question.input, &self.policy.module_limits) {
                Ok(bytes) => return Some(bytes),
                Err(Refusal::Limit { limit, unit, need, cap, .. })
                    if need <= MOST_BYTES && self.policy.module_limits.get(limit).is_some_and(|cap| cap < need) =>
                {
                    self.raise(limit, unit, need, cap);
                }
                Err(refusal) => {
                    let advice = match &refusal {
                        Refusal::Component => {
                            "Build it for `wasm32-wasip1` (for instance `cargo build --target wasm32-wasip1`), or take the core \
                             module out of it; no option runs components"
                        }
                        Refusal::Text { .. } => "Mend the text at the place named; no option helps",
                        Refusal::Limit { .. } => "It is far too large; build a smaller one",
                        Refusal::Empty => "The file has nothing in it; build or fetch it again",
                        _ => "Give the path of a WebAssembly module: a .wasm or .wat file",
                    };
                    self.hopeless(refusal.reason(), said(&refusal), advice);
                    return None;
                }
            }
        }
    }

    fn raise(&mut self, limit: &'static str, unit: &str, need: u64, cap: u64) {
        self.policy.module_limits.set(limit, need);
        let value = format!("{limit}={need}");
        let what = format!("it has {need} {unit}, and module limit `{limit}` is {cap}");
        let line = format!("module_limits.{limit} = {need}");
        self.missing.push(Missing::fixed_by("module_limit", what, &["--module-limit", &value], line));
    }

    fn module(&mut self, bytes: &ModuleBytes, survey: &Survey) {
        for above in &survey.above {
            let Some(Refusal::Limit { limit, .. }) = &survey.broken else {
                self.raise(above.limit, above.unit, above.need, above.cap);
                continue;
            };
            if *limit != above.limit {
                self.raise(above.limit, above.unit, above.need, above.cap);
            }
        }
        if let Some(refusal) = survey.broken.as_ref().or(survey.unsupported.as_ref()) {
            self.hopeless(refusal.reason(), said(refusal), advice(refusal));
            return;
        }
        for used in &survey.used {
            if !self.policy.features.has(used.proposal) {
                let place =
                    used.function.as_ref().map_or_else(String::new, |f| format!(" in function {}", function(f)));
                let what = format!(
                    "it uses proposal `{}`, first at offset {:#x}{place}, and the policy does not allow that",
                    used.proposal, used.offset
                );
                self.allow(used.proposal, what);
            }
        }
        if !self.gate(bytes) {
            return;
        }
        self.pick_engine(survey);
        self.imports(&survey.imports);
        self.sizes(survey);
        self.function(survey);
        self.declared(survey);
        if self.missing.iter().all(|m| m.step.is_some()) {
            self.try_it(survey);
        }
    }

    fn allow(&mut self, proposal: Proposal, what: String) {
        self.policy = self.policy.clone().allow(proposal);
        let line = format!("features.allow = [\"{proposal}\"]");
        self.missing.push(Missing::fixed_by("proposal", what, &["--feature", proposal.name()], line));
    }

    /// The same gate as a run's. Some rules are relaxed by proposals that leave no other trace.
    fn gate(&mut self, bytes: &ModuleBytes) -> bool {
        loop {
            match validate(bytes.clone(), &self.policy.gate()) {
                Ok(_) => return true,
                Err(Refusal::Proposal { proposal, offset, .. }) if !self.policy.features.has(proposal) => {
                    let what = format!("what is at offset {offset:#x} is only allowed by proposal `{proposal}`");
                    self.allow(proposal, what);
                }
                Err(refusal) => {
                    self.hopeless(refusal.reason(), said(&refusal), advice(&refusal));
                    return false;
                }
            }
        }
    }

    fn pick_engine(&mut self, survey: &Survey) {
        let runs = |engine: &Arc<dyn Engine>| {
            let descriptor = engine.descriptor();
            survey.used_set().minus(descriptor.capabilities.features).is_empty()
                && self.policy.check(descriptor.id, &descriptor.capabilities).is_ok()
        };
        if runs(&self.engine) {
            return;
        }
        let descriptor = self.engine.descriptor();
        let lacks: Vec<_> =
            survey.used_set().minus(descriptor.capabilities.features).iter().map(|p| p.name()).collect();
        let what = match self.policy.check(descriptor.id, &descriptor.capabilities) {
            Err(cannot) if lacks.is_empty() => cannot.to_string(),
            _ => format!("engine `{}` lacks {}", descriptor.id, lacks.join(", ")),
        };
        match self.question.others.iter().find(|engine| runs(engine)) {
            // `auto` picks it by itself, for the same reason.
            Some(other) if self.question.auto => self.engine = other.clone(),
            Some(other) => {
                let id = other.descriptor().id;
                let line = format!("engine = \"{id}\"");
                self.missing.push(Missing::fixed_by("engine", what, &["--engine", id], line));
                self.engine = other.clone();
            }
            None => self.hopeless(
                "engine",
                format!("{what}, and no other engine of this build does better"),
                "Build the guest without it, or use a build of Cofferdam with another engine; `cofferdam engines` lists \
                 what each can run",
            ),
        }
    }

    fn imports(&mut self, imports: &[ImportType]) {
        let mut granted: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut unknown: Vec<&ImportType> = Vec::new();
        for import in imports {
            let refused = refused_imports(std::slice::from_ref(import), &self.policy, self.question.host);
            for refusal in refused {
                match refusal {
                    ImportRefusal::NotGranted { .. } => match granted.iter_mut().find(|(m, _)| *m == &*import.module) {
                        Some((_, names)) => names.push(&import.name),
                        None => granted.push((&import.module, vec![&import.name])),
                    },
                    ImportRefusal::Unknown { .. } => unknown.push(import),
                    ImportRefusal::Wasix { .. } => self.hopeless(
                        "import",
                        Printable::whole(&refusal.to_string()).to_string(),
                        "Build the guest without it, or run it as a WASIX program; docs/wasix.md lists what is offered",
                    ),
                    ImportRefusal::Signature { .. } => self.hopeless(
                        "import",
                        Printable::whole(&refusal.to_string()).to_string(),
                        "Build the guest against the signature that the host has; no option changes it",
                    ),
                }
            }
        }
        for (module, names) in granted {
            self.grant(module, &names);
        }
        self.stand_ins(&unknown);
    }

    fn grant(&mut self, module: &str, names: &[&str]) {
        let shown = Printable::new(module);
        let what = match names {
            [one] => format!("it imports `{shown}.{}`, which the policy does not grant", Printable::new(one)),
            many => format!("it imports {} names of `{shown}`, which the policy does not grant", many.len()),
        };
        let step = if module == wasi::MODULE {
            Missing::fixed_by("import", what, &["--grant", "wasi"], "grants.wasi = true".to_owned())
        } else if module == agent::MODULE {
            return self.grant_capabilities(what, names);
        } else if names.len() > NAMED {
            let line = format!("grants.modules = [{}]", quoted(module));
            Missing::fixed_by(
                "import",
                what,
                &option("--grant", module).iter().map(String::as_str).collect::<Vec<_>>(),
                line,
            )
        } else {
            let options: Vec<_> =
                names.iter().flat_map(|name| option("--grant", &format!("{module}#{name}"))).collect();
            let list: Vec<_> = names.iter().map(|name| quoted(name)).collect();
            let line = format!("grants.imports.{} = [{}]", quoted(module), list.join(", "));
            Missing::fixed_by("import", what, &options.iter().map(String::as_str).collect::<Vec<_>>(), line)
        };
        for name in names {
            self.policy.grants = self.policy.grants.clone().import(module, name);
        }
        self.missing.push(step);
    }

    /// What agents may do is granted by capability. That of reading and writing comes along with the others.
    fn grant_capabilities(&mut self, what: String, names: &[&str]) {
        let mut wanted: BTreeSet<_> = names.iter().filter_map(|name| agent::Capability::of(name)).collect();
        if wanted.len() > 1 {
            wanted.remove(&agent::Capability::Io);
        }
        let options: Vec<_> =
            wanted.iter().flat_map(|c| ["--grant".to_owned(), format!("{}.{c}", agent::MODULE)]).collect();
        let list: Vec<_> = wanted.iter().map(|c| quoted(c.name())).collect();
        let line = format!("grants.capabilities = [{}]", list.join(", "));
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        self.missing.push(Missing::fixed_by("import", what, &options, line));
        let grants = self.policy.grants.clone();
        self.policy.grants = wanted.into_iter().fold(grants, Grants::capability);
    }

    fn stand_ins(&mut self, unknown: &[&ImportType]) {
        let Some(first) = unknown.first() else { return };
        let functions_only = unknown.iter().all(|import| matches!(import.ty, ExternType::Func(_)));
        let how = if functions_only { UnknownImports::Trap } else { UnknownImports::Default };
        let word = if functions_only { "trap" } else { "default" };
        self.policy.unknown_imports = how;
        let more = unknown.len() - 1;
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let name = Printable::new(&format!("{}.{}", first.module, first.name));
        let what = format!("{} import `{name}`{more} is unknown: nobody here provides it", first.ty.kind());
        let still = unknown
            .iter()
            .any(|import| !refused_imports(std::slice::from_ref(import), &self.policy, self.question.host).is_empty());
        if still {
            let advice =
                "There is no stand-in for it; give the guest the import it wants from a program that embeds Cofferdam";
            return self.hopeless("import", what, advice);
        }
        let line = format!("unknown_imports = \"{word}\"");
        let mut missing = Missing::fixed_by("import", what, &["--unknown-imports", word], line);
        missing.advice = Some(
            if functions_only {
                "The guest is ended if it calls a stand-in; `default` makes stand-ins return zeros instead"
            } else {
                "Stand-ins are zeros and as small as the module allows; what the guest does with them is its own affair"
            }
            .to_owned(),
        );
        self.missing.push(missing);
    }

    fn sizes(&mut self, survey: &Survey) {
        let memory: u64 = survey.memories.iter().fold(0, |sum, ty| sum.saturating_add(ty.minimum_bytes()));
        if memory > self.policy.limits.memory.get() {
            let cap = self.policy.limits.memory;
            let need = show_memory(MemoryBytes::new(memory));
            let what = format!("it starts with {need} of memory, and the cap is {cap}");
            let line = format!("limits.memory = \"{need}\"");
            self.missing.push(Missing::fixed_by("memory", what, &["--memory", &need], line));
            self.policy.limits.memory = MemoryBytes::new(memory);
        }
        let elements: u64 = survey.tables.iter().fold(0, |sum, ty| sum.saturating_add(ty.minimum));
        if elements > self.policy.limits.table_elements {
            let cap = self.policy.limits.table_elements;
            let need = show_count(elements);
            let what = format!("it starts with {elements} table elements, and the cap is {cap}");
            let line = format!("limits.table_elements = {elements}");
            self.missing.push(Missing::fixed_by("table_elements", what, &["--table-elements", &need], line));
            self.policy.limits.table_elements = elements;
        }
    }

    /// What the module's own declarations require, and what they leave out.
    fn declared(&mut self, survey: &Survey) {
        let declared = match &self.question.declared {
            Ok([]) => return,
            Ok(declared) => *declared,
            Err(why) => {
                let what = format!("the module's declaration cannot be used: {}", Printable::whole(why));
                return self.ignore_declared(what);
            }
        };
        let mut given = Given { policy: self.policy.clone(), ..self.question.given.clone() };
        for declaration in declared {
            let all = declaration.unmet(&given);
            let left = all.len().saturating_sub(MOST_UNMET);
            for unmet in all.into_iter().take(MOST_UNMET) {
                let what = format!("it declares that it requires {}, which is not granted", unmet.what);
                let step =
                    Step { options: unmet.options, policy_line: Some(unmet.policy_line), fill_in: !unmet.complete };
                self.missing.push(Missing { reason: "declaration", what, step: Some(step), advice: None });
            }
            if left > 0 {
                self.ignore_declared(format!("it declares that it requires {left} more things that are not granted"));
            }
            given = declaration.within(&declaration.granting(&given)).unwrap_or(given);
        }
        let left_out = survey.used_set().minus(given.policy.features);
        let refused = refused_imports(&survey.imports, &given.policy, self.question.host);
        let memory: u64 = survey.memories.iter().fold(0, |sum, ty| sum.saturating_add(ty.minimum_bytes()));
        let what = if let Some(proposal) = left_out.iter().next() {
            format!("proposal `{proposal}`")
        } else if let Some(refusal) = refused.first() {
            refusal.to_string()
        } else if memory > given.policy.limits.memory.get() {
            format!("the {} of memory that it starts with", show_memory(MemoryBytes::new(memory)))
        } else {
            self.policy = given.policy;
            return;
        };
        self.ignore_declared(format!("it uses what its own declaration leaves out: {what}"));
    }

    /// What is called: a run needs a function to begin with.
    fn function(&mut self, survey: &Survey) {
        let named = |name: &str| survey.exports.iter().find(|e| &*e.name == name).map(|e| &e.ty);
        let wanted = self.question.invoke.unwrap_or(COMMAND);
        let why = match named(wanted) {
            Some(ExternType::Func(Some(ty))) if self.question.invoke.is_none() && !ty.params().is_empty() => {
                format!("its `{COMMAND}` is {ty}, which is no command's")
            }
            Some(ExternType::Func(_)) => return,
            Some(other) => format!("its export `{}` is a {}", Printable::new(wanted), other.kind()),
            None => format!("it has no export `{}`", Printable::new(wanted)),
        };
        let functions: Vec<_> = survey
            .exports
            .iter()
            .filter_map(|e| match &e.ty {
                ExternType::Func(ty) => Some((&*e.name, ty.as_ref())),
                _ => None,
            })
            .collect();
        let Some((first, ty)) = functions.first() else {
            let advice = "Export a function from the guest and build it again; no option helps";
            return self.hopeless("function", format!("{why}, and it exports no function to call instead"), advice);
        };
        let names: Vec<_> = functions.iter().take(6).map(|(name, _)| format!("`{}`", Printable::new(name))).collect();
        let params = ty.map_or(0, |ty| ty.params().len());
        let is_agent = ["handle_message", "on_timer"].iter().any(|hook| functions.iter().any(|(name, _)| name == hook));
        let advice = if is_agent {
            // It can be run, but that is hardly what is wanted.
            Some("It is an agent: `cofferdam up` runs it, by a file whose entry for it grants the same".to_owned())
        } else {
            (params > 0).then(|| format!("It takes {params} arguments, which stand after the module"))
        };
        let step = Step { options: vec![format!("--invoke={first}")], policy_line: None, fill_in: false };
        let what = format!("{why}; functions to call are {}", names.join(", "));
        self.missing.push(Missing { reason: "function", what, step: Some(step), advice });
    }

    fn ignore_declared(&mut self, what: String) {
        let step = Step { options: vec!["--ignore-declared".to_owned()], policy_line: None, fill_in: false };
        let advice =
            Some("A declaration grants nothing, so going without one takes nothing from your policy".to_owned());
        self.missing.push(Missing { reason: "declaration", what, step: Some(step), advice });
    }

    /// Loads it with every step taken, if that does not take long.
    fn try_it(&mut self, survey: &Survey) {
        if survey.compile_work > TRIED_WORK {
            return;
        }
        let sandbox =
            Sandbox::builder(self.engine.clone()).policy(self.policy.clone()).host(self.question.host).build();
        let failed: Option<(&'static str, String)> = match sandbox {
            Err(cannot) => Some(("capability", cannot.to_string())),
            Ok(sandbox) => {
                sandbox.load(self.question.input).err().map(|error: LoadError| (error.reason(), error.to_string()))
            }
        };
        if let Some((reason, what)) = failed {
            self.hopeless(reason, Printable::whole(&what).to_string(), "No option on this build helps");
        }
    }
}

fn advice(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Invalid { .. } => {
            "The file is damaged or its compiler is at fault: fetch or build it again; no option helps"
        }
        Refusal::ReservedName { .. } => "Rename it in the guest and build it again; no option helps",
        Refusal::Limit { limit: "locals" | "function_bytes", .. } => {
            "No engine takes more: build it with smaller functions; raising the limit does not help"
        }
        Refusal::Limit { .. } => {
            "It is so far above the limit that the rest of it was not read: build a smaller module"
        }
        _ => "Build the guest without it; nothing on this build can run it inside limits",
    }
}

/// What imports of WASI say a module may do.
fn capabilities(imports: &[ImportType], question: &Question<'_>) -> Vec<Capability> {
    let (dirs, variables) = (question.given.dirs.len(), question.given.env.len());
    let count = |n: usize, one: &str, many: &str| match n {
        0 => "nothing".to_owned(),
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    };
    let all = [
        (
            "open files and directories",
            &["path_open", "path_readlink", "path_filestat_get"][..],
            count(dirs, "directory", "directories"),
            "--dir HOST:GUEST[:ro]",
        ),
        (
            "change files and directories",
            &["path_create_directory", "path_unlink_file", "path_rename", "path_remove_directory"],
            count(dirs, "directory", "directories"),
            "--dir HOST:GUEST",
        ),
        ("read variables", &["environ_get"], count(variables, "variable", "variables"), "--env NAME[=VALUE]"),
        ("read its arguments", &["args_get"], "its name".to_owned(), "arguments after the module"),
        ("read standard input or files", &["fd_read", "fd_pread"], "standard input".to_owned(), "--stdin FILE"),
        ("read the clock", &["clock_time_get"], "the clock".to_owned(), "--deterministic SEED makes it virtual"),
        ("read randomness", &["random_get"], "randomness".to_owned(), "--deterministic SEED makes it repeatable"),
        ("use sockets", &["sock_accept", "sock_recv", "sock_send"], "nothing".to_owned(), "there is no way yet"),
    ];
    let wanted = |name: &&&str| imports.iter().any(|i| &*i.module == wasi::MODULE && &*i.name == **name);
    let found = all.into_iter().filter_map(|(what, names, given, how)| {
        let import = names.iter().find(wanted)?;
        Some(Capability { what, import, given, how })
    });
    let granted = |name: &str| {
        let allowed = question.given.policy.grants.allows(agent::MODULE, name);
        if allowed { "granted".to_owned() } else { "nothing".to_owned() }
    };
    let as_agent = agent::Capability::ALL.iter().filter_map(|capability| {
        let of_agents = |name: &&&str| imports.iter().any(|i| &*i.module == agent::MODULE && &*i.name == **name);
        let import = *capability.functions().iter().find(of_agents)?;
        Some(Capability { what: capability.what(), import, given: granted(import), how: capability.option() })
    });
    found.chain(as_agent).collect()
}
