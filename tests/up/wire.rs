//! The socket, as other programs meet it that speak its protocol themselves.

use std::net::Shutdown;
use std::os::unix::net::UnixListener;

use super::*;

fn connect(up: &Up) -> UnixStream {
    UnixStream::connect(up.dir.path().join("run/agents.sock")).expect("it listens")
}

/// What comes back for `line`, to which nothing is added: not even an end.
fn answer(up: &Up, line: &str) -> String {
    let mut stream = connect(up);
    stream.write_all(line.as_bytes()).expect("it listens");
    stream.shutdown(Shutdown::Write).expect("it is connected");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("it answers");
    said
}

#[test]
fn who_has_asked_and_says_no_more_is_answered() {
    let up = Up::start(&pair(), &[]);
    let asked = [
        "{\"v\":1,\"op\":\"list\"}\n",
        "{\"v\":1,\"op\":\"send\",\"to\":\"counter\",\"body\":\"1\"}\n",
        "{\"v\":1,\"op\":\"send\",\"to\":\"counter\",\"body\":\"1\",\"wait_ms\":60000}",
        "{\"v\":1,\"op\":\"call\",\"agent\":\"ping\",\"function\":\"start\",\"input\":\"1\"}\n",
    ];
    for _ in 0..10 {
        for line in asked {
            let said: Value = serde_json::from_str(&answer(&up, line)).expect(line);
            assert!(said["ok"].is_array() || said["ok"].is_object(), "{line}: {said}");
        }
    }
    // Each was done, and once.
    assert_eq!(up.says(&["send", "counter", "0", "--wait", "60s"]), "120");
    assert_eq!(up.terminate().0, 0);
}

#[test]
fn who_goes_away_while_waiting_makes_room() {
    let dir = new_dir();
    // It takes no message by itself, so that a request waits until its time is over.
    std::fs::write(dir.path().join("deaf.wat"), "(module)").expect("there is room");
    std::fs::write(dir.path().join("agents.toml"), "[agents.deaf]\nmodule = 'deaf.wat'\n").expect("there is room");
    let up = Up::start_in(dir, &[]);
    let crowd: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = connect(&up);
            // Those who find no place may be sent away already.
            let _ = stream.write_all(b"{\"v\":1,\"op\":\"send\",\"to\":\"deaf\",\"wait_ms\":3600000}\n");
            let _ = stream.shutdown(Shutdown::Write);
            stream
        })
        .collect();
    drop(crowd);
    let mut tries = 0;
    while !up.agent(&["list"]).status.success() {
        tries += 1;
        assert!(tries < 1_000, "they still hold their places");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// What `cofferdam agent OPTIONS` makes of a server that says `words` and goes away.
fn told(words: &'static str, options: &[&str]) -> Output {
    let dir = new_dir();
    std::fs::create_dir(dir.path().join("run")).expect("there is room");
    let listener = UnixListener::bind(dir.path().join("run/agents.sock")).expect("there is room");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        BufReader::new(&stream).read_line(&mut String::new()).expect("it asks");
        stream.write_all(words.as_bytes()).expect("it listens");
    });
    let output = cofferdam(dir.path()).arg("agent").args(options).output().expect("the command runs");
    server.join().expect("it has answered");
    output
}

#[test]
fn an_answer_that_is_cut_off_is_told() {
    let line = "{\"v\":1,\"line\":{\"at\":\"now\",\"level\":\"info\",\"text\":\"whole\"}}\n";
    let half = "{\"v\":1,\"line\":{\"at\":\"now\",\"level\":\"info\",\"text\":\"ha";
    let all: &'static str = format!("{line}{half}").leak();
    for words in [line, all] {
        let output = told(words, &["logs", "-f", "a"]);
        assert_eq!(text(&output.stdout), "now info  whole\n");
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(1) && error.contains("the log is cut off here"), "{output:?}");
    }
    let ended: &'static str = format!("{line}{{\"v\":1,\"ok\":null}}\n").leak();
    assert_eq!(told(ended, &["logs", "-f", "a"]).status.code(), Some(0));
    let output = told("{\"v\":1,\"o", &["list"]);
    let error = text(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("ended before it had answered"), "{output:?}");
}
