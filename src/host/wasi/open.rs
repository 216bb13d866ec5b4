//! `path_open`. Only regular files and directories are opened: opening a FIFO may block, opening a device
//! may do something. So the type is looked at first.

use cap_fs_ext::FollowSymlinks;
use cofferdam_engine::Caller;

use super::abi::{FD_APPEND, FD_DSYNC, FD_RSYNC, FD_SYNC, FileType, O_CREAT, O_DIRECTORY, O_EXCL, O_TRUNC, rights};
use super::config::Access;
use super::descriptors::{Dropped, Kind, OpenDir, OpenFile};
use super::errno::{Done, Errno};
use super::fd::FD_FLAGS;
use super::fs::{Dir, OpenHow, Terms};
use super::path::{lookup, read_path};
use super::state::WasiState;

#[expect(clippy::too_many_arguments, reason = "the signature is preview 1's")]
pub(super) fn path_open(
    caller: &mut Caller<'_>,
    fd: u32,
    dirflags: u32,
    ptr: u32,
    len: u32,
    oflags: u32,
    base: u64,
    // What the guest does not want to have is its own affair: it can drop it afterwards.
    _inheriting: u64,
    fdflags: u32,
    out: u32,
) -> Done {
    let path = read_path(caller, ptr, len)?;
    caller.bytes(out, 4)?;
    let state = WasiState::of(caller)?;
    let parent = state.descriptors.get(fd)?;
    let dropped = parent.dropped.inheriting;
    if oflags & O_CREAT != 0 {
        parent.allows(rights::PATH_CREATE_FILE)?;
    }
    if oflags & O_TRUNC != 0 {
        parent.allows(rights::PATH_FILESTAT_SET_SIZE)?;
    }
    if base & (rights::FD_READ | rights::FD_WRITE) & dropped != 0 {
        return Err(Errno::NotCapable.into());
    }
    let open = state.descriptors.dir(fd)?;
    let wish = Wish::new(open.access, dirflags, oflags, base, fdflags)?;
    // Before anything is created or cut.
    state.descriptors.room()?;
    let kind = wish.open(&open.dir, &path, state.terms())?;
    let opened = state.descriptors.insert(kind, wish.flags)?;
    state.descriptors.get_mut(opened)?.dropped = Dropped { base: dropped, inheriting: dropped };
    Ok(caller.write(out, &opened.to_le_bytes())?)
}

/// What the guest asked for.
struct Wish {
    access: Access,
    follow: FollowSymlinks,
    read: bool,
    write: bool,
    create: bool,
    exclusive: bool,
    truncate: bool,
    directory: bool,
    /// `fdflags`.
    flags: u16,
}

impl Wish {
    fn new(access: Access, dirflags: u32, oflags: u32, base: u64, fdflags: u32) -> Result<Self, Errno> {
        let has = |flag| oflags & flag != 0;
        let wish = Self {
            access,
            follow: lookup(dirflags)?,
            read: base & rights::FD_READ != 0,
            write: base & rights::FD_WRITE != 0,
            create: has(O_CREAT),
            exclusive: has(O_EXCL),
            truncate: has(O_TRUNC),
            directory: has(O_DIRECTORY),
            flags: u16::try_from(fdflags).ok().filter(|f| f & !FD_FLAGS == 0).ok_or(Errno::Invalid)?,
        };
        let unknown = oflags & !(O_CREAT | O_DIRECTORY | O_EXCL | O_TRUNC) != 0;
        if unknown || wish.directory && (wish.create || wish.exclusive || wish.truncate) {
            return Err(Errno::Invalid);
        }
        Ok(wish)
    }

    fn open(&self, dir: &Dir, path: &str, terms: Terms<'_>) -> Done<Kind> {
        if self.access == Access::ReadOnly && (self.write || self.truncate) {
            return Err(Errno::ReadOnly.into());
        }
        let ty = match dir.stat(path, self.follow) {
            Ok(_) if self.create && self.exclusive => return Err(Errno::Exists.into()),
            Ok(stat) => stat.ty,
            Err(Errno::NotFound) if self.create && self.access == Access::ReadOnly => {
                return Err(Errno::ReadOnly.into());
            }
            Err(Errno::NotFound) if self.create => return self.open_file(dir, path, true, terms),
            Err(errno) => return Err(errno.into()),
        };
        match ty {
            FileType::Directory if self.write || self.truncate || self.create => Err(Errno::IsDirectory.into()),
            FileType::Directory => self.open_dir(dir, path),
            _ if self.directory => Err(Errno::NotDirectory.into()),
            FileType::RegularFile => self.open_file(dir, path, false, terms),
            FileType::SymbolicLink => Err(Errno::Loop.into()),
            _ => Err(Errno::Access.into()),
        }
    }

    fn open_dir(&self, dir: &Dir, path: &str) -> Done<Kind> {
        let dir = dir.open_dir(path, self.follow)?;
        Ok(Kind::Dir(OpenDir { dir, access: self.access, preopen: None, listing: None }))
    }

    fn open_file(&self, dir: &Dir, path: &str, create: bool, terms: Terms<'_>) -> Done<Kind> {
        let how = OpenHow {
            follow: self.follow,
            read: self.read,
            write: self.write,
            create,
            exclusive: self.exclusive,
            truncate: self.truncate,
            append: self.flags & FD_APPEND != 0,
            sync: self.flags & (FD_SYNC | FD_RSYNC) != 0,
            dsync: self.flags & FD_DSYNC != 0,
        };
        let file = dir.open_file(path, &how, terms)?;
        Ok(Kind::File(OpenFile { file, readable: self.read, writable: self.write, access: self.access }))
    }
}
