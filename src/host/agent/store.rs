//! [`KvStore`]: bytes under keys that outlive the agents that keep them, in one `redb` database for all agents
//! of a host.

mod codec;
mod database;
#[cfg(test)]
mod failures;
mod flush;
mod handle;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, StorageBackend, TableDefinition};

use super::error::AbiError;
use crate::own_file;
use crate::policy::MemoryBytes;
use database::{Core, Open};
use flush::Flusher;
use handle::Agent;
pub use handle::KvHandle;

/// Bytes of the longest key.
pub const MAX_KEY: usize = 512;

/// What an entry costs beside its key and value, so that empty ones cost something too.
const ENTRY: u64 = 32;

/// What an entry counts of an agent's cap: key, value and 32 bytes more.
#[must_use]
pub const fn entry_bytes(key: usize, value: usize) -> u64 {
    (key as u64).saturating_add(value as u64).saturating_add(ENTRY)
}

/// The one table: agent and key, as [`codec`] writes them, to value.
const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("agents");

/// The database's file in the store's directory.
const FILE: &str = "agents.redb";

/// Pages that the database keeps in memory, those not yet flushed included. Above this it writes them early.
const CACHE: usize = 16 << 20;

/// Why the storage did not do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    /// A key without bytes.
    #[error("a key needs at least one byte")]
    EmptyKey,
    /// A key above [`MAX_KEY`].
    #[error("the key has {0} bytes and may have {MAX_KEY}")]
    LongKey(usize),
    /// The agent's cap would be passed.
    #[error("the storage of the agent is full: {need} would be used and {cap} are allowed")]
    Full {
        /// What would be used, by the rule of [`entry_bytes`].
        need: MemoryBytes,
        /// What is allowed.
        cap: MemoryBytes,
    },
    /// A name that no agent can have.
    #[error("an agent's name has 1 to 255 bytes, and this one has {0}")]
    Name(usize),
    /// The directory or the database in it cannot be used.
    #[error("the agents' storage in {}: {why}", path.display())]
    Open {
        /// The directory or file.
        path: PathBuf,
        /// What the system or the database says.
        why: Arc<str>,
    },
    /// Reading or writing failed.
    #[error("the agents' storage failed: {0}")]
    Storage(Arc<str>),
}

impl KvError {
    fn storage(error: impl Into<redb::Error>) -> Self {
        Self::Storage(error.into().to_string().into())
    }
}

impl From<KvError> for AbiError {
    fn from(error: KvError) -> Self {
        match error {
            KvError::EmptyKey | KvError::Name(_) => Self::Invalid,
            KvError::LongKey(_) => Self::TooLarge,
            KvError::Full { .. } => Self::Full,
            KvError::Open { .. } | KvError::Storage(_) => Self::Failed,
        }
    }
}

/// What hears of a storage that failed.
type OnFailure = Arc<dyn Fn(&KvError) + Send + Sync>;

/// How a [`KvStore`] works.
#[derive(Clone)]
pub struct KvOptions {
    flush_every: Duration,
    reopen_every: Duration,
    on_failure: Option<OnFailure>,
}

impl Default for KvOptions {
    fn default() -> Self {
        Self { flush_every: Duration::from_millis(100), reopen_every: Duration::from_secs(5), on_failure: None }
    }
}

impl KvOptions {
    /// A write is on the disk after this time and one flush at the latest. Default: 100 ms.
    #[must_use]
    pub fn flush_every(mut self, time: Duration) -> Self {
        self.flush_every = time;
        self
    }

    /// A storage that has failed is opened anew after this time, and again until it works. Default: 5 s.
    #[must_use]
    pub fn reopen_every(mut self, time: Duration) -> Self {
        self.reopen_every = time;
        self
    }

    /// Called when the storage fails that has worked before: once, however many calls fail with it. It must not block, and must not use the store.
    #[must_use]
    pub fn on_failure(mut self, told: impl Fn(&KvError) + Send + Sync + 'static) -> Self {
        self.on_failure = Some(Arc::new(told));
        self
    }
}

/// The storage of all agents of a host. Clones are the same storage; everything on it may be called from many
/// threads.
///
/// *When it is safe*: a write is seen at once by everybody, and is on the disk when [`KvStore::flush`] has returned
/// after it. The store flushes by itself [`KvOptions::flush_every`] after a write at the latest, and when its last
/// handle is dropped. A crash of the host loses what was written since the last flush, never a part of one write
/// and never anything older.
///
/// *Who waits for the disk*: no write waits for its own flush, but one write at a time is made, and a flush is one:
/// who writes while the disk takes its time waits for it (a guest, without holding up others, and no longer than
/// its deadline). A read waits where what it wants is not in memory (16 MiB are, for all agents), and so does the
/// first handle of an agent, for which everything that the agent has stored is counted.
///
/// *When the disk is full* or fails, calls answer `FAILED`, [`KvOptions::on_failure`] hears of it once, and the
/// database is opened anew every [`KvOptions::reopen_every`] until that works: as it was flushed last, as after a
/// crash.
///
/// There is no cap for all agents together, and what an agent has stored stays when it is removed:
/// [`KvHandle::clear`] is for whoever knows that it will not come back. On the disk an entry takes more than it
/// counts: the agent's name, and pages that are half empty.
#[derive(Clone)]
pub struct KvStore(Arc<Shared>);

/// What the store, its handles and nobody else keep alive.
struct Shared {
    core: Arc<Core>,
    in_memory: bool,
    /// The agents that have a handle now. No agent may be dropped while this is locked: its end locks it.
    agents: Mutex<HashMap<Box<str>, Weak<Agent>>>,
    /// Ends when this is dropped.
    _flusher: Option<Flusher>,
}

/// In memory nobody flushes, but pages that are not used any more are given back by a flush only.
const FLUSH_MEMORY: u64 = 1_024;

impl KvStore {
    /// A storage that ends with its last handle.
    ///
    /// # Errors
    /// [`KvError::Storage`] if the database cannot be made.
    pub fn in_memory() -> Result<Self, KvError> {
        Self::with_backend(InMemoryBackend::new, KvOptions::default(), true)
    }

    /// The storage in `directory`, which is made if it is not there. It must be this user's alone (0700, and the
    /// file in it 0600). One process at a time can have it open. All of it is read, to find damage before an agent
    /// does: about a second for each gigabyte.
    ///
    /// # Errors
    /// [`KvError::Open`].
    pub fn open(directory: &Path, options: KvOptions) -> Result<Self, KvError> {
        let directory = directory.to_owned();
        let open = move || {
            let path = directory.join(FILE);
            let failed = |why: String| KvError::Open { path: path.clone(), why: why.into() };
            let parent = own_file::Directory::open(&directory)
                .map_err(|why| KvError::Open { path: directory.clone(), why: why.to_string().into() })?;
            let file = parent.file(FILE).map_err(|error| failed(error.to_string()))?;
            let made = database::caught(|| {
                let backend = FileBackend::new(file).map_err(KvError::storage)?;
                builder().create_with_backend(backend).map_err(KvError::storage)
            });
            made.map_err(|error| match error {
                KvError::Storage(why) => failed(why.to_string()),
                error => error,
            })
        };
        Self::of(Box::new(open), options, false)
    }

    fn with_backend<B: StorageBackend>(
        backend: impl Fn() -> B + Send + Sync + 'static,
        options: KvOptions,
        in_memory: bool,
    ) -> Result<Self, KvError> {
        let open = move || builder().create_with_backend(backend()).map_err(KvError::storage);
        Self::of(Box::new(open), options, in_memory)
    }

    fn of(open: Open, options: KvOptions, in_memory: bool) -> Result<Self, KvError> {
        let core = Arc::new(Core::new(open, &options)?);
        let flusher = if in_memory { None } else { Some(Flusher::start(&core, options)?) };
        Ok(Self(Arc::new(Shared { core, in_memory, agents: Mutex::default(), _flusher: flusher })))
    }

    /// The part that belongs to the agent called `name`, which may use `cap` bytes, counted as [`entry_bytes`]
    /// does. Handles of one name share the cap that was given last. For the first of them, what is stored already is
    /// counted now.
    ///
    /// # Errors
    /// [`KvError::Name`], or the storage's failure.
    pub fn agent(&self, name: &str, cap: MemoryBytes) -> Result<KvHandle, KvError> {
        if name.is_empty() || name.len() > codec::MAX_NAME {
            return Err(KvError::Name(name.len()));
        }
        let agent = {
            let mut agents = self.0.agents.lock();
            let known = agents.get(name).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let agent = Arc::new(Agent::new(self.0.clone(), name));
                agents.insert(name.into(), Arc::downgrade(&agent));
                agent
            })
        };
        // Others need not wait for it.
        agent.count()?;
        agent.set_cap(cap);
        Ok(KvHandle(agent))
    }

    /// Puts everything that was written so far on the disk. Waits for the disk.
    ///
    /// # Errors
    /// [`KvError::Storage`].
    pub fn flush(&self) -> Result<(), KvError> {
        self.0.core.flush()
    }

    /// Whether reading or writing has failed, and it was not opened anew since. Storage in memory never is.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.0.core.has_failed()
    }
}

impl std::fmt::Debug for KvStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KvStore").field("in_memory", &self.0.in_memory).finish_non_exhaustive()
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    // A file that somebody has damaged is then an error now, and no panic later.
    builder.set_check_integrity_on_open(true);
    builder
}

impl Shared {
    /// Another write was made, which is not flushed yet.
    fn written(&self) {
        let before = self.core.unflushed.fetch_add(1, Ordering::AcqRel);
        match &self._flusher {
            Some(flusher) if before == 0 => flusher.wake(),
            None if before + 1 >= FLUSH_MEMORY => {
                // In memory this takes microseconds; a failure was told.
                let _ = self.core.flush();
            }
            _ => {}
        }
    }
}
