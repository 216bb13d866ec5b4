//! Files and directories of the host's, through cap-std: paths are resolved beneath the directory that was
//! given, by the kernel (`openat2`) or component by component on open directories.

use std::io::{IoSlice, IoSliceMut, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use rustix::fs::{
    AtFlags, FallocateFlags, FileType as OsType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT,
};
use rustix::io::{preadv, pwritev, readv, retry_on_intr, writev};

use super::super::abi::FileType;
use super::super::clock::{Clock, ClockId};
use super::super::errno::{Done, Errno};
use super::super::quota::{HOST_NAME_BYTES, Quota};
use super::{ENTRY_BATCH, Each, NewTime, NewTimes, OpenHow, Pay, Stat, Terms};

impl From<&Metadata> for Stat {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            ty: OsType::from_raw_mode(metadata.mode()).into(),
            links: metadata.nlink(),
            size: metadata.size(),
            times: [
                nanoseconds(metadata.atime(), metadata.atime_nsec()),
                nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
                nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            ],
        }
    }
}

/// Nanoseconds since 1970, as preview 1 counts them: nothing before, nothing after 2554.
fn nanoseconds(seconds: i64, nanos: i64) -> u64 {
    u64::try_from(i128::from(seconds) * 1_000_000_000 + i128::from(nanos)).unwrap_or(if seconds < 0 {
        0
    } else {
        u64::MAX
    })
}

pub fn stat_self(dir: &Dir) -> Result<Stat, Errno> {
    Ok(Stat::from(&dir.dir_metadata()?))
}

pub fn stat(dir: &Dir, path: &str, follow: FollowSymlinks) -> Result<Stat, Errno> {
    Ok(Stat::from(&match follow {
        FollowSymlinks::Yes => dir.metadata(path)?,
        FollowSymlinks::No => dir.symlink_metadata(path)?,
    }))
}

pub fn open_dir(dir: &Dir, path: &str, follow: FollowSymlinks) -> Result<Dir, Errno> {
    Ok(match follow {
        FollowSymlinks::Yes => dir.open_dir(path)?,
        FollowSymlinks::No => dir.open_dir_nofollow(path)?,
    })
}

/// Opens a regular file and nothing else: opening a FIFO may block, opening a device may do something. The
/// caller has looked at the type; here the open does not block, and the type of what was opened is looked
/// at again, in case somebody has put something else there meanwhile.
pub fn open_file(dir: &Dir, path: &str, how: &OpenHow, terms: Terms<'_>) -> Result<HostFile, Errno> {
    let open = || Ok(HostFile { file: open_regular(dir, path, how)?, moved: AtomicBool::new(false) });
    if how.create { naming(terms.quota, open) } else { open() }
}

/// Opens a regular file for reading, without following a link.
pub fn open_plain(dir: &Dir, path: &str) -> Result<Arc<std::fs::File>, Errno> {
    let how = OpenHow {
        follow: FollowSymlinks::No,
        read: true,
        write: false,
        create: false,
        exclusive: false,
        truncate: false,
        append: false,
        sync: false,
        dsync: false,
    };
    open_regular(dir, path, &how)
}

fn open_regular(dir: &Dir, path: &str, how: &OpenHow) -> Result<Arc<std::fs::File>, Errno> {
    // The host wants write access for creating and cutting; what the guest may do with the file is
    // up to what it asked for.
    let write = how.write || how.truncate || how.create;
    let append = if how.append { OFlags::APPEND } else { OFlags::empty() };
    let mut options = OpenOptions::new();
    options
        .read(how.read || !write)
        .write(write)
        .create(how.create)
        .create_new(how.create && how.exclusive)
        .truncate(how.truncate)
        .custom_flags((append | OFlags::NOCTTY).bits().cast_signed())
        .follow(how.follow)
        .nonblock(true)
        .sync(how.sync)
        .dsync(how.dsync);
    let file = dir.open_with(path, &options)?.into_std();
    if Stat::from(&Metadata::from_file(&file)?).ty != FileType::RegularFile {
        return Err(Errno::Access);
    }
    Ok(Arc::new(file))
}

/// Makes a name on the host's disk, which counts.
fn naming<T>(quota: &Quota, make: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    quota.disk.take(HOST_NAME_BYTES)?;
    make().inspect_err(|_| quota.disk.give_back(HOST_NAME_BYTES))
}

pub fn create_dir(dir: &Dir, path: &str, terms: Terms<'_>) -> Result<(), Errno> {
    naming(terms.quota, || Ok(dir.create_dir(path)?))
}

pub fn link(from: &Dir, old: &str, to: &Dir, new: &str, terms: Terms<'_>) -> Result<(), Errno> {
    naming(terms.quota, || Ok(from.hard_link(old, to, new)?))
}

/// cap-std takes a file where a path ends in `/`; only directories are called so.
pub fn rename(from: &Dir, old: &str, to: &Dir, new: &str) -> Result<(), Errno> {
    let directory = old.ends_with('/') || new.ends_with('/');
    if directory && stat(from, old.trim_end_matches('/'), FollowSymlinks::No)?.ty != FileType::Directory {
        return Err(Errno::NotDirectory);
    }
    Ok(from.rename(old, to, new)?)
}

pub fn symlink(dir: &Dir, target: &str, path: &str, terms: Terms<'_>) -> Result<(), Errno> {
    naming(terms.quota, || Ok(dir.symlink(target, path)?))
}

pub fn read_link(dir: &Dir, path: &str) -> Result<String, Errno> {
    dir.read_link(path)?.into_os_string().into_string().map_err(|_| Errno::IllegalSequence)
}

pub fn set_times(dir: &Dir, path: &str, follow: FollowSymlinks, times: NewTimes, clock: &Clock) -> Result<(), Errno> {
    // Only a reference, not really open: so that a FIFO cannot block and a device is left alone.
    let mut options = OpenOptions::new();
    options.read(true).follow(follow).custom_flags(OFlags::PATH.bits().cast_signed());
    let file = dir.open_with(path, &options)?;
    Ok(rustix::fs::utimensat(&file, "", &timestamps(times, clock), AtFlags::EMPTY_PATH)?)
}

pub fn set_own_times(dir: &Dir, times: NewTimes, clock: &Clock) -> Result<(), Errno> {
    Ok(rustix::fs::utimensat(dir, ".", &timestamps(times, clock), AtFlags::empty())?)
}

fn timestamps([accessed, modified]: NewTimes, clock: &Clock) -> Timestamps {
    let special = |nanos| Timespec { tv_sec: 0, tv_nsec: nanos };
    let at = |ns: u64| Timespec {
        // Both fit: a 64-bit count of nanoseconds is less than 600 years.
        tv_sec: (ns / 1_000_000_000).cast_signed(),
        tv_nsec: (ns % 1_000_000_000).cast_signed(),
    };
    let time = |new| match new {
        NewTime::Keep => special(UTIME_OMIT),
        NewTime::Now if clock.is_virtual() => at(clock.now(ClockId::Realtime)),
        NewTime::Now => special(UTIME_NOW),
        NewTime::At(ns) => at(ns),
    };
    Timestamps { last_access: time(accessed), last_modification: time(modified) }
}

/// `dir` opened for reading; what cap-std holds is only a reference to it (`O_PATH`).
pub fn readable(dir: &Dir) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

pub fn entries(dir: &Dir, each: &mut Each<'_>, pay: &mut Pay<'_>) -> Done {
    let own = dir.dir_metadata()?.ino();
    let mut paid = 0;
    for entry in rustix::fs::Dir::new(readable(dir)?)? {
        if paid == 0 {
            pay(ENTRY_BATCH)?;
            paid = ENTRY_BATCH;
        }
        paid -= 1;
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        // What lies above is not told.
        let inode = if name == ".." { own } else { entry.ino() };
        each(name, inode, entry.file_type().into())?;
    }
    Ok(())
}

/// An open regular file of the host's.
pub struct HostFile {
    pub file: Arc<std::fs::File>,
    /// Whether it may stand behind its own end, so that a write would leave a hole.
    moved: AtomicBool,
}

impl HostFile {
    pub fn stat(&self) -> Result<Stat, Errno> {
        Ok(Stat::from(&Metadata::from_file(&self.file)?))
    }

    pub fn read(&self, slices: &mut [IoSliceMut<'_>], at: Option<u64>) -> Result<usize, Errno> {
        Ok(match at {
            None => {
                // Somebody may cut the file before it is written to.
                self.moved.store(true, Relaxed);
                retry_on_intr(|| readv(&self.file, slices))?
            }
            Some(at) => retry_on_intr(|| preadv(&self.file, slices, at))?,
        })
    }

    /// What is written counts, and what it leaves as a hole before it too.
    pub fn write(&self, slices: &[IoSlice<'_>], at: Option<u64>, quota: &Quota) -> Result<usize, Errno> {
        let wanted = slices.iter().map(|s| s.len()).sum::<usize>();
        let hole = if wanted == 0 { 0 } else { self.hole(at)? };
        let left = quota.disk.left();
        let fits = usize::try_from(left.saturating_sub(hole)).unwrap_or(usize::MAX).min(wanted);
        if fits < wanted {
            quota.disk.count_refusal();
            if fits == 0 {
                return Err(Errno::NoSpace);
            }
        }
        let cut;
        let slices = if fits < wanted {
            cut = first(slices, fits);
            &*cut
        } else {
            slices
        };
        let written = match at {
            None => retry_on_intr(|| writev(&self.file, slices))?,
            Some(at) => retry_on_intr(|| pwritev(&self.file, slices, at))?,
        };
        if written > 0 {
            if at.is_none() {
                self.moved.store(false, Relaxed);
            }
            // It is there: looked at before.
            quota.disk.try_take(hole + written as u64);
        }
        Ok(written)
    }

    /// Bytes between the end of the file and where a write would begin.
    fn hole(&self, at: Option<u64>) -> Result<u64, Errno> {
        if at.is_none() && !self.moved.load(Relaxed) || rustix::fs::fcntl_getfl(&self.file)?.contains(OFlags::APPEND) {
            return Ok(0);
        }
        let at = match at {
            Some(at) => at,
            None => rustix::fs::tell(&self.file)?,
        };
        Ok(at.saturating_sub(self.file.metadata()?.len()))
    }

    pub fn seek(&self, to: SeekFrom) -> Result<u64, Errno> {
        let at = (&*self.file).seek(to)?;
        // Asking for the position moves nothing.
        if !matches!(to, SeekFrom::Current(0)) {
            self.moved.store(true, Relaxed);
        }
        Ok(at)
    }

    /// What it grows by counts.
    pub fn set_size(&self, size: u64, quota: &Quota) -> Result<(), Errno> {
        let growth = size.saturating_sub(self.file.metadata()?.len());
        quota.disk.take(growth)?;
        self.moved.store(true, Relaxed);
        Ok(self.file.set_len(size).inspect_err(|_| quota.disk.give_back(growth))?)
    }

    /// Reserves room on the disk. All of it counts, because holes in the file are filled too.
    pub fn allocate(&self, offset: u64, len: u64, quota: &Quota) -> Result<(), Errno> {
        let growth = (offset + len).saturating_sub(self.file.metadata()?.len()).max(len);
        quota.disk.take(growth)?;
        let done = retry_on_intr(|| rustix::fs::fallocate(&self.file, FallocateFlags::empty(), offset, len));
        Ok(done.inspect_err(|_| quota.disk.give_back(growth))?)
    }

    pub fn set_append(&self, append: bool) -> Result<(), Errno> {
        let mut flags = rustix::fs::fcntl_getfl(&self.file)?;
        flags.set(OFlags::APPEND, append);
        Ok(rustix::fs::fcntl_setfl(&self.file, flags)?)
    }

    pub fn set_times(&self, times: NewTimes, clock: &Clock) -> Result<(), Errno> {
        Ok(rustix::fs::futimens(self.file.as_fd(), &timestamps(times, clock))?)
    }
}

/// The first `n` bytes of `slices`.
fn first<'a>(slices: &'a [IoSlice<'_>], mut n: usize) -> Vec<IoSlice<'a>> {
    let mut part = Vec::new();
    for slice in slices {
        let some = slice.get(..n).unwrap_or(slice);
        n -= some.len();
        part.push(IoSlice::new(some));
        if n == 0 {
            break;
        }
    }
    part
}
