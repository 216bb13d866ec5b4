//! The cache's directory: ours alone, checked when it is opened, and used through the open handle from then
//! on, so that nobody can put another in its place.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use cofferdam_engine::ArtefactKey;
use rustix::fs::{RenameFlags, Stat, Timespec, Timestamps, UTIME_NOW, fstat, futimens, renameat_with};
use rustix::io::Errno;

/// Why a directory cannot be the cache. A run goes on without one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// It cannot be made, opened or written.
    #[error("cannot use {} as artefact cache: {error}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another user could have put files there.
    #[error(
        "cannot use {} as artefact cache: it is {problem}, so somebody else could put code there (`chmod 700` it if \
         you trust what is in it, or name another with --cache-dir)",
        path.display()
    )]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A key's file cannot be read or written.
    #[error("cannot use the key {}: {error}", path.display())]
    KeyFile {
        /// The key's file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A key's file is not what this program writes.
    #[error(
        "cannot use the key {}: {problem}; a new one has to be made (a cache makes its own when the file is gone, \
         `cofferdam cache new-key` any other)",
        path.display()
    )]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// The key's file in the directory.
const KEY: &str = "key";
/// Whoever replaces a key that is cut off is waited for this long.
const KEY_PATIENCE: Duration = Duration::from_secs(1);

/// An open directory that only its owner, who is us, can use.
pub(super) struct Directory {
    dir: Dir,
    path: PathBuf,
}

/// A file in the directory, as far as eviction wants to know.
pub(super) struct Entry {
    pub name: String,
    pub bytes: u64,
    /// When it was last used, in nanoseconds since 1970.
    pub used: i128,
}

impl Directory {
    /// Opens `path`, made with mode 0700 if it is not there.
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        let failed = |error| CacheError::Io { path: path.to_owned(), error };
        let not_private = |problem| CacheError::NotPrivate { path: path.to_owned(), problem };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(failed)?;
        let stat = fstat(&dir).map_err(|e| failed(e.into()))?;
        if !is_ours(&stat) {
            return Err(not_private("owned by another user"));
        }
        if stat.st_mode & 0o077 != 0 {
            return Err(not_private("open to other users"));
        }
        Ok(Self { dir, path: path.to_owned() })
    }

    /// The directory `name` within it, made if it is not there.
    pub fn subdirectory(&self, name: &str) -> io::Result<Self> {
        use cap_std::fs::DirBuilderExt as _;
        let mut builder = cap_std::fs::DirBuilder::new();
        made(self.dir.create_dir_with(name, builder.mode(0o700)))?;
        Ok(Self { dir: self.dir.open_dir(name)?, path: self.path.join(name) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key beside the artefacts, made at first use. One that is cut off (by a full disk or a crash) has sealed
    /// nothing that could still be believed, so it gives way to a new one.
    pub fn key(&self) -> Result<ArtefactKey, CacheError> {
        match self.open_file(KEY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_key().map_err(|e| self.failed(e))?,
            Ok(file) if is_cut_off(&file) => self.replace_key().map_err(|e| self.failed(e))?,
            _ => {}
        }
        let file = self.open_file(KEY).map_err(|e| self.failed(e))?;
        read_key(file).map_err(|problem| CacheError::Key { path: self.path.join(KEY), problem })
    }

    /// A new key for one that is cut off, unless another process has made it meanwhile.
    fn replace_key(&self) -> io::Result<()> {
        let _guard = self.lock("lock-key", KEY_PATIENCE);
        match self.open_file(KEY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_key(),
            Ok(file) if is_cut_off(&file) => {
                tracing::warn!(directory = %self.path.display(), "the key of the artefact cache is cut off; a new one is made");
                self.dir.remove_file(KEY)?;
                self.make_key()
            }
            _ => Ok(()),
        }
    }

    /// Whoever comes first makes the key; it is whole, and on the disk, when it gets its name.
    fn make_key(&self) -> io::Result<()> {
        let temporary = self.write_temporary(&random::<{ ArtefactKey::LEN }>()?, true)?;
        let named = renameat_with(&self.dir, &*temporary, &self.dir, KEY, RenameFlags::NOREPLACE);
        if let Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) = named {
            // Not every file system can do that; those that cannot have hard links.
            let linked = self.dir.hard_link(&temporary, &self.dir, KEY);
            self.dir.remove_file(&temporary)?;
            return made(linked);
        }
        if named.is_err() {
            self.dir.remove_file(&temporary)?;
        }
        made(named.map_err(io::Error::from))
    }

    fn failed(&self, error: io::Error) -> CacheError {
        CacheError::Io { path: self.path.clone(), error }
    }

    fn open_file(&self, name: &str) -> io::Result<File> {
        // Never through a link, and never waiting for the other end of a FIFO.
        let mut options = OpenOptions::new();
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        options.read(true).follow(FollowSymlinks::No).custom_flags(nonblock);
        Ok(self.dir.open_with(name, &options)?.into_std())
    }

    /// All of `name`, of at most `most` bytes; marked as used now, if it is `used`.
    pub fn read(&self, name: &str, most: u64, used: bool) -> io::Result<Vec<u8>> {
        let file = self.open_file(name)?;
        let stat = fstat(&file)?;
        let bytes = u64::try_from(stat.st_size).unwrap_or(0);
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() || bytes > most {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if used {
            // Only eviction reads it, so a directory that cannot be written is no failure here.
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let _ = futimens(&file, &Timestamps { last_access: now, last_modification: now });
        }
        let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        file.take(most).read_to_end(&mut content)?;
        Ok(content)
    }

    /// Puts `content` under `name`, whole or not at all.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let temporary = self.write_temporary(content, false)?;
        self.dir.rename(&temporary, &self.dir, name).inspect_err(|_| {
            let _ = self.dir.remove_file(&temporary);
        })
    }

    fn write_temporary(&self, content: &[u8], durable: bool) -> io::Result<String> {
        let name = format!("{TEMPORARY}{:016x}", u64::from_le_bytes(random::<8>()?));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = self.dir.open_with(&name, &options)?;
        let written = file.write_all(content).and_then(|()| if durable { file.sync_all() } else { Ok(()) });
        match written {
            Ok(()) => Ok(name),
            Err(error) => {
                let _ = self.dir.remove_file(&name);
                Err(error)
            }
        }
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.dir.remove_file(name)
    }

    /// Moves `name` into `to`, under the same name.
    pub fn move_to(&self, name: &str, to: &Self) -> io::Result<()> {
        self.dir.rename(name, &to.dir, name)
    }

    /// The files in it, in no order.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in self.dir.entries()? {
            // Others may remove files meanwhile.
            let Ok(entry) = entry else { continue };
            let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), entry.metadata()) else { continue };
            if metadata.is_file() {
                use cap_std::fs::MetadataExt as _;
                let used = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
                entries.push(Entry { name, bytes: metadata.len(), used });
            }
        }
        Ok(entries)
    }

    /// The lock file `name`, held until it is dropped; `None` after `patience` or where files cannot be locked.
    pub fn lock(&self, name: &str, patience: Duration) -> Option<File> {
        let mut options = OpenOptions::new();
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        options.write(true).create(true).mode(0o600).follow(FollowSymlinks::No).custom_flags(nonblock);
        let file = self.dir.open_with(name, &options).ok()?.into_std();
        let until = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Some(file),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(_) => return None,
            }
        }
    }
}

/// Whether somebody who is given `directory` can reach `secret`, a file or directory: one of them lies within the
/// other. Links and mounts on the way to them are followed; what is not there cannot be reached.
#[must_use]
pub fn within_reach(directory: &Path, secret: &Path) -> bool {
    let id = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let lies_in = |inner: &Path, outer: &Path| {
        let (Ok(inner), Some(outer)) = (inner.canonicalize(), id(outer)) else { return false };
        inner.ancestors().any(|ancestor| id(ancestor) == Some(outer))
    };
    lies_in(secret, directory) || lies_in(directory, secret)
}

/// Somebody else may have made it first.
fn made(made: io::Result<()>) -> io::Result<()> {
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

/// How names of files begin that are still being written.
pub(super) const TEMPORARY: &str = "tmp-";

/// A key that is ours, and that a full disk or a crash has left unfinished.
fn is_cut_off(file: &File) -> bool {
    fstat(file).is_ok_and(|stat| is_private(&stat) && stat.st_size < ArtefactKey::LEN as i64)
}

fn is_private(stat: &Stat) -> bool {
    is_ours(stat) && stat.st_mode & 0o077 == 0
}

fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw()
}

/// A key that an operator keeps in a file of its own.
///
/// # Errors
/// It cannot be opened, is open to others, or is no key of 32 bytes.
pub fn read_key_file(path: &Path) -> Result<ArtefactKey, CacheError> {
    // Not waiting for the other end, should it be a FIFO.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nonblock).open(path);
    let file = file.map_err(|error| CacheError::KeyFile { path: path.to_owned(), error })?;
    read_key(file).map_err(|problem| CacheError::Key { path: path.to_owned(), problem })
}

/// Writes a new random key to `path`, with mode 0600.
///
/// # Errors
/// It exists already, or cannot be written.
pub fn create_key_file(path: &Path) -> Result<(), CacheError> {
    let write = || {
        let key = random::<{ ArtefactKey::LEN }>()?;
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(&key)
    };
    write().map_err(|error| CacheError::KeyFile { path: path.to_owned(), error })
}

/// A key from `file`, which must be ours alone.
fn read_key(mut file: File) -> Result<ArtefactKey, &'static str> {
    let stat = fstat(&file).map_err(|_| "it cannot be read")?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err("it is no regular file");
    }
    if !is_private(&stat) {
        return Err("other users can read or change it (a key must be yours, with mode 600)");
    }
    if u64::try_from(stat.st_size) != Ok(ArtefactKey::LEN as u64) {
        return Err("it is not a key of 32 bytes");
    }
    let mut bytes = [0; ArtefactKey::LEN];
    file.read_exact(&mut bytes).map_err(|_| "it cannot be read")?;
    Ok(ArtefactKey::new(bytes))
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled +=
            rustix::io::retry_on_intr(|| rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty()))?;
    }
    Ok(bytes)
}
