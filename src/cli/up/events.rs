//! What happens, told: a line on standard output for each event and each log line, and the audit log. A reader
//! that is slow or gone makes nobody wait; what it misses is counted, and no line is printed by halves.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use cofferdam::audit::{AuditLog, AuditSink, Event, SubjectKind};
use cofferdam::host::agent::{LogLine, LogSink};
use parking_lot::Mutex;
use serde_json::json;

use crate::cli::control::protocol;
use crate::cli::say::{print_lines, say};

/// Lines that may wait for the reader.
const QUEUE: usize = 8_192;
/// How long the reader may take over what waits when the command ends.
const LAST_LINES: Duration = Duration::from_secs(2);

enum Job {
    /// One line, with its end.
    Line(String),
    /// Nothing after this is printed.
    End,
}

/// Lines on their way to standard output.
struct Queue {
    lines: SyncSender<Job>,
    /// Those for which there was no room since the reader was last told.
    untold: Mutex<u64>,
    /// All for which there was none.
    dropped: AtomicU64,
    /// All that were in the queue and are not printed.
    unprinted: AtomicU64,
    /// Why standard output takes nothing, when that is not because nobody reads.
    trouble: Mutex<Option<io::Error>>,
}

/// Tells what happens.
#[derive(Clone)]
pub struct Teller {
    json: bool,
    queue: Arc<Queue>,
    printer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Teller {
    /// One that prints lines for people, or JSON.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn new(json: bool) -> io::Result<Self> {
        let (lines, printed) = sync_channel(QUEUE);
        let queue = Arc::new(Queue {
            lines,
            untold: Mutex::default(),
            dropped: AtomicU64::default(),
            unprinted: AtomicU64::default(),
            trouble: Mutex::default(),
        });
        let counts = queue.clone();
        let printer = std::thread::Builder::new().name("cofferdam-events".into());
        let printer = printer.spawn(move || print_all(&printed, &counts))?;
        Ok(Self { json, queue, printer: Arc::new(Mutex::new(Some(printer))) })
    }

    fn tell(&self, line: String) {
        // In the place of those that are missing stands how many they are.
        let mut untold = self.queue.untold.lock();
        if *untold > 0 {
            let detail = format!("{untold} events are missing here: standard output was not read quickly enough");
            if self.queue.add(self.own("lost", &detail)) {
                *untold = 0;
            }
        }
        if *untold > 0 || !self.queue.add(line) {
            *untold += 1;
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Something of the command's own.
    pub fn host(&self, kind: &str, detail: &str) {
        self.tell(self.own(kind, detail));
    }

    fn own(&self, kind: &str, detail: &str) -> String {
        let at = protocol::time(SystemTime::now());
        if self.json {
            format!("{}\n", json!({ "at": at, "host": "cofferdam", "kind": kind, "detail": detail }))
        } else {
            for_people(&at, "cofferdam", kind, detail)
        }
    }

    fn log(&self, line: &LogLine) {
        let mut value = protocol::log_line(line);
        if !self.json {
            let at = value["at"].as_str().unwrap_or_default();
            let cut = if line.cut > 0 { format!(" … {} bytes more", line.cut) } else { String::new() };
            let text = format!("{}{cut}", line.text);
            self.tell(for_people(at, &line.agent, &format!("log {}", line.level), &text));
            return;
        }
        if let Some(object) = value.as_object_mut() {
            object.insert("kind".to_owned(), "log".into());
        }
        self.tell(format!("{value}\n"));
    }

    fn event(&self, event: &Event) {
        if self.json {
            match serde_json::to_string(event) {
                Ok(line) => self.tell(format!("{}\n", protocol::in_keys(&line))),
                Err(error) => tracing::error!(%error, "an event cannot be written"),
            }
            return;
        }
        let kind = event.kind.to_string().replace('_', " ");
        let tool = if event.subject.kind == SubjectKind::Tool { "tool " } else { "" };
        let name = format!("{tool}{}", event.subject.name);
        self.tell(for_people(&protocol::time(event.at), &name, &kind, &protocol::in_keys(event.detail.as_str())));
    }

    /// Returns when everything is printed, or the reader has had its time. Says how many events were not printed in
    /// all.
    pub fn finish(self) {
        let Self { queue, printer, .. } = self;
        let Some(printer) = printer.lock().take() else { return };
        let until = Instant::now() + LAST_LINES;
        let mut told = false;
        while !printer.is_finished() && Instant::now() < until {
            told = told || queue.lines.try_send(Job::End).is_ok();
            std::thread::sleep(Duration::from_millis(1));
        }
        let lost = queue.dropped.load(Ordering::Relaxed).saturating_add(queue.unprinted.load(Ordering::Relaxed));
        if lost > 0 {
            let trouble = queue.trouble.lock().take();
            let why = trouble.map_or_else(|| "it was not read quickly enough".to_owned(), |error| error.to_string());
            say(&format!("cofferdam: {lost} events were not printed to standard output: {why}"));
        }
    }
}

impl LogSink for Teller {
    fn line(&self, line: LogLine) {
        self.log(&line);
    }
}

impl Queue {
    /// Whether there was room for `line`.
    fn add(&self, line: String) -> bool {
        self.unprinted.fetch_add(1, Ordering::Relaxed);
        let added = self.lines.try_send(Job::Line(line)).is_ok();
        if !added {
            self.unprinted.fetch_sub(1, Ordering::Relaxed);
        }
        added
    }
}

/// A line for people.
fn for_people(at: &str, name: &str, kind: &str, detail: &str) -> String {
    // Time of day; the date stands in the audit log and in JSON.
    let clock = at.get(11..19).unwrap_or(at);
    let colon = if detail.is_empty() { "" } else { ": " };
    format!("{clock} {name:<12} {kind}{colon}{detail}\n")
}

/// Prints lines and counts those that it could. It waits for the reader as long as it takes: there is room for
/// [`QUEUE`] lines meanwhile.
fn print_all(lines: &Receiver<Job>, counts: &Queue) {
    let mut ended = false;
    // The rest of a line of which a part is printed: nothing else comes before it.
    let mut begun = Vec::new();
    while !ended && let Ok(Job::Line(line)) = lines.recv() {
        let rest = !begun.is_empty();
        let (mut text, mut whole) = (std::mem::take(&mut begun), 1_u64 + u64::from(rest));
        text.extend_from_slice(line.as_bytes());
        // As many as are there, in one piece.
        while text.len() < 4_096 && !ended {
            match lines.try_recv() {
                Ok(Job::Line(line)) => {
                    text.extend_from_slice(line.as_bytes());
                    whole += 1;
                }
                Ok(Job::End) => ended = true,
                Err(_) => break,
            }
        }
        let (printed, done) = print_lines(&text);
        let Err(error) = done else {
            counts.unprinted.fetch_sub(whole, Ordering::Relaxed);
            continue;
        };
        let (before, after) = text.split_at(printed.min(text.len()));
        let ends = before.iter().filter(|byte| **byte == b'\n').count();
        counts.unprinted.fetch_sub(u64::try_from(ends).unwrap_or(u64::MAX), Ordering::Relaxed);
        let split = if before.is_empty() { rest } else { !before.ends_with(b"\n") };
        if split {
            begun = after.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default().to_vec();
        }
        let mut trouble = counts.trouble.lock();
        if trouble.is_none() {
            say(&format!("cofferdam: standard output takes no events: {error}"));
            *trouble = Some(error);
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
