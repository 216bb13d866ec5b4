//! [`Mailbox`]: what waits for one agent, bounded by count and by bytes.

use std::collections::VecDeque;
use std::time::Instant;

use super::config::{MailboxConfig, WhenFull};
use super::message::{Envelope, Kind};

/// What waits for one agent, in the order it came.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    queue: VecDeque<Envelope>,
    bytes: u64,
    /// Of these, what answers requests, and its bytes: nothing takes its place.
    answers: usize,
    answer_bytes: u64,
}

/// What became of a message.
#[derive(Debug)]
pub(super) enum Put {
    /// It waits now. These had to go for it.
    In(Vec<Envelope>),
    /// There is no room.
    Full(Envelope),
}

impl Mailbox {
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Of the messages, those that answer requests.
    pub fn answers(&self) -> usize {
        self.answers
    }

    #[cfg(test)]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn fits(&self, config: &MailboxConfig, len: u64) -> bool {
        self.queue.len() < config.messages && self.bytes + len <= config.bytes.get()
    }

    /// Puts `envelope` last. What answers a request has its place already, because requests are counted until
    /// their answer is taken; only its bytes need room.
    pub fn put(&mut self, config: &MailboxConfig, envelope: Envelope) -> Put {
        let len = envelope.body.len() as u64;
        let mut dropped = Vec::new();
        match envelope.kind {
            Kind::Message => {
                if !self.fits(config, len) {
                    let possible = self.answers < config.messages && self.answer_bytes + len <= config.bytes.get();
                    if config.when_full != WhenFull::DropOldest || !possible {
                        return Put::Full(envelope);
                    }
                    dropped = self.make_room(config, len);
                }
            }
            Kind::Reply if self.bytes + len > config.bytes.get() => return Put::Full(envelope),
            Kind::Reply | Kind::NoReply => {}
        }
        self.count(&envelope, true);
        self.queue.push_back(envelope);
        Put::In(dropped)
    }

    /// Counts `envelope` in, or out.
    fn count(&mut self, envelope: &Envelope, comes: bool) {
        let len = envelope.body.len() as u64;
        let answer = envelope.kind != Kind::Message;
        let (answers, answer_bytes) = if answer { (1, len) } else { (0, 0) };
        if comes {
            self.bytes += len;
            self.answers += answers;
            self.answer_bytes += answer_bytes;
        } else {
            self.bytes -= len;
            self.answers -= answers;
            self.answer_bytes -= answer_bytes;
        }
    }

    /// Takes the oldest messages out until one of `len` bytes fits.
    fn make_room(&mut self, config: &MailboxConfig, len: u64) -> Vec<Envelope> {
        let mut dropped = Vec::new();
        while !self.fits(config, len) {
            let Some(at) = self.queue.iter().position(|e| e.kind == Kind::Message) else { break };
            let Some(oldest) = self.queue.remove(at) else { break };
            self.count(&oldest, false);
            dropped.push(oldest);
        }
        dropped
    }

    /// The next one that is not too late. Those that are go into `late`.
    pub fn take(&mut self, now: impl FnOnce() -> Instant, late: &mut Vec<Envelope>) -> Option<Envelope> {
        let mut clock = None;
        let mut now = Some(now);
        while let Some(envelope) = self.queue.pop_front() {
            self.count(&envelope, false);
            if envelope.deadline.is_some() {
                clock = clock.or_else(|| now.take().map(|now| now()));
            }
            if clock.is_some_and(|clock| envelope.is_late(clock)) {
                late.push(envelope);
            } else {
                return Some(envelope);
            }
        }
        None
    }

    /// Everything, oldest first.
    pub fn clear(&mut self) -> Vec<Envelope> {
        (self.bytes, self.answers, self.answer_bytes) = (0, 0, 0);
        std::mem::take(&mut self.queue).into()
    }

    /// Gives back room that a flood has left behind.
    pub fn shrink(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > 64 {
            self.queue.shrink_to(16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::MemoryBytes;
    use proptest::prelude::*;
    use std::time::Duration;

    fn envelope(kind: Kind, number: u64, len: usize) -> Envelope {
        let mut envelope = Envelope::new(None, vec![0; len].into());
        envelope.kind = kind;
        envelope.correlation = Some(number);
        envelope
    }

    fn number(envelope: &Envelope) -> u64 {
        envelope.correlation.expect("the test gave one")
    }

    proptest! {
        #[test]
        fn bounds_hold_and_order_is_kept(
            messages in 0_usize..6, bytes in 0_u64..40, drop_oldest: bool,
            steps in proptest::collection::vec((0_u8..4, 0_usize..16), 0..80),
        ) {
            let when_full = if drop_oldest { WhenFull::DropOldest } else { WhenFull::Reject };
            let config = MailboxConfig { messages, bytes: MemoryBytes::new(bytes), when_full };
            let mut mailbox = Mailbox::default();
            let mut model: Vec<(u64, bool, usize)> = Vec::new();
            for (n, (what, len)) in steps.into_iter().enumerate() {
                let n = n as u64;
                if what == 0 {
                    let taken = mailbox.take(Instant::now, &mut Vec::new());
                    let expected = if model.is_empty() { None } else { Some(model.remove(0).0) };
                    prop_assert_eq!(taken.as_ref().map(number), expected);
                    continue;
                }
                let kind = if what == 1 { Kind::Reply } else { Kind::Message };
                match mailbox.put(&config, envelope(kind, n, len)) {
                    Put::In(dropped) => {
                        prop_assert!(drop_oldest || dropped.is_empty());
                        for gone in &dropped {
                            // The oldest message of those that were there.
                            let oldest = model.iter().position(|(_, reply, _)| !reply);
                            prop_assert_eq!(oldest.map(|at| model.remove(at).0), Some(number(gone)));
                        }
                        model.push((n, kind == Kind::Reply, len));
                    }
                    Put::Full(back) => {
                        prop_assert_eq!(number(&back), n);
                        // Where old ones go, only replies are in the way.
                        let stays = |reply: bool| !drop_oldest || kind == Kind::Reply || reply;
                        let kept: Vec<_> = model.iter().filter(|(_, reply, _)| stays(*reply)).collect();
                        let kept_bytes: u64 = kept.iter().map(|(_, _, len)| *len as u64).sum();
                        let counted = kept.len() < messages || kind == Kind::Reply;
                        prop_assert!(!counted || kept_bytes + len as u64 > bytes);
                    }
                }
                let sum: u64 = model.iter().map(|(_, _, len)| *len as u64).sum();
                prop_assert_eq!((mailbox.len(), mailbox.bytes()), (model.len(), sum));
                prop_assert!(sum <= bytes);
                let plain = model.iter().filter(|(_, reply, _)| !reply).count();
                prop_assert!(plain <= messages);
            }
            let rest: Vec<_> = mailbox.clear().iter().map(number).collect();
            prop_assert_eq!(rest, model.iter().map(|(n, ..)| *n).collect::<Vec<_>>());
            prop_assert_eq!(mailbox.bytes(), 0);
        }
    }

    #[test]
    fn what_is_late_is_set_apart() {
        let now = Instant::now();
        let mut mailbox = Mailbox::default();
        let mut late = envelope(Kind::Message, 1, 3);
        late.deadline = Some(now);
        for envelope in [late, envelope(Kind::Message, 2, 3)] {
            assert!(matches!(mailbox.put(&MailboxConfig::default(), envelope), Put::In(_)));
        }
        let mut too_late = Vec::new();
        let taken = mailbox.take(|| now + Duration::from_millis(1), &mut too_late);
        assert_eq!(taken.as_ref().map(number), Some(2));
        assert_eq!(too_late.iter().map(number).collect::<Vec<_>>(), [1]);
        assert_eq!(mailbox.bytes(), 0);
    }
}
