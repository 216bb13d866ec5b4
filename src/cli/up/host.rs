//! [`Host`]: the runtime and the tools that a plan comes to, from the first module to the last event.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cofferdam::Sandbox;
use cofferdam::agent::file::{DeclaredAgent, DeclaredTool, Plan};
use cofferdam::agent::{AgentId, Runtime};
use cofferdam::audit::{AuditLog, AuditLogConfig, AuditSink, Event, EventKind, NoAudit, Subject};
use cofferdam::host::agent::{KvOptions, KvStore};
use cofferdam::policy::MemoryBytes;
use cofferdam::sandbox::{Printable, Resources};
use cofferdam::tool::ToolRegistry;
use tokio::task::JoinSet;

use super::events::{Teller, Told};
use crate::cli::report::exit;
use crate::cli::run::read_module;
use crate::cli::say::say;

/// Bytes of dead letters that are kept.
const DEAD_BYTES: MemoryBytes = MemoryBytes::mib(8);

/// The runtime and the tools that a plan comes to.
pub struct Host {
    plan: Plan,
    runtime: Runtime,
    tools: ToolRegistry,
    storage: Option<KvStore>,
    audit: Arc<dyn AuditSink>,
    /// `None` if nothing is to be run.
    teller: Option<Teller>,
}

/// `2 agents, 1 tool`.
pub fn counts(plan: &Plan) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!("{}, {}", count(plan.agents.len(), "agent"), count(plan.tools.len(), "tool"))
}

impl Host {
    /// One whose agents are to be run: with storage and the audit log opened.
    pub fn new(plan: Plan, resources: Arc<Resources>, teller: Teller) -> anyhow::Result<Self> {
        let log = match &plan.audit {
            Some(path) => Some(AuditLog::open(path, &AuditLogConfig::default())?),
            None => None,
        };
        let audit: Arc<dyn AuditSink> = Arc::new(Told { teller: teller.clone(), log });
        let storage = match &plan.state {
            Some(directory) => {
                let told = audit.clone();
                let options = KvOptions::default().on_failure(move |error| {
                    told.record(Event::new(Subject::host("storage"), EventKind::HostFault, error.to_string()));
                });
                Some(KvStore::open(directory, options)?)
            }
            None => None,
        };
        Self::of(plan, resources, storage, audit, Some(teller))
    }

    /// One whose modules are to be loaded and that runs nothing.
    pub fn to_look_at(plan: Plan, resources: Arc<Resources>) -> anyhow::Result<Self> {
        Self::of(plan, resources, None, Arc::new(NoAudit), None)
    }

    fn of(
        plan: Plan,
        resources: Arc<Resources>,
        storage: Option<KvStore>,
        audit: Arc<dyn AuditSink>,
        teller: Option<Teller>,
    ) -> anyhow::Result<Self> {
        let tools = ToolRegistry::with(resources.clone(), plan.tools.len(), audit.clone());
        let mut builder = Runtime::builder()
            .resources(resources)
            .tools(Arc::new(tools.clone()))
            .audit(audit.clone())
            .max_agents(plan.max_agents);
        if let Some(storage) = &storage {
            builder = builder.storage(storage.clone());
        }
        if let Some(teller) = &teller {
            builder = builder.log(Arc::new(teller.clone()));
        }
        if let Some(most) = plan.dead_letters {
            builder = builder.dead_letters(most, DEAD_BYTES);
        }
        Ok(Self { runtime: builder.build()?, plan, tools, storage, audit, teller })
    }

    /// The runtime.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Makes all tools and deploys all agents; nothing of an agent runs yet. If anything is refused, all of it is
    /// said.
    pub async fn deploy(&self) -> Result<Vec<(AgentId, DeclaredAgent)>, Vec<String>> {
        let mut work = JoinSet::new();
        for tool in self.plan.tools.clone() {
            let (tools, resources) = (self.tools.clone(), self.runtime.resources().clone());
            work.spawn(async move {
                let name = tool.name.clone();
                let made = make(tool, tools, resources).await;
                made.map(|()| None).map_err(|error| format!("tool `{name}`: {error:#}"))
            });
        }
        for agent in self.plan.agents.clone() {
            let runtime = self.runtime.clone();
            work.spawn(async move {
                let deployed = deploy(&runtime, &agent).await;
                let failed = |error| format!("agent `{}`: {error:#}", agent.name);
                deployed.map_err(failed).map(|id| Some((id, agent)))
            });
        }
        let (mut agents, mut problems) = (Vec::new(), Vec::new());
        while let Some(done) = work.join_next().await {
            match done {
                Ok(Ok(agent)) => agents.extend(agent),
                Ok(Err(problem)) => problems.push(problem),
                Err(error) => problems.push(error.to_string()),
            }
        }
        problems.sort();
        agents.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        if problems.is_empty() { Ok(agents) } else { Err(problems) }
    }

    /// Starts those that are to be started, together.
    pub async fn start(&self, agents: &[(AgentId, DeclaredAgent)], socket: Option<&Path>) {
        let started: Vec<_> = agents.iter().filter(|(_, agent)| agent.start).collect();
        let ids: Vec<_> = started.iter().map(|(id, _)| *id).collect();
        let done = self.runtime.start_all(&ids).await;
        let failed = done.iter().filter(|done| done.is_err()).count();
        let Some(teller) = &self.teller else { return };
        let mut detail = counts(&self.plan);
        if failed > 0 {
            detail += &format!(", {failed} did not start");
        }
        if let Some(socket) = socket {
            detail += &format!("; `cofferdam agent` finds them at {}", Printable::whole(&socket.display().to_string()));
        }
        teller.host("ready", &detail);
    }

    /// Lets all agents drain, at most so long or until `again`, says what came of it, and returns the exit code.
    pub async fn drain(self, time: Duration, again: impl Future<Output = ()>) -> anyhow::Result<u8> {
        let Self { runtime, storage, audit, teller, .. } = self;
        let mut failed = false;
        if let Some(teller) = &teller {
            teller.host("draining", &format!("for at most {}", humantime::format_duration(time)));
        }
        // One that was stopped before may have been cut off.
        failed |= runtime.list().iter().any(|info| info.usage.cut_off > 0);
        let cut_off = tokio::select! {
            done = runtime.shutdown(time) => match done {
                Ok(drained) => {
                    failed |= drained.iter().any(|(_, drained)| drained.failed.is_some() || drained.cut_off > 0);
                    None
                }
                Err(late) => Some(late.to_string()),
            },
            () = again => {
                let mut all = JoinSet::new();
                for info in runtime.list() {
                    let runtime = runtime.clone();
                    // Those that have ended meanwhile are gone.
                    all.spawn(async move { runtime.remove(info.id).await.ok() });
                }
                while all.join_next().await.is_some() {}
                Some("a second signal: all agents were ended at once".to_owned())
            }
        };
        if let Some(why) = &cut_off {
            failed = true;
            say(&format!("cofferdam: {why}"));
        }
        drop(runtime);
        // What agents have stored and what has happened is on the disk before this ends.
        // A disk may take its time, and signals are heard meanwhile.
        let problems = tokio::task::spawn_blocking(move || {
            let flushed = storage.as_ref().map_or(Ok(()), KvStore::flush).context("agents' storage");
            let kept = audit.flush().context("the audit log");
            [flushed.err(), kept.err()]
        });
        for problem in problems.await?.into_iter().flatten() {
            failed = true;
            say(&format!("cofferdam: {problem:#}"));
        }
        if let Some(teller) = teller {
            teller.host("ended", if failed { "not everything went well" } else { "" });
            teller.finish();
        }
        Ok(if failed { exit::FAILED } else { 0 })
    }
}

async fn deploy(runtime: &Runtime, agent: &DeclaredAgent) -> anyhow::Result<AgentId> {
    let module = read(&agent.module, agent.config.policy.module_limits.module_bytes).await?;
    let deployed = runtime.deploy(agent.name.clone(), &module, agent.config.clone()).await;
    deployed.with_context(|| agent.module.display().to_string())
}

async fn make(tool: DeclaredTool, tools: ToolRegistry, resources: Arc<Resources>) -> anyhow::Result<()> {
    let bytes = read(&tool.module, tool.policy.module_limits.module_bytes).await?;
    let sandbox = Sandbox::builder(tool.engine).policy(tool.policy).resources(resources).build()?;
    let module = sandbox.load_async(bytes).await.with_context(|| tool.module.display().to_string())?;
    let mut builder = sandbox.tool(tool.name, &module).answer(tool.answer);
    if let Some(description) = tool.description {
        builder = builder.description(description);
    }
    for dir in tool.dirs {
        builder = builder.preopen(dir);
    }
    for (name, value) in tool.env {
        builder = builder.env(name, value);
    }
    for arg in tool.args {
        builder = builder.arg(arg);
    }
    tools.add(builder.build_async().await?)?;
    Ok(())
}

/// A module's bytes, read where waiting for a disk is no harm.
async fn read(path: &Path, cap: u64) -> anyhow::Result<Vec<u8>> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        // A pipe would keep it waiting for somebody who writes. What is not there is said by who reads it.
        let about = std::fs::metadata(&path).ok().filter(|about| !about.is_dir());
        let file = about.is_none_or(|about| about.is_file());
        anyhow::ensure!(file, "{} is no regular file", path.display());
        read_module(&path, cap)
    })
    .await?
}
