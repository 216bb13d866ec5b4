//! What is said when something does not work, and in which words.

use super::*;

/// `--check` of `file`, beside which lie `extra` and a pipe called `pipe`.
fn check(file: &str) -> Output {
    let dir = new_dir();
    let path = dir.path().join("agents.toml");
    std::fs::write(&path, file).expect("there is room");
    std::fs::create_dir(dir.path().join("e\u{1b}[31m")).expect("there is room");
    std::fs::write(dir.path().join("e\u{1b}[31m/agents.toml"), file).expect("there is room");
    let status = Command::new("mkfifo").arg(dir.path().join("pipe")).status().expect("it is there");
    assert!(status.success());
    cofferdam(dir.path()).args(["up", "--check"]).arg(path).output().expect("it runs")
}

#[test]
fn paths_cannot_change_the_terminal() {
    for (code, file) in [
        (120, "[agents.a]\nmodule = \"x\\u001b[31m\\u009b.wasm\"\n"),
        (2, "[agents.a]\nmodule = 'a.wasm'\nconfig = { file = \"x\\u001b[31m\" }\n"),
        (2, "[agents.a]\nmodule = 'a.wasm'\npolicy.extends = \"x\\u001b[31m.toml\"\n"),
        (
            2,
            "state = \"agents.toml\\u001b[31m/../agents.toml\"\n[agents.a]\nmodule = \"a\\u001b[31m\"\npeers = ['b']\n",
        ),
    ] {
        let output = check(file);
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(code) && !error.contains(['\u{1b}', '\u{9b}']), "{file}\n{output:?}");
    }
    let dir = new_dir();
    let folder = dir.path().join("e\u{1b}[31m");
    std::fs::create_dir(&folder).expect("there is room");
    std::fs::write(folder.join("agents.toml"), pair()).expect("there is room");
    for name in ["agents.toml", "other.toml"] {
        let output = cofferdam(dir.path()).args(["up", "--check"]).arg(folder.join(name)).output().expect("it runs");
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains("e\\u{1b}[31m") && !said.contains('\u{1b}'), "{said}");
    }
}

#[test]
fn a_pipe_is_no_file() {
    for (code, file) in
        [(120, "[agents.a]\nmodule = 'pipe'\n"), (2, "[agents.a]\nmodule = 'a.wasm'\nconfig = { file = 'pipe' }\n")]
    {
        let output = check(file);
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(code) && error.contains("is no regular file"), "{output:?}");
    }
}

#[test]
fn places_that_are_not_there_are_said_by_a_check() {
    let output = check("audit = 'nowhere/audit.jsonl'\n[agents.a]\nmodule = 'a.wasm'\n");
    let error = text(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("`audit`: "), "{output:?}");
}

/// Traps, goes on for ever, or takes no message.
const FAILS: &str = r#"(module
  (func (export "trap") unreachable)
  (func (export "long") (loop (br 0))))"#;

fn failing() -> Up {
    let dir = new_dir();
    std::fs::write(dir.path().join("fails.wat"), FAILS).expect("there is room");
    let agent = "module = 'fails.wat'\non_failure = { restart = 9 }\nmailbox.messages = 1\npolicy.limits.fuel = '1M'\n";
    let file = format!("[agents.one]\n{agent}");
    std::fs::write(dir.path().join("agents.toml"), file).expect("there is room");
    Up::start_in(dir, &[])
}

#[test]
fn a_call_that_failed_has_a_receipt_and_its_message_names_keys() {
    let mut up = failing();
    let mut fuel = 0;
    for (function, code) in [("trap", 121), ("long", 122)] {
        let output = up.agent(&["--json", "call", "one", function]);
        assert_eq!(output.status.code(), Some(code));
        let said: Value = serde_json::from_str(&text(&output.stderr)).expect("it is JSON");
        fuel += said["error"]["receipt"]["fuel"].as_u64().expect("it has cost something");
        let output = up.agent(&["call", "--stats", "one", function]);
        let error = text(&output.stderr);
        assert!(error.contains(" fuel (") && !error.contains("::"), "{error}");
        assert_eq!(error.contains("`limits.fuel`"), function == "long", "{error}");
    }
    assert_eq!(up.json(&["info", "one"])["usage"]["fuel"], 2 * fuel);
    let output = up.agent(&["--json", "call", "one", "nothing"]);
    let said: Value = serde_json::from_str(&text(&output.stderr)).expect("it is JSON");
    assert_eq!((output.status.code(), &said["error"]["kind"]), (Some(120), &json!("refused")));
    // It takes no messages, so that the second finds no room.
    up.says(&["send", "one"]);
    up.refuses(120, &["send", "one"], "`mailbox` makes it larger");
    let restarted = up.event("restarted");
    assert!(restarted["detail"].as_str().is_some_and(|why| !why.contains("::")), "{restarted}");
    let (_, events, _, _) = up.terminate();
    assert!(events.contains("`limits.fuel`") && !events.contains("Limits::"), "{events}");
}

#[test]
fn with_json_what_is_wrong_is_json() {
    let dir = new_dir();
    let output = cofferdam(dir.path()).args(["agent", "--json", "list"]).output().expect("it runs");
    let said: Value = serde_json::from_str(&text(&output.stderr)).expect("it is JSON");
    assert_eq!((output.status.code(), &said["error"]["kind"]), (Some(2), &json!("usage")));
    assert!(said["error"]["message"].as_str().is_some_and(|words| words.contains("no agents run here")), "{said}");
}
