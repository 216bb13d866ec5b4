//! `cofferdam up` and `cofferdam agent` as a person, a script and a service manager meet them.
#![cfg(feature = "any-engine")]

mod failures;
mod signals;
mod told;
mod wire;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

fn cofferdam(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("COFFERDAM_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
        .env("COFFERDAM_SOCKET", dir.join("run/agents.sock"))
        .env_remove("COFFERDAM_ENGINE");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running `cofferdam up`.
struct Up {
    child: Child,
    events: BufReader<ChildStdout>,
    dir: TempDir,
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn guest(name: &str) -> String {
    format!("{}/examples/guests/agents/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn new_dir() -> TempDir {
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().expect("there is room")
}

impl Up {
    /// `cofferdam up OPTIONS` with `file`, when it is ready.
    fn start(file: &str, options: &[&str]) -> Self {
        let dir = new_dir();
        std::fs::write(dir.path().join("agents.toml"), file).expect("there is room");
        Self::start_in(dir, options)
    }

    fn start_in(dir: TempDir, options: &[&str]) -> Self {
        let mut up = Self::begin_in(dir, options);
        up.event("ready");
        up
    }

    fn begin_in(dir: TempDir, options: &[&str]) -> Self {
        let mut command = cofferdam(dir.path());
        command.arg("up").arg("--json").args(options).arg(dir.path().join("agents.toml"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
        let events = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, events, dir }
    }

    /// The next event of this kind.
    fn event(&mut self, kind: &str) -> Value {
        loop {
            let mut line = String::new();
            self.events.read_line(&mut line).expect("it prints text");
            if line.is_empty() {
                let mut error = String::new();
                let _ = self.child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut error));
                panic!("it ended before `{kind}`: {error}");
            }
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e} in {line}"));
            if event["kind"] == kind {
                return event;
            }
        }
    }

    fn agent(&self, options: &[&str]) -> Output {
        cofferdam(self.dir.path()).arg("agent").args(options).output().expect("the command runs")
    }

    /// What `cofferdam agent` prints when all is well.
    #[track_caller]
    fn says(&self, options: &[&str]) -> String {
        let output = self.agent(options);
        assert!(output.status.success(), "{options:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    #[track_caller]
    fn json(&self, options: &[&str]) -> Value {
        let said = self.says(&[&["--json"], options].concat());
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e} in {said}"))
    }

    #[track_caller]
    fn refuses(&self, code: i32, options: &[&str], words: &str) {
        let output = self.agent(options);
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(code) && error.contains(words), "{:?}: {error}", output.status);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it runs");
    }

    /// Its exit code, what it printed since, and what it said on standard error.
    fn end(mut self) -> (i32, String, String, TempDir) {
        let (mut out, mut err) = (String::new(), String::new());
        self.events.read_to_string(&mut out).expect("it prints text");
        let stderr = self.child.stderr.take();
        stderr.map(|mut stderr| stderr.read_to_string(&mut err)).transpose().expect("it prints text");
        let status = self.child.wait().expect("it ends");
        let dir = std::mem::replace(&mut self.dir, new_dir());
        (status.code().unwrap_or(-1), out, err, dir)
    }

    fn terminate(self) -> (i32, String, String, TempDir) {
        self.signal(Signal::TERM);
        self.end()
    }
}

fn pair() -> String {
    format!(
        "policy.grants.capabilities = ['log', 'messages']\n\
         [agents.ping]\nmodule = '{}'\npeers = ['pong']\n\
         [agents.pong]\nmodule = '{}'\nlog_level = 'debug'\n\
         [agents.counter]\nmodule = '{}'\nconfig = '100'\ntopics = ['numbers']\npolicy.grants.capabilities = ['kv']\n",
        guest("ping.wasm"),
        guest("pong.wasm"),
        guest("counter.wasm")
    )
}

/// An agent whose `handle_message` never ends by itself.
const ENDLESS: &str = "(module (func (export \"handle_message\") (loop (br 0))))";

fn endless(dir: &Path) {
    std::fs::write(dir.join("endless.wat"), ENDLESS).expect("there is room");
    let file = "[agents.endless]\nmodule = 'endless.wat'\npolicy.limits = { fuel = 'unlimited', timeout = 'none' }\n";
    std::fs::write(dir.join("agents.toml"), file).expect("there is room");
}

#[test]
fn a_day_of_two_agents_that_talk_and_one_that_counts() {
    let up = Up::start(&pair(), &[]);
    let list = up.says(&["list"]);
    assert!(list.lines().count() == 4 && list.contains("NAME") && list.contains("pong     running"), "{list}");

    assert_eq!(up.says(&["call", "ping", "start", "10"]), "");
    let mut follow = cofferdam(up.dir.path());
    let mut follow = follow.args(["agent", "logs", "-f", "ping"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(follow.stdout.take().expect("it is piped"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("it prints text");
    assert!(line.ends_with(" info  done\n"), "{line}");
    assert!(up.says(&["logs", "pong"]).lines().last().is_some_and(|line| line.ends_with("debug ball 10 from ping")));

    assert_eq!(up.says(&["send", "counter", "5", "--wait", "5s"]), "105");
    assert_eq!(up.says(&["send", "counter", "-5", "--wait", "5s"]), "100");
    assert_eq!(up.says(&["send", "#numbers", "7"]), "sent\n");
    assert_eq!(up.json(&["send", "counter", "0", "--wait", "5s"])["reply"], "107");
    let info = up.json(&["info", "counter"]);
    assert_eq!((&info["state"], &info["usage"]["messages_in"]), (&json!("running"), &json!(4)));
    assert!(info["host_functions"].as_array().is_some_and(|all| all.contains(&json!("cofferdam_v1.kv_set"))));
    assert!(up.says(&["info", "counter"]).contains("cofferdam_v1.kv_set"));

    assert_eq!(up.says(&["stop", "ping"]), "ping is stopped: 0 messages handled, 0 dropped\n");
    up.refuses(120, &["call", "ping", "start", "1"], "the agent is stopped and takes no calls");
    up.refuses(120, &["stop", "ping"], "cannot be stopped");
    assert_eq!(up.says(&["start", "ping"]), "ping runs\n");
    up.says(&["stop", "ping"]);
    assert_eq!(up.says(&["--json", "start", "ping"]), "{}\n");
    assert_eq!(up.says(&["remove", "ping"]), "ping is removed\n");
    up.refuses(2, &["info", "ping"], "no agent `ping` is deployed");
    up.refuses(2, &["send", "No Name", "x"], "is no name");
    up.refuses(120, &["call", "counter", "nothing"], "the module exports no function `nothing`");
    up.refuses(1, &["send", "pong", "x", "--wait", "0s"], "no reply");
    assert_eq!(up.json(&["list"]).as_array().map(Vec::len), Some(2));

    let (code, events, error, dir) = up.terminate();
    assert_eq!((code, error.as_str()), (0, ""));
    let of = |kind: &str| format!("\"kind\":\"{kind}\"");
    let at =
        |kind: &str| events.lines().position(|line| line.contains("\"agent\":\"counter\"") && line.contains(&of(kind)));
    assert!(at("stopped").is_some() && at("stopped") < at("removed"), "{events}");
    assert!(events.contains("\"detail\":\"0 messages dropped\"") && events.contains("\"kind\":\"ended\""), "{events}");
    // Who follows a log is not told more, and is not left waiting.
    assert!(follow.wait().expect("it ends").success());
    assert!(!dir.path().join("run/agents.sock").exists());
}

#[test]
fn people_see_one_line_an_event() {
    let dir = new_dir();
    let output = cofferdam(dir.path()).args(["up", "--check", "examples/agents/agents.toml"]).output();
    let output = output.expect("it runs");
    assert_eq!(text(&output.stdout), "examples/agents/agents.toml: good (4 agents, 1 tool)\n");
    let mut up = cofferdam(dir.path());
    let mut up = up.args(["up", "examples/agents/agents.toml"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(up.stdout.take().expect("it is piped")).lines();
    let mut seen = Vec::new();
    for line in lines.by_ref().map(|line| line.expect("it is text")) {
        let ready = line.contains(" cofferdam    ready: 4 agents, 1 tool; `cofferdam agent` finds them at ");
        seen.push(line.get(9..).unwrap_or_default().to_owned());
        if ready {
            break;
        }
    }
    for line in ["ping         deployed", "tool statistics deployed", "pong         started"] {
        assert!(seen.iter().any(|seen| seen == line), "{seen:#?}");
    }
    // Control-C.
    kill_process(Pid::from_child(&up), Signal::INT).expect("it runs");
    let rest: Vec<_> = lines.map(|line| line.expect("it is text")).collect();
    assert!(rest.iter().any(|line| line.ends_with(" counter      stopped: 0 messages dropped")), "{rest:#?}");
    assert_eq!(up.wait().expect("it ends").code(), Some(0));
}

#[test]
fn what_is_stored_and_what_was_queued_outlive_a_signal() {
    let file = format!(
        "state = 'state'\naudit = 'audit.jsonl'\n[agents.counter]\nmodule = '{}'\npolicy.grants.capabilities = ['kv']\n",
        guest("counter.wasm")
    );
    let up = Up::start(&file, &[]);
    for n in 1..=20 {
        up.says(&["send", "counter", &n.to_string()]);
    }
    let (code, events, _, dir) = up.terminate();
    assert!(code == 0 && events.contains("0 messages dropped"), "{code}: {events}");
    let audit = dir.path().join("audit.jsonl");
    assert_eq!(audit.metadata().map(|about| about.mode() & 0o777).ok(), Some(0o600));
    assert!(std::fs::read_to_string(audit).is_ok_and(|log| log.contains("\"kind\":\"stopped\"")));
    let up = Up::start_in(dir, &[]);
    assert_eq!(up.says(&["send", "counter", "0", "--wait", "5s"]), "210");
    assert_eq!(up.terminate().0, 0);
}

#[test]
fn an_agent_that_will_not_end_is_cut_off() {
    let dir = new_dir();
    endless(dir.path());
    let up = Up::start_in(dir, &["--drain", "200ms"]);
    up.says(&["send", "endless"]);
    up.says(&["send", "endless", "never handled"]);
    // It is in the middle of the first.
    let (code, _, error, _) = up.terminate();
    assert!(code == 1 && error.contains("1 agents had not ended after 200ms"), "{code}: {error}");
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    let dir = new_dir();
    endless(dir.path());
    let mut up = Up::start_in(dir, &["--drain", "1h"]);
    up.says(&["send", "endless"]);
    up.signal(Signal::TERM);
    up.event("draining");
    up.signal(Signal::INT);
    let (code, events, error, _) = up.end();
    assert!(code == 1 && error.contains("a second signal") && events.contains("removed"), "{code}: {error} {events}");
}

#[test]
fn an_agent_that_fails_is_seen_and_in_the_exit_code() {
    let dir = new_dir();
    let trap = "(module (func (export \"init\") unreachable))";
    let trap_later = "(module (func (export \"handle_message\") unreachable))";
    std::fs::write(dir.path().join("trap.wat"), trap).expect("there is room");
    std::fs::write(dir.path().join("later.wat"), trap_later).expect("there is room");
    let file = "[agents.first]\nmodule = 'trap.wat'\n[agents.later]\nmodule = 'later.wat'\n";
    std::fs::write(dir.path().join("agents.toml"), file).expect("there is room");
    let mut up = Up::begin_in(dir, &[]);
    let ready = up.event("ready");
    assert!(ready["detail"].as_str().is_some_and(|detail| detail.starts_with("2 agents, 0 tools, 1 did not start")));
    up.says(&["send", "later", "\u{1b}[2J\u{9b}2J\u{202e}"]);
    up.event("ended");
    let failure = up.json(&["info", "later"]);
    assert_eq!((&failure["state"], &failure["failure"]["times"]), (&json!("failed"), &json!(1)));
    let letters = up.says(&["dead-letters"]);
    assert!(letters.contains("(host)") && letters.contains("failed") && !letters.contains('\u{1b}'), "{letters}");
    assert_eq!(up.json(&["dead-letters"])["letters"][0]["body"], "\u{1b}[2J\u{9b}2J\u{202e}");
    let letters = up.says(&["--json", "dead-letters"]);
    assert!(letters.contains("\\u009b2J\\u202e") && !letters.contains(['\u{9b}', '\u{202e}']), "{letters}");
    up.refuses(1, &["start", "first"], "`init` did not return");
    assert_eq!(up.terminate().0, 1);
}

/// Calls the tool that is the first line of a message with the rest, and answers what came of it.
const CALLER: &str = r#"(module
  (import "cofferdam_v1" "input_read" (func $read (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "result_read" (func $result (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "output_write" (func $write (param i32 i32) (result i32)))
  (import "cofferdam_v1" "call_tool" (func $call (param i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "handle_message") (local $len i32) (local $name i32) (local $code i32)
    (local.set $len (call $read (i32.const 0) (i32.const 1024) (i32.const 0)))
    (block $found (loop $more
      (br_if $found (i32.eq (i32.load8_u (local.get $name)) (i32.const 10)))
      (local.set $name (i32.add (local.get $name) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $name) (local.get $len)))))
    (local.set $code (call $call (i32.const 0) (local.get $name)
      (i32.add (local.get $name) (i32.const 1)) (i32.sub (i32.sub (local.get $len) (local.get $name)) (i32.const 1))
      (i32.const 4096) (i32.const 4096)))
    ;; Refused: the digit of the code, and what the tool says.
    (if (i32.lt_s (local.get $code) (i32.const 0)) (then
      (i32.store8 (i32.const 2048) (i32.sub (i32.const 48) (local.get $code)))
      (drop (call $write (i32.const 2048) (i32.const 1)))
      (drop (call $write (i32.const 4096) (call $result (i32.const 4096) (i32.const 4096) (i32.const 0))))
      (return)))
    (drop (call $write (i32.const 4096) (local.get $code)))))"#;

#[test]
fn agents_call_the_tools_that_their_file_allows() {
    let dir = new_dir();
    std::fs::write(dir.path().join("caller.wat"), CALLER).expect("there is room");
    let root = env!("CARGO_MANIFEST_DIR");
    let file = format!(
        "policy = {{ grants.capabilities = ['tools'], limits.timeout = '20s' }}\n\
         [agents.caller]\nmodule = 'caller.wat'\ntools = ['statistics']\n\
         [agents.other]\nmodule = 'caller.wat'\n\
         [tools.statistics]\nmodule = '{root}/examples/guests/statistics.wasm'\n\
         [tools.words]\nmodule = '{root}/examples/guests/words.wasm'\n"
    );
    std::fs::write(dir.path().join("agents.toml"), file).expect("there is room");
    let up = Up::start_in(dir, &[]);
    let asks = |agent: &str, message: &str| up.says(&["send", agent, message, "--wait", "20s"]);
    let answer: Value = serde_json::from_str(&asks("caller", "statistics\n{\"numbers\":[1,2,3]}")).expect("it is JSON");
    assert_eq!((&answer["sum"], &answer["count"]), (&json!(6), &json!(3)));
    let refused = asks("caller", "statistics\n{\"numbers\":7}");
    assert!(refused.starts_with("9the arguments are refused: /numbers"), "{refused}");
    assert!(asks("caller", "statistics\nnonsense").starts_with("9the arguments are "));
    // Whether there is such a tool is nothing that one learns who may not call it.
    assert_eq!((asks("caller", "words\n{}").as_str(), asks("caller", "nothing\n{}").as_str()), ("2", "2"));
    assert_eq!(asks("other", "statistics\n{\"numbers\":[1]}"), "2");
    assert_eq!(up.terminate().0, 0);
}

#[test]
fn what_is_wrong_in_a_file_is_said_before_anything_runs() {
    let counter = guest("counter.wasm");
    let agent = |more: &str| format!("[agents.a]\nmodule = '{counter}'\n{more}");
    let kv = "policy.grants.capabilities = ['kv']\n";
    let cases = [
        (2, agent("mailbx = 1"), "unknown key `mailbx`; did you mean `mailbox`?"),
        (2, agent("policy.limits.memory = 'much'"), "`agents.a.policy.limits.memory`"),
        (2, agent("peers = ['b']"), "no agent `b` is declared"),
        (2, "agents = 1".to_owned(), "`agents`"),
        (2, "[agents".to_owned(), "not valid TOML"),
        (120, agent(""), "agent `a`"),
        (120, "[agents.a]\nmodule = 'nothing.wasm'".to_owned(), "cannot open"),
        (120, agent(&format!("{kv}[tools.t]\nmodule = '{counter}'")), "tool `t`"),
        (120, agent(&format!("config = '{}'\n{kv}policy.limits.message = 4", "x".repeat(9))), "message cap"),
        (0, agent(kv), ""),
    ];
    for (code, file, words) in cases {
        let dir = new_dir();
        let path = dir.path().join("agents.toml");
        std::fs::write(&path, &file).expect("there is room");
        let output = cofferdam(dir.path()).args(["up", "--check"]).arg(&path).output().expect("it runs");
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(code) && error.contains(words), "{file}\n{:?} {error}", output.status);
        assert!(!dir.path().join("run").exists());
    }
    let dir = new_dir();
    let output = cofferdam(dir.path()).args(["up", "nowhere.toml"]).output().expect("it runs");
    assert_eq!((output.status.code(), text(&output.stderr).contains("nowhere.toml")), (Some(2), true));
}

#[test]
fn the_socket_is_its_owners_and_one_that_is_left_behind_is_replaced() {
    let mut up = Up::start(&pair(), &[]);
    let (folder, socket): (PathBuf, PathBuf) = (up.dir.path().join("run"), up.dir.path().join("run/agents.sock"));
    let mode = |path: &Path| path.metadata().map(|about| about.mode() & 0o777).ok();
    assert_eq!((mode(&folder), mode(&socket)), (Some(0o700), Some(0o600)));
    let second = cofferdam(up.dir.path()).arg("up").arg(up.dir.path().join("agents.toml")).output().expect("it runs");
    assert!(second.status.code() == Some(2) && text(&second.stderr).contains("runs already"), "{second:?}");
    assert!(second.stdout.is_empty(), "nothing was deployed");
    up.says(&["list"]);
    up.signal(Signal::KILL);
    let _ = up.child.wait();
    assert!(socket.exists());
    up.refuses(2, &["list"], "no agents run here");
    let dir = std::mem::replace(&mut up.dir, new_dir());
    let up = Up::start_in(dir, &[]);
    up.says(&["list"]);
    let (_, _, _, dir) = up.terminate();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let open = cofferdam(dir.path()).arg("up").arg(dir.path().join("agents.toml")).output().expect("it runs");
    assert!(open.status.code() == Some(2) && text(&open.stderr).contains("chmod 700"), "{open:?}");
}

#[test]
fn the_socket_takes_nonsense_and_crowds() {
    let up = Up::start(&pair(), &[]);
    let connect = || UnixStream::connect(up.dir.path().join("run/agents.sock")).expect("it listens");
    let stream = connect();
    let mut lines = BufReader::new(&stream);
    let mut ask = |line: &str| -> Value {
        (&stream).write_all(format!("{line}\n").as_bytes()).expect("it listens");
        let mut said = String::new();
        lines.read_line(&mut said).expect("it answers");
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e} in {said}"))
    };
    for (line, kind) in [
        ("nonsense", "bad-request"),
        ("{\"v\":1,\"op\":\"fly\"}", "bad-request"),
        ("{\"v\":9,\"op\":\"list\"}", "version"),
        ("{\"v\":1,\"op\":\"info\",\"agent\":\"#topic\"}", "bad-request"),
        ("{\"v\":1,\"op\":\"send\",\"to\":\"pong\",\"body\":{\"hex\":\"0\"}}", "bad-request"),
    ] {
        assert_eq!(ask(line)["error"]["kind"], kind, "{line}");
    }
    // After all that it still answers.
    let count = ask("{\"v\":1,\"op\":\"send\",\"to\":\"counter\",\"body\":{\"hex\":\"37\"},\"wait_ms\":5000}");
    assert_eq!(count, json!({ "v": 1, "ok": { "receivers": 1, "reply": "107" } }));

    // A line without end is refused, and its sender sent away.
    let long = connect();
    let piece = vec![b' '; 1 << 20];
    while (&long).write_all(&piece).is_ok() {}
    assert!(up.says(&["list"]).contains("counter"));

    let crowd: Vec<_> = (0..40).map(|_| connect()).collect();
    let mut said = String::new();
    BufReader::new(&crowd[39]).read_line(&mut said).expect("it is told");
    assert!(said.contains("\"busy\""), "{said}");
    drop(crowd);
    assert_eq!(up.terminate().0, 0);
}
