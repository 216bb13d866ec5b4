//! What happens, told: a line on standard output for each event and each log line, and the audit log. A reader
//! that is slow or gone makes nobody wait; what it misses is counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use cofferdam::audit::{AuditLog, AuditSink, Event, SubjectKind};
use cofferdam::host::agent::LogLine;
use parking_lot::Mutex;
use serde_json::json;

use crate::cli::control::protocol;
use crate::cli::say::{print_results, say};

/// Lines that may wait for the reader.
const QUEUE: usize = 8_192;
/// How long the reader may take over what waits when the command ends.
const LAST_LINES: Duration = Duration::from_secs(2);

enum Job {
    Line(String),
    /// Nothing after this is printed.
    End,
}

/// Tells what happens.
#[derive(Clone)]
pub struct Teller {
    json: bool,
    lines: SyncSender<Job>,
    lost: Arc<AtomicU64>,
    printer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Teller {
    /// One that prints lines for people, or JSON.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn new(json: bool) -> io::Result<Self> {
        let (lines, printed) = sync_channel(QUEUE);
        let printer = std::thread::Builder::new().name("cofferdam-events".into()).spawn(move || print_all(&printed))?;
        Ok(Self { json, lines, lost: Arc::default(), printer: Arc::new(Mutex::new(Some(printer))) })
    }

    fn line(&self, line: String) {
        if self.lines.try_send(Job::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn say(&self, at: &str, name: &str, kind: &str, detail: &str) {
        // Time of day; the date stands in the audit log and in JSON.
        let clock = at.get(11..19).unwrap_or(at);
        let colon = if detail.is_empty() { "" } else { ": " };
        self.line(format!("{clock} {name:<12} {kind}{colon}{detail}\n"));
    }

    /// Something of the command's own.
    pub fn host(&self, kind: &str, detail: &str) {
        let at = protocol::time(SystemTime::now());
        if self.json {
            self.line(format!("{}\n", json!({ "at": at, "host": "cofferdam", "kind": kind, "detail": detail })));
        } else {
            self.say(&at, "cofferdam", kind, detail);
        }
    }

    /// A line that an agent logged.
    pub fn log(&self, line: &LogLine) {
        let mut value = protocol::log_line(line);
        if !self.json {
            let at = value["at"].as_str().unwrap_or_default();
            let cut = if line.cut > 0 { format!(" … {} bytes more", line.cut) } else { String::new() };
            self.say(at, &line.agent, &format!("log {}", line.level), &format!("{}{cut}", line.text));
            return;
        }
        if let Some(object) = value.as_object_mut() {
            object.insert("kind".to_owned(), "log".into());
        }
        self.line(format!("{value}\n"));
    }

    /// Lines that an agent logged and that were not followed quickly enough.
    pub fn lost_log_lines(&self, agent: &str, lost: u64) {
        let detail = format!("{lost} log lines are missing here; `cofferdam agent logs {agent}` has the last ones");
        self.host("lost", &detail);
    }

    fn event(&self, event: &Event) {
        if self.json {
            match serde_json::to_string(event) {
                Ok(line) => self.line(format!("{line}\n")),
                Err(error) => tracing::error!(%error, "an event cannot be written"),
            }
            return;
        }
        let kind = event.kind.to_string().replace('_', " ");
        let tool = if event.subject.kind == SubjectKind::Tool { "tool " } else { "" };
        let name = format!("{tool}{}", event.subject.name);
        self.say(&protocol::time(event.at), &name, &kind, event.detail.as_str());
    }

    /// Returns when everything is printed, or the reader has had its time.
    pub fn finish(self) {
        let Self { lines, lost, printer, .. } = self;
        let lost = lost.load(Ordering::Relaxed);
        if lost > 0 {
            say(&format!("cofferdam: {lost} events were not printed: standard output is too slow"));
        }
        let Some(printer) = printer.lock().take() else { return };
        let until = Instant::now() + LAST_LINES;
        let mut told = false;
        while !printer.is_finished() && Instant::now() < until {
            told = told || lines.try_send(Job::End).is_ok();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn print_all(lines: &Receiver<Job>) {
    let mut ended = false;
    while !ended && let Ok(Job::Line(mut text)) = lines.recv() {
        // As many as are there, in one piece.
        while text.len() < 4_096 && !ended {
            match lines.try_recv() {
                Ok(Job::Line(line)) => text.push_str(&line),
                Ok(Job::End) => ended = true,
                Err(_) => break,
            }
        }
        if let Err(error) = print_results(&text) {
            tracing::debug!(%error, "standard output takes no events");
        }
    }
}

/// Tells events, and keeps them if there is an audit log.
pub struct Told {
    /// Who tells them.
    pub teller: Teller,
    /// Where they are kept.
    pub log: Option<AuditLog>,
}

impl AuditSink for Told {
    fn record(&self, event: Event) {
        self.teller.event(&event);
        if let Some(log) = &self.log {
            log.record(event);
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.log.as_ref().map_or(Ok(()), AuditLog::flush)
    }

    fn lost(&self) -> u64 {
        self.log.as_ref().map_or(0, AuditLog::lost)
    }
}
