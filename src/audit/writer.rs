//! The thread that writes an audit log, and what it has.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::log::{AuditError, AuditLogConfig};
use super::queue::{Job, Jobs};
use super::rotate::rotate;
use super::throttle::Throttle;
use super::{Event, EventKind, Subject};
use crate::own_file::{self, NotOurs};

/// So long after the last event, what was left out is said.
const QUIET: Duration = Duration::from_secs(10);

/// What the thread has.
pub(super) struct Writer {
    path: PathBuf,
    /// `None` if the next file could not be opened.
    file: Option<File>,
    /// In the file.
    bytes: u64,
    /// Whether the last line is unfinished.
    torn: bool,
    /// From here on the next file is begun: moved on by a part of the file's size when that did not work.
    next_at: u64,
    config: AuditLogConfig,
    lost: Arc<AtomicU64>,
    throttle: Arc<Throttle>,
    /// How many of the lost the file says.
    noted: u64,
    /// How many of the lost a flush has said.
    told: u64,
    /// Whether the last write failed, which was said then.
    failing: bool,
    /// A file that was left behind and may not be on the disk.
    unsynced: Option<io::Error>,
    _lock: File,
}

impl Writer {
    pub(super) fn open(
        path: PathBuf,
        config: &AuditLogConfig,
        lost: Arc<AtomicU64>,
        throttle: Arc<Throttle>,
    ) -> Result<Self, AuditError> {
        let failed = |error| not_usable(&path, error);
        own_file::has_safe_parent(&path).map_err(failed)?;
        let lock = lock(&path)?;
        let (file, bytes, torn) = open(&path)?;
        let config = config.clone();
        let next_at = config.file_bytes.get();
        let (noted, told) = (0, 0);
        let (failing, unsynced, file) = (false, None, Some(file));
        Ok(Self {
            path,
            file,
            bytes,
            torn,
            next_at,
            config,
            lost,
            throttle,
            noted,
            told,
            failing,
            unsynced,
            _lock: lock,
        })
    }

    pub(super) fn run(mut self, jobs: &Jobs) {
        loop {
            match jobs.next(QUIET) {
                Ok(Some(Job::Write(event))) => self.keep(&event),
                Ok(Some(Job::Flush(done))) => {
                    self.say_left_out();
                    let _ = done.send(self.flush());
                }
                Ok(None) => self.say_left_out(),
                Err(()) => break,
            }
        }
        self.say_left_out();
        self.note_lost();
    }

    fn say_left_out(&mut self) {
        for event in self.throttle.left_out(Instant::now()) {
            self.keep(&event);
        }
    }

    /// What has happened since the last flush is on the disk.
    fn flush(&mut self) -> io::Result<()> {
        let synced = self.file.as_ref().map_or(Ok(()), File::sync_data);
        let lost = self.lost.load(Ordering::Relaxed);
        let missing = lost - std::mem::replace(&mut self.told, lost);
        if let Some(error) = self.unsynced.take() {
            return Err(error);
        }
        synced?;
        if missing > 0 {
            return Err(io::Error::other(format!("{missing} audit events were lost")));
        }
        Ok(())
    }

    fn keep(&mut self, event: &Event) {
        let kept = self.note_lost() && self.line(event).is_ok();
        if !kept {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Says in the file how many are missing, if that has changed. `false` if it cannot be said.
    fn note_lost(&mut self) -> bool {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost == self.noted {
            return true;
        }
        let detail = format!("{} events are missing here", lost - self.noted);
        if self.line(&Event::new(Subject::host("audit"), EventKind::Lost, detail)).is_err() {
            return false;
        }
        self.noted = lost;
        true
    }

    fn line(&mut self, event: &Event) -> io::Result<()> {
        let done = self.try_line(event);
        match &done {
            Err(error) if !self.failing => {
                tracing::error!(%error, path = %self.path.display(), "the audit log cannot be written; events are lost");
            }
            Ok(()) if self.failing => {
                tracing::warn!(path = %self.path.display(), "the audit log is written again");
            }
            _ => {}
        }
        self.failing = done.is_err();
        done
    }

    fn try_line(&mut self, event: &Event) -> io::Result<()> {
        let mut line = if self.torn { vec![b'\n'] } else { Vec::new() };
        serde_json::to_writer(&mut line, event)?;
        line.push(b'\n');
        if self.bytes > 0 && self.bytes.saturating_add(line.len() as u64) > self.next_at && self.next_file() {
            line.drain(..usize::from(line.first() == Some(&b'\n')));
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let (file, bytes, torn) = open(&self.path).map_err(io::Error::other)?;
                (self.bytes, self.torn) = (bytes, torn);
                self.file.insert(file)
            }
        };
        let (start, torn) = (self.bytes, self.torn);
        let mut rest = &line[..];
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.bytes += n as u64;
                    self.torn = true;
                    rest = &rest[n..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // Half a line is of no use, and the disk may be full of it.
                    if self.bytes > start && file.set_len(start).is_ok() {
                        (self.bytes, self.torn) = (start, torn);
                    }
                    return Err(error);
                }
            }
        }
        self.torn = false;
        Ok(())
    }

    /// Leaves the file behind. If it cannot be moved, it is written on, and tried again when it has grown by a
    /// sixteenth of its size.
    fn next_file(&mut self) -> bool {
        let size = self.config.file_bytes.get();
        if let Some(Err(error)) = self.file.as_ref().map(File::sync_data) {
            self.unsynced = Some(error);
        }
        if let Err(error) = rotate(&self.path, self.config.keep) {
            if self.next_at == size {
                tracing::error!(%error, path = %self.path.display(), "the audit log is too large and cannot be moved; it is written on");
            }
            self.next_at = self.bytes.saturating_add((size / 16).max(1));
            return false;
        }
        self.file = None;
        (self.bytes, self.torn, self.next_at) = (0, false, size);
        true
    }
}

fn not_usable(path: &Path, error: NotOurs) -> AuditError {
    let path = path.to_owned();
    match error {
        NotOurs::Io(error) => AuditError::File { path, error },
        NotOurs::Shared(problem) => AuditError::NotPrivate { path, problem },
    }
}

/// The log file with its size and whether its last line is unfinished. It is locked, as is the file beside it: that
/// one can be taken away.
fn open(path: &Path) -> Result<(File, u64, bool), AuditError> {
    let failed = |error| AuditError::File { path: path.to_owned(), error };
    let mut file = private(path)?;
    locked(&file, path)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let mut last = [b'\n'];
    if bytes > 0 {
        file.seek(SeekFrom::End(-1)).map_err(failed)?;
        file.read_exact(&mut last).map_err(failed)?;
    }
    Ok((file, bytes, last != [b'\n']))
}

fn private(path: &Path) -> Result<File, AuditError> {
    own_file::file(rustix::fs::CWD, path, OFlags::RDWR | OFlags::APPEND).map_err(|error| not_usable(path, error))
}

fn locked(file: &File, path: &Path) -> Result<(), AuditError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(std::fs::TryLockError::WouldBlock) => Err(AuditError::InUse { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(error)) => Err(AuditError::File { path: path.to_owned(), error }),
    }
}

/// Held for as long as the log is: two writers would rotate each other's files away.
fn lock(path: &Path) -> Result<File, AuditError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = private(Path::new(&name))?;
    locked(&file, path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::audit::rotate::numbered;

    fn event(detail: &str) -> Event {
        Event::new(Subject::tool("t"), EventKind::Trapped, detail)
    }

    fn writer(path: &Path) -> Writer {
        let throttle = Arc::new(Throttle::new((1, 0), (1, 0)));
        Writer::open(path.to_owned(), &AuditLogConfig::default(), Arc::default(), throttle).expect("it is free")
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_noted_when_it_can_be_again() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("audit.jsonl");
        let mut writer = writer(&path);
        // Every write to it fails, as on a full disk.
        writer.file = File::open(&path).ok();
        for n in 0..3 {
            writer.keep(&event(&n.to_string()));
            assert!(writer.failing);
        }
        assert_eq!((writer.lost.load(Ordering::Relaxed), writer.noted), (3, 0));
        writer.flush().expect_err("three are lost");
        writer.file = None;
        writer.keep(&event("3"));
        assert!(!writer.failing && writer.noted == 3);
        writer.flush().expect("that was said");
        let text = std::fs::read_to_string(&path).expect("it is there");
        let lines: Vec<serde_json::Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let details: Vec<_> = lines.iter().map(|line| line["detail"].as_str().unwrap_or_default()).collect();
        assert_eq!(details, ["3 events are missing here", "3"]);
        assert_eq!(lines[0]["kind"], "lost");
    }

    #[test]
    fn a_file_that_was_left_behind_and_is_not_on_the_disk_is_told_with_the_next_flush() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("audit.jsonl");
        let mut writer = writer(&path);
        writer.keep(&event("first"));
        // What cannot be synced.
        let (_, write) = std::io::pipe().expect("it is made");
        writer.file = Some(std::os::fd::OwnedFd::from(write).into());
        assert!(writer.next_file());
        writer.flush().expect_err("it is not on the disk");
        writer.flush().expect("that was said");
        let moved = numbered(&path, 1).metadata().expect("it was moved");
        assert_eq!(moved.permissions().mode() & 0o777, 0o600);
    }
}
