//! What is told of events and log lines, and to whom it is not told.

use std::fs::OpenOptions;

use super::*;

/// Logs as many lines as one call may, or one.
const LOGGER: &str = r#"(module
  (import "cofferdam_v1" "log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "line")
  (func (export "one") (drop (call $log (i32.const 2) (i32.const 0) (i32.const 4))))
  (func (export "many")
    (loop $more (br_if $more (i32.eqz (call $log (i32.const 2) (i32.const 0) (i32.const 4)))))))"#;

/// Lines that one call may log: each counts 32 bytes, of 64 KiB.
const MANY: usize = 2_048;

fn logger() -> Up {
    let dir = new_dir();
    std::fs::write(dir.path().join("logger.wat"), LOGGER).expect("there is room");
    let file = "policy = { grants.capabilities = ['log'], limits = { fuel = '1G', timeout = '60s' } }\n[agents.logger]\nmodule = 'logger.wat'\n";
    std::fs::write(dir.path().join("agents.toml"), file).expect("there is room");
    Up::start_in(dir, &[])
}

#[test]
fn all_that_one_call_logs_is_printed_and_followed() {
    let up = logger();
    up.says(&["call", "logger", "one"]);
    let mut follow = cofferdam(up.dir.path());
    follow.args(["agent", "logs", "-f", "logger"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut follow = follow.spawn().expect("it starts");
    let mut lines = BufReader::new(follow.stdout.take().expect("it is piped"));
    lines.read_line(&mut String::new()).expect("it prints text");
    up.says(&["call", "logger", "many"]);
    up.says(&["remove", "logger"]);
    assert_eq!(lines.lines().count(), MANY);
    let output = follow.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let (code, events, error, _) = up.terminate();
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(events.matches("\"kind\":\"log\"").count(), MANY + 1);
}

#[test]
fn a_reader_that_is_too_slow_is_told_what_it_missed() {
    let mut up = logger();
    let calls = 8;
    for _ in 0..calls {
        up.says(&["call", "logger", "many"]);
    }
    // Now there is room again for what is printed next.
    let mut printed = 0;
    let next = |events: &mut BufReader<ChildStdout>| -> Value {
        let mut line = String::new();
        events.read_line(&mut line).expect("it prints text");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e} in {line}"))
    };
    while printed < MANY {
        assert_eq!(next(&mut up.events)["kind"], "log");
        printed += 1;
    }
    up.says(&["call", "logger", "one"]);
    let lost = loop {
        let event = next(&mut up.events);
        if event["kind"] == "lost" {
            break event["detail"].as_str().unwrap_or_default().to_owned();
        }
        printed += 1;
    };
    assert_eq!(next(&mut up.events)["kind"], "log");
    let missing = calls * MANY - printed;
    assert!(missing > 0 && lost.starts_with(&format!("{missing} events are missing here")), "{printed} {lost}");
    let (code, _, error, _) = up.terminate();
    assert!(code == 0 && error.contains(&format!("{missing} events were not printed")), "{code} {error}");
}

#[cfg(target_os = "linux")]
#[test]
fn events_that_nothing_takes_are_told_on_standard_error() {
    let dir = new_dir();
    std::fs::write(dir.path().join("agents.toml"), pair()).expect("there is room");
    let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let mut command = cofferdam(dir.path());
    command.args(["up", "--json"]).arg(dir.path().join("agents.toml")).stdout(full).stderr(Stdio::piped());
    let mut up = command.spawn().expect("it starts");
    let list = || cofferdam(dir.path()).args(["agent", "list"]).output().expect("the command runs").status.success();
    while !list() {
        assert!(up.try_wait().expect("it is ours").is_none(), "it ended");
    }
    kill_process(Pid::from_child(&up), Signal::TERM).expect("it runs");
    let mut error = String::new();
    up.stderr.take().expect("it is piped").read_to_string(&mut error).expect("it prints text");
    assert_eq!(up.wait().expect("it ends").code(), Some(0), "{error}");
    assert!(error.contains("standard output takes no events: No space left"), "{error}");
    assert!(error.contains(" events were not printed to standard output: No space left"), "{error}");
}

#[test]
fn a_log_whose_host_is_gone_has_no_good_end() {
    let mut up = logger();
    up.says(&["call", "logger", "one"]);
    let mut follow = cofferdam(up.dir.path());
    follow.args(["agent", "logs", "-f", "logger"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut follow = follow.spawn().expect("it starts");
    let mut lines = BufReader::new(follow.stdout.take().expect("it is piped"));
    lines.read_line(&mut String::new()).expect("it prints text");
    up.signal(Signal::KILL);
    let _ = up.child.wait();
    let output = follow.wait_with_output().expect("it ends");
    let error = text(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("the log is cut off here"), "{output:?}");
}

/// Logs that it has begun, and never ends.
const BEGINS: &str = r#"(module
  (import "cofferdam_v1" "log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "begun")
  (func (export "handle_message")
    (drop (call $log (i32.const 2) (i32.const 0) (i32.const 5)))
    (loop $more (br $more))))"#;

fn cut_off() -> Up {
    let dir = new_dir();
    std::fs::write(dir.path().join("begins.wat"), BEGINS).expect("there is room");
    let file = "policy.grants.capabilities = ['log']\n[agents.long]\nmodule = 'begins.wat'\ndrain = '50ms'\n\
                policy.limits = { fuel = 'unlimited', timeout = 'none' }\n";
    std::fs::write(dir.path().join("agents.toml"), file).expect("there is room");
    let mut up = Up::start_in(dir, &["--drain", "1h"]);
    up.says(&["send", "long", "the first"]);
    up.event("log");
    up
}

#[test]
fn a_call_that_a_drain_cut_off_is_told() {
    let mut up = cut_off();
    up.says(&["send", "long", "the second"]);
    let output = up.agent(&["stop", "long"]);
    let words = "long is stopped, and was cut off in a call when its time to drain was over: \
                 0 messages handled, 2 dropped\n";
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), words));
    let stopped = up.event("stopped");
    assert_eq!(stopped["detail"], "2 messages dropped; cut off in a call: its time to drain was over");
    assert_eq!(up.json(&["info", "long"])["usage"]["cut_off"], 1);
    let letters = up.json(&["dead-letters"]);
    assert!(letters["total"] == 2 && letters["letters"][0]["reason"] == "stopped", "{letters}");
    // It is seen in the end, too.
    assert_eq!(up.terminate().0, 1);
    // And so is one that is cut off only then.
    assert_eq!(cut_off().terminate().0, 1);
}
