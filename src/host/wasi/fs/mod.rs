//! What stands behind descriptors of files and directories. Calls know [`Dir`] and [`File`]; where these
//! keep their bytes is decided here, once:
//!
//! | | kept in | paths are resolved by |
//! |---|---|---|
//! | host | a directory of the host's | the kernel, beneath it (`host`) |
//! | volume | memory, optionally over a directory of the host's that is only read | our own walk (`walk`) |
//!
//! Both keep the same rules and answer the same error numbers; `tests/backings.rs` says so for each.

mod content;
mod host;
mod names;
mod tree;
mod volume;
mod walk;

use std::io::{IoSlice, IoSliceMut, SeekFrom};
use std::sync::Arc;

use cap_fs_ext::FollowSymlinks;

use super::abi::FileType;
use super::clock::Clock;
use super::errno::{Done, Errno};
use super::quota::Quota;

pub use content::CHUNK;
pub use host::HostFile;
pub use tree::{ROOT, Tree};
pub use volume::{Handle, Seen, Volume};

/// Fuel for finding, sorting and keeping one entry of a directory.
pub const ENTRY_PRICE: u64 = 1_000;
/// Entries of the host's that are paid for at once, before they are read.
const ENTRY_BATCH: u64 = 64;

/// Is told an entry: its name, inode and type.
pub type Each<'a> = dyn FnMut(&str, u64, FileType) -> Done + 'a;
/// Pays for so many entries.
pub type Pay<'a> = dyn FnMut(u64) -> Done + 'a;

/// An open directory.
#[derive(Clone)]
pub enum Dir {
    /// Of the host's.
    Host(Arc<cap_std::fs::Dir>),
    /// Of a memory file system or an overlay.
    Volume(Arc<Handle>),
}

/// An open regular file.
#[derive(Clone)]
pub enum File {
    /// Of the host's.
    Host(Arc<HostFile>),
    /// Of a memory file system or an overlay.
    Volume(Arc<Handle>),
}

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub device: u64,
    pub inode: u64,
    pub ty: FileType,
    pub links: u64,
    pub size: u64,
    /// Nanoseconds since 1970: accessed, modified, changed.
    pub times: [u64; 3],
}

/// What becomes of a time of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewTime {
    Keep,
    /// The host's now, or the guest's own where its clock is virtual.
    Now,
    /// Nanoseconds since 1970.
    At(u64),
}

/// New times of a file: accessed, modified.
pub type NewTimes = [NewTime; 2];

/// How a file is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenHow {
    pub follow: FollowSymlinks,
    pub read: bool,
    pub write: bool,
    /// There was no such file: make it.
    pub create: bool,
    /// If it exists by now, fail.
    pub exclusive: bool,
    pub truncate: bool,
    pub append: bool,
    pub sync: bool,
    pub dsync: bool,
}

/// What is charged and asked for the time while something is changed.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    pub quota: &'a Quota,
    pub clock: &'a Clock,
}

/// Calls `$body` on what stands behind `$on`: the same for both.
macro_rules! either {
    ($on:expr, $it:ident => host $host:expr, volume $volume:expr) => {
        match $on {
            Self::Host($it) => $host,
            Self::Volume($it) => $volume,
        }
    };
}

/// A path that ends in `/` or `/.` means what a link leads to, whatever was asked for.
fn beyond(path: &str, follow: FollowSymlinks) -> FollowSymlinks {
    if path.ends_with('/') || path.ends_with("/.") { FollowSymlinks::Yes } else { follow }
}

impl Dir {
    /// What it is itself.
    pub fn stat_self(&self) -> Result<Stat, Errno> {
        either!(self, dir => host host::stat_self(dir), volume dir.stat())
    }

    /// What is at `path`.
    pub fn stat(&self, path: &str, follow: FollowSymlinks) -> Result<Stat, Errno> {
        either!(self, dir => host host::stat(dir, path, beyond(path, follow)), volume dir.stat_at(path, beyond(path, follow)))
    }

    /// Opens the directory at `path`.
    pub fn open_dir(&self, path: &str, follow: FollowSymlinks) -> Result<Self, Errno> {
        Ok(either!(self, dir =>
            host Self::Host(host::open_dir(dir, path, beyond(path, follow))?.into()),
            volume Self::Volume(dir.open_dir(path, beyond(path, follow))?.into())))
    }

    /// Opens or makes the regular file at `path`.
    pub fn open_file(&self, path: &str, how: &OpenHow, terms: Terms<'_>) -> Result<File, Errno> {
        Ok(either!(self, dir =>
            host File::Host(host::open_file(dir, path, how, terms)?.into()),
            volume File::Volume(dir.open_file(path, how, terms)?.into())))
    }

    pub fn create_dir(&self, path: &str, terms: Terms<'_>) -> Result<(), Errno> {
        either!(self, dir => host host::create_dir(dir, path, terms), volume dir.create_dir(path, terms))
    }

    /// Removes the directory at `path`; `base_shows` is what [`Dir::base_shows`] says of it.
    pub fn remove_dir(&self, path: &str, base_shows: bool, terms: Terms<'_>) -> Result<(), Errno> {
        either!(self, dir => host Ok(dir.remove_dir(path)?), volume dir.remove_dir(path, base_shows, terms))
    }

    /// Removes a name of something that is no directory.
    pub fn unlink(&self, path: &str, terms: Terms<'_>) -> Result<(), Errno> {
        either!(self, dir => host Ok(dir.remove_file(path)?), volume dir.unlink(path, terms))
    }

    /// Moves `old` here to `new` in `to`; `base_shows` is what [`Dir::base_shows`] says of `new`.
    pub fn rename(&self, old: &str, to: &Self, new: &str, base_shows: bool, terms: Terms<'_>) -> Result<(), Errno> {
        match (self, to) {
            (Self::Host(from), Self::Host(to)) => host::rename(from, old, to, new),
            (Self::Volume(from), Self::Volume(to)) => from.rename(old, to, new, base_shows, terms),
            _ => Err(Errno::CrossDevice),
        }
    }

    /// Gives the file `old` here another name, `new` in `to`.
    pub fn link(&self, old: &str, to: &Self, new: &str, terms: Terms<'_>) -> Result<(), Errno> {
        match (self, to) {
            (Self::Host(from), Self::Host(to)) => host::link(from, old, to, new, terms),
            (Self::Volume(from), Self::Volume(to)) => from.link(old, to, new, terms),
            _ => Err(Errno::CrossDevice),
        }
    }

    /// Makes a symbolic link to `target` at `path`.
    pub fn symlink(&self, target: &str, path: &str, terms: Terms<'_>) -> Result<(), Errno> {
        either!(self, dir => host host::symlink(dir, target, path, terms), volume dir.symlink(target, path, terms))
    }

    /// Where the symbolic link at `path` points.
    pub fn read_link(&self, path: &str) -> Result<String, Errno> {
        either!(self, dir => host host::read_link(dir, path), volume dir.read_link(path))
    }

    /// Sets times of what is at `path`.
    pub fn set_times(
        &self,
        path: &str,
        follow: FollowSymlinks,
        times: NewTimes,
        terms: Terms<'_>,
    ) -> Result<(), Errno> {
        either!(self, dir =>
            host host::set_times(dir, path, beyond(path, follow), times, terms.clock),
            volume dir.set_times_at(path, beyond(path, follow), times, terms))
    }

    /// Sets its own times.
    pub fn set_own_times(&self, times: NewTimes, terms: Terms<'_>) -> Result<(), Errno> {
        either!(self, dir => host host::set_own_times(dir, times, terms.clock), volume dir.set_times(times, terms))
    }

    /// What is to be synced for it on the host's disk, if anything is.
    pub fn on_disk(&self) -> Result<Option<Arc<std::fs::File>>, Errno> {
        either!(self, dir =>
            host Ok(Some(Arc::new(std::fs::File::from(host::readable(dir)?)))),
            volume { let _ = dir; Ok(None) })
    }

    /// Says every entry to `each`, `.` and `..` included: name, inode, type. Names that are no UTF-8 cannot
    /// be said in preview 1 and are left out.
    ///
    /// Entries of the host's are paid for with `pay`, some at a time and before they are read, shown or not;
    /// those of a volume's own are owed to `quota`, because nobody gives the turn away who has it locked.
    pub fn entries(&self, each: &mut Each<'_>, quota: &Quota, pay: &mut Pay<'_>) -> Done {
        either!(self, dir => host host::entries(dir, each, pay), volume dir.entries(each, quota, pay))
    }

    /// Whether something of an overlay's base shows in the directory at `path`, so that it cannot be removed
    /// or replaced. Paid for like [`Dir::entries`]; what is no such directory has nothing to show.
    pub fn base_shows(&self, path: &str, pay: &mut Pay<'_>) -> Done<bool> {
        either!(self, dir => host { let _ = dir; Ok(false) }, volume dir.base_shows(path, pay))
    }
}

/// That `len` bytes from `at` are positions of a file: they are signed, as the kernel has it.
fn within(at: Option<u64>, len: usize) -> Result<(), Errno> {
    let end = at.unwrap_or(0).checked_add(len as u64);
    if end.is_some_and(|end| end <= content::MAX_SIZE) { Ok(()) } else { Err(Errno::Invalid) }
}

impl File {
    pub fn stat(&self) -> Result<Stat, Errno> {
        either!(self, file => host file.stat(), volume file.stat())
    }

    /// What is to be synced for it on the host's disk, if anything is.
    pub fn on_disk(&self) -> Option<Arc<std::fs::File>> {
        if let Self::Host(file) = self { Some(file.file.clone()) } else { None }
    }

    /// Reads at `at`, or where the file stands, which it moves.
    pub fn read(&self, slices: &mut [IoSliceMut<'_>], at: Option<u64>) -> Result<usize, Errno> {
        within(at, slices.iter().map(|s| s.len()).sum())?;
        either!(self, file => host file.read(slices, at), volume file.read(slices, at))
    }

    /// Writes at `at`, or where the file stands, which it moves; at the end if it appends.
    pub fn write(&self, slices: &[IoSlice<'_>], at: Option<u64>, terms: Terms<'_>) -> Result<usize, Errno> {
        within(at, slices.iter().map(|s| s.len()).sum())?;
        either!(self, file => host file.write(slices, at, terms.quota), volume file.write(slices, at, terms))
    }

    pub fn seek(&self, to: SeekFrom) -> Result<u64, Errno> {
        either!(self, file => host file.seek(to), volume file.seek(to))
    }

    pub fn set_size(&self, size: u64, terms: Terms<'_>) -> Result<(), Errno> {
        either!(self, file => host file.set_size(size, terms.quota), volume file.set_size(size, terms))
    }

    pub fn set_append(&self, append: bool) -> Result<(), Errno> {
        either!(self, file => host file.set_append(append), volume { file.set_append(append); Ok(()) })
    }

    pub fn set_times(&self, times: NewTimes, terms: Terms<'_>) -> Result<(), Errno> {
        either!(self, file => host file.set_times(times, terms.clock), volume file.set_times(times, terms))
    }
}
