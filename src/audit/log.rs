//! [`AuditLog`]: events in a file, one JSON object a line, appended only. A thread of its own writes, so that no
//! guest ever waits for a disk: when it cannot keep up, or the disk is full, events are lost, and counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use rustix::fs::OFlags;

use super::rotate::rotate;
use super::{AuditSink, Event, EventKind, Subject};
use crate::policy::{MemoryBytes, More};

/// How much an [`AuditLog`] keeps. A literal ends in `..`, as with [`Limits`](crate::policy::Limits).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLogConfig {
    /// A file that has reached this size is followed by a new one. Default 64 MiB.
    pub file_bytes: MemoryBytes,
    /// Files kept behind the one that is written: `NAME.1` is the youngest of them. Default 8.
    pub keep: usize,
    /// Events that wait for the disk; more are lost. Default 8,192.
    pub queue: usize,
    #[doc(hidden)]
    pub __more: More,
}

impl Default for AuditLogConfig {
    fn default() -> Self {
        Self { file_bytes: MemoryBytes::mib(64), keep: 8, queue: 8_192, __more: More::NONE }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The file cannot be used.
    #[error("the audit log {} cannot be used: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Somebody else could read or change it.
    #[error("the audit log {} cannot be used: it is {problem}; make it yours alone (chmod 600), or choose another", path.display())]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// How that is.
        problem: &'static str,
    },
    /// Another process writes it.
    #[error("the audit log {} is written by another process; give each its own", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

/// A log of events in a file that only its owner may read (mode 0600).
///
/// - **Order**: as they were recorded. **Rotation**: by size; see [`AuditLogConfig`].
/// - **A full queue or a failing disk** never stops a guest. What is lost is counted ([`AuditSink::lost`]), said
///   once in the log of this process, and noted in the file, as an event [`EventKind::Lost`], when it can be
///   written again.
/// - **A crash** can leave the last line unfinished. It is left as it is, and a new line begun.
///
/// Dropping it writes what is waiting.
pub struct AuditLog {
    to_writer: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
    lost: Arc<AtomicU64>,
}

enum Job {
    Write(Event),
    Flush(Sender<io::Result<()>>),
}

impl AuditLog {
    /// Opens `path`, or makes it.
    ///
    /// # Errors
    /// It cannot be opened, others may read or write it, or another process writes it.
    pub fn open(path: impl Into<PathBuf>, config: &AuditLogConfig) -> Result<Self, AuditError> {
        let path = path.into();
        let failed = |error| AuditError::File { path: path.clone(), error };
        let lock = lock(&path)?;
        let (file, bytes, torn) = open(&path)?;
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            path: path.clone(),
            file: Some(file),
            bytes,
            torn,
            config: config.clone(),
            lost: lost.clone(),
            noted: 0,
            failing: false,
            _lock: lock,
        };
        let (to_writer, jobs) = sync_channel(config.queue.max(1));
        let builder = std::thread::Builder::new().name("cofferdam-audit".into());
        let writer = builder.spawn(move || writer.run(&jobs)).map_err(failed)?;
        Ok(Self { to_writer: Some(to_writer), writer: Some(writer), lost })
    }
}

impl AuditSink for AuditLog {
    fn record(&self, event: Event) {
        let sent = self.to_writer.as_ref().is_some_and(|writer| writer.try_send(Job::Write(event)).is_ok());
        if !sent && self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!("the audit log cannot keep up; events are lost");
        }
    }

    fn flush(&self) -> io::Result<()> {
        let gone = || io::Error::other("the thread that writes the audit log has ended");
        let (done, wait) = channel();
        self.to_writer.as_ref().ok_or_else(gone)?.send(Job::Flush(done)).map_err(|_| gone())?;
        wait.recv().map_err(|_| gone())?
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        // The writer ends when nobody can send any more.
        self.to_writer = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// What the thread has.
struct Writer {
    path: PathBuf,
    /// `None` if the next file could not be opened.
    file: Option<File>,
    /// In the file.
    bytes: u64,
    /// Whether the last line is unfinished.
    torn: bool,
    config: AuditLogConfig,
    lost: Arc<AtomicU64>,
    /// How many of the lost the file says.
    noted: u64,
    /// Whether the last write failed, which was said then.
    failing: bool,
    _lock: File,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Write(event) => self.keep(&event),
                Job::Flush(done) => {
                    let synced = self.file.as_ref().map_or(Ok(()), File::sync_data);
                    let missing = self.lost.load(Ordering::Relaxed);
                    let result = match synced {
                        Ok(()) if missing > 0 => Err(io::Error::other(format!("{missing} audit events were lost"))),
                        done => done,
                    };
                    let _ = done.send(result);
                }
            }
        }
        self.note_lost();
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
        if self.bytes > 0 && self.bytes.saturating_add(line.len() as u64) > self.config.file_bytes.get() {
            self.next_file()?;
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
                Err(error) => return Err(error),
            }
        }
        self.torn = false;
        Ok(())
    }

    fn next_file(&mut self) -> io::Result<()> {
        rotate(&self.path, self.config.keep)?;
        self.file = None;
        (self.bytes, self.torn) = (0, false);
        Ok(())
    }
}

/// The log file with its size and whether its last line is unfinished.
fn open(path: &Path) -> Result<(File, u64, bool), AuditError> {
    let failed = |error| AuditError::File { path: path.to_owned(), error };
    let mut file = private(path)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let mut last = [b'\n'];
    if bytes > 0 {
        file.seek(SeekFrom::End(-1)).map_err(failed)?;
        file.read_exact(&mut last).map_err(failed)?;
    }
    Ok((file, bytes, last != [b'\n']))
}

/// A regular file of our own that nobody else may use, made if it is not there.
fn private(path: &Path) -> Result<File, AuditError> {
    let failed = |error| AuditError::File { path: path.to_owned(), error };
    let not_private = |problem| AuditError::NotPrivate { path: path.to_owned(), problem };
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(flags);
    let file = options.open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(not_private("no regular file"));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(not_private("owned by another user"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(not_private("open to other users"));
    }
    Ok(file)
}

/// Held for as long as the log is: two writers would rotate each other's files away.
fn lock(path: &Path) -> Result<File, AuditError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = private(Path::new(&name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(AuditError::InUse { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(error)) => Err(AuditError::File { path: name.into(), error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::rotate::numbered;
    use serde_json::Value;
    use std::os::unix::fs::PermissionsExt as _;

    fn event(detail: &str) -> Event {
        Event::new(Subject::tool("t"), EventKind::Trapped, detail)
    }

    fn lines(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or(Value::Null)).collect()
    }

    fn details(path: &Path) -> Vec<String> {
        lines(path).iter().map(|line| line["detail"].as_str().unwrap_or("torn").to_owned()).collect()
    }

    #[test]
    fn events_are_kept_in_order_in_a_file_of_the_owners_alone() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("audit.jsonl");
        let open = || AuditLog::open(&path, &AuditLogConfig::default());
        let log = open().expect("it is free");
        for n in 0..100 {
            log.record(event(&n.to_string()));
        }
        log.flush().expect("it is written");
        assert!(details(&path).iter().eq((0..100).map(|n| n.to_string()).collect::<Vec<_>>().iter()));
        assert_eq!(path.metadata().map(|m| m.mode() & 0o777).ok(), Some(0o600));
        assert!(matches!(open(), Err(AuditError::InUse { .. })));
        drop(log);
        // A crash has left half a line.
        let mut file = OpenOptions::new().append(true).open(&path).expect("it is there");
        file.write_all(b"{\"at\":\"20").expect("there is room");
        let log = open().expect("it is free again");
        log.record(event("after"));
        drop(log);
        assert_eq!(details(&path)[99..], ["99", "torn", "after"]);
    }

    #[test]
    fn what_others_may_use_is_refused() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("audit.jsonl");
        let refused = || AuditLog::open(&path, &AuditLogConfig::default()).map(drop).expect_err("it is refused");
        std::fs::write(&path, "").expect("there is room");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
        assert!(refused().to_string().contains("chmod 600"), "{}", refused());
        std::fs::remove_file(&path).expect("it is there");
        std::os::unix::fs::symlink("/dev/null", &path).expect("there is room");
        assert!(matches!(refused(), AuditError::File { .. }));
        std::fs::remove_file(&path).expect("it is there");
        std::fs::create_dir(&path).expect("there is room");
        assert!(matches!(refused(), AuditError::File { .. }));
    }

    #[test]
    fn files_are_rotated_by_size_and_no_line_is_cut() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("audit.jsonl");
        // Left by a crash in the middle of a rotation.
        std::fs::write(numbered(&path, 2), "").expect("there is room");
        let config = AuditLogConfig { file_bytes: MemoryBytes::kib(4), keep: 3, ..AuditLogConfig::default() };
        let log = AuditLog::open(&path, &config).expect("it is free");
        for n in 0..500 {
            log.record(event(&n.to_string()));
        }
        drop(log);
        let files = [numbered(&path, 3), numbered(&path, 2), numbered(&path, 1), path.clone()];
        let kept: Vec<_> = files.iter().flat_map(|file| details(file)).collect();
        assert!(files.iter().all(|file| file.metadata().is_ok_and(|m| m.len() <= 4096 && m.mode() & 0o077 == 0)));
        assert!(
            kept.len() > 60 && kept.iter().rev().zip((0..500).rev()).all(|(kept, n)| *kept == n.to_string()),
            "{kept:?}"
        );
        assert!(!numbered(&path, 4).exists());
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_noted_when_it_can_be_again() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("audit.jsonl");
        std::fs::write(&path, "").expect("there is room");
        let mut writer = Writer {
            path: path.clone(),
            // Every write to it fails, as on a full disk.
            file: File::open(&path).ok(),
            bytes: 0,
            torn: false,
            config: AuditLogConfig::default(),
            lost: Arc::default(),
            noted: 0,
            failing: false,
            _lock: File::open(&path).expect("it is there"),
        };
        for n in 0..3 {
            writer.keep(&event(&n.to_string()));
            assert!(writer.failing);
        }
        assert_eq!((writer.lost.load(Ordering::Relaxed), writer.noted), (3, 0));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        writer.file = None;
        writer.keep(&event("3"));
        assert!(!writer.failing && writer.noted == 3);
        assert_eq!(details(&path), ["3 events are missing here", "3"]);
        assert_eq!(lines(&path)[0]["kind"], "lost");
    }
}
