//! `path_open`. Only regular files and directories are opened: opening a FIFO may block, opening a device
//! may do something. So the type is looked at first, the open does not block, and the type of what was
//! opened is looked at again, in case somebody has put something else there meanwhile.

use std::sync::Arc;

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::fs::{Dir, Metadata, OpenOptions, OpenOptionsExt};
use cofferdam_engine::Caller;
use rustix::fs::OFlags;

use super::abi::{
    FD_APPEND, FD_DSYNC, FD_RSYNC, FD_SYNC, FileType, O_CREAT, O_DIRECTORY, O_EXCL, O_TRUNC, file_type, rights,
};
use super::config::Access;
use super::descriptors::{Kind, OpenDir, OpenFile};
use super::errno::{Done, Errno};
use super::fd::FD_FLAGS;
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
    _inheriting: u64,
    fdflags: u32,
    out: u32,
) -> Done {
    let path = read_path(caller, ptr, len)?;
    caller.bytes(out, 4)?;
    let state = WasiState::of(caller)?;
    let open = state.descriptors.dir(fd)?;
    let wish = Wish::new(open.access, dirflags, oflags, base, fdflags)?;
    // Before anything is created or cut.
    state.descriptors.room()?;
    let kind = wish.open(&open.dir, &path)?;
    let opened = state.descriptors.insert(kind, wish.flags)?;
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

    fn open(&self, dir: &Dir, path: &str) -> Done<Kind> {
        if self.access == Access::ReadOnly && (self.write || self.truncate) {
            return Err(Errno::ReadOnly.into());
        }
        let found = match self.follow {
            FollowSymlinks::Yes => dir.metadata(path),
            FollowSymlinks::No => dir.symlink_metadata(path),
        };
        let ty = match found.map_err(Errno::from) {
            Ok(_) if self.create && self.exclusive => return Err(Errno::Exists.into()),
            Ok(metadata) => file_type(&metadata),
            Err(Errno::NotFound) if self.create && self.access == Access::ReadOnly => {
                return Err(Errno::ReadOnly.into());
            }
            Err(Errno::NotFound) if self.create => return self.open_file(dir, path, true),
            Err(errno) => return Err(errno.into()),
        };
        match ty {
            FileType::Directory if self.write || self.truncate || self.create => Err(Errno::IsDirectory.into()),
            FileType::Directory => self.open_dir(dir, path),
            _ if self.directory => Err(Errno::NotDirectory.into()),
            FileType::RegularFile => self.open_file(dir, path, false),
            FileType::SymbolicLink => Err(Errno::Loop.into()),
            _ => Err(Errno::Access.into()),
        }
    }

    fn open_dir(&self, dir: &Dir, path: &str) -> Done<Kind> {
        let opened = match self.follow {
            FollowSymlinks::Yes => dir.open_dir(path)?,
            FollowSymlinks::No => dir.open_dir_nofollow(path)?,
        };
        Ok(Kind::Dir(OpenDir { dir: opened.into(), access: self.access, preopen: None, listing: None }))
    }

    fn open_file(&self, dir: &Dir, path: &str, create: bool) -> Done<Kind> {
        // The host wants write access for creating and cutting; what the guest may do with the file is
        // up to what it asked for.
        let write = self.write || self.truncate || create;
        let append = if self.flags & FD_APPEND != 0 { OFlags::APPEND } else { OFlags::empty() };
        let mut options = OpenOptions::new();
        options
            .read(self.read || !write)
            .write(write)
            .create(create)
            .create_new(create && self.exclusive)
            .truncate(self.truncate)
            .custom_flags((append | OFlags::NOCTTY).bits().cast_signed())
            .follow(self.follow)
            .nonblock(true)
            .sync(self.flags & (FD_SYNC | FD_RSYNC) != 0)
            .dsync(self.flags & FD_DSYNC != 0);
        let file = dir.open_with(path, &options)?.into_std();
        if file_type(&Metadata::from_file(&file)?) != FileType::RegularFile {
            return Err(Errno::Access.into());
        }
        Ok(Kind::File(OpenFile {
            file: Arc::new(file),
            readable: self.read,
            writable: self.write,
            access: self.access,
        }))
    }
}
