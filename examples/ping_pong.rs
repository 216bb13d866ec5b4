//! Two agents that send a ball to each other: `ping`, written in C, asks; `pong`, in AssemblyScript, answers.
//!
//! `cargo run --release --example ping_pong`

use std::time::Instant;

use cofferdam::SecurityPolicy;
use cofferdam::agent::{AgentConfig, AgentName, Peers, Runtime};
use cofferdam::host::agent::Capability;
use cofferdam::policy::Grants;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::builder().build()?;
    let grants = Grants::none().capability(Capability::Messages).capability(Capability::Log);
    let policy = SecurityPolicy::default().grants(grants);

    // To answer needs no permission; to send first does.
    let config = AgentConfig { policy: policy.clone(), ..AgentConfig::default() };
    let pong = runtime.deploy(AgentName::new("pong")?, include_bytes!("guests/agents/pong.wasm"), config).await?;
    let peers = Peers::only([AgentName::new("pong")?]);
    let config = AgentConfig { policy, peers, ..AgentConfig::default() };
    let ping = runtime.deploy(AgentName::new("ping")?, include_bytes!("guests/agents/ping.wasm"), config).await?;
    runtime.start_all(&[ping, pong]).await.into_iter().collect::<Result<(), _>>()?;

    // `start` sends the first ball; everything after it happens between the two.
    let (_, mut log) = runtime.follow_logs(ping)?;
    let begun = Instant::now();
    runtime.execute(ping, "start", b"10000").await?;
    println!("ping says: {}", log.recv().await?.text);
    println!("a ball took {:?}", begun.elapsed() / 10_000);
    for agent in runtime.list() {
        let usage = agent.usage;
        println!(
            "{} got {} messages, sent {}, used {} fuel",
            agent.name, usage.messages_in, usage.messages_out, usage.fuel
        );
    }
    Ok(())
}
