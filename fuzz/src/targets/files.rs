//! Files that people write.

use std::path::Path;

use cofferdam::agent::file::AgentsFile;
use cofferdam::policy::SecurityPolicy;
use cofferdam::policy::file::{Format, PolicyFile};

/// Longest message that a wrong file may lead to.
const LONGEST_MESSAGE: usize = 200_000;

fn format(choice: u8) -> Option<Format> {
    ["a.toml", "a.yaml", "a.json", "a"].map(Path::new).get(usize::from(choice & 3)).and_then(|path| Format::of(path))
}

fn in_each_format(text: &str) -> Vec<Vec<u8>> {
    (0..4).map(|choice| [&[choice], text.as_bytes()].concat()).collect()
}

pub(super) fn policies() -> Vec<Vec<u8>> {
    let described = PolicyFile::describe(&SecurityPolicy::standard());
    let mut all = Vec::new();
    if let Ok(json) = serde_json::to_string_pretty(&described) {
        all.extend(in_each_format(&json));
    }
    all.extend(in_each_format(
        "level = \"relaxed\"\nallow = [\"simd\"]\n[limits]\nmemory = \"10 MiB\"\nfuel = \"1_000\"\n",
    ));
    all
}

/// A byte chooses the format, the rest is the file.
pub(super) fn policy(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    match PolicyFile::from_text("fuzz", &text, format(*choice)) {
        Ok(file) => {
            // What it describes is itself a policy file, and says the same.
            let policy = file.over(SecurityPolicy::standard());
            let described = PolicyFile::describe(&policy);
            let again = PolicyFile::describe(&described.over(SecurityPolicy::standard()));
            let words = |file: &PolicyFile| serde_json::to_string(file).expect("it can be written");
            assert!(words(&described) == words(&again), "described as\n{}\n{}", words(&described), words(&again));
        }
        Err(error) => assert!(error.to_string().len() < LONGEST_MESSAGE, "the message is as long as the file"),
    }
}

pub(super) fn agents_files() -> Vec<Vec<u8>> {
    in_each_format(include_str!("../../../examples/agents/agents.toml"))
}

/// A byte chooses the format, the rest is the file.
pub(super) fn agents(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    if let Err(error) = AgentsFile::from_text("fuzz", &text, format(*choice), Path::new("/nowhere")) {
        assert!(error.to_string().len() < LONGEST_MESSAGE, "the message is as long as the file");
    }
}
