//! Messages and timers as a guest sees them: `send_message`, `request`, `receive_message`, what there is to know
//! of the current message, `reply`, `set_timer`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam_engine::{Caller, HostFunc, Imports, Wake};

use super::error::{Done, capped, length, status};
use super::io::{copy, slice};
use super::{AbiError, MODULE, price, state, state_and_memory};
use crate::agent::post::{Outgoing, Post, Sent};
use crate::agent::{Envelope, Kind};
use crate::host::room_for;

/// Messages and timers of one agent.
#[derive(Debug, Default)]
pub struct Messages {
    /// The way out; `None` for a guest that no runtime keeps.
    pub(crate) post: Option<Post>,
    /// The message that the running export was called with.
    pub(crate) hook: Option<Envelope>,
    /// The message that `receive_message` took last, while the export runs.
    pub(crate) taken: Option<Envelope>,
}

impl Messages {
    fn current(&self) -> Result<&Envelope, AbiError> {
        self.taken.as_ref().or(self.hook.as_ref()).ok_or(AbiError::NotNow)
    }

    fn post(&self) -> Result<&Post, AbiError> {
        self.post.as_ref().ok_or(AbiError::Gone)
    }
}

// Prices are measured by the bench `fuel_honesty`.
pub(super) fn define(imports: &mut Imports) {
    let mut host = |name, func| imports.host(MODULE, name, func);
    let sends = HostFunc::typed(|caller, (to, to_len, ptr, len)| {
        let done = send(caller, (to, to_len), (ptr, len), None);
        capped(caller, "send_message", done)
    });
    host("send_message", sends.priced(price(SEND)));
    let asks = HostFunc::typed(|caller, (to, to_len, ptr, len, timeout): (u32, u32, u32, u32, u32)| {
        let done = send(caller, (to, to_len), (ptr, len), Some(Duration::from_millis(timeout.into())));
        capped(caller, "request", done)
    });
    host("request", asks.priced(price(1_000)));
    let receives = HostFunc::typed(|caller, (ptr, cap, timeout)| status(receive(caller, ptr, cap, timeout)));
    host("receive_message", receives.priced(price(200)));
    host("message_from", HostFunc::typed(|caller, (ptr, cap)| status(from(caller, ptr, cap))));
    host("message_topic", HostFunc::typed(|caller, (ptr, cap)| status(topic(caller, ptr, cap))));
    host("message_kind", HostFunc::typed(|caller, ()| status(kind(caller))).quick());
    host("message_correlation", HostFunc::typed(|caller, ()| status(correlation(caller))).quick());
    let replies = HostFunc::typed(|caller, (ptr, len)| {
        let done = reply(caller, ptr, len);
        capped(caller, "reply", done)
    });
    host("reply", replies.priced(price(250)));
    let sets = HostFunc::typed(|caller, (after, token): (u32, i64)| {
        let done = set_timer(caller, after, token);
        capped(caller, "set_timer", done)
    });
    host("set_timer", sets.priced(price(250)));
}

/// Fuel for sending a message, with its first receiver; and for each further one.
const SEND: u64 = 400;
const FURTHER_RECEIVER: u64 = 100;

/// Longest address: a topic with its `#`.
const MAX_ADDRESS: u32 = 65;

/// The bytes of a message, checked against the cap before they are copied.
fn body(caller: &mut Caller<'_>, ptr: u32, len: u32) -> Done<Arc<[u8]>> {
    caller.bytes(ptr, len)?;
    state(caller)?.within_cap(len)?;
    caller.charge_bytes(len.into())?;
    room_for(len as usize)?;
    Ok(caller.bytes(ptr, len)?.into())
}

fn send(
    caller: &mut Caller<'_>,
    (to, to_len): (u32, u32),
    (ptr, len): (u32, u32),
    reply_within: Option<Duration>,
) -> Done<i64> {
    caller.bytes(to, to_len)?;
    if to_len > MAX_ADDRESS {
        return Err(AbiError::Invalid.into());
    }
    let body = body(caller, ptr, len)?;
    if caller.bytes(to, to_len)?.first() == Some(&b'#') {
        let (state, memory) = state_and_memory(caller)?;
        let to = std::str::from_utf8(slice(memory, to, to_len)?).map_err(|_| AbiError::Invalid)?;
        let more = state.messages.post()?.receivers(to).saturating_sub(1);
        caller.charge(more.saturating_mul(FURTHER_RECEIVER))?;
    }
    let (state, memory) = state_and_memory(caller)?;
    let to = std::str::from_utf8(slice(memory, to, to_len)?).map_err(|_| AbiError::Invalid)?;
    let post = state.messages.post()?.clone();
    match post.send(to, body, reply_within)? {
        Sent::Done(n) => Ok(n),
        Sent::Wait(outgoing) => wait_for_room(caller, *outgoing),
    }
}

/// The receiver's mailbox is full and its configuration lets senders wait.
fn wait_for_room(caller: &mut Caller<'_>, mut outgoing: Outgoing) -> Done<i64> {
    if let Some(end) = time_to_wait(caller) {
        outgoing.until_at_most(end);
    }
    let until = outgoing.until();
    let sent = caller.wait(Wake::At(until), || outgoing.try_again(Instant::now()))?;
    Ok(sent?)
}

/// When a guest that waits must be told that it waited for nothing, so that it has some time left to go on; `None`
/// if its call has no deadline.
fn time_to_wait(caller: &Caller<'_>) -> Option<Instant> {
    const REST: Duration = Duration::from_millis(500);
    let deadline = caller.deadline()?;
    let left = deadline.saturating_duration_since(Instant::now());
    deadline.checked_sub(REST.min(left / 4))
}

fn receive(caller: &mut Caller<'_>, ptr: u32, cap: u32, timeout: u32) -> Done<i32> {
    caller.bytes(ptr, cap)?;
    let post = state(caller)?.messages.post()?.clone();
    let mut taken = post.take(None)?;
    if taken.is_none() && timeout > 0 {
        // Agents that wait keep their threads, and must leave some for those who could go on.
        let Some(_leave) = post.may_wait() else {
            caller.give_turn()?;
            return Err(AbiError::TimedOut.into());
        };
        let until = Instant::now() + Duration::from_millis(timeout.into());
        let until = time_to_wait(caller).map_or(until, |end| end.min(until));
        let waker = crate::agent::post::this_thread();
        let waited = caller.wait(Wake::At(until), || match post.take(Some(&waker)) {
            Ok(Some(message)) => Some(Ok(message)),
            Ok(None) if Instant::now() >= until => Some(Err(AbiError::TimedOut)),
            Ok(None) => None,
            Err(gone) => Some(Err(gone)),
        });
        post.stop_waiting();
        taken = Some(waited??);
    }
    let Some(message) = taken else { return Err(AbiError::TimedOut.into()) };
    let body = message.body.clone();
    // Before anything can end the guest: what it had taken then is given up as other messages are.
    state(caller)?.messages.taken = Some(message);
    caller.charge_bytes(body.len() as u64)?;
    let (state, memory) = state_and_memory(caller)?;
    state.io.input = body.clone();
    if body.len() <= cap as usize {
        copy(&body, 0, memory, ptr, cap)?;
    }
    length(body.len())
}

/// Copies a short text if it fits, and returns its length.
fn give_text(caller: &mut Caller<'_>, text: &str, ptr: u32, cap: u32) -> Done<i32> {
    let (_, memory) = state_and_memory(caller)?;
    let into = slice(memory, ptr, cap)?;
    if let Some(into) = into.get_mut(..text.len()) {
        into.copy_from_slice(text.as_bytes());
    }
    length(text.len())
}

fn from(caller: &mut Caller<'_>, ptr: u32, cap: u32) -> Done<i32> {
    let from = state(caller)?.messages.current()?.from.clone();
    give_text(caller, from.as_ref().map_or("", |from| from.name.as_str()), ptr, cap)
}

fn topic(caller: &mut Caller<'_>, ptr: u32, cap: u32) -> Done<i32> {
    let topic = state(caller)?.messages.current()?.topic.clone().ok_or(AbiError::NotFound)?;
    give_text(caller, topic.as_str(), ptr, cap)
}

fn kind(caller: &mut Caller<'_>) -> Done<i32> {
    Ok(match state(caller)?.messages.current()?.kind {
        Kind::Message => 0,
        Kind::Reply => 1,
        Kind::NoReply => 2,
    })
}

fn correlation(caller: &mut Caller<'_>) -> Done<i64> {
    let current = state(caller)?.messages.current()?;
    Ok(current.correlation.map_or(-1, |id| i64::try_from(id).unwrap_or(i64::MAX)))
}

fn reply(caller: &mut Caller<'_>, ptr: u32, len: u32) -> Done<i32> {
    let body = body(caller, ptr, len)?;
    let messages = &mut state(caller)?.messages;
    let current = messages.taken.as_mut().or(messages.hook.as_mut()).ok_or(AbiError::NotNow)?;
    let right = current.reply_to.take().ok_or(AbiError::NoReplyExpected)?;
    messages.post()?.reply(right, body)?;
    Ok(0)
}

fn set_timer(caller: &mut Caller<'_>, after: u32, token: i64) -> Done<i32> {
    state(caller)?.messages.post()?.set_timer(Duration::from_millis(after.into()), token)?;
    Ok(0)
}
