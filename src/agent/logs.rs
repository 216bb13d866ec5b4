//! [`LogRing`]: the last lines that an agent logged, and whoever follows them.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::host::agent::{LogLine, LogSink};

/// Lines kept for one agent, and bytes of text in them.
const LINES: usize = 256;
const BYTES: usize = 64 << 10;

/// Lines that may wait for one who follows: as many as an agent can log in one call, which may be done before its
/// follower has had a chance. Each line counts 32 bytes of 64 KiB at least.
const FOLLOWED: usize = 2_048;

/// The last lines that an agent logged.
pub(super) struct LogRing {
    ring: Mutex<Ring>,
    /// Who hears all lines of all agents.
    all: Option<Arc<dyn LogSink>>,
}

#[derive(Default)]
struct Ring {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// Made for the first who follows.
    followers: Option<broadcast::Sender<LogLine>>,
}

impl LogRing {
    /// An empty one. `all` hears of each line, too.
    pub fn new(all: Option<Arc<dyn LogSink>>) -> Self {
        Self { ring: Mutex::default(), all }
    }

    /// The lines kept, oldest first.
    pub fn lines(&self) -> Vec<LogLine> {
        self.ring.lock().lines.iter().cloned().collect()
    }

    /// The lines kept and those that follow, with none between lost.
    pub fn follow(&self) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        let mut ring = self.ring.lock();
        let lines = ring.lines.iter().cloned().collect();
        let followers = ring.followers.get_or_insert_with(|| broadcast::Sender::new(FOLLOWED));
        (lines, followers.subscribe())
    }
}

impl LogSink for LogRing {
    fn line(&self, line: LogLine) {
        if let Some(all) = &self.all {
            all.line(line.clone());
        }
        let mut ring = self.ring.lock();
        // Nobody has to be there.
        let _ = ring.followers.as_ref().map(|followers| followers.send(line.clone()));
        ring.bytes += line.text.as_str().len();
        ring.lines.push_back(line);
        while ring.lines.len() > LINES || (ring.bytes > BYTES && ring.lines.len() > 1) {
            let Some(oldest) = ring.lines.pop_front() else { break };
            ring.bytes -= oldest.text.as_str().len();
        }
    }
}
