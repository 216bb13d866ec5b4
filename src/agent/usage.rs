//! What an agent has used: [`Counters`], kept while it runs, and [`AgentInfo`], shown to whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::body::Since;
use super::desk::Failure;
use super::id::{AgentId, AgentName};
use super::lifecycle::State;
use crate::policy::MemoryBytes;
use crate::sandbox::Receipt;

/// Sums over all instances of one agent.
#[derive(Debug, Default)]
pub(super) struct Counters {
    fuel: AtomicU64,
    tool_fuel: AtomicU64,
    calls: AtomicU64,
    wall_ns: AtomicU64,
    host_calls: AtomicU64,
    memory: AtomicU64,
    peak_memory: AtomicU64,
    pub messages_in: AtomicU64,
    pub messages_out: AtomicU64,
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
    pub violations: AtomicU64,
    pub cap_hits: AtomicU64,
    pub said_no: AtomicU64,
    pub cut_off: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

pub(super) fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Counters {
    /// A call has ended. `since` is what happened in this call.
    pub fn called(&self, receipt: &Receipt, since: &Since) {
        add(&self.fuel, receipt.fuel);
        add(&self.tool_fuel, since.tool_fuel);
        add(&self.calls, 1);
        add(&self.wall_ns, u64::try_from(receipt.wall.as_nanos()).unwrap_or(u64::MAX));
        add(&self.host_calls, since.host_calls);
        self.memory.store(since.memory, Ordering::Relaxed);
        self.peak_memory.fetch_max(receipt.peak_memory_bytes, Ordering::Relaxed);
    }

    /// What its instance holds between calls; 0 when it is gone.
    pub fn holds(&self, memory: u64) {
        self.memory.store(memory, Ordering::Relaxed);
        self.peak_memory.fetch_max(memory, Ordering::Relaxed);
    }

    pub fn usage(&self) -> AgentUsage {
        AgentUsage {
            memory: MemoryBytes::new(get(&self.memory)),
            peak_memory: MemoryBytes::new(get(&self.peak_memory)),
            fuel: get(&self.fuel),
            tool_fuel: get(&self.tool_fuel),
            calls: get(&self.calls),
            wall: Duration::from_nanos(get(&self.wall_ns)),
            host_calls: get(&self.host_calls),
            messages_in: get(&self.messages_in),
            messages_out: get(&self.messages_out),
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
            violations: get(&self.violations),
            cap_hits: get(&self.cap_hits),
            failed_messages: get(&self.said_no),
            cut_off: get(&self.cut_off),
        }
    }
}

/// What an agent has used since it was deployed. Exact between its calls; what a call costs is added when it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AgentUsage {
    /// Linear memory that its instance holds, in bytes.
    pub memory: MemoryBytes,
    /// The most linear memory that an instance of it has held, in bytes.
    pub peak_memory: MemoryBytes,
    /// Fuel: the sum over the receipts of its calls.
    pub fuel: u64,
    /// Fuel of the tools that it called, which is not in its own receipts. A fuel rate counts both.
    pub tool_fuel: u64,
    /// Calls into it: hooks and [`Runtime::execute`](super::Runtime::execute).
    pub calls: u64,
    /// Wall-clock time of its calls.
    pub wall: Duration,
    /// Host calls that it made.
    pub host_calls: u64,
    /// Messages that it was given, replies among them.
    pub messages_in: u64,
    /// Messages of its own that were accepted, replies among them; once for each receiver.
    pub messages_out: u64,
    /// Bytes of the messages in.
    pub bytes_in: u64,
    /// Bytes of the messages out.
    pub bytes_out: u64,
    /// Host calls that were denied, growths that were refused, traps and calls that a limit stopped.
    pub violations: u64,
    /// Host calls that were answered with `FULL` or `TOO_LARGE`. They are no violations: a full mailbox is everyday
    /// business.
    pub cap_hits: u64,
    /// Messages for which its hook returned a negative status.
    pub failed_messages: u64,
    /// Calls that were cut off because it had no time left to drain.
    pub cut_off: u64,
}

/// An agent as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AgentInfo {
    /// Its id.
    pub id: AgentId,
    /// Its name.
    pub name: AgentName,
    /// What it is doing.
    pub state: State,
    /// Why it failed, when, and how often, if it has.
    pub failure: Option<Failure>,
    /// Its engine's id.
    pub engine: &'static str,
    /// Messages that wait for it.
    pub queued: usize,
    /// What it has used.
    pub usage: AgentUsage,
    /// When it was deployed, by the host's clock.
    pub deployed: SystemTime,
}
