//! [`KvHandle`]: the part of the storage that belongs to one agent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use redb::{ReadableTable, Table};

use super::database::{Change, WriteError};
use super::{KvError, MAX_KEY, Shared, codec, entry_bytes};
use crate::policy::MemoryBytes;

/// The storage of one agent. Clones are the same storage. See [`KvStore`](super::KvStore) for when a write is safe.
#[derive(Clone)]
pub struct KvHandle(pub(super) Arc<Agent>);

/// One for each agent that has a handle.
pub(super) struct Agent {
    shared: Arc<Shared>,
    name: Box<str>,
    cap: AtomicU64,
    /// As of the last write that was made.
    used: AtomicU64,
    /// In which generation of the database it was counted. Held by who writes for this agent.
    counted: Mutex<Option<u64>>,
}

impl Agent {
    pub(super) fn new(shared: Arc<Shared>, name: &str) -> Self {
        let (cap, used) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { shared, name: name.into(), cap, used, counted: Mutex::new(None) }
    }

    /// Finds out what the agent has stored already, if that is not known.
    pub(super) fn count(&self) -> Result<(), KvError> {
        // Held, so that nobody writes meanwhile.
        let mut counted = self.counted.lock();
        if counted.is_some() {
            return Ok(());
        }
        let mut used = 0;
        let generation = self.walk(b"", |key, value| {
            used += entry_bytes(key.len(), value);
            Ok::<(), KvError>(())
        })?;
        self.used.store(used, Ordering::Release);
        *counted = Some(generation);
        Ok(())
    }

    pub(super) fn set_cap(&self, cap: MemoryBytes) {
        self.cap.store(cap.get(), Ordering::Release);
    }

    /// Shows every key under `prefix` in order, with the length of its value. Gives the database's generation.
    fn walk<E: From<KvError>>(
        &self,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], usize) -> Result<(), E>,
    ) -> Result<u64, E> {
        let core = &self.shared.core;
        let opened = core.opened()?;
        let from = codec::encode(&self.name, prefix);
        let mut entries = core.read(&opened, || Ok(opened.table()?.range::<&[u8]>(from.as_slice()..)?))?;
        while let Some((encoded, value)) = core.read(&opened, || Ok(entries.next().transpose()?))? {
            let Some(key) = codec::decode(&self.name, encoded.value()).filter(|key| key.starts_with(prefix)) else {
                break;
            };
            visit(key, value.value().len())?;
        }
        Ok(opened.generation)
    }

    /// Who holds this writes for the agent. `None` if somebody else does and `wait` is false.
    fn writing(&self, wait: bool) -> Option<MutexGuard<'_, Option<u64>>> {
        if wait { Some(self.counted.lock()) } else { self.counted.try_lock() }
    }

    /// Runs `change` as one write, which is told what the agent uses now.
    fn write(
        &self,
        wait: bool,
        change: impl FnOnce(&mut Table<'_, &'static [u8], &'static [u8]>, u64) -> Result<Change, WriteError>,
    ) -> Option<Result<(), KvError>> {
        let mut counted = self.writing(wait)?;
        let before = *counted;
        let done = self.shared.core.write(wait, |table, generation| {
            let used = if before == Some(generation) {
                self.used.load(Ordering::Acquire)
            } else {
                // It was opened anew, and what was not flushed is gone.
                count(&self.name, table)?
            };
            change(table, used)
        })?;
        Some(done.map(|(change, generation)| {
            // Only now is it sure.
            self.used.store(change.used, Ordering::Release);
            *counted = Some(generation);
            drop(counted);
            if change.changed {
                self.shared.written();
            }
        }))
    }
}

/// What `agent` has stored.
fn count(agent: &str, table: &impl ReadableTable<&'static [u8], &'static [u8]>) -> Result<u64, WriteError> {
    let mut used = 0u64;
    for entry in table.range::<&[u8]>(codec::encode(agent, b"").as_slice()..)? {
        let (encoded, value) = entry?;
        let Some(key) = codec::decode(agent, encoded.value()) else { break };
        used = used.saturating_add(entry_bytes(key.len(), value.value().len()));
    }
    Ok(used)
}

impl Drop for Agent {
    fn drop(&mut self) {
        let mut agents = self.shared.agents.lock();
        // Unless somebody has opened it anew meanwhile.
        if agents.get(&self.name).is_some_and(|agent| agent.strong_count() == 0) {
            agents.remove(&self.name);
        }
    }
}

impl KvHandle {
    /// The value under `key`.
    ///
    /// # Errors
    /// A key that no entry can have, or the storage's failure.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        self.look(key, <[u8]>::to_vec)
    }

    /// What `see` makes of the value under `key`, which is not copied for it.
    ///
    /// # Errors
    /// As [`KvHandle::get`].
    pub fn look<T>(&self, key: &[u8], see: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, KvError> {
        check(key)?;
        let core = &self.0.shared.core;
        let opened = core.opened()?;
        let encoded = codec::encode(&self.0.name, key);
        let found = core.read(&opened, || Ok(opened.table()?.get(encoded.as_slice())?))?;
        Ok(found.map(|value| see(value.value())))
    }

    /// Puts `value` under `key`, in place of what was there. Waits while somebody else writes.
    ///
    /// # Errors
    /// A key that no entry can have, [`KvError::Full`], or the storage's failure. Nothing is changed then.
    pub fn set(&self, key: &[u8], value: &[u8]) -> Result<(), KvError> {
        self.put(key, value, true).unwrap_or(Ok(()))
    }

    /// The same without waiting: `None`, and nothing is changed, if somebody else writes now.
    pub fn try_set(&self, key: &[u8], value: &[u8]) -> Option<Result<(), KvError>> {
        self.put(key, value, false)
    }

    fn put(&self, key: &[u8], value: &[u8], wait: bool) -> Option<Result<(), KvError>> {
        if let Err(error) = check(key) {
            return Some(Err(error));
        }
        let cost = entry_bytes(key.len(), value.len());
        let encoded = codec::encode(&self.0.name, key);
        self.0.write(wait, |table, used| {
            let old = table.get(encoded.as_slice())?.map_or(0, |old| entry_bytes(key.len(), old.value().len()));
            let used = used.saturating_sub(old).saturating_add(cost);
            // An agent above a cap that was lowered may still make its entries smaller.
            if used > self.cap().get() && cost > old {
                return Err(WriteError::Refused(KvError::Full { need: MemoryBytes::new(used), cap: self.cap() }));
            }
            table.insert(encoded.as_slice(), value)?;
            Ok(Change { used, changed: true })
        })
    }

    /// Takes `key` away and says whether it was there. Waits while somebody else writes.
    ///
    /// # Errors
    /// A key that no entry can have, or the storage's failure.
    pub fn delete(&self, key: &[u8]) -> Result<bool, KvError> {
        self.take(key, true).unwrap_or(Ok(false))
    }

    /// The same without waiting: `None`, and nothing is changed, if somebody else writes now.
    pub fn try_delete(&self, key: &[u8]) -> Option<Result<bool, KvError>> {
        self.take(key, false)
    }

    fn take(&self, key: &[u8], wait: bool) -> Option<Result<bool, KvError>> {
        if let Err(error) = check(key) {
            return Some(Err(error));
        }
        let encoded = codec::encode(&self.0.name, key);
        let mut was_there = false;
        let done = self.0.write(wait, |table, used| {
            let old = table.remove(encoded.as_slice())?.map(|old| entry_bytes(key.len(), old.value().len()));
            was_there = old.is_some();
            Ok(Change { used: used.saturating_sub(old.unwrap_or(0)), changed: was_there })
        })?;
        Some(done.map(|()| was_there))
    }

    /// Shows every key under `prefix` (all, if it is empty) in order, with the length of its value, until `visit`
    /// fails. All of them as they are at one moment.
    ///
    /// # Errors
    /// The storage's failure, or that of `visit`.
    pub fn list<E: From<KvError>>(
        &self,
        prefix: &[u8],
        visit: impl FnMut(&[u8], usize) -> Result<(), E>,
    ) -> Result<(), E> {
        self.0.walk(prefix, visit).map(drop)
    }

    /// Takes away everything that the agent has stored.
    ///
    /// # Errors
    /// The storage's failure; nothing is changed then.
    pub fn clear(&self) -> Result<(), KvError> {
        let agent = &*self.0;
        let done = agent.write(true, |table, _| {
            let mut keys = Vec::new();
            for entry in table.range::<&[u8]>(codec::encode(&agent.name, b"").as_slice()..)? {
                let (encoded, _) = entry?;
                if codec::decode(&agent.name, encoded.value()).is_none() {
                    break;
                }
                keys.push(encoded.value().to_vec());
            }
            for key in &keys {
                table.remove(key.as_slice())?;
            }
            Ok(Change { used: 0, changed: !keys.is_empty() })
        });
        done.unwrap_or(Ok(()))
    }

    /// What the agent has stored now, counted as [`entry_bytes`](super::entry_bytes) does.
    #[must_use]
    pub fn used(&self) -> MemoryBytes {
        MemoryBytes::new(self.0.used.load(Ordering::Acquire))
    }

    /// What it may store.
    #[must_use]
    pub fn cap(&self) -> MemoryBytes {
        MemoryBytes::new(self.0.cap.load(Ordering::Acquire))
    }

    /// Lets it store `cap` from now on. What is above stays, and entries can be made smaller or taken away.
    pub fn set_cap(&self, cap: MemoryBytes) {
        self.0.set_cap(cap);
    }

    /// Whether the storage ends with the host.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        self.0.shared.in_memory
    }
}

impl std::fmt::Debug for KvHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KvHandle").field("agent", &self.0.name).field("used", &self.used()).finish_non_exhaustive()
    }
}

fn check(key: &[u8]) -> Result<(), KvError> {
    match key.len() {
        0 => Err(KvError::EmptyKey),
        1..=MAX_KEY => Ok(()),
        len => Err(KvError::LongKey(len)),
    }
}
