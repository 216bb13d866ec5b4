//! [`Plan`]: a file of agents with everything in it looked up and checked, ready to be deployed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cofferdam_engine::Engine;

use super::read::AgentsFileError;
use super::{
    AgentPart, AgentsFile, AnswerPart, ConfigPart, MailboxPart, OnFailurePart, PeerPart, ToolPart, WhenFullPart,
};
use crate::agent::config::{AgentConfig, FuelRate, MailboxConfig, OnFailure, Peers, WhenFull};
use crate::agent::id::{AgentName, MaxAgents};
use crate::cache::within_reach;
use crate::engines;
use crate::host::agent::AllowedTools;
use crate::host::wasi::{Access, Preopen, Source};
use crate::policy::file::{DirPart, Layers, PolicyFile, PolicyFileError, Problem, suggestion};
use crate::policy::{Grants, Limits, MemoryBytes, SecurityPolicy};
use crate::tool::{Answer, is_name};

/// The longest time that something may wait.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a file of agents comes to.
#[derive(Clone)]
#[non_exhaustive]
pub struct Plan {
    /// The file's name, for messages.
    pub file: String,
    /// Where agents' storage is kept, if not in memory.
    pub state: Option<PathBuf>,
    /// Where the audit log is kept, if there is one.
    pub audit: Option<PathBuf>,
    /// Agents that may be deployed at once.
    pub max_agents: MaxAgents,
    /// What all live guests may come to take of the host's memory.
    pub memory: Option<MemoryBytes>,
    /// Guests that make progress at once; one per core if it does not say.
    pub run_permits: Option<usize>,
    /// Dead letters that are kept, if it says.
    pub dead_letters: Option<usize>,
    /// The agents, by name.
    pub agents: Vec<DeclaredAgent>,
    /// The tools, by name.
    pub tools: Vec<DeclaredTool>,
}

/// An agent that is to be deployed.
#[derive(Clone)]
#[non_exhaustive]
pub struct DeclaredAgent {
    /// Its name.
    pub name: AgentName,
    /// Its module.
    pub module: PathBuf,
    /// All that is decided about it.
    pub config: AgentConfig,
    /// Whether it is to be started.
    pub start: bool,
}

/// A tool that is to be made.
#[derive(Clone)]
#[non_exhaustive]
pub struct DeclaredTool {
    /// Its name.
    pub name: String,
    /// Its module.
    pub module: PathBuf,
    /// What it is for.
    pub description: Option<String>,
    /// What it may do.
    pub policy: SecurityPolicy,
    /// Its engine.
    pub engine: Arc<dyn Engine>,
    /// Directories that it is given.
    pub dirs: Vec<Preopen>,
    /// Variables that it is given.
    pub env: Vec<(String, String)>,
    /// Its arguments, if it is a command.
    pub args: Vec<String>,
    /// How its output becomes an answer.
    pub answer: Answer,
}

/// Gathers what is wrong.
struct Check<'a> {
    file: &'a AgentsFile,
    problems: Vec<Problem>,
    engines: BTreeMap<String, Arc<dyn Engine>>,
}

impl AgentsFile {
    /// Looks up everything that the file names but the modules: policies, engines, configurations, each other.
    ///
    /// # Errors
    /// Something is not there, or two things contradict each other.
    pub fn plan(&self) -> Result<Plan, AgentsFileError> {
        let mut check = Check { file: self, problems: Vec::new(), engines: BTreeMap::new() };
        let base = match &self.policy {
            Some(policy) => Some(self.whole("policy", policy)?),
            None => None,
        };
        let mut agents = Vec::new();
        for (name, part) in &self.agents {
            agents.extend(check.agent(name, part, base.as_ref())?);
        }
        let mut tools = Vec::new();
        for (name, part) in &self.tools {
            tools.extend(check.tool(name, part)?);
        }
        let host = self.host.clone().unwrap_or_default();
        let most = host.max_agents.map_or(Some(MaxAgents::default()), |most| MaxAgents::new(as_usize(most.0)));
        let max_agents = most.unwrap_or_else(|| {
            check.wrong("host.max_agents", "found 0 where at least 1 belongs");
            MaxAgents::default()
        });
        if agents.len() > max_agents.get() {
            check.wrong("host.max_agents", &format!("{} agents are declared, and {max_agents} may be", agents.len()));
        }
        if host.run_permits.is_some_and(|permits| permits.0 == 0) {
            check.wrong("host.run_permits", "found 0 where at least 1 belongs");
        }
        if let Some(memory) = host.memory.map(|memory| memory.0) {
            let started = agents.iter().filter(|agent| agent.start);
            let need = started.fold(0_u64, |sum, agent| sum.saturating_add(agent.config.mailbox.host_bytes()));
            if memory.get() < need {
                let need = MemoryBytes::new(need);
                check.wrong("host.memory", &format!("found {memory}, and the mailboxes alone may come to take {need}"));
            }
        }
        if self.agents.is_empty() {
            check.wrong("agents", "no agent is declared; write one as `[agents.NAME]` with its `module`");
        }
        if !check.problems.is_empty() {
            return Err(check.problems.into());
        }
        Ok(Plan {
            file: self.name.clone(),
            state: self.state.as_ref().map(|path| self.folder.join(path)),
            audit: self.audit.as_ref().map(|path| self.folder.join(path)),
            max_agents,
            memory: host.memory.map(|memory| memory.0),
            run_permits: host.run_permits.map(|permits| as_usize(permits.0)),
            dead_letters: host.dead_letters.map(|most| as_usize(most.0)),
            agents,
            tools,
        })
    }

    /// `policy` with what it extends.
    fn whole(&self, key: &str, policy: &PolicyFile) -> Result<PolicyFile, AgentsFileError> {
        let place = format!("{}: `{key}`", self.name);
        policy.clone().whole(&place, &self.folder).map_err(|error| self.policy_error(key, error))
    }

    fn policy_error(&self, key: &str, error: PolicyFileError) -> AgentsFileError {
        AgentsFileError::Policy { file: self.name.clone(), key: key.to_owned(), error }
    }
}

impl Check<'_> {
    fn wrong(&mut self, key: &str, message: &str) {
        self.problems.push(Problem::new(&self.file.name, key, message));
    }

    fn engine(&mut self, key: &str, name: Option<&str>) -> Option<Arc<dyn Engine>> {
        let name = name.unwrap_or("auto");
        if let Some(engine) = self.engines.get(name) {
            return Some(engine.clone());
        }
        match engines::by_name(name) {
            Ok(engine) => {
                // One of each, so that agents alike can share what is made for them.
                let id = engine.descriptor().id;
                let engine = self.engines.entry(id.to_owned()).or_insert(engine).clone();
                self.engines.insert(name.to_owned(), engine.clone());
                Some(engine)
            }
            Err(error) => {
                self.wrong(&format!("{key}.policy.engine"), &error.to_string());
                None
            }
        }
    }

    fn agent(
        &mut self,
        name: &AgentName,
        part: &AgentPart,
        base: Option<&PolicyFile>,
    ) -> Result<Option<DeclaredAgent>, AgentsFileError> {
        let key = format!("agents.{name}");
        let own = self.file.whole(&format!("{key}.policy"), &part.policy.clone().unwrap_or_default())?;
        let policy = over(base, &own).map_err(|error| self.file.policy_error(&key, error))?;
        if policy.wasi.is_some() {
            self.wrong(&format!("{key}.policy.wasi"), "an agent's WASI reaches nothing: no file, argument or variable");
        }
        let engine = self.engine(&key, policy.engine.as_deref());
        let policy = policy.over(SecurityPolicy::default());
        let default = AgentConfig::default();
        let config = AgentConfig {
            config: self.config(&key, part.config.as_ref(), policy.limits.message),
            mailbox: self.mailbox(&key, part.mailbox.as_ref()),
            peers: self.peers(&key, &part.peers),
            topics: part.topics.iter().cloned().collect(),
            publish: part.publish.iter().cloned().collect(),
            on_failure: match part.on_failure {
                None | Some(OnFailurePart::Fail) => OnFailure::Fail,
                Some(OnFailurePart::Restart(times)) => OnFailure::Restart { times: times.0 },
            },
            max_violations: part.max_violations.map(|most| most.0),
            max_cap_hits: part.max_cap_hits.map(|most| most.0),
            timers: part.timers.map_or(default.timers, |most| as_usize(most.0.into())),
            requests: part.requests.map_or(default.requests, |most| as_usize(most.0.into())),
            calls: part.calls.map_or(default.calls, |most| as_usize(most.0.into())),
            fuel_rate: part
                .fuel_rate
                .map(|rate| FuelRate { per_second: rate.per_second.0, burst: rate.burst.unwrap_or(rate.per_second).0 }),
            storage: part.storage.map_or(default.storage, |size| size.0),
            tools: self.tools(&key, &part.tools),
            log_level: part.log_level.map_or(default.log_level, Into::into),
            drain: match part.drain {
                None => default.drain,
                Some(time) => self.time(&format!("{key}.drain"), time.0),
            },
            engine,
            policy,
            ..AgentConfig::default()
        };
        let zeros = [
            ("mailbox.messages", config.mailbox.messages == 0),
            ("calls", config.calls == 0),
            ("fuel_rate.per_second", config.fuel_rate.is_some_and(|rate| rate.per_second == 0)),
        ];
        for (name, _) in zeros.into_iter().filter(|(_, zero)| *zero) {
            self.wrong(&format!("{key}.{name}"), "found 0 where at least 1 belongs");
        }
        let module = self.file.folder.join(&part.module);
        Ok(Some(DeclaredAgent { name: name.clone(), module, config, start: part.start.unwrap_or(true) }))
    }

    /// A time that ends, and that a clock can be set to.
    fn time(&mut self, key: &str, time: Option<Duration>) -> Duration {
        match time {
            Some(time) if time <= LONGEST => return time,
            Some(_) => self.wrong(key, "found a time of more than 365 days, which is the longest"),
            None => self.wrong(key, "found `none` where a time belongs: nothing may wait for ever"),
        }
        Duration::ZERO
    }

    /// What `init` is given; of a file at most one byte more than may be.
    fn config(&mut self, key: &str, part: Option<&ConfigPart>, cap: MemoryBytes) -> Vec<u8> {
        match part {
            None => Vec::new(),
            Some(ConfigPart::Text(text)) => text.clone().into_bytes(),
            Some(ConfigPart::File(part)) => {
                let path = self.file.folder.join(&part.file);
                let most = cap.get().saturating_add(1);
                read_at_most(&path, most).unwrap_or_else(|error| {
                    self.wrong(&format!("{key}.config.file"), &format!("cannot read {}: {error}", path.display()));
                    Vec::new()
                })
            }
        }
    }

    fn mailbox(&mut self, key: &str, part: Option<&MailboxPart>) -> MailboxConfig {
        let default = MailboxConfig::default();
        let Some(part) = part else { return default };
        MailboxConfig {
            messages: part.messages.map_or(default.messages, |most| as_usize(most.0.into())),
            bytes: part.bytes.map_or(default.bytes, |size| size.0),
            when_full: match part.when_full {
                None | Some(WhenFullPart::Reject) => WhenFull::Reject,
                Some(WhenFullPart::DropOldest) => WhenFull::DropOldest,
                Some(WhenFullPart::Block(time)) => {
                    WhenFull::Block(self.time(&format!("{key}.mailbox.when_full.block"), time.0))
                }
            },
        }
    }

    fn peers(&mut self, key: &str, parts: &[PeerPart]) -> Peers {
        if parts.contains(&PeerPart::All) {
            return Peers::All;
        }
        let file = self.file;
        let known: Vec<&str> = file.agents.keys().map(AgentName::as_str).collect();
        let mut names = BTreeSet::new();
        for part in parts {
            let PeerPart::Only(name) = part else { continue };
            if !file.agents.contains_key(name) {
                self.unknown(&format!("{key}.peers"), "agent", name.as_str(), &known);
            }
            names.insert(name.clone());
        }
        Peers::Only(names)
    }

    fn tools(&mut self, key: &str, names: &[String]) -> AllowedTools {
        if names.iter().any(|name| name == super::ALL) {
            return AllowedTools::All;
        }
        let file = self.file;
        let known: Vec<&str> = file.tools.keys().map(String::as_str).collect();
        for name in names.iter().filter(|name| !file.tools.contains_key(*name)) {
            self.unknown(&format!("{key}.tools"), "tool", name, &known);
        }
        if names.is_empty() { AllowedTools::None } else { names.iter().cloned().collect() }
    }

    fn unknown(&mut self, key: &str, what: &str, name: &str, known: &[&str]) {
        let hint = suggestion(name, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let name: String = name.chars().take(64).collect();
        self.wrong(key, &format!("no {what} `{name}` is declared{hint} (declared: {known})"));
    }

    fn tool(&mut self, name: &str, part: &ToolPart) -> Result<Option<DeclaredTool>, AgentsFileError> {
        let key = format!("tools.{name}");
        if !is_name(name) {
            self.wrong(&key, "this can be no tool's name: 1 to 64 letters, digits, `.`, `_` and `-` can");
        }
        let file = self.file.whole(&format!("{key}.policy"), &part.policy.clone().unwrap_or_default())?;
        let wasi = file.wasi.clone().unwrap_or_default();
        if wasi.stdin.is_some() {
            self.wrong(&format!("{key}.policy.wasi.stdin"), "a tool's standard input is what it is called with");
        }
        let dirs: Vec<_> = wasi.dirs.iter().flatten().filter_map(DirPart::preopen).collect();
        self.out_of_reach(&format!("{key}.policy.wasi.dirs"), &dirs);
        let Some(engine) = self.engine(&key, file.engine.as_deref()) else { return Ok(None) };
        let passed = wasi.pass_env.into_iter().flatten();
        let passed = passed.filter_map(|name| std::env::var(&name).ok().map(|value| (name, value)));
        Ok(Some(DeclaredTool {
            name: name.to_owned(),
            module: self.file.folder.join(&part.module),
            description: part.description.clone(),
            policy: file.over(SecurityPolicy::standard().limits(Limits::tool()).grants(Grants::wasi())),
            engine,
            dirs,
            env: passed.chain(wasi.env.into_iter().flatten()).collect(),
            args: wasi.args.unwrap_or_default(),
            answer: match part.answer {
                None | Some(AnswerPart::Auto) => Answer::Auto,
                Some(AnswerPart::Json) => Answer::Json,
                Some(AnswerPart::Text) => Answer::Text,
            },
        }))
    }
}

impl Check<'_> {
    /// No tool may read what is kept of agents or of what was done, nor change what the next start believes.
    fn out_of_reach(&mut self, key: &str, dirs: &[Preopen]) {
        let file = self.file;
        let kept = [("state", &file.state), ("audit", &file.audit)];
        let kept = kept.into_iter().filter_map(|(what, path)| Some((format!("`{what}`"), path.as_ref()?, true)));
        let agents = file.agents.iter().map(|(name, part)| (format!("the module of `{name}`"), &part.module, false));
        let tools = file.tools.iter().map(|(name, part)| (format!("the module of `{name}`"), &part.module, false));
        let own = PathBuf::from(Path::new(&file.name).file_name().unwrap_or_default());
        let own = (!own.as_os_str().is_empty()).then_some(("this file".to_owned(), &own, false));
        let all: Vec<_> = kept.chain(agents).chain(tools).chain(own).collect();
        for dir in dirs {
            let (directory, writes) = match (&dir.source, dir.access) {
                (Source::Host(path), access) => (path, access == Access::ReadWrite),
                (Source::Overlay(path), _) => (path, false),
                _ => continue,
            };
            let found = all
                .iter()
                .find(|(_, path, secret)| (*secret || writes) && leads_to(directory, &file.folder.join(path)));
            if let Some((what, ..)) = found {
                let shown = directory.display();
                self.wrong(key, &format!("through {shown} the tool could reach {what}; give it another directory"));
            }
        }
    }
}

/// Whether `path`, which need not be there yet, lies in `directory`, or is it, or has it in itself.
fn leads_to(directory: &Path, path: &Path) -> bool {
    if path.exists() {
        return within_reach(directory, path);
    }
    // As it will be when it is made. A relative one begins here.
    let here = std::env::current_dir().unwrap_or_default().join(path);
    let there = here.ancestors().skip(1).find_map(|parent| parent.canonicalize().ok());
    there.is_some_and(|parent| lies_in(&parent, directory))
}

/// Whether `outer` is `inner` or one of the directories above it, under whatever name.
fn lies_in(inner: &Path, outer: &Path) -> bool {
    let id = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let outer = id(outer);
    outer.is_some() && inner.ancestors().any(|parent| id(parent) == outer)
}

/// `own` over what all begin with.
fn over(base: Option<&PolicyFile>, own: &PolicyFile) -> Result<PolicyFile, PolicyFileError> {
    let Some(base) = base else { return Ok(own.clone()) };
    let mut layers = Layers::default();
    layers.push("policy", base).map_err(|problem| vec![problem])?;
    layers.push("the agent's policy", own).map_err(|problem| vec![problem])?;
    Ok(layers.policy().map_err(|problem| vec![problem])?)
}

fn read_at_most(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    // A pipe would keep it waiting for somebody who writes.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// No host can have more.
fn as_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
