//! `poll_oneoff` and `sched_yield`: waiting, under the call's deadline, while others have the turn.

use std::io::SeekFrom;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam_engine::{Caller, OutOfBounds, Wake};
use rustix::event::{PollFd, PollFlags};

use super::abi::{
    CLOCK_ABSTIME, EVENT, EVENT_CLOCK, EVENT_HANGUP, EVENT_READ, EVENT_WRITE, SUBSCRIPTION, event, rights,
};
use super::async_stream::Pending;
use super::clock::ClockId;
use super::descriptors::{Kind, OpenFile};
use super::errno::{Done, Errno};
use super::state::WasiState;
use super::stream::{HostStream, Input, Sink, poll_until};

/// Fuel for each subscription and its event.
const SUBSCRIPTION_PRICE: u64 = 50;

pub(super) fn sched_yield(caller: &mut Caller<'_>) -> Done {
    Ok(caller.give_turn()?)
}

pub(super) fn poll_oneoff(caller: &mut Caller<'_>, input: u32, output: u32, count: u32, out: u32) -> Done {
    if count == 0 || count > WasiState::of(caller)?.limits.subscriptions {
        return Err(Errno::Invalid.into());
    }
    caller.bytes(out, 4)?;
    let room = count.checked_mul(EVENT as u32).ok_or(Errno::Invalid)?;
    caller.bytes(output, room)?;
    let len = count.checked_mul(SUBSCRIPTION as u32).ok_or(Errno::Invalid)?;
    caller.bytes(input, len)?;
    caller.charge(u64::from(count) * SUBSCRIPTION_PRICE)?;

    let began = Instant::now();
    let events = loop {
        let (state, memory) = WasiState::and_memory(caller)?;
        let list = memory.get(input as usize..).and_then(|m| m.get(..len as usize)).ok_or(OutOfBounds)?;
        let mut waiting = Vec::with_capacity(count as usize);
        for subscription in list.as_chunks().0 {
            waiting.push(Waiting::new(state, subscription, began)?);
        }
        let events = happened(caller, &waiting, began)?;
        if !events.is_empty() {
            break events;
        }
        // A stream was worth another look.
        caller.charge(u64::from(count) * SUBSCRIPTION_PRICE)?;
        caller.check()?;
    };
    let mut at = output;
    for event in &events {
        caller.write(at, event)?;
        at = at.saturating_add(EVENT as u32);
    }
    // At most `count`.
    Ok(caller.write(out, &(events.len() as u32).to_le_bytes())?)
}

/// What one subscription waits for.
struct Waiting {
    userdata: u64,
    /// `eventtype`.
    ty: u8,
    until: Until,
}

enum Until {
    /// Nothing: it has an answer already.
    Known { errno: Option<Errno>, bytes: u64, flags: u16 },
    /// This much time has passed since the call began.
    Time(Duration),
    /// The other side is ready.
    Ready(Arc<HostStream>),
    /// A stream of the caller's own is worth another look.
    Look(Pending),
}

impl Until {
    fn error(errno: Errno) -> Self {
        Self::Known { errno: Some(errno), bytes: 0, flags: 0 }
    }

    fn ready(bytes: u64, flags: u16) -> Self {
        Self::Known { errno: None, bytes, flags }
    }
}

impl Waiting {
    fn new(state: &mut WasiState, raw: &[u8; SUBSCRIPTION], began: Instant) -> Result<Self, Errno> {
        let (userdata, tag) = (u64_at(raw, 0), u64_at(raw, 8).to_le_bytes()[0]);
        let until = match tag {
            EVENT_CLOCK => clock(state, raw, began)?,
            EVENT_READ | EVENT_WRITE => {
                // Four bytes: a descriptor.
                let fd = u64_at(raw, 16) as u32;
                stream(state, fd, tag).unwrap_or_else(Until::error)
            }
            _ => return Err(Errno::Invalid),
        };
        Ok(Self { userdata, ty: tag, until })
    }

    /// The event, if what it waits for has happened. `passed` is the time since the call began, `answer`
    /// what the kernel says of a stream.
    fn event(&self, passed: Duration, answer: impl Fn(&Arc<HostStream>) -> PollFlags) -> Option<[u8; EVENT]> {
        let (errno, bytes, flags) = match &self.until {
            Until::Known { errno, bytes, flags } => (*errno, *bytes, *flags),
            Until::Time(due) if *due <= passed => (None, 0, 0),
            Until::Time(_) | Until::Look(_) => return None,
            Until::Ready(stream) => {
                let ready = answer(stream);
                if ready.is_empty() {
                    return None;
                }
                let bytes = if self.ty == EVENT_READ { stream.readable_bytes() } else { 0 };
                let hangup = ready.intersects(PollFlags::HUP | PollFlags::ERR);
                (None, bytes, if hangup { EVENT_HANGUP } else { 0 })
            }
        };
        Some(event(self.userdata, errno.map_or(0, |e| e as u16), self.ty, bytes, flags))
    }
}

fn clock(state: &WasiState, raw: &[u8; SUBSCRIPTION], began: Instant) -> Result<Until, Errno> {
    let timeout = u64_at(raw, 24);
    // Two bytes: flags.
    let flags = u64_at(raw, 40) as u16;
    if flags & !CLOCK_ABSTIME != 0 {
        return Err(Errno::Invalid);
    }
    let id = match ClockId::try_from(u64_at(raw, 16) as u32) {
        Ok(ClockId::Cpu) => return Ok(Until::error(Errno::NotSupported)),
        Ok(id) => id,
        Err(errno) => return Ok(Until::error(errno)),
    };
    if flags & CLOCK_ABSTIME == 0 {
        return Ok(Until::Time(Duration::from_nanos(timeout)));
    }
    let left = timeout.saturating_sub(state.clock.now(id));
    // What has passed since the call began has passed from this one too.
    Ok(Until::Time(if state.clock.is_virtual() || left == 0 {
        Duration::from_nanos(left)
    } else {
        Duration::from_nanos(left).saturating_add(began.elapsed())
    }))
}

fn stream(state: &mut WasiState, fd: u32, ty: u8) -> Result<Until, Errno> {
    let bytes = |left| Until::ready(left, if left == 0 { EVENT_HANGUP } else { 0 });
    let descriptor = state.descriptors.get(fd)?;
    descriptor.allows(rights::POLL_FD_READWRITE)?;
    let elsewhere = |input: &Input| !matches!(input, Input::Bytes { .. });
    match (&descriptor.kind, ty) {
        // When the other side is ready must not be seen, so it always is: reads and writes wait for it.
        (Kind::Stdin, EVENT_READ) if state.whole && elsewhere(&state.stdin) => Ok(Until::ready(1, 0)),
        (Kind::Stdout | Kind::Stderr, EVENT_WRITE) if state.whole => Ok(Until::ready(0, 0)),
        (Kind::Stdin, EVENT_READ) => Ok(match &mut state.stdin {
            Input::Bytes { data, read } => bytes(data.len().saturating_sub(*read) as u64),
            Input::Host(stream) => Until::Ready(stream.clone()),
            Input::Async(reader) => reader.peek().map_or_else(Until::Look, bytes),
        }),
        (Kind::Stdout, EVENT_WRITE) => sink(&state.outputs[0]),
        (Kind::Stderr, EVENT_WRITE) => sink(&state.outputs[1]),
        (Kind::File(open), EVENT_READ) if open.readable => Ok(Until::ready(rest(open), 0)),
        (Kind::File(open), EVENT_WRITE) if open.writable => Ok(Until::ready(0, 0)),
        _ => Err(Errno::BadFd),
    }
}

fn sink(sink: &Sink) -> Result<Until, Errno> {
    match sink {
        Sink::Host(stream) => Ok(Until::Ready(stream.clone())),
        Sink::Async(writer) => Ok(writer.blocked().cloned().map_or_else(|| Until::ready(0, 0), Until::Look)),
        Sink::Discard | Sink::Capture(_) | Sink::Shared(_) => Ok(Until::ready(0, 0)),
    }
}

/// Bytes between the position of a file and its end.
fn rest(open: &OpenFile) -> u64 {
    let size = open.file.stat().map_or(0, |stat| stat.size);
    let position = open.file.seek(SeekFrom::Current(0)).unwrap_or(0);
    size.saturating_sub(position)
}

/// The streams that are waited for, each once: however many subscriptions there are, the kernel is asked
/// about three descriptors at most.
struct Streams<'w> {
    streams: Vec<&'w Arc<HostStream>>,
    fds: Vec<PollFd<'w>>,
}

impl<'w> Streams<'w> {
    fn of(waiting: &'w [Waiting]) -> Self {
        let mut all = Self { streams: Vec::new(), fds: Vec::new() };
        for Waiting { until, .. } in waiting {
            if let Until::Ready(stream) = until
                && !all.streams.iter().any(|s| Arc::ptr_eq(s, stream))
            {
                all.streams.push(stream);
                all.fds.push(stream.poll_fd());
            }
        }
        all
    }

    /// What the kernel said of `stream` when it was asked last.
    fn answer(&self, stream: &Arc<HostStream>) -> PollFlags {
        let at = self.streams.iter().position(|s| Arc::ptr_eq(s, stream));
        at.and_then(|at| self.fds.get(at)).map_or(PollFlags::empty(), PollFd::revents)
    }

    /// All that has happened, `passed` after the call began.
    fn events(&self, waiting: &[Waiting], passed: Duration) -> Vec<[u8; EVENT]> {
        waiting.iter().filter_map(|w| w.event(passed, |stream| self.answer(stream))).collect()
    }
}

/// Waits until something has happened and says all that has.
fn happened(caller: &mut Caller<'_>, waiting: &[Waiting], began: Instant) -> Done<Vec<[u8; EVENT]>> {
    let mut streams = Streams::of(waiting);
    let first = waiting.iter().filter_map(|w| if let Until::Time(due) = w.until { Some(due) } else { None }).min();

    // First what is there already. On a virtual clock no time passes in looking.
    let virtual_clock = WasiState::of(caller)?.clock.is_virtual();
    if !streams.fds.is_empty() {
        poll_until(&mut streams.fds, Some(began));
    }
    let passed = if virtual_clock { Duration::ZERO } else { began.elapsed() };
    let events = streams.events(waiting, passed);
    if !events.is_empty() {
        return Ok(events);
    }
    if let Some(due) = first.filter(|_| virtual_clock) {
        WasiState::of(caller)?.clock.advance(u64::try_from(due.as_nanos()).unwrap_or(u64::MAX));
        return Ok(streams.events(waiting, due));
    }
    let looks = waiting.iter().filter_map(|w| if let Until::Look(pending) = &w.until { Some(pending) } else { None });
    let looks = looks.collect::<Vec<_>>();
    sleep(caller, &mut streams.fds, &looks, first.and_then(|due| began.checked_add(due)))?;
    Ok(streams.events(waiting, began.elapsed()))
}

/// Waits until a stream is ready or worth a look or `due` has come; without any, until the call ends. Where
/// both the kernel and others are waited for, the others are seen a moment late.
fn sleep(caller: &mut Caller<'_>, fds: &mut [PollFd<'_>], looks: &[&Pending], due: Option<Instant>) -> Done {
    let over = || due.is_some_and(|t| Instant::now() >= t) || looks.iter().any(|pending| pending.is_over());
    if fds.is_empty() {
        let wake = due.map_or(Wake::Unpark, Wake::At);
        return Ok(caller.wait(wake, || over().then_some(()))?);
    }
    let until = match (due, caller.deadline()) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    Ok(caller.wait(Wake::Every(Duration::ZERO), || (poll_until(fds, until) || over()).then_some(()))?)
}

/// Eight bytes of a subscription; offsets are constants of this file, so they fit.
fn u64_at(raw: &[u8; SUBSCRIPTION], at: usize) -> u64 {
    raw.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}
