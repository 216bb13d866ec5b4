use std::path::Path;

use super::AgentsFile;
use crate::agent::{OnFailure, Peers, WhenFull};
use crate::host::agent::{AllowedTools, MODULE};
use crate::policy::MemoryBytes;
use crate::policy::file::Format;

fn read(text: &str) -> Result<super::Plan, String> {
    let file = AgentsFile::from_text("agents.toml", text, Some(Format::Toml), Path::new("/where"));
    file.and_then(|file| file.plan()).map_err(|error| error.to_string())
}

#[test]
fn a_file_becomes_a_plan_with_paths_beside_it() {
    let text = r#"
        state = "state"
        audit = "audit.jsonl"
        host = { max_agents = 3, memory = "1GiB" }
        [policy]
        level = "strict"
        grants.capabilities = ["log"]
        limits = { memory = "2MiB", message = "1KiB" }
        [agents.ping]
        module = "ping.wasm"
        config = "hello"
        peers = ["pong"]
        publish = ["balls"]
        tools = ["words"]
        on_failure = { restart = 3 }
        mailbox = { messages = 7, when_full = { block = "2s" } }
        [agents.ping.policy]
        grants.capabilities = ["messages"]
        limits.memory = "1MiB"
        [agents.pong]
        module = "/else/pong.wasm"
        topics = ["balls"]
        peers = ["*"]
        start = false
        [tools.words]
        module = "words.wasm"
        policy = { wasi = { env = { A = "b" } }, limits = { fuel = "1M" } }
    "#;
    let plan = read(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(plan.state.as_deref(), Some(Path::new("/where/state")));
    assert_eq!((plan.max_agents.get(), plan.memory), (3, Some(MemoryBytes::mib(1024))));
    let [ping, pong] = &plan.agents[..] else { panic!("{} agents", plan.agents.len()) };
    assert_eq!(ping.module, Path::new("/where/ping.wasm"));
    assert_eq!(ping.config.config, b"hello");
    assert_eq!(ping.config.on_failure, OnFailure::Restart { times: 3 });
    assert_eq!(ping.config.mailbox.messages, 7);
    assert_eq!(ping.config.mailbox.when_full, WhenFull::Block(std::time::Duration::from_secs(2)));
    assert_eq!(ping.config.tools, AllowedTools::from_iter(["words"]));
    // Its own policy is over the one for all, key by key.
    let limits = &ping.config.policy.limits;
    assert_eq!((limits.memory, limits.message), (MemoryBytes::mib(1), MemoryBytes::kib(1)));
    let grants = |agent: &super::DeclaredAgent, name| agent.config.policy.grants.allows(MODULE, name);
    assert!(grants(ping, "send_message") && !grants(ping, "log"));
    assert!(grants(pong, "log") && !grants(pong, "send_message"));
    assert_eq!((pong.module.as_path(), pong.start), (Path::new("/else/pong.wasm"), false));
    assert_eq!(pong.config.peers, Peers::All);
    assert_eq!(plan.tools[0].env, [("A".to_owned(), "b".to_owned())]);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_a_suggestion() {
    let agent = |more: &str| read(&format!("[agents.ping]\nmodule = 'p.wasm'\n{more}")).map(drop).expect_err(more);
    let cases = [
        (agent("topic = ['a']"), "`agents.ping.topic`: unknown key `topic`; did you mean `topics`?"),
        (agent("peers = ['pnig']"), "`agents.ping.peers`: no agent `pnig` is declared; did you mean `ping`?"),
        (agent("tools = ['words']"), "`agents.ping.tools`: no tool `words` is declared (declared: none)"),
        (agent("policy.limits.memry = 1"), "did you mean `memory`?"),
        (agent("policy.engine = 'v9'"), "`agents.ping.policy.engine`: no engine is called `v9`"),
        (agent("policy.wasi.args = ['a']"), "an agent's WASI reaches nothing"),
        (agent("config = { file = 'nothing' }"), "`agents.ping.config.file`: cannot read /where/nothing"),
        (agent("drain = 'none'"), "nothing may wait for ever"),
        (agent("on_failure = 'restart'"), "agents.ping.on_failure"),
        (agent("topics = ['A B']"), "`A B` is no name"),
        (agent("[host]\nmax_agents = 0"), "`host.max_agents`: found 0"),
        (agent("policy.extends = 'no.toml'"), "`agents.ping.policy`: cannot read policy file /where/no.toml"),
        (read("[agents.'A b']\nmodule = 'a'").map(drop).expect_err("no name"), "`A b` is no name"),
        (read("").map(drop).expect_err("nothing"), "no agent is declared"),
        (read("agents.a = {}").map(drop).expect_err("no module"), "module"),
    ];
    for (said, expected) in cases {
        assert!(said.contains(expected) && said.contains("agents.toml"), "{said}\nlacks: {expected}");
    }
}
