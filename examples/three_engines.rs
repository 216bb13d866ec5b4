//! Agents on three engines that pass a text round and round: the same module, the same fuel, one mailbox system.
//!
//! `cargo run --release --features all-free --example three_engines`

use cofferdam::agent::{Address, AgentConfig, AgentName, Peers, Runtime};
use cofferdam::host::agent::Capability;
use cofferdam::policy::Grants;
use cofferdam::{SecurityPolicy, engines};

const ENGINES: [&str; 3] = ["wasmer-cranelift", "wasmtime", "wasmi"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut built = Vec::new();
    for name in ENGINES {
        match engines::by_name(name) {
            Ok(engine) => built.push((AgentName::new(&format!("on-{name}"))?, engine)),
            Err(why) => println!("skipped: {why}"),
        }
    }
    let runtime = Runtime::builder().build()?;
    let grants = Grants::none().capability(Capability::Messages).capability(Capability::Log);
    let mut agents = Vec::new();
    for (n, (name, engine)) in built.iter().enumerate() {
        let next = &built[(n + 1) % built.len()].0;
        let letter = ["a", "b", "c"][n];
        let config = AgentConfig {
            engine: Some(engine.clone()),
            policy: SecurityPolicy::default().grants(grants.clone()),
            config: format!("{letter}{next}").into_bytes(),
            peers: Peers::only([next.clone()]),
            ..AgentConfig::default()
        };
        agents.push(runtime.deploy(name.clone(), include_bytes!("guests/agents/relay.wat"), config).await?);
    }
    runtime.start_all(&agents).await.into_iter().collect::<Result<(), _>>()?;

    // Twelve letters: the last of the circle has the last one.
    let (_, mut last) = runtime.follow_logs(*agents.last().ok_or("there is no engine")?)?;
    runtime.send(&Address::from(agents[0]), b"").await?;
    println!("{}", last.recv().await?.text);
    runtime.list().iter().for_each(|agent| println!("{}: {} fuel", agent.name, agent.usage.fuel));
    Ok(())
}
