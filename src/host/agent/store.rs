//! [`KvStore`]: bytes under keys that outlive the agents that keep them, in one `redb` database for all agents
//! of a host.
//!
//! *When it is safe*: a write is seen at once by everybody, and is on the disk when [`KvStore::flush`] has returned
//! after it. The store flushes by itself [`KvOptions::flush_every`] after a write at the latest, and when its last
//! handle is dropped. So no call of a guest waits for the disk, and a crash of the host loses what was written
//! since the last flush, never a part of one write and never anything older.
//!
//! *When the disk is full* or fails, calls answer `FAILED`, [`KvOptions::on_failure`] hears of it once, and what
//! was flushed before is there again when the store is opened the next time.

mod codec;
mod flush;
mod handle;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use redb::backends::InMemoryBackend;
use redb::{Builder, Database, Durability, ReadableDatabase, StorageBackend, TableDefinition, TransactionError};

use super::error::AbiError;
use crate::policy::MemoryBytes;
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
    on_failure: Option<OnFailure>,
}

impl Default for KvOptions {
    fn default() -> Self {
        Self { flush_every: Duration::from_millis(100), on_failure: None }
    }
}

impl KvOptions {
    /// A write is on the disk after this time and one flush at the latest. Default: 100 ms.
    #[must_use]
    pub fn flush_every(mut self, time: Duration) -> Self {
        self.flush_every = time;
        self
    }

    /// Called once, when the storage fails for the first time. It must not block, and must not use the store.
    #[must_use]
    pub fn on_failure(mut self, told: impl Fn(&KvError) + Send + Sync + 'static) -> Self {
        self.on_failure = Some(Arc::new(told));
        self
    }
}

/// The storage of all agents of a host. Clones are the same storage; everything on it may be called from many
/// threads. See the [module](self) for when a write is safe.
#[derive(Clone)]
pub struct KvStore(Arc<Shared>);

/// What the store, its handles and nobody else keep alive.
struct Shared {
    core: Arc<Core>,
    in_memory: bool,
    /// The agents that have a handle now.
    agents: Mutex<HashMap<Box<str>, Weak<Agent>>>,
    /// Ends when this is dropped.
    _flusher: Option<Flusher>,
}

/// The database, and whether it works.
struct Core {
    db: Database,
    /// Writes that are not flushed yet.
    unflushed: AtomicU64,
    /// One flush at a time.
    flushing: Mutex<()>,
    failed: AtomicBool,
    on_failure: Option<OnFailure>,
}

/// In memory nobody flushes, but pages that are not used any more are given back by a flush only.
const FLUSH_MEMORY: u64 = 1_024;

impl KvStore {
    /// A storage that ends with its last handle.
    ///
    /// # Errors
    /// [`KvError::Storage`] if the database cannot be made.
    pub fn in_memory() -> Result<Self, KvError> {
        Self::with_backend(InMemoryBackend::new(), KvOptions::default(), true)
    }

    /// The storage in `directory`, which is made if it is not there, for this user alone. One process at a time can
    /// have it open.
    ///
    /// # Errors
    /// [`KvError::Open`].
    pub fn open(directory: &Path, options: KvOptions) -> Result<Self, KvError> {
        let failed = |path: &Path, why: String| KvError::Open { path: path.to_owned(), why: why.into() };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| failed(directory, error.to_string()))?;
        let file = directory.join(FILE);
        let db = builder().create(&file).map_err(|error| failed(&file, error.to_string()))?;
        Self::of(db, options, false)
    }

    fn with_backend(backend: impl StorageBackend, options: KvOptions, in_memory: bool) -> Result<Self, KvError> {
        let db = builder().create_with_backend(backend).map_err(KvError::storage)?;
        Self::of(db, options, in_memory)
    }

    fn of(db: Database, options: KvOptions, in_memory: bool) -> Result<Self, KvError> {
        // Reading must find the table from the start.
        let first = db.begin_write().map_err(KvError::storage)?;
        first.open_table(TABLE).map_err(KvError::storage)?;
        first.commit().map_err(KvError::storage)?;
        let core = Arc::new(Core {
            db,
            unflushed: AtomicU64::new(0),
            flushing: Mutex::new(()),
            failed: AtomicBool::new(false),
            on_failure: options.on_failure,
        });
        let flusher = if in_memory { None } else { Some(Flusher::start(&core, options.flush_every)?) };
        Ok(Self(Arc::new(Shared { core, in_memory, agents: Mutex::default(), _flusher: flusher })))
    }

    /// The part that belongs to the agent called `name`, which may use `cap` bytes, counted as [`entry_bytes`]
    /// does. Handles of one name share the cap that was given last. What is stored already is counted now.
    ///
    /// # Errors
    /// [`KvError::Name`], or the storage's failure.
    pub fn agent(&self, name: &str, cap: MemoryBytes) -> Result<KvHandle, KvError> {
        if name.is_empty() || name.len() > codec::MAX_NAME {
            return Err(KvError::Name(name.len()));
        }
        // Held while what is stored is counted, so that nobody writes meanwhile.
        let mut agents = self.0.agents.lock();
        if let Some(agent) = agents.get(name).and_then(Weak::upgrade) {
            agent.set_cap(cap);
            return Ok(KvHandle(agent));
        }
        let agent = Arc::new(Agent::count(self.0.clone(), name, cap)?);
        agents.insert(name.into(), Arc::downgrade(&agent));
        Ok(KvHandle(agent))
    }

    /// Puts everything that was written so far on the disk. Waits for the disk.
    ///
    /// # Errors
    /// [`KvError::Storage`].
    pub fn flush(&self) -> Result<(), KvError> {
        self.0.core.flush()
    }

    /// Whether reading or writing has failed. A storage that has failed goes on failing until it is opened anew.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.0.core.failed.load(Ordering::Acquire)
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
    builder
}

impl Core {
    /// Makes of a database error ours, and tells the host the first time.
    fn failure(&self, error: impl Into<redb::Error>) -> KvError {
        let error = KvError::storage(error);
        if !self.failed.swap(true, Ordering::AcqRel) {
            tracing::error!(%error, "no agent can use its storage any more");
            if let Some(told) = &self.on_failure {
                told(&error);
            }
        }
        error
    }

    fn flush(&self) -> Result<(), KvError> {
        let _flushing = self.flushing.lock();
        let covered = self.unflushed.load(Ordering::Acquire);
        if covered == 0 {
            return Ok(());
        }
        let flush = self.db.begin_write().map_err(|error| self.failure(error))?;
        // Immediate: it takes along whatever was committed without.
        flush.commit().map_err(|error| self.failure(error))?;
        self.unflushed.fetch_sub(covered, Ordering::AcqRel);
        Ok(())
    }

    /// Runs `change` as one write that is seen at once and flushed later. `None` if somebody else writes now and
    /// `wait` is false; `change` says whether it changed anything.
    fn write(
        &self,
        wait: bool,
        change: impl FnOnce(&mut redb::Table<'_, &'static [u8], &'static [u8]>) -> Result<bool, WriteError>,
    ) -> Option<Result<(), KvError>> {
        let begun = if wait { self.db.begin_write() } else { self.db.try_begin_write() };
        let mut transaction = match begun {
            Ok(transaction) => transaction,
            Err(TransactionError::WouldBlock) => return None,
            Err(error) => return Some(Err(self.failure(error))),
        };
        let run = || -> Result<bool, WriteError> {
            transaction.set_durability(Durability::None).map_err(redb::Error::from)?;
            let mut table = transaction.open_table(TABLE).map_err(redb::Error::from)?;
            change(&mut table)
        };
        let changed = match run() {
            Ok(changed) => changed,
            Err(error) => {
                let ended = transaction.abort();
                return Some(Err(match (error, ended) {
                    (WriteError::Refused(error), Ok(())) => error,
                    (WriteError::Failed(error), _) => self.failure(error),
                    (_, Err(error)) => self.failure(error),
                }));
            }
        };
        let ended = if changed {
            transaction.commit().map_err(redb::Error::from)
        } else {
            transaction.abort().map_err(redb::Error::from)
        };
        Some(ended.map_err(|error| self.failure(error)))
    }
}

/// Why a write was not made.
enum WriteError {
    Refused(KvError),
    Failed(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for WriteError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
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

    fn begin_read(&self) -> Result<redb::ReadOnlyTable<&'static [u8], &'static [u8]>, KvError> {
        let transaction = self.core.db.begin_read().map_err(|error| self.core.failure(error))?;
        transaction.open_table(TABLE).map_err(|error| self.core.failure(error))
    }
}
