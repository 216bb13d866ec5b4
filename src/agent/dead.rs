//! [`DeadLetters`]: messages that were accepted and never handled, with the reason; the last few are kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Serialize;

use super::id::{AgentName, Identity, Topic};
use super::message::Envelope;
use crate::policy::MemoryBytes;

/// Why a message was never handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeadReason {
    /// A newer one took its place in a full mailbox.
    Dropped,
    /// There was no room for it in the mailbox of one who subscribed to its topic.
    Full,
    /// It is above the message cap of one who subscribed to its topic, or above a cap that was lowered meanwhile.
    TooLarge,
    /// Its deadline passed in the mailbox.
    Expired,
    /// Its receiver failed, with it or before it.
    Failed,
    /// Its receiver was stopped and had no time left for it.
    Stopped,
    /// Its receiver was removed.
    Removed,
    /// It is a reply, and nobody waited for it any more or had room for it.
    Late,
}

/// A message that was accepted and never handled.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// When it was given up, by the host's clock.
    pub at: SystemTime,
    /// Its sender; `None` for the host.
    pub from: Option<AgentName>,
    /// Its receiver.
    pub to: AgentName,
    /// The topic by which it came.
    pub topic: Option<Topic>,
    /// Its bytes.
    pub body: Arc<[u8]>,
    /// Why it was not handled.
    pub reason: DeadReason,
}

/// The last dead letters, bounded by count and bytes. All are counted.
pub(super) struct DeadLetters {
    kept: Mutex<Kept>,
    most: usize,
    most_bytes: u64,
}

#[derive(Default)]
struct Kept {
    letters: VecDeque<DeadLetter>,
    bytes: u64,
    total: u64,
}

impl DeadLetters {
    pub fn new(most: usize, most_bytes: MemoryBytes) -> Self {
        Self { kept: Mutex::default(), most, most_bytes: most_bytes.get() }
    }

    /// Keeps `envelope`. The right to answer it goes with it, so no desk may be locked.
    pub fn add(&self, envelope: Envelope, to: &Identity, reason: DeadReason) {
        let letter = DeadLetter {
            at: SystemTime::now(),
            from: envelope.from.as_ref().map(|from| from.name.clone()),
            to: to.name.clone(),
            topic: envelope.topic.clone(),
            body: envelope.body.clone(),
            reason,
        };
        let len = letter.body.len() as u64;
        let mut kept = self.kept.lock();
        kept.total += 1;
        if self.most == 0 || len > self.most_bytes {
            return;
        }
        while kept.letters.len() >= self.most || kept.bytes + len > self.most_bytes {
            let Some(oldest) = kept.letters.pop_front() else { break };
            kept.bytes -= oldest.body.len() as u64;
        }
        kept.bytes += len;
        kept.letters.push_back(letter);
        drop(kept);
        drop(envelope);
    }

    /// Those kept, oldest first.
    pub fn list(&self) -> Vec<DeadLetter> {
        self.kept.lock().letters.iter().cloned().collect()
    }

    /// How many there have been.
    pub fn total(&self) -> u64 {
        self.kept.lock().total
    }
}
