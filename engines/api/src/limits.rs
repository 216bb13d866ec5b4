//! What a store may hold, and what it does hold.

use serde::Serialize;

/// Caps of one store: a guest and whatever is linked to it share them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreLimits {
    /// Bytes over all linear memories, imported and host-made ones too.
    pub memory_bytes: u64,
    /// Elements over all tables.
    pub table_elements: u64,
    /// Stack units; see the contract. Native stacks are at least four times as many bytes.
    pub stack_units: u32,
    /// Instances.
    pub instances: u32,
    /// Host calls over the store's life.
    pub host_calls: u64,
}

impl Default for StoreLimits {
    /// 10 MiB (the seed default of an agent), 100,000 elements, 512 Ki stack units, 16 instances,
    /// host calls bounded by their price only.
    fn default() -> Self {
        Self {
            memory_bytes: 10 << 20,
            table_elements: 100_000,
            stack_units: 512 << 10,
            instances: 16,
            host_calls: u64::MAX,
        }
    }
}

/// What a store holds now and has held at most. Exact, not sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Bytes of linear memory now.
    pub memory_bytes: u64,
    /// The most there were at any moment.
    pub peak_memory_bytes: u64,
    /// Table elements now.
    pub table_elements: u64,
    /// Instances now.
    pub instances: u32,
    /// Growths that the caps refused.
    pub refused_growths: u64,
    /// Host calls made.
    pub host_calls: u64,
}
