//! [`Core`]: the database itself. Everything that reads or writes goes through here, so that a failure, be it an
//! error or a panic in the database, is told once and leaves nothing locked; and so that it can be opened anew.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};
use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, Table, TransactionError};

use super::{KvError, KvOptions, OnFailure, TABLE};

/// Makes the database, or opens it again.
pub(super) type Open = Box<dyn Fn() -> Result<Database, KvError> + Send + Sync>;

/// The database, and whether it works.
pub(super) struct Core {
    state: Mutex<State>,
    open: Open,
    /// Writes that are not flushed yet.
    pub(super) unflushed: AtomicU64,
    /// One flush at a time.
    flushing: Mutex<()>,
    on_failure: Option<OnFailure>,
    /// What the flusher waits for.
    pub(super) signal: Signal,
}

struct State {
    /// `None` while it is being opened anew.
    opened: Option<Arc<Opened>>,
    /// Why it does not work.
    failure: Option<KvError>,
    generation: u64,
}

/// A database that is open.
pub(super) struct Opened {
    /// There until this is dropped.
    db: Option<Database>,
    /// How many have been opened before it: what was counted in one need not be so in the next.
    pub(super) generation: u64,
}

/// What the flusher waits for.
#[derive(Default)]
pub(super) struct Signal {
    pub(super) state: Mutex<Wanted>,
    pub(super) changed: Condvar,
}

/// What the flusher is wanted for.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) written: bool,
    pub(super) failed: bool,
    pub(super) closing: bool,
}

impl Signal {
    pub(super) fn set(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.state.lock());
        self.changed.notify_one();
    }
}

/// Why a write was not made.
pub(super) enum WriteError {
    Refused(KvError),
    Failed(KvError),
}

impl<E: Into<redb::Error>> From<E> for WriteError {
    fn from(error: E) -> Self {
        Self::Failed(KvError::storage(error))
    }
}

/// What a write came to.
pub(super) struct Change {
    /// What the agent uses after it.
    pub(super) used: u64,
    /// Whether there is anything to be kept.
    pub(super) changed: bool,
}

/// Runs a piece of the database's own code. Where that is damaged, it may panic.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, KvError>) -> Result<T, KvError> {
    let panicked = |_| Err(KvError::Storage("the database panicked; it may be damaged".into()));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked)
}

impl Core {
    pub(super) fn new(open: Open, options: &KvOptions) -> Result<Self, KvError> {
        let opened = Opened::new(Self::database(&open)?, 0);
        Ok(Self {
            state: Mutex::new(State { opened: Some(opened), failure: None, generation: 0 }),
            open,
            unflushed: AtomicU64::new(0),
            flushing: Mutex::new(()),
            on_failure: options.on_failure.clone(),
            signal: Signal::default(),
        })
    }

    fn database(open: &Open) -> Result<Database, KvError> {
        caught(|| {
            let db = open()?;
            // Reading must find the table from the start.
            let first = db.begin_write().map_err(KvError::storage)?;
            first.open_table(TABLE).map_err(KvError::storage)?;
            first.commit().map_err(KvError::storage)?;
            Ok(db)
        })
    }

    /// The database, if it works.
    pub(super) fn opened(&self) -> Result<Arc<Opened>, KvError> {
        let state = self.state.lock();
        match (&state.failure, &state.opened) {
            (None, Some(opened)) => Ok(opened.clone()),
            (Some(failure), _) => Err(failure.clone()),
            (None, None) => Err(KvError::Storage("it is closed".into())),
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state.lock().failure.is_some()
    }

    /// `error` has happened in `opened`. Tells the host, if it is the first.
    pub(super) fn failure(&self, opened: &Arc<Opened>, error: KvError) -> KvError {
        let mut state = self.state.lock();
        let is_first = state.failure.is_none() && state.opened.as_ref().is_some_and(|now| Arc::ptr_eq(now, opened));
        if is_first {
            state.failure = Some(error.clone());
        }
        drop(state);
        if is_first {
            tracing::error!(%error, "no agent can use its storage any more");
            if let Some(told) = &self.on_failure
                && catch_unwind(AssertUnwindSafe(|| told(&error))).is_err()
            {
                tracing::error!("what hears of failures of the agents' storage has panicked");
            }
            self.signal.set(|wanted| wanted.failed = true);
        }
        error
    }

    /// Closes the database, which has failed, and opens it again as it was flushed last.
    ///
    /// # Errors
    /// It still cannot be used. It can be tried again.
    pub(super) fn reopen(&self) -> Result<(), KvError> {
        let _flushing = self.flushing.lock();
        let old = self.state.lock().opened.take();
        // Whoever uses it still closes it.
        drop(old);
        let db = Self::database(&self.open)?;
        let mut state = self.state.lock();
        state.generation += 1;
        state.opened = Some(Opened::new(db, state.generation));
        state.failure = None;
        // What was not flushed is gone.
        self.unflushed.store(0, Ordering::Release);
        drop(state);
        tracing::warn!("agents can use their storage again; what was not on the disk when it failed is lost");
        Ok(())
    }

    /// # Errors
    /// [`KvError::Storage`].
    pub(super) fn flush(&self) -> Result<(), KvError> {
        let _flushing = self.flushing.lock();
        let opened = self.opened()?;
        let covered = self.unflushed.load(Ordering::Acquire);
        if covered == 0 {
            return Ok(());
        }
        let flushed = caught(|| {
            let flush = opened.db().and_then(|db| Ok(db.begin_write()?)).map_err(KvError::storage)?;
            // Immediate: it takes along whatever was committed without.
            flush.commit().map_err(KvError::storage)
        });
        flushed.map_err(|error| self.failure(&opened, error))?;
        self.unflushed.fetch_sub(covered, Ordering::AcqRel);
        Ok(())
    }

    /// Runs `change` as one write that is seen at once and flushed later. `None` if somebody else writes now and
    /// `wait` is false. `change` is told the database's generation.
    pub(super) fn write(
        &self,
        wait: bool,
        change: impl FnOnce(&mut Table<'_, &'static [u8], &'static [u8]>, u64) -> Result<Change, WriteError>,
    ) -> Option<Result<(Change, u64), KvError>> {
        let opened = match self.opened() {
            Ok(opened) => opened,
            Err(error) => return Some(Err(error)),
        };
        let mut refused = None;
        let written = caught(|| match write(&opened, wait, change) {
            Ok(change) => Ok(change),
            Err(WriteError::Refused(error)) => {
                refused = Some(error);
                Ok(None)
            }
            Err(WriteError::Failed(error)) => Err(error),
        });
        match (written, refused) {
            (Err(error), _) => Some(Err(self.failure(&opened, error))),
            (Ok(_), Some(refused)) => Some(Err(refused)),
            (Ok(done), None) => done.map(|change| Ok((change, opened.generation))),
        }
    }

    /// Runs `read` on what is stored now.
    ///
    /// # Errors
    /// [`KvError::Storage`].
    pub(super) fn read<T>(
        &self,
        opened: &Arc<Opened>,
        read: impl FnOnce() -> Result<T, redb::Error>,
    ) -> Result<T, KvError> {
        caught(|| read().map_err(KvError::storage)).map_err(|error| self.failure(opened, error))
    }
}

impl Opened {
    fn new(db: Database, generation: u64) -> Arc<Self> {
        Arc::new(Self { db: Some(db), generation })
    }

    fn db(&self) -> Result<&Database, redb::Error> {
        self.db.as_ref().ok_or(redb::Error::DatabaseClosed)
    }

    pub(super) fn table(&self) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, redb::Error> {
        Ok(self.db()?.begin_read()?.open_table(TABLE)?)
    }
}

impl Drop for Opened {
    /// Whoever is the last to use it closes it, which is work, too: what there is to be said of it was said.
    fn drop(&mut self) {
        let db = self.db.take();
        let _ = caught(|| {
            drop(db);
            Ok(())
        });
    }
}

fn write(
    opened: &Opened,
    wait: bool,
    change: impl FnOnce(&mut Table<'_, &'static [u8], &'static [u8]>, u64) -> Result<Change, WriteError>,
) -> Result<Option<Change>, WriteError> {
    let begun = if wait { opened.db()?.begin_write() } else { opened.db()?.try_begin_write() };
    let mut transaction = match begun {
        Ok(transaction) => transaction,
        Err(TransactionError::WouldBlock) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    transaction.set_durability(Durability::None)?;
    let done = {
        let mut table = transaction.open_table(TABLE)?;
        change(&mut table, opened.generation)
    };
    match done {
        Ok(Change { changed: true, .. }) => transaction.commit()?,
        _ => transaction.abort()?,
    }
    done.map(Some)
}
