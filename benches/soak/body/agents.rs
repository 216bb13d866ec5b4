//! Agents: deployed, started, called, failed, stopped, removed, and written to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::Engine;
use cofferdam::agent::{
    Address, AgentConfig, AgentId, AgentInfo, AgentName, MailboxConfig, OnFailure, Peers, Runtime, Topic, WhenFull,
};
use cofferdam::host::agent::{KvOptions, KvStore, MODULE};
use cofferdam::policy::{Fuel, Grants, Limits, SecurityPolicy};
use cofferdam::sandbox::Resources;

use super::guests::small_cache;
use super::{Phase, Tally, did, policies, tokio};

/// Does what the first byte of a message says.
const PUPPET: &[u8] = include_bytes!("../../../tests/guests/agents/puppet.wat");

/// Stores something under ever new names, and deletes what it stored before.
const STORES: &str = r#"(module
  (import "cofferdam_v1" "kv_set" (func $set (param i32 i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "kv_delete" (func $delete (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "handle_message")
    (drop (call $delete (i32.const 0) (i32.const 4)))
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
    (if (i32.lt_s (call $set (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 4096)) (i32.const 0)) (then unreachable))))"#;

fn name(text: &str) -> AgentName {
    AgentName::new(text).expect("it is a name")
}

fn to(text: &str) -> Address {
    text.parse().expect("it is an address")
}

/// A bound that is only reached if something is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// A runtime with agents of one engine, and the async runtime it lives in.
struct World {
    runtime: Runtime,
    policies: Vec<SecurityPolicy>,
    tokio: tokio::runtime::Runtime,
    storage: KvStore,
}

impl World {
    fn new(engine: &Arc<dyn Engine>, dir: &Path) -> Self {
        let tokio = tokio();
        let options = KvOptions::default().flush_every(Duration::from_millis(5));
        let storage = KvStore::open(&dir.join("state"), options).unwrap_or_else(|e| panic!("{e}"));
        let _entered = tokio.enter();
        let builder = Runtime::builder().engine(engine.clone()).resources(Resources::new(&small_cache()));
        let runtime = builder.storage(storage.clone()).build().expect("an engine was given");
        let grants = Grants::none().module(MODULE);
        // No deadline: how long a disk takes under load is not what is looked at.
        let limits = Limits { fuel: Fuel::new(20_000_000), timeout: None, ..Limits::agent() };
        let policies = policies(engine).into_iter();
        let policies = policies.map(|policy| policy.grants(grants.clone()).limits(limits.clone())).collect();
        Self {
            runtime,
            policies,
            storage,
            tokio: {
                drop(_entered);
                tokio
            },
        }
    }

    fn sums(&self) -> Vec<(&'static str, u64)> {
        let (agents, alarms) = self.runtime.held();
        let memory = self.runtime.list().iter().map(|agent| agent.usage.memory.get()).sum();
        vec![
            ("reserved memory", self.runtime.resources().reserved_memory().get()),
            ("agents", agents as u64),
            ("alarms", alarms as u64),
            ("memory of agents", memory),
            ("failed storage", self.storage.has_failed().into()),
        ]
    }
}

async fn puppet(runtime: &Runtime, text: &str, config: AgentConfig) -> AgentId {
    let id = runtime.deploy(name(text), PUPPET, config).await.unwrap_or_else(|e| panic!("{text}: {e}"));
    runtime.start(id).await.unwrap_or_else(|e| panic!("{text}: {e}"));
    id
}

fn config(policy: &SecurityPolicy) -> AgentConfig {
    AgentConfig { policy: policy.clone(), peers: Peers::All, ..AgentConfig::default() }
}

async fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let waits = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(STUCK, waits).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// The life of agents, many times over.
pub struct Agents(World);

impl Agents {
    pub fn open(engine: &Arc<dyn Engine>, dir: &Path) -> Box<dyn Phase> {
        Box::new(Self(World::new(engine, dir)))
    }

    async fn lives(&self, policy: &SecurityPolicy, tally: &mut Tally) {
        let runtime = &self.0.runtime;
        let mut all = Vec::new();
        for n in 0..16 {
            let on_failure = if n % 2 == 0 { OnFailure::Restart { times: 1 } } else { OnFailure::Fail };
            all.push(puppet(runtime, &format!("a{n}"), AgentConfig { on_failure, ..config(policy) }).await);
        }
        assert!(runtime.deploy(name("a0"), PUPPET, config(policy)).await.is_err(), "the name is taken");
        did(tally, "agents deployed and started", 16);
        for id in &all {
            assert!(runtime.execute(*id, "heard", b"").await.is_ok());
            assert!(runtime.execute(*id, "nowhere", b"").await.is_err());
            // A timer that never rings before its agent is gone.
            assert!(runtime.execute(*id, "timer", &[0x00, 0x00, 0x10, 0x00, 1]).await.is_ok());
        }
        did(tally, "calls of agents", 48);
        for id in &all[..4] {
            runtime.send(&Address::Id(*id), b"t").await.expect("it takes messages");
        }
        until("all of four have ended or begun anew", || {
            let about = all[..4].iter().map(|id| runtime.info(*id).expect("it is there"));
            about.map(|info| info.failure.map_or(0, |failure| failure.times)).sum::<u64>() + 2 >= 4
        })
        .await;
        did(tally, "agents that trapped", 4);
        let stored = runtime.deploy(name("stores"), STORES.as_bytes(), config(policy)).await.expect("it is good");
        runtime.start(stored).await.expect("it starts");
        for _ in 0..20 {
            runtime.send(&to("stores"), b"").await.expect("it takes messages");
        }
        let seen = || runtime.info(stored).expect("it is there");
        until("twenty are stored", || seen().usage.messages_in == 20 || seen().failure.is_some()).await;
        assert_eq!(seen().failure, None, "the one that stores");
        runtime.remove(stored).await.expect("it is there");
        did(tally, "values stored", 20);
        for id in &all[4..8] {
            runtime.stop(*id).await.expect("it runs");
        }
        did(tally, "agents stopped", 4);
        // Two are removed while they loop.
        let loops: Vec<_> = all[8..10]
            .iter()
            .map(|id| {
                let (runtime, id) = (runtime.clone(), *id);
                tokio::spawn(async move { runtime.execute(id, "spin", b"").await.is_err() })
            })
            .collect();
        tokio::task::yield_now().await;
        for id in all {
            runtime.remove(id).await.expect("it is there");
        }
        did(tally, "agents removed", 17);
        for looped in loops {
            assert!(looped.await.expect("no panic"));
        }
    }
}

impl Phase for Agents {
    fn round(&mut self, tally: &mut Tally) {
        for policy in &self.0.policies {
            self.0.tokio.block_on(self.lives(policy, tally));
        }
    }

    fn sums(&self) -> Vec<(&'static str, u64)> {
        self.0.sums()
    }
}

/// Messages without end, to one, to a topic, to nobody.
pub struct Messages(World);

/// Messages of one call of `flood`.
const FLOOD: u64 = 1_000;

impl Messages {
    pub fn open(engine: &Arc<dyn Engine>, dir: &Path) -> Box<dyn Phase> {
        Box::new(Self(World::new(engine, dir)))
    }

    async fn floods(&self, policy: &SecurityPolicy, tally: &mut Tally) {
        let runtime = &self.0.runtime;
        let topic = Topic::new("all").expect("it is a name");
        let publish = [topic.clone()].into();
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        let a = puppet(runtime, "a", AgentConfig { publish, ..config(&policy.clone().limits(limits)) }).await;
        let mailbox = MailboxConfig { when_full: WhenFull::Block(STUCK), ..MailboxConfig::default() };
        let b = puppet(runtime, "b", AgentConfig { mailbox, ..config(policy) }).await;
        for n in 0..4 {
            puppet(runtime, &format!("c{n}"), AgentConfig { topics: [topic.clone()].into(), ..config(policy) }).await;
        }
        for _ in 0..5 {
            runtime.execute(a, "flood", b"h\x01be").await.expect("it returns");
        }
        until("the flood is over", || runtime.info(b).is_ok_and(|info| info.usage.messages_in == 5 * FLOOD)).await;
        did(tally, "messages to one", 5 * FLOOD);
        for _ in 0..50 {
            runtime.execute(a, "ask", b"h\x01be").await.expect("it returns");
            runtime.execute(a, "send", b"h\x04#alle").await.expect("it returns");
            assert!(runtime.request(&to("b"), b"e", STUCK).await.is_ok());
        }
        did(tally, "requests", 100);
        did(tally, "messages to topics", 50);
        let heard = |agent: &AgentInfo| agent.queued == 0 && agent.usage.messages_in >= 50;
        let over = || runtime.list().iter().filter(|agent| agent.id != a).all(heard);
        until("the topics are heard", over).await;
        // Mailboxes that fill up with nobody to empty them, and what is left in them when their agent goes.
        let full = MailboxConfig { when_full: WhenFull::DropOldest, messages: 16, ..MailboxConfig::default() };
        let quiet = puppet(runtime, "quiet", AgentConfig { mailbox: full, ..config(&policy.clone()) }).await;
        runtime.send(&to("quiet"), b"w").await.expect("it takes messages");
        for n in 0..100_u32 {
            // Until the first is answered by one of them; the others are handled, or dead letters.
            runtime.send(&to("quiet"), &n.to_le_bytes()).await.expect("the oldest makes room");
        }
        assert!(
            runtime.request(&to("quiet"), b"zz", Duration::from_millis(2)).await.is_err()
                || runtime.state(quiet).is_ok()
        );
        did(tally, "messages to a full mailbox", 100);
        assert!(runtime.send(&to("nobody"), b"x").await.is_err());
        assert!(runtime.execute(a, "wild", b"").await.is_err());
        for agent in runtime.list() {
            runtime.remove(agent.id).await.expect("it is there");
        }
    }
}

impl Phase for Messages {
    fn round(&mut self, tally: &mut Tally) {
        for policy in &self.0.policies {
            self.0.tokio.block_on(self.floods(policy, tally));
        }
    }

    fn sums(&self) -> Vec<(&'static str, u64)> {
        self.0.sums()
    }
}
