//! [`WasiConfig`]: what one guest is given of WASI. Nothing is there unless it is named here; nothing of
//! the process's own arguments, environment or directory gets through.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};

use super::async_stream::{AsyncOutput, Reader, Writer};
use super::clock::Clock;
use super::clock::ClockId;
use super::descriptors::{Descriptors, Kind, OpenDir};
use super::fs::{self, Tree, Volume};
use super::memory_dir::MemoryDir;
use super::quota::Quota;
use super::random;
use super::state::{Strings, WasiState};
use super::stream::{Flow, HostStream, Input, Sink};

/// What a guest is given of WASI preview 1. By default: no arguments, no environment, no directories, an
/// empty stdin, captured output, and the real clocks and randomness.
///
/// ```
/// use cofferdam::host::wasi::{Preopen, Stdin, WasiConfig};
///
/// let wasi = WasiConfig {
///     args: vec!["wc".into(), "-l".into()],
///     stdin: Stdin::Bytes(b"one\ntwo\n".to_vec()),
///     preopens: vec![Preopen::read_only(".", "/src")],
///     ..WasiConfig::default()
/// }
/// .build()?;
/// assert!(wasi.stdout_bytes().is_empty());
/// # Ok::<(), cofferdam::host::wasi::WasiConfigError>(())
/// ```
#[derive(Debug, Default)]
pub struct WasiConfig {
    /// Arguments; by convention the first is the program's name.
    pub args: Vec<String>,
    /// Environment variables, as name and value.
    pub env: Vec<(String, String)>,
    /// Descriptor 0.
    pub stdin: Stdin,
    /// Descriptor 1.
    pub stdout: Output,
    /// Descriptor 2.
    pub stderr: Output,
    /// Directories, from descriptor 3 on.
    pub preopens: Vec<Preopen>,
    /// What time it is.
    pub clocks: Clocks,
    /// Where `random_get` gets its bytes.
    pub random: Random,
    /// Caps.
    pub limits: WasiLimits,
}

/// Where a guest's standard input comes from.
#[derive(Debug, Default)]
pub enum Stdin {
    /// Nowhere: at its end from the start.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// The process's own descriptor 0. While there is nothing to read the guest waits, under its
    /// deadline, and its turn goes to others.
    Inherit,
    /// An open file, pipe, terminal or socket, read as with [`Stdin::Inherit`].
    File(File),
    /// A reader of the caller's own; made with [`Stdin::stream`].
    Stream(AsyncInput),
}

/// An [`AsyncRead`] for the input of a guest; see [`Stdin::stream`].
pub struct AsyncInput(Pin<Box<dyn AsyncRead + Send>>);

impl std::fmt::Debug for AsyncInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AsyncInput")
    }
}

impl Stdin {
    /// From `reader`, which is polled on the guest's thread when the guest reads. While it is pending the
    /// guest waits, under its deadline, and its turn goes to others. What is read goes straight into the
    /// guest's memory: nothing is read ahead, but for up to 4 KiB when the guest polls.
    ///
    /// A reader that needs a tokio runtime needs it entered on that thread, as
    /// [`Guest::call_async`](crate::Guest::call_async) does.
    pub fn stream(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::Stream(AsyncInput(Box::pin(reader)))
    }
}

/// Where a guest's standard output or standard error goes.
#[derive(Clone, Default)]
pub enum Output {
    /// Nowhere. It counts against [`WasiLimits::output_bytes`] all the same.
    Discard,
    /// Into memory, to be fetched with [`WasiState::stdout_bytes`] and [`WasiState::stderr_bytes`].
    #[default]
    Capture,
    /// The process's own descriptor 1, or 2 for standard error. When nobody reads there, the guest waits,
    /// under its deadline, and its turn goes to others.
    Inherit,
    /// An open file, pipe, terminal or socket, written as with [`Output::Inherit`].
    File(Arc<File>),
    /// A writer of the caller's own. It is called on the guest's thread, in the guest's turn, with at most
    /// 256 KiB at a time, and should not block: while it does, neither deadline nor cancellation is seen.
    /// It is flushed when the guest calls `fd_sync` or `fd_datasync`.
    Shared(Arc<Mutex<dyn Write + Send>>),
    /// An asynchronous writer of the caller's own; made with [`Output::stream`].
    Stream(AsyncOutput),
}

impl Output {
    /// To `writer`, which is polled on the guest's thread when the guest writes, with at most 256 KiB at a
    /// time. While it is pending the guest waits, under its deadline, and its turn goes to others: nothing
    /// is buffered here, so a reader that is slow holds the guest back. It is flushed when the guest calls
    /// `fd_sync` or `fd_datasync`, and never shut down.
    ///
    /// A writer that needs a tokio runtime needs it entered on that thread, as
    /// [`Guest::call_async`](crate::Guest::call_async) does.
    pub fn stream(writer: impl AsyncWrite + Send + 'static) -> Self {
        Self::Stream(AsyncOutput::new(Box::pin(writer)))
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Discard => "Discard",
            Self::Capture => "Capture",
            Self::Inherit => "Inherit",
            Self::File(_) => "File",
            Self::Shared(_) => "Shared",
            Self::Stream(_) => "Stream",
        })
    }
}

/// What a guest may do in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Look and read. Everything that would change something is refused with `EROFS`.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

/// A directory that a guest is given. Links, `..` and renames cannot lead out of it, whatever it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preopen {
    /// What it stands on.
    pub source: Source,
    /// The name the guest knows it by, such as `/data` or `.`.
    pub guest: String,
    /// What may be done in it.
    pub access: Access,
}

/// What a directory of a guest stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A directory of the host's. Paths are resolved beneath it by the kernel (`openat2`) or, where that is
    /// missing, component by component on open directories.
    Host(PathBuf),
    /// Memory: a tree of the guest's own, with this in it at first. It ends with the guest's state;
    /// [`WasiState::memory`] reads it.
    Memory(MemoryDir),
    /// A directory of the host's that is only read, with what the guest writes in memory above it. It is
    /// not copied: what somebody else changes there shows where the guest has not written.
    Overlay(PathBuf),
}

/// For messages: the directory of the host's, or what else it is.
impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(path) | Self::Overlay(path) => path.display().fmt(f),
            Self::Memory(_) => f.write_str("a memory file system"),
        }
    }
}

impl Preopen {
    /// `dir` in memory, to be read and changed, under the name `guest`.
    pub fn memory(dir: MemoryDir, guest: impl Into<String>) -> Self {
        Self { source: Source::Memory(dir), guest: guest.into(), access: Access::ReadWrite }
    }

    /// `host`, to be read, with changes in memory that `host` never sees, under the name `guest`.
    pub fn overlay(host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        Self { source: Source::Overlay(host.into()), guest: guest.into(), access: Access::ReadWrite }
    }

    /// `host`, to be read, under the name `guest`.
    pub fn read_only(host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        Self { source: Source::Host(host.into()), guest: guest.into(), access: Access::ReadOnly }
    }

    /// `host`, to be read and changed, under the name `guest`.
    pub fn read_write(host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        Self { source: Source::Host(host.into()), guest: guest.into(), access: Access::ReadWrite }
    }
}

/// What time it is for a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clocks {
    /// The host's time; the monotonic clock starts when the configuration is built.
    #[default]
    Real,
    /// A time that depends on nothing but what the guest does: each reading takes one millisecond, and
    /// sleeping moves the clock and returns at once. Times of files in memory are this clock's, those of
    /// files of the host's stay the host's.
    Virtual {
        /// The real-time clock at the start, in nanoseconds since 1970.
        start_ns: u64,
    },
}

/// Where a guest's randomness comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Random {
    /// The operating system.
    #[default]
    Real,
    /// ChaCha12 from this seed: the same bytes in every run.
    Seeded(u64),
}

/// Caps on what one guest can make the host hold or do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WasiLimits {
    /// Bytes over stdout and stderr together, wherever they go. Above it the guest is ended with
    /// [`Limit::Output`](cofferdam_engine::Limit::Output), after what still fits was written.
    pub output_bytes: u64,
    /// Descriptors open at once, standard streams and preopens included; above it `EMFILE`. All guests of
    /// a process share the process's own limit.
    pub open_files: u32,
    /// Elements of one scatter or gather list; above it `EINVAL`.
    pub iovs: u32,
    /// Bytes of one path; above it `ENAMETOOLONG`.
    pub path_bytes: u32,
    /// Subscriptions of one `poll_oneoff`; above it `EINVAL`.
    pub subscriptions: u32,
    /// Bytes of directory listings held for all open directories; above it `ENOMEM`. Never more than the
    /// memory cap of the policy.
    pub listing_bytes: u64,
    /// Bytes of memory that memory file systems and overlays hold together; above it `ENOSPC`, after what
    /// still fits. A file counts its size, holes included, in whole 16 KiB; its end counts the next power of
    /// two from 512 bytes up. Where it stands on something the host gave, only the 16 KiB pieces that were
    /// written count. Each file, directory and link counts 512 bytes besides, each name (and each name of an
    /// overlay's base that was removed) 64 bytes and its length. What is removed is given back.
    pub scratch_bytes: u64,
    /// Bytes written to host directories; above it `ENOSPC`, after what still fits. Every byte written
    /// counts, whether it lengthens a file or not, every byte by which a file grows without being written
    /// (by a write behind its end or by `fd_filestat_set_size`), all of what `fd_allocate` reserves, and
    /// 4,096 bytes for each file, directory and link that is made. Nothing is given back.
    pub disk_bytes: u64,
}

impl Default for WasiLimits {
    /// 64 MiB of output, 128 descriptors (a process often has 1,024 for all its guests), 1,024 elements
    /// (`IOV_MAX` of Linux), paths of 4,096 bytes (its `PATH_MAX`), 4,096 subscriptions, 8 MiB of listings
    /// (about 70,000 entries), 64 MiB of files in memory, 1 GiB written to host directories.
    fn default() -> Self {
        Self {
            output_bytes: 64 << 20,
            open_files: 128,
            iovs: 1024,
            path_bytes: 4096,
            subscriptions: 4096,
            listing_bytes: 8 << 20,
            scratch_bytes: 64 << 20,
            disk_bytes: 1 << 30,
        }
    }
}

/// The device number of the first volume, higher than what hosts use.
const VOLUME_DEVICE: u64 = 0xcf00_0000;

/// Why a configuration cannot be given to a guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WasiConfigError {
    /// Arguments end at a NUL, so none can hold one.
    #[error("argument {index} contains a NUL")]
    NulInArgument {
        /// Which, from 0.
        index: usize,
    },
    /// A variable's name is empty or contains `=` or NUL, or its value contains NUL.
    #[error("environment variable {name:?} cannot be given to a guest: `=` in the name, NUL, or no name")]
    BadVariable {
        /// Its name.
        name: String,
    },
    /// Arguments or environment are above 4 GiB, more than a guest can address.
    #[error("the {what} are too large for any guest")]
    TooLarge {
        /// `arguments` or `environment variables`.
        what: &'static str,
    },
    /// The directory cannot be opened.
    #[error("cannot open directory {} for the guest: {error}", path.display())]
    Preopen {
        /// The directory on the host.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The name for the guest is empty, too long, given twice, or contains NUL.
    #[error("{guest:?} cannot be a guest's name for {source_name}: it is empty, too long, taken, or contains NUL")]
    GuestName {
        /// The directory on the host, or what else it is.
        source_name: String,
        /// The name.
        guest: String,
    },
    /// Something in a [`MemoryDir`] cannot be there.
    #[error(
        "{path:?} cannot be in {guest}: taken, beneath a file, or with a name that is empty, `..`, too long or NUL"
    )]
    MemoryPath {
        /// Its path.
        path: String,
        /// The guest's name for the directory.
        guest: String,
    },
    /// More preopens than descriptors.
    #[error("{count} directories are more than the descriptors that the guest may have open ({limit})")]
    TooManyPreopens {
        /// How many there are.
        count: usize,
        /// [`WasiLimits::open_files`].
        limit: u32,
    },
    /// A standard stream cannot be used.
    #[error("cannot use the {stream} given: {error}")]
    Stream {
        /// `stdin`, `stdout` or `stderr`.
        stream: &'static str,
        /// Why.
        error: io::Error,
    },
}

impl WasiConfig {
    /// Opens what must be opened and makes the state of one guest.
    ///
    /// # Errors
    /// The first thing that cannot be given, by name.
    pub fn build(self) -> Result<WasiState, WasiConfigError> {
        let outputs = [output(&self.stdout, "stdout")?, output(&self.stderr, "stderr")?];
        let stdin = input(self.stdin).map_err(|error| WasiConfigError::Stream { stream: "stdin", error })?;
        let clock = Clock::new(self.clocks);
        let quota = Arc::new(Quota::new(self.limits.scratch_bytes, self.limits.disk_bytes));
        let (descriptors, volumes) = descriptors(&self.preopens, &self.limits, &quota, &clock)?;
        let on_host = self.preopens.iter().filter_map(|preopen| match &preopen.source {
            Source::Host(path) | Source::Overlay(path) => Some(path.clone()),
            Source::Memory(_) => None,
        });
        let host_directories = on_host.collect();
        Ok(WasiState {
            args: arguments(&self.args)?,
            env: environment(&self.env)?,
            descriptors,
            stdin,
            outputs,
            output_left: self.limits.output_bytes,
            open_line: [false; 2],
            listing_bytes: 0,
            quota,
            volumes,
            host_directories,
            clock,
            whole: false,
            random: random::Source::new(self.random),
            limits: self.limits,
        })
    }
}

fn arguments(args: &[String]) -> Result<Strings, WasiConfigError> {
    if let Some(index) = args.iter().position(|a| a.contains('\0')) {
        return Err(WasiConfigError::NulInArgument { index });
    }
    Strings::new(args.iter().cloned()).ok_or(WasiConfigError::TooLarge { what: "arguments" })
}

fn environment(env: &[(String, String)]) -> Result<Strings, WasiConfigError> {
    let bad = |(name, value): &&(String, String)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
    if let Some((name, _)) = env.iter().find(bad) {
        return Err(WasiConfigError::BadVariable { name: name.clone() });
    }
    let pairs = env.iter().map(|(name, value)| format!("{name}={value}"));
    Strings::new(pairs).ok_or(WasiConfigError::TooLarge { what: "environment variables" })
}

fn input(stdin: Stdin) -> io::Result<Input> {
    Ok(match stdin {
        Stdin::Empty => Input::bytes(Vec::new()),
        Stdin::Bytes(bytes) => Input::bytes(bytes),
        Stdin::Inherit => Input::Host(HostStream::new(io::stdin().as_fd().try_clone_to_owned()?, Flow::In)?.into()),
        Stdin::Stream(AsyncInput(reader)) => Input::Async(Reader::new(reader)),
        Stdin::File(file) => Input::Host(HostStream::new(file.into(), Flow::In)?.into()),
    })
}

fn output(output: &Output, stream: &'static str) -> Result<Sink, WasiConfigError> {
    let host = |fd: io::Result<OwnedFd>| {
        fd.and_then(|fd| HostStream::new(fd, Flow::Out))
            .map(|host| Sink::Host(host.into()))
            .map_err(|error| WasiConfigError::Stream { stream, error })
    };
    match output {
        Output::Discard => Ok(Sink::Discard),
        Output::Capture => Ok(Sink::Capture(Vec::new())),
        Output::Inherit if stream == "stderr" => host(io::stderr().as_fd().try_clone_to_owned()),
        Output::Inherit => host(io::stdout().as_fd().try_clone_to_owned()),
        Output::File(file) => host(file.as_fd().try_clone_to_owned()),
        Output::Stream(stream) => Ok(Sink::Async(Writer::new(stream.clone()))),
        Output::Shared(writer) => Ok(Sink::Shared(Arc::clone(writer))),
    }
}

/// Volumes, each under the guest's name for it.
type Volumes = Vec<(String, Arc<Volume>)>;

fn descriptors(
    preopens: &[Preopen],
    limits: &WasiLimits,
    quota: &Arc<Quota>,
    clock: &Clock,
) -> Result<(Descriptors, Volumes), WasiConfigError> {
    let (mut all, mut volumes) = (Descriptors::new(limits.open_files), Vec::new());
    let too_many = || WasiConfigError::TooManyPreopens { count: preopens.len(), limit: limits.open_files };
    for kind in [Kind::Stdin, Kind::Stdout, Kind::Stderr] {
        all.insert(kind, 0).map_err(|_| too_many())?;
    }
    let mut names = BTreeSet::new();
    for (index, Preopen { source, guest, access }) in preopens.iter().enumerate() {
        let too_long = guest.len() > limits.path_bytes as usize;
        if guest.is_empty() || too_long || guest.contains('\0') || !names.insert(guest) {
            return Err(WasiConfigError::GuestName { source_name: source.to_string(), guest: guest.clone() });
        }
        let open = |path: &PathBuf| {
            Dir::open_ambient_dir(path, ambient_authority())
                .map_err(|error| WasiConfigError::Preopen { path: path.clone(), error })
        };
        let device = VOLUME_DEVICE + index as u64;
        let tree = |base| Tree::new(device, base, quota.clone(), clock.now(ClockId::Realtime));
        let volume = match source {
            Source::Host(path) => Err(open(path)?),
            Source::Overlay(path) => Ok(tree(Some(open(path)?))),
            Source::Memory(dir) => {
                let mut tree = tree(None);
                dir.grow(&mut tree, clock.now(ClockId::Realtime))
                    .map_err(|path| WasiConfigError::MemoryPath { path, guest: guest.clone() })?;
                Ok(tree)
            }
        };
        let dir = match volume {
            Err(host) => fs::Dir::Host(host.into()),
            Ok(tree) => {
                let volume = Volume::new(tree);
                volumes.push((guest.clone(), volume.clone()));
                fs::Dir::Volume(volume.root().into())
            }
        };
        let dir = OpenDir { dir, access: *access, preopen: Some(guest.as_str().into()), listing: None };
        all.insert(Kind::Dir(dir), 0).map_err(|_| too_many())?;
    }
    Ok((all, volumes))
}
