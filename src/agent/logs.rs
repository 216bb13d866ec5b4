//! [`LogRing`]: the last lines that an agent logged, and whoever follows them.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::host::agent::{LogLine, LogSink};

/// Lines kept for one agent, and bytes of text in them.
const LINES: usize = 256;
const BYTES: usize = 64 << 10;

/// The last lines that an agent logged.
#[derive(Default)]
pub(super) struct LogRing(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// Made for the first who follows.
    followers: Option<broadcast::Sender<LogLine>>,
}

impl LogRing {
    /// The lines kept, oldest first.
    pub fn lines(&self) -> Vec<LogLine> {
        self.0.lock().lines.iter().cloned().collect()
    }

    /// The lines kept and those that follow, with none between lost.
    pub fn follow(&self) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        let mut ring = self.0.lock();
        let lines = ring.lines.iter().cloned().collect();
        let followers = ring.followers.get_or_insert_with(|| broadcast::Sender::new(LINES));
        (lines, followers.subscribe())
    }
}

impl LogSink for LogRing {
    fn line(&self, line: LogLine) {
        let mut ring = self.0.lock();
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
