//! [`Envelope`]: a message on its way, and the right to answer it.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::actor::Actor;
use super::error::RequestError;
use super::id::{Identity, Topic};

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Somebody sent it.
    Message,
    /// It answers a request.
    Reply,
    /// It says that no reply will come: the time is up, or the receiver has ended or gave none.
    NoReply,
}

/// A message on its way.
#[derive(Debug)]
pub struct Envelope {
    /// The sender; `None` for the host.
    pub(crate) from: Option<Arc<Identity>>,
    /// The topic by which it came.
    pub(crate) topic: Option<Topic>,
    /// What kind of message it is.
    pub(crate) kind: Kind,
    /// Of a reply: which request it answers. Of a request: its number at the sender's.
    pub(crate) correlation: Option<u64>,
    /// Its bytes.
    pub(crate) body: Arc<[u8]>,
    /// Not to be delivered after this.
    pub(crate) deadline: Option<Instant>,
    /// The right to answer it, once.
    pub(crate) reply_to: Option<ReplyRight>,
    /// How many tools and agents wait for its reply, one behind the other.
    pub(crate) depth: u32,
    /// It was taken while its receiver drained, and counts as handled.
    pub(super) counted: bool,
}

impl Envelope {
    pub(super) fn new(from: Option<Arc<Identity>>, body: Arc<[u8]>) -> Self {
        Self {
            from,
            topic: None,
            kind: Kind::Message,
            correlation: None,
            body,
            deadline: None,
            reply_to: None,
            depth: 0,
            counted: false,
        }
    }

    /// The same message for one more receiver.
    pub(super) fn copy(&self) -> Self {
        Self {
            from: self.from.clone(),
            topic: self.topic.clone(),
            kind: self.kind,
            correlation: None,
            body: self.body.clone(),
            deadline: self.deadline,
            reply_to: None,
            depth: 0,
            counted: false,
        }
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }
}

/// The right to answer a request, once. If it is dropped, whoever waits learns that no reply will come: however
/// a message ends, nobody waits for nothing. Not to be dropped with an agent's desk locked.
pub(crate) struct ReplyRight(Option<ReplyTo>);

enum ReplyTo {
    Actor { actor: Weak<Actor>, correlation: u64 },
    Host(Arc<HostRequest>),
}

/// A request of the host, which waits outside of any agent.
pub(super) struct HostRequest(Mutex<Option<oneshot::Sender<HostReply>>>);

/// What the host is answered.
type HostReply = Result<Arc<[u8]>, RequestError>;

impl HostRequest {
    pub fn new(answer: oneshot::Sender<HostReply>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(answer))))
    }

    /// Answers it, if nobody has; and says whether somebody waited for that.
    pub fn answer(&self, with: HostReply) -> bool {
        let answer = self.0.lock().take();
        answer.is_some_and(|answer| answer.send(with).is_ok())
    }
}

impl ReplyRight {
    pub(super) fn actor(actor: &Arc<Actor>, correlation: u64) -> Self {
        Self(Some(ReplyTo::Actor { actor: Arc::downgrade(actor), correlation }))
    }

    pub(super) fn host(request: &Arc<HostRequest>) -> Self {
        Self(Some(ReplyTo::Host(request.clone())))
    }

    /// Gives the right up without a word: the sender is told in another way.
    pub(super) fn forget(mut self) {
        self.0 = None;
    }

    /// Answers, and says whether the answer arrived. If `bury`, an agent that did not get it has a dead letter.
    pub(super) fn answer(mut self, from: &Arc<Identity>, body: Arc<[u8]>, bury: bool) -> Result<(), NotAnswered> {
        match self.0.take() {
            Some(ReplyTo::Actor { actor, correlation }) => match actor.upgrade() {
                Some(actor) => actor.answered(from, correlation, body, bury),
                None => Err(NotAnswered::Gone),
            },
            Some(ReplyTo::Host(request)) => request.answer(Ok(body)).then_some(()).ok_or(NotAnswered::Gone),
            None => Err(NotAnswered::Gone),
        }
    }
}

/// Why a reply did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAnswered {
    /// Nobody waits for it any more.
    Gone,
    /// The requester's mailbox has no room for its bytes.
    Full,
    /// It is above the requester's cap.
    TooLarge,
}

impl Drop for ReplyRight {
    fn drop(&mut self) {
        match self.0.take() {
            None => {}
            Some(ReplyTo::Actor { actor, correlation }) => {
                if let Some(actor) = actor.upgrade() {
                    actor.no_reply(correlation);
                }
            }
            Some(ReplyTo::Host(request)) => {
                request.answer(Err(RequestError::NoReply));
            }
        }
    }
}

impl fmt::Debug for ReplyRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyRight")
    }
}
