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
        (agent("drain = '366d'"), "`agents.ping.drain`: found a time of more than 365 days"),
        (
            agent("mailbox = { when_full = { block = '300000000000y' } }"),
            "`agents.ping.mailbox.when_full.block`: found a",
        ),
        (
            agent("on_failure = 'restart'"),
            "`agents.ping.on_failure`: found `restart` without its value; write `{ restart = 3 }`",
        ),
        (
            agent("mailbox.when_full = 'block'"),
            "`agents.ping.mailbox.when_full`: found `block` without its value; write `{ block = \"1s\" }`",
        ),
        (
            agent("mailbox.when_full = { reject = '1s' }"),
            "`agents.ping.mailbox.when_full`: found a value for `reject`, which has none; write `\"reject\"`",
        ),
        (agent("mailbox.messages = 0"), "`agents.ping.mailbox.messages`: found 0 where at least 1 belongs"),
        (agent("calls = 0"), "`agents.ping.calls`: found 0 where at least 1 belongs"),
        (agent("fuel_rate.per_second = 0"), "`agents.ping.fuel_rate.per_second`: found 0 where at least 1 belongs"),
        (agent("[host]\nmemory = '1KiB'"), "`host.memory`: found 1.0 KiB, and the mailboxes alone may come to take 1."),
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

#[test]
fn a_tool_is_given_nothing_that_leads_to_what_the_host_keeps() {
    let dir = tempfile::tempdir().expect("a directory");
    for made in ["data/deep", "docs", "modules", "kept"] {
        std::fs::create_dir_all(dir.path().join(made)).expect("there is room");
    }
    std::fs::write(dir.path().join("modules/p.wasm"), "").expect("there is room");
    std::os::unix::fs::symlink("data", dir.path().join("link")).expect("there is room");
    let read = |keys: &str, host: &str, access: &str| {
        let host = dir.path().join(host);
        let text = format!(
            "{keys}\n[agents.ping]\nmodule = 'modules/p.wasm'\n[tools.t]\nmodule = 'modules/t.wasm'\n\
             policy.wasi.dirs = [{{ host = '{}', guest = '/d', access = '{access}' }}]",
            host.display()
        );
        let file = AgentsFile::from_text("agents.toml", &text, Some(Format::Toml), dir.path());
        file.and_then(|file| file.plan()).map(drop).map_err(|error| error.to_string())
    };
    let kept = "state = 'data/deep/state'\naudit = 'kept/audit.jsonl'";
    for (host, access, what) in [
        ("data", "ro", "`state`"),
        ("data/deep", "overlay", "`state`"),
        ("link", "ro", "`state`"),
        (".", "ro", "`state`"),
        ("kept", "ro", "`audit`"),
        ("modules", "rw", "the module of `ping`"),
    ] {
        let said = read(kept, host, access).expect_err(host);
        let place = "`tools.t.policy.wasi.dirs`: through ";
        assert!(said.contains(place) && said.contains(&format!("could reach {what};")), "{said}");
    }
    for (host, access) in [("docs", "rw"), ("modules", "ro"), ("data/deep/other", "rw")] {
        read(kept, host, access).unwrap_or_else(|said| panic!("{host}: {said}"));
    }
    // It is the same when they are there already.
    std::fs::create_dir(dir.path().join("data/deep/state")).expect("there is room");
    std::fs::write(dir.path().join("kept/audit.jsonl"), "").expect("there is room");
    read(kept, "data", "ro").expect_err("it leads to the state");
    read(kept, "data/deep/state", "ro").expect_err("it is the state");
    read(kept, "kept", "rw").expect_err("it leads to the log");
    read("", ".", "ro").expect("there is nothing to be kept from it");
    read("", ".", "rw").expect_err("it leads to modules");
}

#[test]
fn places_that_will_be_needed_are_looked_at() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("there")).expect("there is room");
    std::fs::create_dir(dir.path().join("other")).expect("there is room");
    std::fs::write(dir.path().join("file"), "").expect("there is room");
    let look = |keys: &str, host: &str| {
        let text = format!(
            "{keys}\n[agents.ping]\nmodule = 'p.wasm'\n[tools.t]\nmodule = 't.wasm'\n\
             policy.wasi.dirs = [{{ host = '{}', guest = '/d', access = 'ro' }}]",
            dir.path().join(host).display()
        );
        let file = AgentsFile::from_text("agents.toml", &text, Some(Format::Toml), dir.path());
        let plan = file.and_then(|file| file.plan()).unwrap_or_else(|error| panic!("{error}"));
        plan.look_at_places().map_err(|error| error.to_string())
    };
    for (keys, host, said) in [
        ("state = 'file'", "there", "`state`: "),
        ("audit = 'nowhere/audit.jsonl'", "there", "`audit`: "),
        ("audit = 'other'", "there", "`audit`: "),
        ("", "nowhere", "`tools.t.policy.wasi.dirs`: "),
        ("", "file", "`tools.t.policy.wasi.dirs`: "),
    ] {
        let error = look(keys, host).expect_err(said);
        assert!(error.contains(said) && error.contains(" director"), "{keys} {host}: {error}");
    }
    for keys in ["", "state = 'new'\naudit = 'audit.jsonl'"] {
        look(keys, "there").unwrap_or_else(|error| panic!("{keys}: {error}"));
    }
}
