//! Standard streams. Those that stand on something of the host's may have nobody at the other end, so
//! nothing here blocks: a stream that is not ready says so, and the caller waits under its deadline.

use std::io::{IoSlice, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam_engine::{Caller, Wake};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::{self, Errno as Os};

use super::abi::FileType;
use super::async_stream::{NotReady, Pending, Reader, Writer};
use super::errno::{Done, Errno, Failure};

/// Longest wait in the kernel at a time. Deadlines are met exactly; this bounds how late a cancellation
/// is seen.
const PATIENCE: Duration = Duration::from_millis(10);

/// What a pipe or socket that is ready surely takes without blocking: `PIPE_BUF`.
const READY_BYTES: usize = 4096;

/// Which way data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// To the guest.
    In,
    /// From the guest.
    Out,
}

impl Flow {
    fn poll_flag(self) -> PollFlags {
        match self {
            Self::In => PollFlags::IN,
            Self::Out => PollFlags::OUT,
        }
    }
}

/// How reads and writes are kept from blocking.
enum Way {
    /// They do not block for long: a file on a disk.
    Direct,
    /// Through a description of our own that is non-blocking. The one we were given is shared with other
    /// processes, which would be surprised if it became non-blocking.
    Own(OwnedFd),
    /// By asking first and then moving no more than surely fits.
    Asking,
}

/// A file, pipe, terminal or socket of the host's that a standard stream stands on.
pub(super) struct HostStream {
    given: OwnedFd,
    way: Way,
    flow: Flow,
    terminal: bool,
}

impl HostStream {
    pub(super) fn new(given: OwnedFd, flow: Flow) -> std::io::Result<Self> {
        let stat = fs::fstat(&given)?;
        let way = match fs::FileType::from_raw_mode(stat.st_mode) {
            fs::FileType::RegularFile | fs::FileType::BlockDevice | fs::FileType::Directory => Way::Direct,
            fs::FileType::Fifo => reopened(&given, flow),
            fs::FileType::CharacterDevice => match fs::major(stat.st_rdev) {
                // `/dev/null` and its siblings.
                1 => Way::Direct,
                // Pseudo-terminals. Other devices may do something when they are opened once more.
                136..=143 => reopened(&given, flow),
                _ => Way::Asking,
            },
            _ => Way::Asking,
        };
        let terminal = given.as_fd().is_terminal();
        Ok(Self { given, way, flow, terminal })
    }

    /// Only a terminal has a type of its own: libc reads "character device" as "a person is there".
    pub(super) fn file_type(&self) -> FileType {
        if self.terminal { FileType::CharacterDevice } else { FileType::Unknown }
    }

    /// Reads what is there; [`Os::AGAIN`] if nothing is there yet, 0 at the end.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.way {
            Way::Direct => io::retry_on_intr(|| io::read(&self.given, &mut *buffer)),
            Way::Own(fd) => io::retry_on_intr(|| io::read(fd, &mut *buffer)),
            Way::Asking if self.ready()?.is_empty() => Err(Os::AGAIN),
            Way::Asking => io::retry_on_intr(|| io::read(&self.given, &mut *buffer)),
        }
    }

    /// Writes what fits; [`Os::AGAIN`] if nothing does.
    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.way {
            Way::Direct => io::retry_on_intr(|| io::writev(&self.given, slices)),
            Way::Own(fd) => io::retry_on_intr(|| io::writev(fd, slices)),
            Way::Asking if self.ready()?.is_empty() => Err(Os::AGAIN),
            Way::Asking => {
                let Some(first) = slices.iter().find(|s| !s.is_empty()) else { return Ok(0) };
                let first = first.get(..READY_BYTES).unwrap_or(first);
                io::retry_on_intr(|| io::write(&self.given, first))
            }
        }
    }

    /// What the kernel says of it now.
    fn ready(&self) -> io::Result<PollFlags> {
        let mut fds = [self.poll_fd()];
        io::retry_on_intr(|| poll(&mut fds, Some(&timespec(Duration::ZERO))))?;
        Ok(fds[0].revents())
    }

    /// To be polled for its direction. On the description that was given: one of our own, opened after
    /// the last writer had gone, would not tell.
    pub(super) fn poll_fd(&self) -> PollFd<'_> {
        PollFd::from_borrowed_fd(self.given.as_fd(), self.flow.poll_flag())
    }

    /// Bytes that can be read now, where the kernel can tell.
    pub(super) fn readable_bytes(&self) -> u64 {
        io::ioctl_fionread(&self.given).unwrap_or(0)
    }

    /// Waits until it is ready, while others have the guest's turn.
    pub(super) fn wait(&self, caller: &mut Caller<'_>) -> Done {
        let deadline = caller.deadline();
        // The kernel is where we wait, so the pause after each look is none.
        caller.wait(Wake::Every(Duration::ZERO), || poll_until(&mut [self.poll_fd()], deadline).then_some(()))?;
        // Something may be "ready" again and again and never be: an end to that is the deadline.
        Ok(caller.check()?)
    }
}

/// Polls until something is ready, `until` comes, or a moment has passed in which nobody could cancel.
pub(super) fn poll_until(fds: &mut [PollFd<'_>], until: Option<Instant>) -> bool {
    let left = until.map_or(PATIENCE, |t| t.saturating_duration_since(Instant::now()));
    // The descriptors are ours and few, so the only error is an interruption, and that is not ready.
    poll(fds, Some(&timespec(left.min(PATIENCE)))).is_ok_and(|ready| ready > 0)
}

fn timespec(duration: Duration) -> Timespec {
    // At most `PATIENCE`, which any of the platforms' types can hold.
    Timespec { tv_sec: 0, tv_nsec: duration.subsec_nanos().into() }
}

/// A non-blocking description of the same pipe or terminal, if the host lets us have one.
fn reopened(given: &OwnedFd, flow: Flow) -> Way {
    let access = match flow {
        Flow::In => OFlags::RDONLY,
        Flow::Out => OFlags::WRONLY,
    };
    let path = format!("/proc/self/fd/{}", given.as_fd().as_raw_fd());
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    fs::open(path, flags, Mode::empty()).map_or(Way::Asking, Way::Own)
}

/// Standard input.
pub(super) enum Input {
    /// Bytes from the configuration.
    Bytes {
        data: Vec<u8>,
        /// How many of them were read.
        read: usize,
    },
    /// Something of the host's.
    Host(Arc<HostStream>),
    /// A reader of the caller's own.
    Async(Reader),
}

impl Input {
    pub(super) fn bytes(data: Vec<u8>) -> Self {
        Self::Bytes { data, read: 0 }
    }

    pub(super) fn file_type(&self) -> FileType {
        match self {
            Self::Bytes { .. } | Self::Async(_) => FileType::Unknown,
            Self::Host(stream) => stream.file_type(),
        }
    }

    /// Whether somebody types it, a line at a time.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Host(stream) if stream.terminal)
    }

    /// Reads what is there, 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Blocked> {
        match self {
            Self::Bytes { data, read } => {
                let rest = data.get(*read..).unwrap_or_default();
                let n = rest.len().min(buffer.len());
                if let (Some(to), Some(from)) = (buffer.get_mut(..n), rest.get(..n)) {
                    to.copy_from_slice(from);
                }
                *read += n;
                Ok(n)
            }
            Self::Host(stream) => stream.read(buffer).map_err(|error| Blocked::by(error, stream)),
            Self::Async(reader) => Ok(reader.read(buffer)?),
        }
    }
}

/// Why a stream did not take or give anything.
pub(super) enum Blocked {
    /// It is not ready. This says what to wait for.
    On(Waiting),
    /// It failed.
    Failed(Failure),
}

/// What a stream that is not ready waits for.
pub(super) enum Waiting {
    Host(Arc<HostStream>),
    Async(Pending),
}

impl Blocked {
    fn by(error: Os, stream: &Arc<HostStream>) -> Self {
        if error == Os::AGAIN { Self::On(Waiting::Host(stream.clone())) } else { Self::Failed(error.into()) }
    }

    /// Waits until the stream is ready, while others have the guest's turn; if it cannot be waited for, or
    /// `wait` is false, that is an error.
    pub(super) fn wait(self, caller: &mut Caller<'_>, wait: bool) -> Done {
        match self {
            Self::Failed(failure) => Err(failure),
            Self::On(_) if !wait => Err(Errno::Again.into()),
            Self::On(Waiting::Host(stream)) => stream.wait(caller),
            Self::On(Waiting::Async(pending)) => pending.wait(caller),
        }
    }
}

impl From<NotReady> for Blocked {
    fn from(why: NotReady) -> Self {
        match why {
            NotReady::Pending(pending) => Self::On(Waiting::Async(pending)),
            NotReady::Failed(errno) => Self::Failed(errno.into()),
        }
    }
}

impl From<std::io::Error> for Blocked {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Standard output or standard error.
pub(super) enum Sink {
    Discard,
    Capture(Vec<u8>),
    Shared(Arc<Mutex<dyn Write + Send>>),
    Host(Arc<HostStream>),
    Async(Writer),
}

impl Sink {
    pub(super) fn captured(&self) -> &[u8] {
        if let Self::Capture(bytes) = self { bytes } else { &[] }
    }

    pub(super) fn take_captured(&mut self) -> Vec<u8> {
        if let Self::Capture(bytes) = self { std::mem::take(bytes) } else { Vec::new() }
    }

    pub(super) fn file_type(&self) -> FileType {
        if let Self::Host(stream) = self { stream.file_type() } else { FileType::Unknown }
    }

    /// Writes what fits of `slices`.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Blocked> {
        match self {
            Self::Discard => Ok(slices.iter().map(|s| s.len()).sum()),
            Self::Capture(bytes) => {
                let (before, more) = (bytes.len(), slices.iter().map(|s| s.len()).sum());
                bytes.try_reserve(more).map_err(|_| Blocked::Failed(Errno::NoMemory.into()))?;
                slices.iter().for_each(|s| bytes.extend_from_slice(s));
                Ok(bytes.len() - before)
            }
            Self::Shared(writer) => {
                let mut writer = writer.lock();
                loop {
                    match writer.write_vectored(slices) {
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        done => return Ok(done?),
                    }
                }
            }
            Self::Host(stream) => stream.write(slices).map_err(|error| Blocked::by(error, stream)),
            Self::Async(writer) => Ok(writer.write(slices)?),
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), Blocked> {
        match self {
            Self::Shared(writer) => Ok(writer.lock().flush()?),
            Self::Async(writer) => Ok(writer.flush()?),
            Self::Discard | Self::Capture(_) | Self::Host(_) => Ok(()),
        }
    }
}
