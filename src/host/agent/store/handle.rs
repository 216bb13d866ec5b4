//! [`KvHandle`]: the part of the storage that belongs to one agent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::ReadableTable;

use super::{KvError, MAX_KEY, Shared, WriteError, codec, entry_bytes};
use crate::policy::MemoryBytes;

/// The storage of one agent. Clones are the same storage. See [`KvStore`](super::KvStore) for when a write is safe.
#[derive(Clone)]
pub struct KvHandle(pub(super) Arc<Agent>);

/// One for each agent that has a handle.
pub(super) struct Agent {
    shared: Arc<Shared>,
    name: Box<str>,
    cap: AtomicU64,
    /// Changed only while the database is written to, which one at a time can do.
    used: AtomicU64,
}

impl Agent {
    /// Finds out what the agent has stored already.
    pub(super) fn count(shared: Arc<Shared>, name: &str, cap: MemoryBytes) -> Result<Self, KvError> {
        let agent = Self { shared, name: name.into(), cap: AtomicU64::new(cap.get()), used: AtomicU64::new(0) };
        let mut used = 0;
        agent.walk(b"", |key, value| {
            used += entry_bytes(key.len(), value);
            Ok::<(), KvError>(())
        })?;
        agent.used.store(used, Ordering::Release);
        Ok(agent)
    }

    pub(super) fn set_cap(&self, cap: MemoryBytes) {
        self.cap.store(cap.get(), Ordering::Release);
    }

    /// Shows every key under `prefix` in order, with the length of its value.
    fn walk<E: From<KvError>>(
        &self,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let core = &self.shared.core;
        let table = self.shared.begin_read()?;
        let from = codec::encode(&self.name, prefix);
        let entries = table.range::<&[u8]>(from.as_slice()..).map_err(|error| core.failure(error))?;
        for entry in entries {
            let (encoded, value) = entry.map_err(|error| core.failure(error))?;
            let Some(key) = codec::decode(&self.name, encoded.value()).filter(|key| key.starts_with(prefix)) else {
                break;
            };
            visit(key, value.value().len())?;
        }
        Ok(())
    }
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
        check(key)?;
        let table = self.0.shared.begin_read()?;
        let found = table.get(codec::encode(&self.0.name, key).as_slice());
        let found = found.map_err(|error| self.0.shared.core.failure(error))?;
        Ok(found.map(|value| value.value().to_vec()))
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
        let agent = &*self.0;
        let cost = entry_bytes(key.len(), value.len());
        let full = |need| KvError::Full { need: MemoryBytes::new(need), cap: self.cap() };
        let refused = check(key).err().or_else(|| (cost > self.cap().get()).then(|| full(cost)));
        if let Some(error) = refused {
            return Some(Err(error));
        }
        let encoded = codec::encode(&agent.name, key);
        let mut used = 0;
        let done = agent.shared.core.write(wait, |table| {
            let old = table.get(encoded.as_slice())?.map_or(0, |old| entry_bytes(key.len(), old.value().len()));
            used = agent.used.load(Ordering::Acquire).saturating_sub(old).saturating_add(cost);
            // An agent above a cap that was lowered may still make its entries smaller.
            if used > self.cap().get() && cost > old {
                return Err(WriteError::Refused(full(used)));
            }
            table.insert(encoded.as_slice(), value)?;
            agent.used.store(used, Ordering::Release);
            Ok(true)
        })?;
        if done.is_ok() {
            agent.shared.written();
        }
        Some(done)
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
        let agent = &*self.0;
        if let Err(error) = check(key) {
            return Some(Err(error));
        }
        let encoded = codec::encode(&agent.name, key);
        let mut was_there = false;
        let done = agent.shared.core.write(wait, |table| {
            if let Some(old) = table.remove(encoded.as_slice())? {
                was_there = true;
                agent.used.fetch_sub(entry_bytes(key.len(), old.value().len()), Ordering::AcqRel);
            }
            Ok(was_there)
        })?;
        if done.is_ok() && was_there {
            agent.shared.written();
        }
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
        self.0.walk(prefix, visit)
    }

    /// Takes away everything that the agent has stored.
    ///
    /// # Errors
    /// The storage's failure; nothing is changed then.
    pub fn clear(&self) -> Result<(), KvError> {
        let agent = &*self.0;
        let done = agent.shared.core.write(true, |table| {
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
            agent.used.store(0, Ordering::Release);
            Ok(!keys.is_empty())
        });
        let done = done.unwrap_or(Ok(()));
        if done.is_ok() {
            agent.shared.written();
        }
        done
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
