//! Error numbers of preview 1, and how the host's errors become them.

use std::io::{Error, ErrorKind};

use cofferdam_engine::{HostError, OutOfBounds};
use rustix::io::Errno as Os;

/// Each line: our name, the number in `typenames.witx`, and the host's errors that become it.
macro_rules! errnos {
    ($($name:ident = $code:literal $(from $($os:ident),+)?;)*) => {
        /// An error number of preview 1. Only those that can really be returned.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub(in crate::host) enum Errno {
            $($name = $code,)*
        }

        impl From<Os> for Errno {
            fn from(error: Os) -> Self {
                match error {
                    $($($(Os::$os)|+ => Self::$name,)?)*
                    _ => Self::Io,
                }
            }
        }
    };
}

errnos! {
    TooBig = 1 from TOOBIG;
    Access = 2 from ACCESS;
    Again = 6 from AGAIN;
    BadFd = 8 from BADF;
    Busy = 10 from BUSY;
    Quota = 19 from DQUOT;
    Exists = 20 from EXIST;
    Fault = 21 from FAULT;
    FileTooBig = 22 from FBIG;
    IllegalSequence = 25 from ILSEQ;
    Interrupted = 27 from INTR;
    Invalid = 28 from INVAL;
    Io = 29;
    IsDirectory = 31 from ISDIR;
    Loop = 32 from LOOP;
    TooManyOpen = 33 from MFILE;
    TooManyLinks = 34 from MLINK;
    NameTooLong = 37 from NAMETOOLONG;
    SystemTooManyOpen = 41 from NFILE;
    NoDevice = 43 from NODEV;
    NotFound = 44 from NOENT;
    NoMemory = 48 from NOMEM;
    NoSpace = 51 from NOSPC;
    NotImplemented = 52 from NOSYS;
    NotDirectory = 54 from NOTDIR;
    NotEmpty = 55 from NOTEMPTY;
    NotSocket = 57 from NOTSOCK;
    NotSupported = 58 from NOTSUP;
    NoSuchDevice = 60 from NXIO;
    Overflow = 61 from OVERFLOW;
    Permission = 63 from PERM;
    BrokenPipe = 64 from PIPE;
    ReadOnly = 69 from ROFS;
    NotSeekable = 70 from SPIPE;
    Stale = 72 from STALE;
    TimedOut = 73 from TIMEDOUT;
    TextBusy = 74 from TXTBSY;
    CrossDevice = 75 from XDEV;
    NotCapable = 76;
}

impl From<Error> for Errno {
    fn from(error: Error) -> Self {
        match Os::from_io_error(&error) {
            Some(os) => os.into(),
            // No error number: made by cap-std (an escape) or by a library user's own writer.
            None => match error.kind() {
                ErrorKind::PermissionDenied => Self::Permission,
                ErrorKind::NotFound => Self::NotFound,
                ErrorKind::InvalidInput => Self::Invalid,
                ErrorKind::BrokenPipe => Self::BrokenPipe,
                ErrorKind::WouldBlock => Self::Again,
                _ => Self::Io,
            },
        }
    }
}

/// Why a call did not succeed: a number that the guest is told, or the end of the guest.
#[derive(Debug)]
pub(super) enum Failure {
    /// The guest is told and goes on.
    Errno(Errno),
    /// The guest is ended.
    Stop(HostError),
}

/// What the body of a call returns.
pub(super) type Done<T = ()> = Result<T, Failure>;

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Errno(error.into())
    }
}

impl From<Os> for Failure {
    fn from(error: Os) -> Self {
        Self::Errno(error.into())
    }
}

impl From<OutOfBounds> for Failure {
    /// Preview 1 has an error number for this, so a wild pointer does not end the guest.
    fn from(_: OutOfBounds) -> Self {
        Self::Errno(Errno::Fault)
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        Self::Stop(error)
    }
}
