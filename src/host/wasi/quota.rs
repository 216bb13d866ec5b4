//! What a guest's files may take: of the host's memory (scratch) and of the host's disk.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::errno::Errno;

/// What each name that a guest makes on the host's disk counts beside its bytes: a block, as file systems
/// allocate them, so that empty files and directories are not for nothing.
pub(super) const HOST_NAME_BYTES: u64 = 4096;

/// The account of one guest, shared by everything that holds files for it. Only the guest's own thread
/// changes it; the atomics are there so that state can be sent between threads.
#[derive(Debug)]
pub(super) struct Quota {
    /// Bytes of memory that files of memory file systems and overlays hold; what is freed is given back.
    pub scratch: Pool,
    /// Bytes written to host directories; never given back, because what becomes of them on the host's
    /// disk is not ours to see.
    pub disk: Pool,
    /// Fuel for work that the price of a call does not cover, such as long chains of links.
    owed: AtomicU64,
}

impl Quota {
    pub fn new(scratch: u64, disk: u64) -> Self {
        Self { scratch: Pool::new(scratch), disk: Pool::new(disk), owed: AtomicU64::new(0) }
    }

    /// Notes work to be paid for at the end of the call.
    pub fn owe(&self, fuel: u64) {
        self.owed.fetch_add(fuel, Relaxed);
    }

    /// What is to be paid now.
    pub fn settle(&self) -> u64 {
        if self.owed.load(Relaxed) == 0 { 0 } else { self.owed.swap(0, Relaxed) }
    }
}

/// Bytes, up to a limit.
#[derive(Debug)]
pub(super) struct Pool {
    limit: AtomicU64,
    used: AtomicU64,
    refused: AtomicU64,
}

impl Pool {
    fn new(limit: u64) -> Self {
        Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    /// At most `limit` bytes from now on; what is used stays used.
    pub fn tighten(&self, limit: u64) {
        self.limit.fetch_min(limit, Relaxed);
    }

    pub fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    pub fn left(&self) -> u64 {
        self.limit.load(Relaxed).saturating_sub(self.used())
    }

    /// How often a call was refused or cut short.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub fn count_refusal(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Takes `bytes` if they are there. Refusals are not counted: the caller may try with less.
    pub fn try_take(&self, bytes: u64) -> bool {
        let fits = bytes <= self.left();
        if fits {
            self.used.fetch_add(bytes, Relaxed);
        }
        fits
    }

    /// Takes `bytes`, or none of them.
    pub fn take(&self, bytes: u64) -> Result<(), Errno> {
        if self.try_take(bytes) {
            return Ok(());
        }
        self.count_refusal();
        Err(Errno::NoSpace)
    }

    pub fn give_back(&self, bytes: u64) {
        self.used.store(self.used().saturating_sub(bytes), Relaxed);
    }
}
