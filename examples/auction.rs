//! An auctioneer and ten bidders, who know of each other by a topic only. The highest bid wins and pays the second.
//!
//! `cargo run --release --example auction`

use cofferdam::SecurityPolicy;
use cofferdam::agent::{AgentConfig, AgentName, Peers, Runtime, Topic};
use cofferdam::host::agent::Capability;
use cofferdam::policy::Grants;

const BIDS: [&str; 10] = ["310", "870", "540", "120", "990", "460", "730", "280", "650", "900"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::builder().build()?;
    let lots = Topic::new("lots")?;
    let grants = Grants::none().capability(Capability::Messages).capability(Capability::Log);
    let common = AgentConfig { policy: SecurityPolicy::default().grants(grants), ..AgentConfig::default() };

    let name = AgentName::new("auctioneer")?;
    let config = AgentConfig { peers: Peers::All, publish: [lots.clone()].into(), ..common.clone() };
    let auctioneer = runtime.deploy(name.clone(), include_bytes!("guests/agents/auctioneer.wat"), config).await?;
    let mut agents = vec![auctioneer];
    for (n, bid) in BIDS.into_iter().enumerate() {
        let peers = Peers::only([name.clone()]);
        let config = AgentConfig { peers, topics: [lots.clone()].into(), config: bid.into(), ..common.clone() };
        let bidder = AgentName::new(&format!("bidder-{}", n + 1))?;
        agents.push(runtime.deploy(bidder, include_bytes!("guests/agents/bidder.wat"), config).await?);
    }
    runtime.start_all(&agents).await.into_iter().collect::<Result<(), _>>()?;

    let (_, mut hammer) = runtime.follow_logs(auctioneer)?;
    let (_, mut winner) = runtime.follow_logs(agents[5])?;
    runtime.execute(auctioneer, "open", b"a small dam with a view").await?;
    println!("auctioneer: {}", hammer.recv().await?.text);
    println!("bidder-5: {}", winner.recv().await?.text);
    println!("{} messages", runtime.list().iter().map(|agent| agent.usage.messages_out).sum::<u64>());
    Ok(())
}
