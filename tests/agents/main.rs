//! Agents end to end, on every engine of the build: lifecycle, messages, resources, and agents that mean harm.
#![cfg(feature = "any-engine")]

mod denied;
mod ends;
mod hostile;
mod lifecycle;
mod many;
mod messages;
mod pools;
mod resources;
mod room;

#[path = "../support/matrix.rs"]
mod matrix;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::agent::{Address, AgentConfig, AgentId, AgentName, AgentUsage, Peers, Runtime, Topic};
use cofferdam::audit::MemorySink;
use cofferdam::host::agent::{AbiError, MODULE};
use cofferdam::policy::{Grants, Limits, SecurityPolicy};
use cofferdam::sandbox::Resources;
use cofferdam::{Engine, FuelMode};

const PUPPET: &[u8] = include_bytes!("../guests/agents/puppet.wat");

/// A runtime on one engine in one fuel mode, and what it told the audit.
struct World {
    runtime: Runtime,
    audit: Arc<MemorySink>,
    mode: FuelMode,
}

fn worlds() -> Vec<World> {
    matrix::matrix().into_iter().map(|(engine, mode)| world(engine, mode)).collect()
}

fn world(engine: Arc<dyn Engine>, mode: FuelMode) -> World {
    let audit = Arc::new(MemorySink::new(10_000));
    let resources = Resources::new(&Default::default());
    let runtime = Runtime::builder().engine(engine).resources(resources).audit(audit.clone());
    World { runtime: runtime.build().expect("an engine was given"), audit, mode }
}

fn name(text: &str) -> AgentName {
    AgentName::new(text).unwrap_or_else(|e| panic!("{e}"))
}

fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap_or_else(|e| panic!("{e}"))
}

fn to(text: &str) -> Address {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

impl World {
    /// Everything of `cofferdam_v1` is granted, every peer may be written to.
    fn config(&self) -> AgentConfig {
        let policy = SecurityPolicy::standard().grants(Grants::none().module(MODULE)).fuel_mode(self.mode);
        AgentConfig { policy, peers: Peers::All, ..AgentConfig::default() }
    }

    fn limited(&self, limits: Limits) -> AgentConfig {
        let config = self.config();
        AgentConfig { policy: config.policy.clone().limits(limits), ..config }
    }

    async fn deploy(&self, agent: &str, config: AgentConfig) -> AgentId {
        self.runtime.deploy(name(agent), PUPPET, config).await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// A puppet that runs.
    async fn puppet(&self, agent: &str, config: AgentConfig) -> AgentId {
        let id = self.deploy(agent, config).await;
        self.runtime.start(id).await.unwrap_or_else(|e| panic!("{e}"));
        id
    }

    async fn call(&self, id: AgentId, function: &str, input: &[u8]) -> Vec<u8> {
        self.runtime.execute(id, function, input).await.unwrap_or_else(|e| panic!("{function}: {e}"))
    }

    /// What the call gave as a number.
    async fn number(&self, id: AgentId, function: &str, input: &[u8]) -> i64 {
        numbers(&self.call(id, function, input).await)[0]
    }

    async fn send(&self, agent: &str, body: &[u8]) {
        assert_eq!(self.runtime.send(&to(agent), body).await, Ok(1), "to {agent}");
    }

    /// What a puppet has heard, line by line. Asked after everything that was sent before.
    async fn heard(&self, id: AgentId) -> Vec<String> {
        let heard = String::from_utf8_lossy(&self.call(id, "heard", b"").await).into_owned();
        heard.lines().map(str::to_owned).collect()
    }

    /// What a puppet has heard, once it is `n` lines.
    async fn heard_lines(&self, id: AgentId, n: usize) -> Vec<String> {
        let mut heard = Vec::new();
        until(async || {
            heard = self.heard(id).await;
            heard.len() >= n
        })
        .await;
        heard
    }

    fn usage(&self, id: AgentId) -> AgentUsage {
        self.runtime.info(id).unwrap_or_else(|e| panic!("{e}")).usage
    }
}

/// What a guest is told.
fn code(error: AbiError) -> i64 {
    error.code().into()
}

fn numbers(bytes: &[u8]) -> Vec<i64> {
    bytes.chunks_exact(8).map(|n| i64::from_le_bytes(n.try_into().expect("eight bytes"))).collect()
}

/// The input of `send`, `ask` and `flood`, and the message that a puppet hands on.
fn hand(to: &str, body: &[u8]) -> Vec<u8> {
    let len = u8::try_from(to.len()).expect("addresses are short");
    [b"h", &[len][..], to.as_bytes(), body].concat()
}

/// A bound that is only reached if something is broken.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("nothing is stuck")
}

async fn until(mut happened: impl AsyncFnMut() -> bool) {
    soon(async {
        while !happened().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
