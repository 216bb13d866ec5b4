//! Where the local socket is, and who may use it: its owner alone. The directory is private (0700) before the
//! socket is made, the socket is 0600, and a lock beside it tells one that is in use from one left behind.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::net::UnixListener;

use crate::cli::policy_args::variable_set;

/// Which socket is meant.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SocketArgs {
    /// The local socket of `cofferdam up` [env: COFFERDAM_SOCKET] [default: cofferdam/agents.sock in
    /// $XDG_RUNTIME_DIR, $XDG_STATE_HOME or ~/.local/state].
    #[arg(long, value_name = "PATH", global = true)]
    socket: Option<PathBuf>,
}

impl SocketArgs {
    /// The socket.
    pub fn path(&self) -> anyhow::Result<PathBuf> {
        let set = |name: &str| variable_set(name).map(PathBuf::from);
        let absolute = |name: &str| set(name).filter(|path| path.is_absolute());
        let usual = || {
            let folder = absolute("XDG_RUNTIME_DIR")
                .or_else(|| absolute("XDG_STATE_HOME"))
                .or_else(|| Some(set("HOME")?.join(".local/state")))?;
            Some(folder.join("cofferdam/agents.sock"))
        };
        let path = self.socket.clone().or_else(|| set("COFFERDAM_SOCKET")).or_else(usual);
        path.context("there is no home directory; name a socket with --socket")
    }
}

/// A socket that is listened on. Dropping it removes it.
pub struct Socket {
    /// Where it is.
    pub path: PathBuf,
    /// Where clients come from.
    pub listener: UnixListener,
    _lock: File,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Nobody else has one here as long as the lock is held.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Socket {
    /// Makes the socket at `path`. One that was left behind is replaced.
    ///
    /// # Errors
    /// Another process listens there, others could reach it, or something else has its name.
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        private(folder)?;
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(nofollow);
        let lock = options.open(&lock_path).with_context(|| format!("cannot open {}", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "`cofferdam up` runs already and listens on {}; stop that one first, or give this one its own with \
                 --socket",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", lock_path.display()));
            }
        }
        if let Ok(about) = path.symlink_metadata() {
            anyhow::ensure!(about.file_type().is_socket(), "{} is there and is no socket", path.display());
            std::fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))?;
        }
        let failed = || format!("cannot listen on {} (a socket's path has at most 107 bytes)", path.display());
        let listener = UnixListener::bind(path).with_context(failed)?;
        let socket = Self { path: path.to_owned(), listener, _lock: lock };
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).with_context(failed)?;
        Ok(socket)
    }
}

/// Makes `folder` if it is not there, and makes sure that nobody else can use it.
fn private(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make {} for the socket", folder.display()))?;
    let about = folder.metadata().with_context(|| format!("cannot look at {}", folder.display()))?;
    let wrong = if about.uid() != rustix::process::geteuid().as_raw() {
        "belongs to another user"
    } else if about.mode() & 0o077 != 0 {
        "is open to other users"
    } else {
        return Ok(());
    };
    anyhow::bail!(
        "the socket's directory {} {wrong}; make it yours alone (chmod 700), or choose another with --socket",
        folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(path: &Path) -> Result<Socket, String> {
        Socket::bind(path).map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_alone_and_there_is_one() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("made/agents.sock");
        let socket = bind(&path).expect("nothing is there");
        assert_eq!(path.metadata().map(|about| about.mode() & 0o777).ok(), Some(0o600));
        assert_eq!(path.parent().and_then(|f| f.metadata().ok()).map(|about| about.mode() & 0o777), Some(0o700));
        let second = bind(&path).map(drop).expect_err("one is there");
        assert!(second.contains("runs already") && path.exists(), "{second}");
        drop(socket);
        assert!(!path.exists());
        // Left behind by a process that was killed.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("it is free"));
        assert!(path.exists());
        drop(bind(&path).expect("nobody listens there"));
    }

    #[tokio::test]
    async fn what_others_can_reach_is_refused() {
        let dir = tempfile::tempdir().expect("there is room");
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).expect("it is ours");
        let path = dir.path().join("agents.sock");
        std::fs::write(&path, "").expect("there is room");
        assert!(bind(&path).map(drop).expect_err("it is a file").contains("no socket"));
        assert!(path.exists());
        std::fs::remove_file(&path).expect("it is there");
        for mode in [0o755, 0o770, 0o701] {
            std::fs::set_permissions(dir.path(), Permissions::from_mode(mode)).expect("it is ours");
            let refused = bind(&path).map(drop).expect_err("others can look in");
            assert!(refused.contains("chmod 700"), "{refused}");
        }
    }
}
