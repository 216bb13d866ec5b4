//! What the command itself writes. A reader that is gone, slow or full must not make the command panic or
//! hang: a guest can fill the pipe that its standard error shares with ours.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a reader may keep us waiting.
const PATIENCE: Duration = Duration::from_millis(500);
/// A pipe that is ready takes this much without blocking (`PIPE_BUF` on Linux).
const READY_BYTES: usize = 4_096;

/// Writes `text` and a line end to standard error. What cannot be written is lost: there is nobody to tell.
pub fn say(text: &str) {
    let _ = write_all(io::stderr().as_fd(), format!("{text}\n").as_bytes());
}

/// Writes `text` to standard output.
///
/// # Errors
/// Any but a reader that has gone away, which is no failure.
pub fn print(text: &str) -> io::Result<()> {
    match write_all(io::stdout().as_fd(), text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    let mut until = Instant::now() + PATIENCE;
    while !bytes.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let ready =
            rustix::io::retry_on_intr(|| poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], Some(&left)))?;
        if ready == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let chunk = bytes.get(..READY_BYTES).unwrap_or(bytes);
        match rustix::io::retry_on_intr(|| rustix::io::write(fd, chunk)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = bytes.get(n..).unwrap_or_default();
                until = Instant::now() + PATIENCE;
            }
            Err(rustix::io::Errno::AGAIN) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
