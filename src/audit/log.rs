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
