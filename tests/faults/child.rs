//! Processes of their own: a test runs itself again, under limits that hold for a whole process.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the child is to do; only a child has it.
const CHILD: &str = "COFFERDAM_TEST_CHILD";

/// The end of a child that did what it was to do: that it ran at all must be seen.
const DONE: &str = "the child is done";

/// What this process is to do, if it is a child.
pub fn told() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// Says that the child did what it was to do.
pub fn done() {
    println!("{DONE}");
}

/// This program again, with nothing but `test`, told to do `what`.
pub fn command(test: &str, what: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("it runs"));
    command.args(["--exact", test, "--test-threads", "1", "--nocapture"]).env(CHILD, what);
    command.env("MALLOC_ARENA_MAX", "2").env("RUST_BACKTRACE", "0");
    command
}

/// Runs it, and sees that it did what it was to do.
#[track_caller]
pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("it can be run");
    let (said, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && said.contains(DONE), "{command:?}: {} {said}{error}", how(&output));
    said
}

/// How it ended, with the signal if it was one.
pub fn how(output: &Output) -> String {
    output.status.signal().map_or_else(|| output.status.to_string(), |signal| format!("ended by signal {signal}"))
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// As long as it lives, the process can have no more address space than it had, and `more` bytes.
pub struct Squeezed(Rlimit);

/// Address space that the process has, in bytes.
fn size() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is there");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("it is there");
    size.trim().trim_end_matches(" kB").parse::<u64>().expect("it is a number") << 10
}

impl Squeezed {
    pub fn to(more: u64) -> Self {
        let before = getrlimit(Resource::As);
        setrlimit(Resource::As, Rlimit { current: Some(size() + more), maximum: before.maximum }).expect("it is lower");
        Self(before)
    }
}

/// As long as it lives, no thread can be had: each needs more address space than there is. For children whose stacks are
/// as large as [`STACK`]; everything else has room.
pub struct NoThreads {
    _squeezed: Squeezed,
    /// Threads that took what stacks were left over, and end with their senders.
    _taken: Vec<Sender<()>>,
}

/// A thread's stack, where no thread is to be had, and the room there is then.
pub const STACK: u64 = 1 << 30;
const LESS: u64 = 512 << 20;

impl NoThreads {
    pub fn now() -> Self {
        let squeezed = Squeezed::to(LESS);
        let (mut taken, mut refused) = (Vec::new(), 0);
        // Threads that are about to end leave their stacks to the next ones.
        while refused < 10 {
            let (ends, end) = channel::<()>();
            if std::thread::Builder::new().spawn(move || end.recv()).is_ok() {
                taken.push(ends);
            } else {
                refused += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            assert!(taken.len() < 100, "threads can be had");
        }
        Self { _squeezed: squeezed, _taken: taken }
    }
}

impl Drop for Squeezed {
    fn drop(&mut self) {
        setrlimit(Resource::As, self.0).expect("it is as it was");
    }
}
