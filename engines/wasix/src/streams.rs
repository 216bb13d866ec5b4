//! Standard streams: queues between wasmer-wasix and whatever the runtime has behind them.
//!
//! wasmer-wasix writes into memory and reads from memory; the bridge then moves the bytes with the runtime's own
//! streams, where output is counted and waiting ends at the deadline.

use std::collections::VecDeque;
use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use wasmer_wasix::virtual_fs::{AsyncRead, AsyncSeek, AsyncWrite, FsError, ReadBuf, VirtualFile};

/// Bytes that one call moves at most; what a guest asks beyond that, it asks again.
const CHUNK: usize = 256 << 10;

/// A standard stream that a guest writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// How much the call that runs may still move: one for a guest, shared with its files.
#[derive(Clone, Debug, Default)]
pub struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    /// What of `wanted` bytes may be moved, which counts as moved.
    ///
    /// # Errors
    /// Nothing may be moved any more in this call.
    pub fn take(&self, wanted: usize) -> io::Result<usize> {
        let left = self.0.load(Relaxed);
        let taken = wanted.min(left);
        if taken == 0 && wanted > 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.0.store(left - taken, Relaxed);
        Ok(taken)
    }

    /// `bytes` of what was taken were not moved after all.
    pub fn give_back(&self, bytes: usize) {
        self.0.store(self.0.load(Relaxed).saturating_add(bytes).min(CHUNK), Relaxed);
    }

    pub(crate) fn renew(&self) {
        self.0.store(CHUNK, Relaxed);
    }

    /// Bytes moved since the last [`Allowance::renew`].
    pub(crate) fn moved(&self) -> usize {
        CHUNK - self.0.load(Relaxed).min(CHUNK)
    }
}

/// What is between the guest and the runtime's streams.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// What the guest has written in this call.
    pub written: Vec<(Stream, Vec<u8>)>,
    /// What it can read.
    pub input: VecDeque<u8>,
    /// There is nothing to come after `input`.
    pub ended: bool,
    /// It wanted to read and there was nothing.
    pub starved: bool,
}

/// Which end of the queues a file is.
#[derive(Clone, Copy, Debug)]
enum End {
    In,
    Out(Stream),
}

/// A standard stream as wasmer-wasix wants it.
#[derive(Debug)]
pub(crate) struct StreamFile {
    queues: Arc<Mutex<Queues>>,
    allowance: Allowance,
    end: End,
}

impl StreamFile {
    pub fn input(queues: &Arc<Mutex<Queues>>, allowance: &Allowance) -> Box<Self> {
        Box::new(Self { queues: queues.clone(), allowance: allowance.clone(), end: End::In })
    }

    pub fn output(queues: &Arc<Mutex<Queues>>, allowance: &Allowance, stream: Stream) -> Box<Self> {
        Box::new(Self { queues: queues.clone(), allowance: allowance.clone(), end: End::Out(stream) })
    }
}

impl AsyncRead for StreamFile {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !matches!(self.end, End::In) {
            return Poll::Ready(Err(io::ErrorKind::PermissionDenied.into()));
        }
        let mut queues = self.queues.lock();
        if queues.input.is_empty() {
            if queues.ended || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            queues.starved = true;
            return Poll::Ready(Err(io::ErrorKind::WouldBlock.into()));
        }
        let (front, _) = queues.input.as_slices();
        let n = match self.allowance.take(front.len().min(buffer.remaining())) {
            Ok(n) => n,
            Err(error) => return Poll::Ready(Err(error)),
        };
        buffer.put_slice(front.get(..n).unwrap_or_default());
        queues.input.drain(..n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamFile {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let End::Out(stream) = self.end else { return Poll::Ready(Err(io::ErrorKind::PermissionDenied.into())) };
        let taken = self.allowance.take(bytes.len()).inspect(|n| {
            self.queues.lock().written.push((stream, bytes.get(..*n).unwrap_or_default().to_vec()));
        });
        Poll::Ready(taken)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for StreamFile {
    fn start_seek(self: Pin<&mut Self>, _: SeekFrom) -> io::Result<()> {
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(0))
    }
}

impl VirtualFile for StreamFile {
    fn last_accessed(&self) -> u64 {
        0
    }

    fn last_modified(&self) -> u64 {
        0
    }

    fn created_time(&self) -> u64 {
        0
    }

    fn size(&self) -> u64 {
        0
    }

    fn set_len(&mut self, _: u64) -> Result<(), FsError> {
        Err(FsError::PermissionDenied)
    }

    fn unlink(&mut self) -> Result<(), FsError> {
        Err(FsError::PermissionDenied)
    }

    fn get_special_fd(&self) -> Option<u32> {
        Some(match self.end {
            End::In => 0,
            End::Out(Stream::Stdout) => 1,
            End::Out(Stream::Stderr) => 2,
        })
    }

    /// Always: whoever then reads waits there.
    fn poll_read_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.end {
            End::In => Poll::Ready(Ok(self.queues.lock().input.len().max(1))),
            End::Out(_) => Poll::Pending,
        }
    }

    fn poll_write_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.end {
            End::In => Poll::Pending,
            End::Out(_) => Poll::Ready(Ok(CHUNK)),
        }
    }
}
