//! [`Files`]: one of our directories as a file system of wasmer-wasix's, under the same rules: nothing leads out,
//! read-only is read-only, and what is written counts.

use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cap_fs_ext::FollowSymlinks;
use cofferdam_wasix::Allowance;
use cofferdam_wasix::virtual_fs::{
    AsyncRead, AsyncSeek, AsyncWrite, DirEntry, FileOpener, FileSystem, FileType as VirtualType, FsError, Metadata,
    OpenOptions, OpenOptionsConfig, ReadBuf, ReadDir, VirtualFile,
};

use super::super::abi::FileType;
use super::super::clock::Clock;
use super::super::config::{Access, Clocks};
use super::super::errno::{Errno, Failure};
use super::super::fs::{Dir, ENTRY_PRICE, File, NewTime, OpenHow, Stat, Terms};
use super::super::quota::Quota;
use super::super::state::WasiState;

/// Bytes that one entry of a listing takes beside its name.
const ENTRY_BYTES: u64 = 256;

/// A directory and who pays for what happens in it.
#[derive(Clone)]
pub(in crate::host) struct Files {
    dir: Dir,
    access: Access,
    quota: Arc<Quota>,
    clock: Arc<Clock>,
    listing_bytes: u64,
    allowance: Allowance,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("access", &self.access).finish_non_exhaustive()
    }
}

impl Files {
    pub(super) fn new(dir: Dir, access: Access, state: &WasiState) -> Self {
        let (quota, listing_bytes) = (state.quota.clone(), state.limits.listing_bytes);
        // Determinism is refused together with WASIX, so the clock is the host's.
        let clock = Arc::new(Clock::new(Clocks::Real));
        Self { dir, access, quota, clock, listing_bytes, allowance: Allowance::default() }
    }

    /// The same, moving no more than `allowance` lets it.
    pub(in crate::host) fn allowed(mut self, allowance: &Allowance) -> Self {
        self.allowance = allowance.clone();
        self
    }

    fn terms(&self) -> Terms<'_> {
        Terms { quota: &self.quota, clock: &self.clock }
    }

    fn writable(&self) -> Result<&Dir, FsError> {
        match self.access {
            Access::ReadWrite => Ok(&self.dir),
            Access::ReadOnly => Err(FsError::PermissionDenied),
        }
    }

    fn looked(&self, path: &Path, follow: FollowSymlinks) -> Result<Metadata, FsError> {
        Ok(metadata(&self.dir.stat(relative(path)?, follow).map_err(refused)?))
    }

    fn base_shows(&self, path: &str) -> Result<bool, FsError> {
        self.dir.base_shows(path, &mut |entries| self.owe(entries)).map_err(failed)
    }

    fn owe(&self, entries: u64) -> Result<(), Failure> {
        self.quota.owe(entries.saturating_mul(ENTRY_PRICE));
        Ok(())
    }
}

/// `path`, which is absolute here, as our directories want it.
fn relative(path: &Path) -> Result<&str, FsError> {
    let path = path.to_str().ok_or(FsError::InvalidInput)?.trim_start_matches('/');
    if path.contains('\0') { Err(FsError::InvalidInput) } else { Ok(if path.is_empty() { "." } else { path }) }
}

fn refused(errno: Errno) -> FsError {
    match errno {
        Errno::NotFound => FsError::EntryNotFound,
        Errno::Exists => FsError::AlreadyExists,
        Errno::NotDirectory => FsError::BaseNotDirectory,
        Errno::IsDirectory => FsError::NotAFile,
        Errno::NotEmpty => FsError::DirectoryNotEmpty,
        Errno::NoSpace | Errno::Quota => FsError::StorageFull,
        Errno::Access | Errno::Permission | Errno::ReadOnly | Errno::NotCapable => FsError::PermissionDenied,
        Errno::Invalid | Errno::IllegalSequence | Errno::NameTooLong | Errno::Loop => FsError::InvalidInput,
        Errno::BadFd => FsError::InvalidFd,
        // Not `Unsupported`, which makes wasmer-wasix do it in its own memory.
        _ => FsError::IOError,
    }
}

fn failed(failure: Failure) -> FsError {
    match failure {
        Failure::Errno(errno) => refused(errno),
        Failure::Stop(_) => FsError::IOError,
    }
}

fn as_io(errno: Errno) -> io::Error {
    let kind = match errno {
        Errno::NoSpace | Errno::Quota => ErrorKind::StorageFull,
        Errno::Access | Errno::Permission | Errno::ReadOnly | Errno::NotCapable => ErrorKind::PermissionDenied,
        Errno::Invalid => ErrorKind::InvalidInput,
        _ => ErrorKind::Other,
    };
    kind.into()
}

fn virtual_type(ty: FileType) -> VirtualType {
    match ty {
        FileType::Directory => VirtualType::new_dir(),
        FileType::RegularFile => VirtualType::new_file(),
        FileType::SymbolicLink => VirtualType { symlink: true, ..VirtualType::default() },
        FileType::BlockDevice => VirtualType { block_device: true, ..VirtualType::default() },
        FileType::CharacterDevice => VirtualType { char_device: true, ..VirtualType::default() },
        _ => VirtualType { socket: true, ..VirtualType::default() },
    }
}

fn metadata(stat: &Stat) -> Metadata {
    let [accessed, modified, created] = stat.times;
    Metadata { ft: virtual_type(stat.ty), accessed, created, modified, len: stat.size }
}

impl FileSystem for Files {
    fn readlink(&self, path: &Path) -> Result<PathBuf, FsError> {
        self.dir.read_link(relative(path)?).map(PathBuf::from).map_err(refused)
    }

    fn read_dir(&self, path: &Path) -> Result<ReadDir, FsError> {
        let dir = self.dir.open_dir(relative(path)?, FollowSymlinks::Yes).map_err(refused)?;
        let (mut names, mut cost) = (Vec::new(), 0_u64);
        let mut each = |name: &str, _, _| {
            cost += ENTRY_BYTES + name.len() as u64;
            if cost > self.listing_bytes {
                return Err(Errno::NoMemory.into());
            }
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
            Ok(())
        };
        dir.entries(&mut each, &self.quota, &mut |entries| self.owe(entries)).map_err(failed)?;
        names.sort_unstable();
        let entries = names.into_iter().map(|name| {
            let metadata = dir.stat(&name, FollowSymlinks::No).map(|stat| metadata(&stat)).map_err(refused);
            DirEntry { path: path.join(name), metadata }
        });
        Ok(ReadDir::new(entries.collect()))
    }

    fn create_dir(&self, path: &Path) -> Result<(), FsError> {
        self.writable()?.create_dir(relative(path)?, self.terms()).map_err(refused)
    }

    fn create_symlink(&self, source: &Path, target: &Path) -> Result<(), FsError> {
        let source = source.to_str().ok_or(FsError::InvalidInput)?;
        if source.starts_with('/') || source.split('/').any(|part| part == "..") {
            return Err(FsError::PermissionDenied);
        }
        self.writable()?.symlink(source, relative(target)?, self.terms()).map_err(refused)
    }

    fn hard_link(&self, source: &Path, target: &Path) -> Result<(), FsError> {
        let dir = self.writable()?;
        dir.link(relative(source)?, dir, relative(target)?, self.terms()).map_err(refused)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), FsError> {
        let (dir, path) = (self.writable()?, relative(path)?);
        dir.remove_dir(path, self.base_shows(path)?, self.terms()).map_err(refused)
    }

    fn rename<'a>(
        &'a self,
        from: &'a Path,
        to: &'a Path,
    ) -> Pin<Box<dyn Future<Output = Result<(), FsError>> + Send + 'a>> {
        let renamed = || {
            let (dir, from, to) = (self.writable()?, relative(from)?, relative(to)?);
            dir.rename(from, dir, to, self.base_shows(to)?, self.terms()).map_err(refused)
        };
        Box::pin(std::future::ready(renamed()))
    }

    fn metadata(&self, path: &Path) -> Result<Metadata, FsError> {
        self.looked(path, FollowSymlinks::Yes)
    }

    fn symlink_metadata(&self, path: &Path) -> Result<Metadata, FsError> {
        self.looked(path, FollowSymlinks::No)
    }

    fn remove_file(&self, path: &Path) -> Result<(), FsError> {
        self.writable()?.unlink(relative(path)?, self.terms()).map_err(refused)
    }

    fn new_open_options(&self) -> OpenOptions<'_> {
        OpenOptions::new(self)
    }
}

impl FileOpener for Files {
    fn open(
        &self,
        path: &Path,
        conf: &OpenOptionsConfig,
    ) -> Result<Box<dyn VirtualFile + Send + Sync + 'static>, FsError> {
        if conf.would_mutate() {
            self.writable()?;
        }
        let name = relative(path)?;
        let create = match self.dir.stat(name, FollowSymlinks::Yes) {
            Ok(_) if conf.create_new => return Err(FsError::AlreadyExists),
            Ok(stat) => match stat.ty {
                FileType::RegularFile => false,
                FileType::Directory => return Err(FsError::NotAFile),
                // Opening a FIFO may block, opening a device may do something.
                _ => return Err(FsError::PermissionDenied),
            },
            Err(Errno::NotFound) if conf.create || conf.create_new => true,
            Err(errno) => return Err(refused(errno)),
        };
        let how = OpenHow {
            follow: FollowSymlinks::Yes,
            read: conf.read,
            write: conf.write || conf.append,
            create,
            exclusive: conf.create_new,
            truncate: conf.truncate,
            append: conf.append,
            sync: false,
            dsync: false,
        };
        let file = self.dir.open_file(name, &how, self.terms()).map_err(refused)?;
        Ok(Box::new(OpenedFile { file, files: self.clone(), path: name.to_owned(), at: Ok(0) }))
    }
}

/// An open file.
struct OpenedFile {
    file: File,
    files: Files,
    path: String,
    /// What the last seek came to.
    at: Result<u64, Errno>,
}

impl fmt::Debug for OpenedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedFile").finish_non_exhaustive()
    }
}

impl OpenedFile {
    fn time(&self, which: usize) -> u64 {
        self.file.stat().ok().and_then(|stat| stat.times.get(which).copied()).unwrap_or(0)
    }
}

impl AsyncRead for OpenedFile {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut read = || {
            let most = self.files.allowance.take(buffer.remaining())?;
            let slice = buffer.initialize_unfilled_to(most);
            let n = self.file.read(&mut [IoSliceMut::new(slice)], None).map_err(as_io)?.min(most);
            buffer.advance(n);
            self.files.allowance.give_back(most - n);
            Ok(())
        };
        Poll::Ready(read())
    }
}

impl AsyncWrite for OpenedFile {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let write = || {
            let most = self.files.allowance.take(bytes.len())?;
            let part = bytes.get(..most).unwrap_or_default();
            let n = self.file.write(&[IoSlice::new(part)], None, self.files.terms()).map_err(as_io)?.min(most);
            self.files.allowance.give_back(most - n);
            Ok(n)
        };
        Poll::Ready(write())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for OpenedFile {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        self.at = self.file.seek(position);
        self.at.map(drop).map_err(as_io)
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(self.at.map_err(as_io))
    }
}

impl VirtualFile for OpenedFile {
    fn last_accessed(&self) -> u64 {
        self.time(0)
    }

    fn last_modified(&self) -> u64 {
        self.time(1)
    }

    fn created_time(&self) -> u64 {
        self.time(2)
    }

    fn set_times(&mut self, atime: Option<u64>, mtime: Option<u64>) -> Result<(), FsError> {
        self.files.writable()?;
        let new = |time: Option<u64>| time.map_or(NewTime::Keep, NewTime::At);
        self.file.set_times([new(atime), new(mtime)], self.files.terms()).map_err(refused)
    }

    fn size(&self) -> u64 {
        self.file.stat().map(|stat| stat.size).unwrap_or(0)
    }

    fn set_len(&mut self, size: u64) -> Result<(), FsError> {
        self.files.writable()?;
        self.file.set_size(size, self.files.terms()).map_err(refused)
    }

    fn unlink(&mut self) -> Result<(), FsError> {
        self.files.writable()?.unlink(&self.path, self.files.terms()).map_err(refused)
    }

    fn poll_read_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(usize::try_from(self.size()).unwrap_or(usize::MAX)))
    }

    fn poll_write_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(8192))
    }
}
