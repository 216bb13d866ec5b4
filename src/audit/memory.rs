//! [`MemorySink`]: the last events, for tests and for programs that show them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{AuditSink, Event, EventKind};

/// Keeps the last events; older ones are forgotten and counted as lost.
#[derive(Debug)]
pub struct MemorySink {
    events: Mutex<VecDeque<Event>>,
    room: usize,
    lost: AtomicU64,
}

impl MemorySink {
    /// Room for the last `room` events.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self { events: Mutex::default(), room, lost: AtomicU64::new(0) }
    }

    /// What is kept, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().iter().cloned().collect()
    }

    /// How many events of `kind` are kept.
    #[must_use]
    pub fn count(&self, kind: EventKind) -> usize {
        self.events.lock().iter().filter(|event| event.kind == kind).count()
    }
}

impl AuditSink for MemorySink {
    fn record(&self, event: Event) {
        let mut events = self.events.lock();
        events.push_back(event);
        while events.len() > self.room {
            events.pop_front();
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Subject;

    #[test]
    fn the_last_events_are_kept() {
        let sink = MemorySink::new(2);
        for name in ["a", "b", "c"] {
            sink.record(Event::new(Subject::tool(name), EventKind::Removed, ""));
        }
        let names: Vec<_> = sink.events().iter().map(|event| event.subject.name.to_string()).collect();
        assert_eq!((names, sink.lost(), sink.count(EventKind::Removed)), (vec!["b".into(), "c".into()], 1, 2));
    }
}
