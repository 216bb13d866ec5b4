//! Standard streams on [`AsyncRead`] and [`AsyncWrite`]. They are polled on the guest's own thread, into and
//! out of the guest's memory; while they are pending, the guest waits under its deadline and its turn goes
//! to others. What is driven elsewhere (sockets, timers) is driven by the caller's runtime.

use std::io::{Error, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake as WakeTask, Waker};
use std::thread::Thread;

use cofferdam_engine::{Caller, Wake};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::errno::{Done, Errno};

/// Bytes that are read before the guest asks for them, when it asks whether there are any.
const PEEK: usize = 4096;

/// Tells guests that a stream is worth another look.
#[derive(Debug, Default)]
pub(super) struct Signal {
    /// How often it was woken.
    woken: AtomicU64,
    /// Threads of guests that wait, or have waited, since the last time.
    threads: Mutex<Vec<Thread>>,
}

impl Signal {
    /// To be called before a poll: if that is pending, [`Signal::changed`] from the value that this returns
    /// says that another poll is worth while.
    fn watch(&self) -> u64 {
        let woken = self.woken.load(Ordering::Acquire);
        let (mut threads, current) = (self.threads.lock(), std::thread::current());
        if !threads.iter().any(|thread| thread.id() == current.id()) {
            threads.push(current);
        }
        woken
    }

    /// Nobody waits on this thread after all.
    fn unwatch(&self) {
        let current = std::thread::current().id();
        self.threads.lock().retain(|thread| thread.id() != current);
    }

    pub fn changed(&self, since: u64) -> bool {
        self.woken.load(Ordering::Acquire) != since
    }
}

impl WakeTask for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.fetch_add(1, Ordering::Release);
        self.threads.lock().drain(..).for_each(|thread| thread.unpark());
    }
}

/// A stream that was pending, and since when.
#[derive(Clone)]
pub(super) struct Pending {
    signal: Arc<Signal>,
    since: u64,
}

impl Pending {
    pub fn is_over(&self) -> bool {
        self.signal.changed(self.since)
    }

    /// Waits, while others have the guest's turn.
    pub fn wait(&self, caller: &mut Caller<'_>) -> Done {
        caller.wait(Wake::Unpark, || self.is_over().then_some(()))?;
        // Something may wake again and again and never be ready: an end to that is the deadline.
        Ok(caller.check()?)
    }
}

/// What a poll has come to.
type Polled<T> = Result<T, NotReady>;

/// Why a stream has nothing to say.
pub(super) enum NotReady {
    /// Nothing is there yet.
    Pending(Pending),
    /// It failed.
    Failed(Errno),
}

impl From<Error> for NotReady {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

fn polled<T>(signal: &Arc<Signal>, poll: impl FnOnce(&mut Context<'_>) -> Poll<std::io::Result<T>>) -> Polled<T> {
    let since = signal.watch();
    match poll(&mut Context::from_waker(&Waker::from(signal.clone()))) {
        Poll::Ready(done) => {
            signal.unwatch();
            Ok(done?)
        }
        Poll::Pending => Err(NotReady::Pending(Pending { signal: signal.clone(), since })),
    }
}

/// Standard input from an [`AsyncRead`].
pub(super) struct Reader {
    inner: Pin<Box<dyn AsyncRead + Send>>,
    signal: Arc<Signal>,
    /// What was read to see whether there is something, and how much of it the guest has had.
    peeked: Vec<u8>,
    had: usize,
    /// What was found besides: the end, or an error.
    end: Option<Result<(), Errno>>,
}

impl Reader {
    pub fn new(inner: Pin<Box<dyn AsyncRead + Send>>) -> Self {
        Self { inner, signal: Arc::default(), peeked: Vec::new(), had: 0, end: None }
    }

    /// Reads what is there; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Polled<usize> {
        let peeked = self.peeked.get(self.had..).unwrap_or_default();
        if !peeked.is_empty() {
            let n = peeked.len().min(buffer.len());
            if let (Some(to), Some(from)) = (buffer.get_mut(..n), peeked.get(..n)) {
                to.copy_from_slice(from);
            }
            self.had += n;
            return Ok(n);
        }
        match self.end.take() {
            None => self.fill(buffer),
            Some(Ok(())) => Ok(0),
            Some(Err(errno)) => Err(NotReady::Failed(errno)),
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Polled<usize> {
        let mut buffer = ReadBuf::new(buffer);
        polled(&self.signal, |context| self.inner.as_mut().poll_read(context, &mut buffer))?;
        Ok(buffer.filled().len())
    }

    /// How many bytes can be read at once, at least; 0 at the end or if reading would fail.
    pub fn peek(&mut self) -> Result<u64, Pending> {
        let left = self.peeked.len().saturating_sub(self.had);
        if left > 0 || self.end.is_some() {
            return Ok(left as u64);
        }
        let mut buffer = std::mem::take(&mut self.peeked);
        buffer.resize(PEEK, 0);
        let found = self.fill(&mut buffer);
        buffer.truncate(*found.as_ref().unwrap_or(&0));
        (self.peeked, self.had) = (buffer, 0);
        match found {
            Ok(0) => self.end = Some(Ok(())),
            Ok(_) => {}
            Err(NotReady::Failed(errno)) => self.end = Some(Err(errno)),
            Err(NotReady::Pending(pending)) => return Err(pending),
        }
        Ok(self.peeked.len() as u64)
    }
}

/// An [`AsyncWrite`] for the output of guests; see [`Output::stream`](super::Output::stream). Clones are the
/// same stream.
#[derive(Clone)]
pub struct AsyncOutput {
    inner: Arc<Mutex<Pin<Box<dyn AsyncWrite + Send>>>>,
    signal: Arc<Signal>,
}

impl AsyncOutput {
    pub(super) fn new(inner: Pin<Box<dyn AsyncWrite + Send>>) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)), signal: Arc::default() }
    }
}

/// Standard output or standard error to an [`AsyncWrite`].
pub(super) struct Writer {
    output: AsyncOutput,
    /// The last write was pending.
    blocked: Option<Pending>,
}

impl Writer {
    pub fn new(output: AsyncOutput) -> Self {
        Self { output, blocked: None }
    }

    /// Writes what fits.
    pub fn write(&mut self, slices: &[IoSlice<'_>]) -> Polled<usize> {
        let AsyncOutput { inner, signal } = &self.output;
        let written = polled(signal, |context| inner.lock().as_mut().poll_write_vectored(context, slices));
        self.blocked = if let Err(NotReady::Pending(pending)) = &written { Some(pending.clone()) } else { None };
        written
    }

    pub fn flush(&mut self) -> Polled<()> {
        let AsyncOutput { inner, signal } = &self.output;
        polled(signal, |context| inner.lock().as_mut().poll_flush(context))
    }

    /// What a write would wait for, if it would.
    pub fn blocked(&self) -> Option<&Pending> {
        self.blocked.as_ref().filter(|pending| !pending.is_over())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_threads_that_wait_are_kept() {
        let signal = Arc::new(Signal::default());
        std::thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| assert!(polled(&signal, |_| Poll::Ready(Ok(()))).is_ok()));
            }
        });
        assert_eq!(signal.threads.lock().len(), 0);
        let Err(NotReady::Pending(pending)) = polled::<()>(&signal, |_| Poll::Pending) else { panic!("it is pending") };
        assert_eq!(signal.threads.lock().len(), 1);
        signal.wake_by_ref();
        assert!(pending.is_over() && signal.threads.lock().is_empty());
    }
}
