//! The agents in `examples/guests/agents` do what their sources say, in the runtime, on every engine: written in
//! C, Rust and AssemblyScript, with the libraries beside them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use cofferdam::Sandbox;
use cofferdam::agent::{Address, AgentConfig, AgentId, AgentName, Peers, Runtime};
use cofferdam::host::agent::{Capability, LogLevel, MODULE};
use cofferdam::policy::{Grants, Level, SecurityPolicy};

use super::*;

fn module(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/guests/agents").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The agents, and what each needs.
const AGENTS: [(&str, &[Capability]); 5] = [
    ("counter.wasm", &[Capability::Kv]),
    ("echo.wasm", &[]),
    ("notes.wasm", &[Capability::Log, Capability::Kv, Capability::Tools]),
    ("ping.wasm", &[Capability::Log, Capability::Messages]),
    ("pong.wasm", &[Capability::Log, Capability::Messages]),
];

fn name(text: &str) -> AgentName {
    AgentName::new(text).unwrap_or_else(|e| panic!("{e}"))
}

fn to(text: &str) -> Address {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

struct World {
    runtime: Runtime,
    mode: FuelMode,
}

impl World {
    fn all() -> impl Iterator<Item = Self> {
        cells().into_iter().map(|cell| {
            let runtime = Runtime::builder().engine(cell.engine.clone()).build().expect("an engine was given");
            Self { runtime, mode: cell.mode }
        })
    }

    /// Deployed as `as_name` with exactly what it needs, and started.
    async fn start(&self, file: &str, as_name: &str, config: AgentConfig) -> AgentId {
        let (_, needs) = AGENTS.iter().find(|(name, _)| *name == file).expect("it is in the list");
        let grants = needs.iter().fold(Grants::agent(), |grants, c| grants.capability(*c));
        let policy = SecurityPolicy::new(Level::Standard).grants(grants).fuel_mode(self.mode).limits(limits());
        let config = AgentConfig { policy, ..config };
        let id = self.runtime.deploy(name(as_name), &module(file), config).await.unwrap_or_else(|e| panic!("{e}"));
        self.runtime.start(id).await.unwrap_or_else(|e| panic!("{file}: {e}"));
        id
    }

    async fn ask(&self, who: &str, what: &str) -> String {
        let answer = self.runtime.request(&to(who), what.as_bytes(), Duration::from_secs(10)).await;
        String::from_utf8(answer.unwrap_or_else(|e| panic!("{who}: {e}")).to_vec()).expect("text")
    }
}

fn run<F: Future<Output = ()>>(future: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("threads").block_on(future);
}

#[test]
fn each_imports_what_it_needs_and_no_more() {
    for (file, needs) in AGENTS {
        let engine = cells().swap_remove(0).engine;
        let policy = SecurityPolicy::standard().grants(Grants::none().module(MODULE));
        let sandbox = Sandbox::builder(engine).policy(policy).build().expect("it can be enforced");
        let loaded = sandbox.load(&module(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        let imports = loaded.prepared().imports();
        assert!(imports.iter().all(|i| &*i.module == MODULE), "{file}: {imports:?}");
        let used: BTreeSet<_> = imports.iter().filter_map(|i| Capability::of(&i.name)).collect();
        let needs: BTreeSet<_> = needs.iter().copied().chain([Capability::Io]).collect();
        assert!(used.is_subset(&needs) && used.len() + 1 >= needs.len(), "{file}: {used:?}");
    }
}

#[test]
fn counter_keeps_its_sum_between_calls_and_beyond_its_life() {
    run(async {
        for world in World::all() {
            let config = AgentConfig { config: b"100".to_vec(), ..AgentConfig::default() };
            let id = world.start("counter.wasm", "counter", config.clone()).await;
            assert_eq!(world.ask("counter", "").await, "101");
            assert_eq!(world.ask("counter", "41").await, "142");
            assert_eq!(world.ask("counter", "-200").await, "-58");
            world.runtime.stop(id).await.expect("it runs");
            world.runtime.start(id).await.expect("it has stopped");
            assert_eq!(world.ask("counter", "58").await, "0", "it goes on from what is stored");
            // Storage in memory goes with the agent, and the next of that name begins anew.
            world.runtime.remove(id).await.expect("it is there");
            let id = world.start("counter.wasm", "counter", config).await;
            assert_eq!(world.ask("counter", "58").await, "158");
            world.runtime.remove(id).await.expect("it is there");
        }
    });
}

#[test]
fn echo_answers_messages_and_calls() {
    run(async {
        for world in World::all() {
            let id = world.start("echo.wasm", "echo", AgentConfig::default()).await;
            for len in [1, 255, 256, 99_999, 100_000] {
                let body = "x".repeat(len);
                assert_eq!(world.ask("echo", &body).await, body);
            }
            let nothing = world.runtime.request(&to("echo"), b"", Duration::from_secs(10)).await;
            assert!(nothing.is_err(), "an empty output is no reply");
            let answer = world.runtime.execute(id, "echo", b"\x00\xff").await.expect("it answers");
            assert_eq!(answer, b"\x00\xff");
        }
    });
}

#[test]
fn ping_and_pong_play() {
    run(async {
        for world in World::all() {
            let peers = |other| AgentConfig {
                peers: Peers::only([name(other)]),
                log_level: LogLevel::Debug,
                ..AgentConfig::default()
            };
            let pong = world.start("pong.wasm", "pong", peers("ping")).await;
            let ping = world.start("ping.wasm", "ping", peers("pong")).await;
            world.runtime.execute(ping, "start", b"200").await.unwrap_or_else(|e| panic!("{e}"));
            let done = || world.runtime.logs(ping).expect("it is there").iter().any(|l| l.text.to_string() == "done");
            while !done() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let last = world.runtime.logs(pong).expect("it is there").pop().expect("it logs each ball");
            assert_eq!(last.text.to_string(), "ball 200 from ping");
        }
    });
}

#[test]
fn notes_keeps_what_it_is_told() {
    run(async {
        for world in World::all() {
            let id = world.start("notes.wasm", "notes", AgentConfig::default()).await;
            assert_eq!(world.ask("notes", "get milk").await, "none");
            let long = "litre ".repeat(1_000);
            assert_eq!(world.ask("notes", &format!("put milk {long}")).await, "ok");
            assert_eq!(world.ask("notes", "put bread one").await, "ok");
            assert_eq!(world.ask("notes", "get milk").await, long, "larger than the room it is asked for with");
            assert_eq!(world.ask("notes", "list").await, "bread\nmilk\n");
            assert_eq!(world.ask("notes", "drop bread").await, "ok");
            assert_eq!(world.ask("notes", "drop bread").await, "none");
            let logged = world.runtime.logs(id).expect("it is there");
            assert_eq!(logged.iter().map(|l| l.text.to_string()).collect::<Vec<_>>(), ["milk", "bread"]);
            // A status below 0 is the guest's own failure, and the agent goes on.
            assert!(world.runtime.execute(id, "handle_message", b"sing").await.is_err());
            let denied = world.runtime.execute(id, "handle_message", b"tool any {}").await;
            assert!(denied.is_err(), "no tools are there");
            assert_eq!(world.ask("notes", "list").await, "milk\n");
        }
    });
}
