//! [`Resources`]: what all guests of a process share: run permits, workers, compiled modules, memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::permits::{Permit, RunPermits};
use super::workers::{Busy, Workers};
use crate::cache::{DiskCache, ModuleCache};
use crate::policy::{MemoryBytes, More};

/// How much of the host the guests may have together. A literal ends in `..`, as with
/// [`Limits`](crate::policy::Limits).
#[derive(Clone, Debug)]
pub struct ResourceConfig {
    /// Guests that make progress at once. Default: one per core.
    pub run_permits: usize,
    /// Asynchronous calls in flight, each with a thread. Default 512.
    ///
    /// Agents have threads beside these, so that neither ever waits for the other: as many that wait for a message
    /// or for room in a mailbox (to any more, `receive_message` answers at once that none came, and `send_message`
    /// that there is no room), twice as many that run for longer than a slice or wait for something else, and
    /// [`run_permits`](Self::run_permits) for all others.
    pub max_calls_in_flight: usize,
    /// Asynchronous calls that wait for a thread. Default 4,096.
    pub max_queued_calls: usize,
    /// Compiled modules kept for the next load. Default 256 MiB.
    pub module_cache: MemoryBytes,
    /// Compiled modules kept on disk, shared with other processes. Default: none.
    pub disk_cache: Option<Arc<DiskCache>>,
    /// The sum of what live guests may come to take of the host's memory: of each its memory cap and, if it has
    /// WASI, its scratch if it has files in memory, its output if that is captured, and its listings. Default:
    /// no bound.
    pub memory: Option<MemoryBytes>,
    #[doc(hidden)]
    pub __more: More,
}

impl Default for ResourceConfig {
    fn default() -> Self {
        Self {
            run_permits: std::thread::available_parallelism().map_or(1, usize::from),
            max_calls_in_flight: 512,
            max_queued_calls: 4_096,
            module_cache: MemoryBytes::mib(256),
            disk_cache: None,
            memory: None,
            __more: More::NONE,
        }
    }
}

/// What all guests of a process share. Make one and give it to every sandbox.
pub struct Resources {
    pub(super) permits: Arc<RunPermits>,
    pub(super) workers: Workers,
    /// Turns to compile for those who wait without a thread: compiling takes a processor for seconds.
    pub(super) compilers: Arc<Semaphore>,
    pub(super) cache: ModuleCache,
    pub(super) disk: Option<Arc<DiskCache>>,
    memory: Arc<MemoryBudget>,
    /// Agents that wait for messages or for room.
    waits: Arc<Bound>,
    /// Agents that keep a thread for longer than a slice, those that wait among them.
    away: Arc<Bound>,
}

/// How many there may be of something, and are.
struct Bound {
    most: usize,
    taken: AtomicUsize,
}

/// One of a bounded number, given back when dropped.
pub(crate) struct Counted(Arc<Bound>);

impl Bound {
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicUsize::new(0) })
    }

    fn take(self: &Arc<Self>) -> Option<Counted> {
        let one_more = |taken| (taken < self.most).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        taken.is_ok().then(|| Counted(self.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

struct MemoryBudget {
    cap: Option<u64>,
    reserved: AtomicU64,
}

/// The host has promised as much memory to guests as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host's memory budget is spent: {need} more wanted, {reserved} of {cap} promised to guests already")]
pub struct HostMemorySpent {
    /// What the new guest may come to take.
    pub need: MemoryBytes,
    /// What all live guests may come to take.
    pub reserved: MemoryBytes,
    /// The budget.
    pub cap: MemoryBytes,
}

/// A part of the host's memory budget, given back when dropped.
pub(crate) struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.reserved.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Resources {
    /// Resources as configured.
    #[must_use]
    pub fn new(config: &ResourceConfig) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(RunPermits::new(config.run_permits)),
            workers: Workers::new(config.max_calls_in_flight, config.max_queued_calls),
            compilers: Arc::new(Semaphore::new(config.run_permits.clamp(1, Semaphore::MAX_PERMITS))),
            cache: ModuleCache::new(config.module_cache.get()),
            disk: config.disk_cache.clone(),
            memory: Arc::new(MemoryBudget { cap: config.memory.map(MemoryBytes::get), reserved: AtomicU64::new(0) }),
            waits: Bound::new(config.max_calls_in_flight.max(1)),
            away: Bound::new(config.max_calls_in_flight.max(1).saturating_mul(3)),
        })
    }

    /// Compiled modules kept.
    #[must_use]
    pub fn cache(&self) -> &ModuleCache {
        &self.cache
    }

    /// Compiled modules kept on disk, if there are any.
    #[must_use]
    pub fn disk_cache(&self) -> Option<&DiskCache> {
        self.disk.as_deref()
    }

    /// What all live guests may come to take of the host's memory, as [`ResourceConfig::memory`] counts it.
    #[must_use]
    pub fn reserved_memory(&self) -> MemoryBytes {
        MemoryBytes::new(self.memory.reserved.load(Ordering::Acquire))
    }

    /// Guests that may run at once.
    pub(crate) fn run_permits(&self) -> usize {
        self.permits.most()
    }

    /// Asynchronous calls that may be in flight at once.
    pub(crate) fn calls_in_flight(&self) -> usize {
        self.workers.most()
    }

    /// A permit to run guests on this thread, waited for.
    pub(crate) fn permit(&self) -> Permit<'_> {
        self.permits.acquire()
    }

    /// Runs agents on a worker, beside all other calls. The scheduler bounds how many do.
    pub(crate) fn submit_runner(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        self.workers.submit_runner(job)
    }

    /// Leave for an agent to wait for a message or for room; `None` if too many do.
    pub(crate) fn may_wait(&self) -> Option<Counted> {
        self.waits.take()
    }

    /// Leave for an agent to keep its thread while another takes its place; `None` if too many do.
    pub(crate) fn may_stay_away(&self) -> Option<Counted> {
        self.away.take()
    }

    /// Sets `bytes` aside for a guest, before it is made.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<Reservation, HostMemorySpent> {
        let cap = self.memory.cap.unwrap_or(u64::MAX);
        let add = |reserved: u64| reserved.checked_add(bytes).filter(|sum| *sum <= cap);
        match self.memory.reserved.fetch_update(Ordering::AcqRel, Ordering::Acquire, add) {
            Ok(_) => Ok(Reservation { budget: self.memory.clone(), bytes }),
            Err(reserved) => Err(HostMemorySpent {
                need: MemoryBytes::new(bytes),
                reserved: MemoryBytes::new(reserved),
                cap: MemoryBytes::new(cap),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_promised_once_and_comes_back() {
        let config = ResourceConfig { memory: Some(MemoryBytes::new(100)), ..ResourceConfig::default() };
        let resources = Resources::new(&config);
        let first = resources.reserve(60).expect("within the budget");
        let spent = resources.reserve(41).map(drop).expect_err("past the budget");
        assert_eq!((spent.need.get(), spent.reserved.get(), spent.cap.get()), (41, 60, 100));
        drop(first);
        let _all = resources.reserve(100).expect("all of it came back");
        assert_eq!(resources.reserved_memory().get(), 100);
    }
}
