//! [`AuditLog`]: events in a file, one JSON object a line, appended only. A thread of its own writes, so that no
//! guest ever waits for a disk: when it cannot keep up, or the disk is full, events are lost, and counted.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Instant;

use super::queue::{Queue, queue};
use super::throttle::{Throttle, Verdict};
use super::writer::Writer;
use super::{AuditSink, Event};
use crate::policy::{MemoryBytes, More};

/// How much an [`AuditLog`] keeps. A literal ends in `..`, as with [`Limits`](crate::policy::Limits).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLogConfig {
    /// A file that has reached this size is followed by a new one. Default 64 MiB.
    pub file_bytes: MemoryBytes,
    /// Files kept behind the one that is written: `NAME.1` is the youngest of them. Default 8.
    pub keep: usize,
    /// Events that wait for the disk; more are lost, but for some of those that tell how a guest began and ended.
    /// Default 8,192.
    pub queue: usize,
    /// Events of one subject and one kind that are kept one after the other, before only
    /// [`per_minute`](Self::per_minute) of them are. The others are counted, and an event says how many they were.
    /// What the host's owner does (deploy, replace, remove), and [`EventKind::Violation`](super::EventKind::Violation),
    /// is always kept. Default 100.
    pub burst: u32,
    /// Events of one subject and one kind that are kept each minute in the long run. Default 10.
    pub per_minute: u32,
    /// Events of all subjects together that are kept at once, but for those that are always kept: a quarter of them
    /// only of those that tell how guests began and ended. The others are counted, and an event says how many they
    /// were. Default 10,000.
    pub all_burst: u32,
    /// Events of all subjects together that are kept each minute in the long run. Default 1,000.
    pub all_per_minute: u32,
    #[doc(hidden)]
    pub __more: More,
}

impl Default for AuditLogConfig {
    fn default() -> Self {
        Self {
            file_bytes: MemoryBytes::mib(64),
            keep: 8,
            queue: 8_192,
            burst: 100,
            per_minute: 10,
            all_burst: 10_000,
            all_per_minute: 1_000,
            __more: More::NONE,
        }
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
/// - **Events that are alike**, of one subject and kind, are kept up to [`AuditLogConfig::burst`] and then at a
///   rate: what one guest does again and again does not push out the rest. Nor do many that do a little each:
///   [`AuditLogConfig::all_burst`] is for all together. How many were left out is said when the next of them is
///   kept, at a flush, and when nothing has happened for a while.
/// - **A full queue or a failing disk** never stops a guest. What is lost is counted ([`AuditSink::lost`]), said
///   once in the log of this process, and noted in the file, as an event
///   [`EventKind::Lost`](super::EventKind::Lost), when it can be written again.
/// - **A crash** can leave the last line unfinished. It is left as it is, and a new line begun.
///
/// Dropping it writes what is waiting.
pub struct AuditLog {
    to_writer: Option<Queue>,
    writer: Option<JoinHandle<()>>,
    lost: Arc<AtomicU64>,
    throttle: Arc<Throttle>,
}

impl AuditLog {
    /// Opens `path`, or makes it.
    ///
    /// # Errors
    /// It cannot be opened, others may read or write it, or another process writes it.
    pub fn open(path: impl Into<PathBuf>, config: &AuditLogConfig) -> Result<Self, AuditError> {
        let path = path.into();
        let failed = |error| AuditError::File { path: path.clone(), error };
        let lost = Arc::new(AtomicU64::new(0));
        let throttle =
            Arc::new(Throttle::new((config.burst, config.per_minute), (config.all_burst, config.all_per_minute)));
        let writer = Writer::open(path.clone(), config, lost.clone(), throttle.clone())?;
        let (to_writer, jobs) = queue(config.queue);
        let builder = std::thread::Builder::new().name("cofferdam-audit".into());
        let writer = builder.spawn(move || writer.run(&jobs)).map_err(failed)?;
        Ok(Self { to_writer: Some(to_writer), writer: Some(writer), lost, throttle })
    }

    fn push(&self, event: Event) {
        let sent = self.to_writer.as_ref().is_some_and(|writer| writer.push(event));
        if !sent && self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!("the audit log cannot keep up; events are lost");
        }
    }
}

impl AuditSink for AuditLog {
    fn record(&self, event: Event) {
        if let Verdict::Kept(left_out) = self.throttle.admit(&event, Instant::now()) {
            left_out.into_iter().chain([event]).for_each(|event| self.push(event));
        }
    }

    fn flush(&self) -> io::Result<()> {
        let gone = || io::Error::other("the thread that writes the audit log has ended");
        let (done, wait) = channel();
        if !self.to_writer.as_ref().is_some_and(|writer| writer.flush(done)) {
            return Err(gone());
        }
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

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::audit::rotate::numbered;
    use crate::audit::{EventKind, Subject};

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
        let config =
            AuditLogConfig { file_bytes: MemoryBytes::kib(4), keep: 3, burst: 500, ..AuditLogConfig::default() };
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
    fn what_one_does_again_and_again_does_not_push_out_the_rest() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("audit.jsonl");
        let config = AuditLogConfig { burst: 5, per_minute: 0, queue: 100_000, ..AuditLogConfig::default() };
        let log = AuditLog::open(&path, &config).expect("it is free");
        log.record(event("before"));
        for n in 0..10_000 {
            log.record(event(&n.to_string()));
            log.record(Event::new(Subject::tool("t"), EventKind::DeniedCall, "again"));
        }
        log.record(Event::new(Subject::tool("other"), EventKind::Trapped, "after"));
        log.record(Event::new(Subject::tool("t"), EventKind::Removed, ""));
        log.flush().expect("it is written");
        let kept = details(&path);
        assert_eq!(kept.len(), 5 + 5 + 2 + 2, "{kept:?}");
        assert!(["before", "3", "after"].iter().all(|text| kept.iter().any(|kept| kept == text)), "{kept:?}");
        let mut said = kept[12..].to_vec();
        said.sort();
        assert_eq!(said, ["9995 more like this were left out", "9996 more like this were left out"]);
        assert_eq!(log.lost(), 0);
        log.flush().expect("it is written");
        drop(log);
        assert_eq!(details(&path).len(), kept.len(), "it is said once");
    }

    #[test]
    fn a_log_that_cannot_be_moved_is_written_on() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("audit.jsonl");
        let config =
            AuditLogConfig { file_bytes: MemoryBytes::kib(4), keep: 1, burst: 1_000, ..AuditLogConfig::default() };
        let log = AuditLog::open(&path, &config).expect("it is free");
        std::fs::create_dir_all(numbered(&path, 1).join("full")).expect("there is room");
        for n in 0..200 {
            log.record(event(&n.to_string()));
        }
        log.flush().expect("nothing is lost");
        assert!(details(&path).iter().eq((0..200).map(|n| n.to_string()).collect::<Vec<_>>().iter()));
        std::fs::remove_dir_all(numbered(&path, 1)).expect("it is there");
        for n in 200..230 {
            log.record(event(&n.to_string()));
        }
        log.flush().expect("nothing is lost");
        assert!(numbered(&path, 1).is_file(), "it is tried again");
        assert_eq!(details(&path).last().map(String::as_str), Some("229"));
    }

    #[test]
    fn a_second_writer_is_refused_without_the_lock_file_too() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("audit.jsonl");
        let open = || AuditLog::open(&path, &AuditLogConfig::default());
        let log = open().expect("it is free");
        std::fs::remove_file(dir.path().join("audit.jsonl.lock")).expect("it is there");
        assert!(matches!(open(), Err(AuditError::InUse { .. })));
        drop(log);
        open().expect("it is free again");
    }

    #[test]
    fn a_file_with_another_name_or_in_a_directory_of_all_is_refused() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("audit.jsonl");
        let refused = || AuditLog::open(&path, &AuditLogConfig::default()).map(drop).expect_err("it is refused");
        std::fs::write(dir.path().join("other"), "").expect("there is room");
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
        };
        mode(&dir.path().join("other"), 0o600);
        std::fs::hard_link(dir.path().join("other"), &path).expect("there is room");
        assert!(refused().to_string().contains("another name"), "{}", refused());
        std::fs::remove_file(&path).expect("it is there");
        mode(dir.path(), 0o777);
        assert!(refused().to_string().contains("in a directory"), "{}", refused());
        mode(dir.path(), 0o1777);
        AuditLog::open(&path, &AuditLogConfig::default()).map(drop).expect("nobody else can take it away");
    }
}
