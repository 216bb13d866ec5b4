//! The binary interface of preview 1: flags, rights and the layout of its structures, as in
//! `typenames.witx`. Everything is little-endian.

use rustix::fs::FileType as OsType;

use super::fs::Stat;

/// `lookupflags`: follow the last symbolic link of a path.
pub(super) const LOOKUP_FOLLOW: u32 = 1;

/// `oflags`: create the file if there is none.
pub(super) const O_CREAT: u32 = 1;
/// `oflags`: it must be a directory.
pub(super) const O_DIRECTORY: u32 = 2;
/// `oflags`: it must not exist yet.
pub(super) const O_EXCL: u32 = 4;
/// `oflags`: cut it to length 0.
pub(super) const O_TRUNC: u32 = 8;

/// `fdflags`: every write goes to the end.
pub(super) const FD_APPEND: u16 = 1;
/// `fdflags`: a write ends when the data is on the disk.
pub(super) const FD_DSYNC: u16 = 2;
/// `fdflags`: say `EAGAIN` instead of waiting.
pub(super) const FD_NONBLOCK: u16 = 4;
/// `fdflags`: reads see data that is on the disk.
pub(super) const FD_RSYNC: u16 = 8;
/// `fdflags`: a write ends when data and metadata are on the disk.
pub(super) const FD_SYNC: u16 = 16;

/// `fstflags`: set the access time to the value given.
pub(super) const SET_ATIM: u32 = 1;
/// `fstflags`: set the access time to now.
pub(super) const SET_ATIM_NOW: u32 = 2;
/// `fstflags`: set the modification time to the value given.
pub(super) const SET_MTIM: u32 = 4;
/// `fstflags`: set the modification time to now.
pub(super) const SET_MTIM_NOW: u32 = 8;

/// `subclockflags`: the timeout is a moment, not a span.
pub(super) const CLOCK_ABSTIME: u16 = 1;
/// `eventrwflags`: the other side has gone.
pub(super) const EVENT_HANGUP: u16 = 1;
/// `eventtype` of a clock.
pub(super) const EVENT_CLOCK: u8 = 0;
/// `eventtype` of a descriptor to read from.
pub(super) const EVENT_READ: u8 = 1;
/// `eventtype` of a descriptor to write to.
pub(super) const EVENT_WRITE: u8 = 2;

/// `rights`, one bit each.
pub(super) mod rights {
    pub const FD_DATASYNC: u64 = 1;
    pub const FD_READ: u64 = 1 << 1;
    pub const FD_SEEK: u64 = 1 << 2;
    pub const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
    pub const FD_SYNC: u64 = 1 << 4;
    pub const FD_TELL: u64 = 1 << 5;
    pub const FD_WRITE: u64 = 1 << 6;
    pub const FD_ADVISE: u64 = 1 << 7;
    pub const FD_ALLOCATE: u64 = 1 << 8;
    pub const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
    pub const PATH_CREATE_FILE: u64 = 1 << 10;
    pub const PATH_LINK_SOURCE: u64 = 1 << 11;
    pub const PATH_LINK_TARGET: u64 = 1 << 12;
    pub const PATH_OPEN: u64 = 1 << 13;
    pub const FD_READDIR: u64 = 1 << 14;
    pub const PATH_READLINK: u64 = 1 << 15;
    pub const PATH_RENAME_SOURCE: u64 = 1 << 16;
    pub const PATH_RENAME_TARGET: u64 = 1 << 17;
    pub const PATH_FILESTAT_GET: u64 = 1 << 18;
    pub const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
    pub const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
    pub const FD_FILESTAT_GET: u64 = 1 << 21;
    pub const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
    pub const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
    pub const PATH_SYMLINK: u64 = 1 << 24;
    pub const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
    pub const PATH_UNLINK_FILE: u64 = 1 << 26;
    pub const POLL_FD_READWRITE: u64 = 1 << 27;
    /// All `path_*` rights.
    const PATHS: u64 = PATH_CREATE_DIRECTORY
        | PATH_CREATE_FILE
        | PATH_LINK_SOURCE
        | PATH_LINK_TARGET
        | PATH_OPEN
        | PATH_READLINK
        | PATH_RENAME_SOURCE
        | PATH_RENAME_TARGET
        | PATH_FILESTAT_GET
        | PATH_FILESTAT_SET_SIZE
        | PATH_FILESTAT_SET_TIMES
        | PATH_SYMLINK
        | PATH_REMOVE_DIRECTORY
        | PATH_UNLINK_FILE;

    /// What any file can do.
    const FILE: u64 = FD_SEEK
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_DATASYNC
        | FD_TELL
        | FD_ADVISE
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES
        | POLL_FD_READWRITE;
    /// What a file opened for writing can do besides.
    const WRITE: u64 = FD_WRITE | FD_ALLOCATE | FD_FILESTAT_SET_SIZE;
    /// What a directory can do. The same for read-only ones: a libc that looks before it asks would
    /// otherwise report "capabilities insufficient" where the call itself reports `EROFS`.
    pub const DIRECTORY: u64 =
        FD_FDSTAT_SET_FLAGS | FD_SYNC | FD_DATASYNC | FD_READDIR | FD_FILESTAT_GET | FD_FILESTAT_SET_TIMES | PATHS;
    /// What can be asked for when something in a directory is opened.
    pub const INHERITING: u64 = DIRECTORY | FILE | WRITE | FD_READ;
    /// What a standard stream can do. No seeking: with it, libc takes a terminal for a file.
    pub const STREAM: u64 = FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE;

    /// The rights of a file opened so.
    pub const fn file(readable: bool, writable: bool) -> u64 {
        FILE | if readable { FD_READ } else { 0 } | if writable { WRITE } else { 0 }
    }
}

/// `filetype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FileType {
    Unknown = 0,
    BlockDevice = 1,
    CharacterDevice = 2,
    Directory = 3,
    RegularFile = 4,
    SocketStream = 6,
    SymbolicLink = 7,
}

impl From<OsType> for FileType {
    /// A FIFO has no name in preview 1.
    fn from(ty: OsType) -> Self {
        match ty {
            OsType::RegularFile => Self::RegularFile,
            OsType::Directory => Self::Directory,
            OsType::Symlink => Self::SymbolicLink,
            OsType::CharacterDevice => Self::CharacterDevice,
            OsType::BlockDevice => Self::BlockDevice,
            OsType::Socket => Self::SocketStream,
            OsType::Fifo | OsType::Unknown => Self::Unknown,
        }
    }
}

/// Writes structures field by field.
struct Fields<const N: usize>([u8; N]);

impl<const N: usize> Fields<N> {
    fn new() -> Self {
        Self([0; N])
    }

    /// Puts `value` at `offset`. Offsets are constants of this file, so they fit.
    fn put<const M: usize>(mut self, offset: usize, value: [u8; M]) -> Self {
        if let Some(field) = self.0.get_mut(offset..offset + M) {
            field.copy_from_slice(&value);
        }
        self
    }
}

/// `fdstat`, 24 bytes.
pub(super) fn fdstat(ty: FileType, flags: u16, base: u64, inheriting: u64) -> [u8; 24] {
    Fields::new()
        .put(0, [ty as u8])
        .put(2, flags.to_le_bytes())
        .put(8, base.to_le_bytes())
        .put(16, inheriting.to_le_bytes())
        .0
}

/// `filestat`, 64 bytes, of a file or directory.
pub(super) fn filestat(stat: &Stat) -> [u8; 64] {
    let [accessed, modified, changed] = stat.times;
    Fields::new()
        .put(0, stat.device.to_le_bytes())
        .put(8, stat.inode.to_le_bytes())
        .put(16, [stat.ty as u8])
        .put(24, stat.links.to_le_bytes())
        .put(32, stat.size.to_le_bytes())
        .put(40, accessed.to_le_bytes())
        .put(48, modified.to_le_bytes())
        .put(56, changed.to_le_bytes())
        .0
}

/// `filestat`, 64 bytes, of a standard stream.
pub(super) fn stream_filestat(ty: FileType) -> [u8; 64] {
    Fields::new().put(16, [ty as u8]).0
}

/// `prestat`, 8 bytes: a directory whose name has `name_len` bytes.
pub(super) fn prestat(name_len: u32) -> [u8; 8] {
    Fields::new().put(4, name_len.to_le_bytes()).0
}

/// `dirent`, 24 bytes; the name follows it.
pub(super) fn dirent(next: u64, inode: u64, name_len: u32, ty: FileType) -> [u8; 24] {
    Fields::new()
        .put(0, next.to_le_bytes())
        .put(8, inode.to_le_bytes())
        .put(16, name_len.to_le_bytes())
        .put(20, [ty as u8])
        .0
}

/// `event`, 32 bytes.
pub(super) fn event(userdata: u64, errno: u16, ty: u8, bytes: u64, flags: u16) -> [u8; 32] {
    Fields::new()
        .put(0, userdata.to_le_bytes())
        .put(8, errno.to_le_bytes())
        .put(10, [ty])
        .put(16, bytes.to_le_bytes())
        .put(24, flags.to_le_bytes())
        .0
}

/// Bytes of one `subscription`.
pub(super) const SUBSCRIPTION: usize = 48;
/// Bytes of one `event`.
pub(super) const EVENT: usize = 32;
/// Bytes of one `iovec` or `ciovec`.
pub(super) const IOVEC: u32 = 8;
