//! Standard streams on readers and writers of the caller's own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cofferdam_engine::{CancelHandle, Limit};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::{Clocks, Stdin, WasiLimits};
use super::polling::{Event, clock, fd, poll, try_poll};
use super::*;

/// A pipe of so many bytes, as one that waits for the other side.
#[derive(Clone)]
struct Pipe(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    bytes: Vec<u8>,
    cap: usize,
    closed: bool,
    flushed: usize,
    wakers: Vec<Waker>,
}

impl Pipe {
    fn new(cap: usize) -> Self {
        Self(Arc::new(Mutex::new(Inner { cap, ..Inner::default() })))
    }

    /// What the other side does.
    fn change<T>(&self, what: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.0.lock();
        let done = what(&mut inner);
        inner.wakers.drain(..).for_each(Waker::wake);
        done
    }

    fn send(&self, bytes: &[u8]) {
        self.change(|inner| inner.bytes.extend_from_slice(bytes));
    }

    fn close(&self) {
        self.change(|inner| inner.closed = true);
    }

    fn take(&self) -> Vec<u8> {
        self.change(|inner| std::mem::take(&mut inner.bytes))
    }

    /// Whether somebody waits on this side.
    fn awaited(&self) -> bool {
        !self.0.lock().wakers.is_empty()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        if inner.bytes.is_empty() && !inner.closed {
            inner.wakers.push(context.waker().clone());
            return Poll::Pending;
        }
        let n = inner.bytes.len().min(buf.remaining());
        buf.put_slice(&inner.bytes.drain(..n).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.0.lock();
        if inner.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = bytes.len().min(inner.cap - inner.bytes.len());
        if n == 0 {
            inner.wakers.push(context.waker().clone());
            return Poll::Pending;
        }
        inner.bytes.extend_from_slice(&bytes[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        if inner.bytes.len() == inner.cap {
            inner.wakers.push(context.waker().clone());
            return Poll::Pending;
        }
        inner.flushed += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn reading(pipe: &Pipe, budget: &CallBudget) -> Guest {
    Guest::with_budget(WasiConfig { stdin: Stdin::stream(pipe.clone()), ..WasiConfig::default() }, budget)
}

fn writing(pipe: &Pipe, budget: &CallBudget) -> Guest {
    Guest::with_budget(quiet(Output::stream(pipe.clone())), budget)
}

/// Time that surely passes.
fn brief() -> CallBudget {
    CallBudget { timeout: Some(Duration::from_millis(100)), ..CallBudget::of_fuel(UNLIMITED_FUEL) }
}

/// Time that surely suffices.
fn patient() -> CallBudget {
    CallBudget { timeout: Some(Duration::from_secs(60)), ..CallBudget::of_fuel(UNLIMITED_FUEL) }
}

fn until(what: impl Fn() -> bool) {
    while !what() {
        std::thread::yield_now();
    }
}

#[test]
fn a_reader_is_read_as_it_fills_up_to_its_end() {
    let pipe = Pipe::new(0);
    let other = pipe.clone();
    let sender = std::thread::spawn(move || {
        for i in 0..100_u8 {
            // Sometimes there is something already, sometimes the guest waits.
            if i % 3 == 0 {
                until(|| other.awaited());
            }
            other.send(&[i; 7]);
        }
        other.close();
    });
    let mut guest = reading(&pipe, &patient());
    let mut all = Vec::new();
    loop {
        match guest.read(0, 50).expect("read") {
            bytes if bytes.is_empty() => break,
            bytes => all.extend(bytes),
        }
    }
    sender.join().expect("it ends");
    assert_eq!(all, (0..100_u8).flat_map(|i| [i; 7]).collect::<Vec<_>>());
    assert_eq!(guest.read(0, 50), Ok(vec![]), "still at the end");
}

#[test]
fn waiting_ends_at_the_deadline_and_by_cancelling() {
    let read = |guest: &mut Guest| {
        let (iovs, count) = guest.iovs(&[(DATA, 5)]);
        guest.try_call("fd_read", args![0_u32, iovs, count, OUT]).map(|_| ())
    };
    let poll = |guest: &mut Guest| try_poll(guest, &[fd(1, 1, 0)]).map(|_| ());
    let write = |guest: &mut Guest| guest.try_write(1, b"x").map(|_| ());
    let sync = |guest: &mut Guest| guest.try_call("fd_sync", args![1_u32]).map(|_| ());
    type Wait<'a> = &'a dyn Fn(&mut Guest) -> Result<(), HostError>;
    for (make, wait) in [
        (&reading as &dyn Fn(&Pipe, &CallBudget) -> Guest, &read as Wait<'_>),
        (&reading, &poll),
        (&writing, &write),
        (&writing, &sync),
    ] {
        // To be read it is empty, to be written it is full.
        let pipe = &Pipe::new(0);
        let end = wait(&mut make(pipe, &brief()));
        assert!(matches!(end, Err(HostError::Limit(Limit::Deadline))), "{end:?}");
        let cancel = CancelHandle::new();
        let mut guest = make(pipe, &CallBudget { cancel: Some(cancel.clone()), ..patient() });
        let other = pipe.clone();
        let before = pipe.0.lock().wakers.len();
        let canceller = std::thread::spawn(move || {
            until(|| other.0.lock().wakers.len() > before);
            cancel.cancel();
        });
        let end = wait(&mut guest);
        canceller.join().expect("it ends");
        assert!(matches!(end, Err(HostError::Limit(Limit::Cancelled))), "{end:?}");
    }
}

#[test]
fn a_slow_reader_holds_the_guest_back_and_gets_everything() {
    let pipe = Pipe::new(64);
    let other = pipe.clone();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        while all.len() < 10_000 {
            until(|| other.awaited() || all.len() + other.0.lock().bytes.len() >= 10_000);
            let bytes = other.take();
            assert!(bytes.len() <= 64);
            all.extend(bytes);
        }
        all
    });
    let mut guest = writing(&pipe, &patient());
    let bytes = (0..10_000_u32).map(|i| i as u8).collect::<Vec<_>>();
    assert_eq!(guest.write(1, &bytes), Ok(10_000));
    assert_eq!(reader.join().expect("it ends"), bytes);
    assert_eq!(guest.state().output_bytes(), 10_000);
    assert_eq!(guest.call("fd_sync", args![1_u32]), Ok(()));
    assert_eq!(pipe.0.lock().flushed, 1);
    pipe.close();
    assert_eq!(guest.write(1, b"x"), Err(Errno::BrokenPipe));
}

#[test]
fn what_a_stream_takes_is_capped_too() {
    let pipe = Pipe::new(1 << 20);
    let limits = WasiLimits { output_bytes: 10, ..WasiLimits::default() };
    let mut guest = Guest::new(WasiConfig { stdout: Output::stream(pipe.clone()), limits, ..WasiConfig::default() });
    let end = guest.try_write(1, b"more than ten bytes");
    assert!(matches!(end, Err(HostError::Limit(Limit::Output))), "{end:?}");
    assert_eq!(pipe.take(), b"more than ");
}

#[test]
fn polling_says_when_there_is_something() {
    let pipe = Pipe::new(0);
    let mut guest = reading(&pipe, &patient());
    assert_eq!(guest.call("fd_fdstat_set_flags", args![0_u32, 4_u32]), Ok(()));
    assert_eq!(guest.read(0, 9), Err(Errno::Again));
    let soon: Event = (2, 0, 0, 0, 0);
    assert_eq!(poll(&mut guest, &[fd(1, 1, 0), clock(2, 1, 1, 0)]), Ok(vec![soon]));
    let other = pipe.clone();
    let sender = std::thread::spawn(move || {
        until(|| other.awaited());
        other.send(b"hello");
    });
    assert_eq!(poll(&mut guest, &[fd(1, 1, 0), clock(2, 1, 60_000_000_000, 0)]), Ok(vec![(1, 0, 1, 5, 0)]));
    sender.join().expect("it ends");
    // What was looked at is still there, also when more comes.
    pipe.send(b" world");
    assert_eq!(poll(&mut guest, &[fd(1, 1, 0)]), Ok(vec![(1, 0, 1, 5, 0)]));
    assert_eq!(guest.read(0, 3), Ok(b"hel".to_vec()));
    assert_eq!(guest.read(0, 9), Ok(b"lo".to_vec()));
    assert_eq!(guest.read(0, 99), Ok(b" world".to_vec()));
    pipe.close();
    assert_eq!(poll(&mut guest, &[fd(1, 1, 0)]), Ok(vec![(1, 0, 1, 0, 1)]), "the other side has gone");
    assert_eq!(guest.read(0, 9), Ok(vec![]));
}

#[test]
fn polling_says_when_there_is_room() {
    let pipe = Pipe::new(8);
    let mut guest = writing(&pipe, &patient());
    assert_eq!(guest.call("fd_fdstat_set_flags", args![1_u32, 4_u32]), Ok(()));
    assert_eq!(poll(&mut guest, &[fd(1, 2, 1)]), Ok(vec![(1, 0, 2, 0, 0)]));
    assert_eq!(guest.write(1, b"0123456789"), Ok(8));
    assert_eq!(guest.write(1, b"89"), Err(Errno::Again));
    assert_eq!(poll(&mut guest, &[fd(1, 2, 1), clock(2, 1, 1, 0)]), Ok(vec![(2, 0, 0, 0, 0)]));
    let other = pipe.clone();
    let reader = std::thread::spawn(move || other.take());
    assert_eq!(poll(&mut guest, &[fd(1, 2, 1), clock(2, 1, 60_000_000_000, 0)]), Ok(vec![(1, 0, 2, 0, 0)]));
    assert_eq!(reader.join().expect("it ends"), b"01234567");
    assert_eq!(guest.write(1, b"89"), Ok(2));
}

#[test]
fn on_a_virtual_clock_nobody_is_waited_for_when_a_time_is_given() {
    let pipe = Pipe::new(0);
    let clocks = Clocks::Virtual { start_ns: 0 };
    let mut guest = Guest::new(WasiConfig { stdin: Stdin::stream(pipe), clocks, ..WasiConfig::default() });
    assert_eq!(poll(&mut guest, &[fd(1, 1, 0), clock(2, 1, 1 << 60, 0)]), Ok(vec![(2, 0, 0, 0, 0)]));
}

#[test]
fn a_reader_that_fails_or_panics_is_an_error_and_no_more() {
    struct Bad(bool);
    impl AsyncRead for Bad {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            assert!(!self.0, "as it was told to");
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }
    }
    let mut guest = Guest::new(WasiConfig { stdin: Stdin::stream(Bad(false)), ..WasiConfig::default() });
    assert_eq!(guest.read(0, 9), Err(Errno::Io));
    assert_eq!(poll(&mut guest, &[fd(1, 1, 0)]), Ok(vec![(1, 0, 1, 0, 1)]));
    assert_eq!(guest.read(0, 9), Err(Errno::Io));
    let mut guest = Guest::new(WasiConfig { stdin: Stdin::stream(Bad(true)), ..WasiConfig::default() });
    let (iovs, count) = guest.iovs(&[(DATA, 5)]);
    let end = guest.try_call("fd_read", args![0_u32, iovs, count, OUT]);
    assert!(matches!(end, Err(HostError::Failed(_))), "{end:?}");
}
