//! The way to the thread that writes: bounded, and with places that only those events get that tell a guest's life.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, sync_channel};
use std::time::Duration;

use super::Event;
use super::throttle::is_life;

/// Places that are kept for [`is_life`].
const KEPT: usize = 1_024;

/// What the thread is to do.
pub(super) enum Job {
    Write(Box<Event>),
    Flush(Sender<io::Result<()>>),
}

/// The end of those who have something to be written.
pub(super) struct Queue {
    jobs: SyncSender<Job>,
    waiting: Arc<AtomicUsize>,
    most: usize,
}

/// The end of the thread.
pub(super) struct Jobs {
    jobs: Receiver<Job>,
    waiting: Arc<AtomicUsize>,
}

/// A queue for `most` events, and a few more of guests' lives.
pub(super) fn queue(most: usize) -> (Queue, Jobs) {
    let most = most.max(1);
    let (to, jobs) = sync_channel(most.saturating_add(KEPT));
    let waiting = Arc::new(AtomicUsize::new(0));
    (Queue { jobs: to, waiting: waiting.clone(), most }, Jobs { jobs, waiting })
}

impl Queue {
    /// Whether there was a place for it.
    pub(super) fn push(&self, event: Event) -> bool {
        if !is_life(event.kind) && self.waiting.load(Ordering::Relaxed) >= self.most {
            return false;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let sent = self.jobs.try_send(Job::Write(Box::new(event))).is_ok();
        if !sent {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        sent
    }

    /// Waits for a place. Whether there is anybody to do it.
    pub(super) fn flush(&self, done: Sender<io::Result<()>>) -> bool {
        self.jobs.send(Job::Flush(done)).is_ok()
    }
}

impl Jobs {
    /// The next one; `None` if there was none for so long.
    ///
    /// # Errors
    /// There will be none any more.
    pub(super) fn next(&self, patience: Duration) -> Result<Option<Job>, ()> {
        match self.jobs.recv_timeout(patience) {
            Ok(job) => {
                if matches!(job, Job::Write(_)) {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                }
                Ok(Some(job))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{EventKind, Subject};

    #[test]
    fn lives_have_places_of_their_own() {
        let (queue, jobs) = queue(3);
        let event = |kind| Event::new(Subject::tool("t"), kind, "");
        let pushed = (0..10).filter(|_| queue.push(event(EventKind::Trapped))).count();
        assert_eq!(pushed, 3);
        let lives = [EventKind::Ended, EventKind::Violation, EventKind::Removed];
        assert!(lives.into_iter().all(|kind| queue.push(event(kind))));
        assert_eq!((0..2_000).filter(|_| queue.push(event(EventKind::Ended))).count(), KEPT - 3, "bounded as well");
        let mut kinds = Vec::new();
        while let Ok(Some(Job::Write(event))) = jobs.next(Duration::ZERO) {
            kinds.push(event.kind);
        }
        assert_eq!(kinds[..6], [[EventKind::Trapped; 3], lives].concat(), "in order");
        assert!(queue.push(event(EventKind::Trapped)), "there is room again");
    }
}
