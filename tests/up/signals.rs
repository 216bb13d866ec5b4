//! A signal in the middle of things that were not done yet.

use super::*;

/// Its `init` never ends.
fn never_begins(dir: &Path) {
    let module = "(module (func (export \"init\") (loop (br 0))))";
    std::fs::write(dir.join("never.wat"), module).expect("there is room");
    let file = "[agents.never]\nmodule = 'never.wat'\npolicy.limits = { fuel = 'unlimited', timeout = 'none' }\n";
    std::fs::write(dir.join("agents.toml"), file).expect("there is room");
}

#[test]
fn a_signal_before_all_agents_have_begun_ends_it_too() {
    let dir = new_dir();
    never_begins(dir.path());
    let mut up = Up::begin_in(dir, &["--drain", "200ms"]);
    up.event("deployed");
    let (code, events, error, dir) = up.terminate();
    assert!(code == 1 && !events.contains("\"kind\":\"ready\""), "{code}: {error} {events}");
    assert!(!dir.path().join("run/agents.sock").exists());
}

#[test]
fn who_waits_for_an_agents_answer_is_told_that_there_will_be_none() {
    let dir = new_dir();
    endless(dir.path());
    let up = Up::start_in(dir, &["--drain", "200ms"]);
    let mut call = cofferdam(up.dir.path());
    let call = call.args(["agent", "send", "endless", "x", "--wait", "1h"]).stderr(Stdio::piped()).spawn();
    let call = call.expect("it starts");
    while up.json(&["info", "endless"])["usage"]["messages_in"] != 1 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let (code, events, _, _) = up.terminate();
    let told = call.wait_with_output().expect("it ends");
    assert!(code == 1 && events.contains("\"kind\":\"removed\""), "{code}: {events}");
    assert!(!told.status.success() && !told.stderr.is_empty(), "{told:?}");
}
