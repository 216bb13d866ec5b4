//! What the command itself writes. A reader that is gone, slow or full must not make the command panic or
//! hang: a guest can fill the pipe that its standard error shares with ours.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use cofferdam::sandbox::Printable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a reader may keep us waiting.
const PATIENCE: Duration = Duration::from_millis(500);
/// A pipe that is ready takes this much without blocking (`PIPE_BUF` on Linux).
const READY_BYTES: usize = 4_096;

/// Writes `text` and a line end to standard error. What cannot be written is lost: there is nobody to tell.
/// Names and paths that it quotes may be another's: of control characters only line ends are left.
pub fn say(text: &str) {
    let text: String = text.split('\n').map(|line| format!("{}\n", Printable::whole(line))).collect();
    let _ = write_all(io::stderr().as_fd(), text.as_bytes(), Some(PATIENCE));
}

/// Writes `text` to standard output, and waits for the reader as long as it takes.
///
/// # Errors
/// Any but a reader that has gone away, which is no failure.
pub fn print(text: &str) -> io::Result<()> {
    to_stdout(text, None)
}

/// Writes what a guest's function returned to standard output, which the guest could write to as well.
///
/// # Errors
/// As [`print`], and a reader that takes nothing for a while: the guest may have filled the pipe for good.
pub fn print_results(text: &str) -> io::Result<()> {
    to_stdout(text, Some(PATIENCE))
}

/// Writes lines to standard output, and waits for the reader as long as it takes. Gives how many bytes were
/// written, and why not all. A reader that has gone away is no failure.
pub fn print_lines(lines: &[u8]) -> (usize, io::Result<()>) {
    let mut left = lines;
    let done = write_from(io::stdout().as_fd(), &mut left, None);
    (lines.len().saturating_sub(left.len()), forgive(done))
}

fn to_stdout(text: &str, patience: Option<Duration>) -> io::Result<()> {
    forgive(write_all(io::stdout().as_fd(), text.as_bytes(), patience))
}

fn forgive(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8], patience: Option<Duration>) -> io::Result<()> {
    write_from(fd, &mut bytes, patience)
}

/// Writes `bytes` and takes away what is written.
fn write_from(fd: BorrowedFd<'_>, bytes: &mut &[u8], patience: Option<Duration>) -> io::Result<()> {
    let from_now = || patience.map(|patience| Instant::now() + patience);
    let mut until = from_now();
    while !bytes.is_empty() {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left =
            left.map(|left| Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() });
        let ready =
            rustix::io::retry_on_intr(|| poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], left.as_ref()))?;
        if ready == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let chunk = bytes.get(..READY_BYTES).unwrap_or(bytes);
        // Whole lines, where that is possible: a pipe takes so much as a whole or not at all.
        let lines = chunk.iter().rposition(|byte| *byte == b'\n').map_or(chunk.len(), |last| last + 1);
        let chunk = chunk.get(..lines).unwrap_or(chunk);
        match rustix::io::retry_on_intr(|| rustix::io::write(fd, chunk)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                *bytes = bytes.get(n..).unwrap_or_default();
                until = from_now();
            }
            Err(rustix::io::Errno::AGAIN) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// JSON on one line in which nothing can change what a terminal shows: what could is written as an escape,
/// which means the same.
pub fn visible(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        // Of ASCII, JSON escapes all control characters but one itself.
        let hidden =
            !matches!(c, ' '..='~') && Printable::whole(c.encode_utf8(&mut [0; 4])).to_string() != c.to_string();
        if hidden {
            text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_answer_cannot_change_the_terminal_and_stays_the_same() {
        let value = json!({"a": "\u{1b}[2J\u{9b}2J\u{202e}\u{7f}\u{e0041} é 𝄞"});
        let text = visible(&value.to_string());
        assert_eq!(text, r#"{"a":"\u001b[2J\u009b2J\u202e\u007f\udb40\udc41 é 𝄞"}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value));
    }
}
