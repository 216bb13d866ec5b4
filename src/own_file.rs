//! Files and directories that are this user's alone: opened so that nobody else can read or change what is in
//! them, or have put another in their place.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// Why a file or directory is not used.
#[derive(Debug)]
pub(crate) enum NotOurs {
    /// It cannot be opened.
    Io(io::Error),
    /// Somebody else could use it.
    Shared(&'static str),
}

impl From<io::Error> for NotOurs {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Shared(problem) => write!(f, "it is {problem}; make it yours alone (`chmod go=`), or name another"),
        }
    }
}

/// A directory that only its owner, who is us, can use.
pub(crate) struct Directory(File);

impl Directory {
    /// Opens `path`, made with mode 0700 if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, NotOurs> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = File::from(openat(CWD, path, flags, Mode::empty()).map_err(io::Error::from)?);
        let found = directory.metadata()?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(NotOurs::Shared("owned by another user"));
        }
        if found.mode() & 0o077 != 0 {
            return Err(NotOurs::Shared("open to other users"));
        }
        Ok(Self(directory))
    }

    /// The file `name` in it, to be read and written, made with mode 0600 if it is not there.
    pub(crate) fn file(&self, name: &str) -> Result<File, NotOurs> {
        file(&self.0, Path::new(name), OFlags::RDWR)
    }
}

/// A regular file of our own that nobody else may use and that has no other name, made with mode 0600 if it is not
/// there. `path` is taken as from `directory`.
pub(crate) fn file(directory: impl std::os::fd::AsFd, path: &Path, flags: OFlags) -> Result<File, NotOurs> {
    // Never through a link, and never waiting for the other end of a FIFO.
    let flags = flags | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(directory, path, flags, Mode::RUSR | Mode::WUSR).map_err(io::Error::from)?);
    let found = file.metadata()?;
    let problem = if !found.is_file() {
        "no regular file"
    } else if found.uid() != rustix::process::geteuid().as_raw() {
        "owned by another user"
    } else if found.mode() & 0o077 != 0 {
        "open to other users"
    } else if found.nlink() > 1 {
        "a file that has another name, too"
    } else {
        return Ok(file);
    };
    Err(NotOurs::Shared(problem))
}

/// Whether nobody else can take `path` away and put another in its place: its directory is ours or the system's, and
/// others may not write to it, or may not take away what is not theirs (the sticky bit). A group that may write to it
/// has to be our own.
pub(crate) fn has_safe_parent(path: &Path) -> Result<(), NotOurs> {
    const STICKY: u32 = 0o1000;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = std::fs::metadata(parent)?;
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != us && found.uid() != 0 {
        return Err(NotOurs::Shared("in a directory of another user"));
    }
    let group_writes = found.mode() & 0o020 != 0 && found.gid() != rustix::process::getegid().as_raw();
    if found.mode() & STICKY == 0 && (found.mode() & 0o002 != 0 || group_writes) {
        return Err(NotOurs::Shared("in a directory that others may change"));
    }
    Ok(())
}
