//! [`Limits`]: how much one guest may use. Values that make no sense cannot be built.

use std::fmt;
use std::time::Duration;

use cofferdam_engine::{StoreLimits, UNLIMITED_FUEL};
use serde::Serialize;

/// An amount of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct MemoryBytes(u64);

impl MemoryBytes {
    /// `n` bytes.
    #[must_use]
    pub const fn new(n: u64) -> Self {
        Self(n)
    }
    /// `n` times 1,024 bytes, saturating.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 10))
    }
    /// `n` times 1,048,576 bytes, saturating.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 20))
    }
    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// In the largest binary unit that leaves few digits: `10 MiB`, `1.5 KiB`, `12 B`.
impl fmt::Display for MemoryBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", bytesize::ByteSize::b(self.0).display().iec())
    }
}

/// An amount of fuel, at most [`UNLIMITED_FUEL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Fuel(u64);

impl Fuel {
    /// More than any guest can use up.
    pub const UNLIMITED: Self = Self(UNLIMITED_FUEL);

    /// `n` units, or [`Fuel::UNLIMITED`] if `n` is more than that.
    #[must_use]
    pub const fn new(n: u64) -> Self {
        Self(if n < UNLIMITED_FUEL { n } else { UNLIMITED_FUEL })
    }
    /// The number of units.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// How much one guest may use. Start from [`Limits::agent`] or [`Limits::tool`] and change what you need: a
/// literal has to end in `..`, so that a limit that is added later has a value in programs that do not know it.
///
/// ```
/// use cofferdam::policy::{Fuel, Limits, MemoryBytes};
/// let limits = Limits { memory: MemoryBytes::mib(32), fuel: Fuel::new(5_000_000), ..Limits::agent() };
/// assert_eq!(limits.timeout, Limits::agent().timeout);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Bytes over all linear memories of the guest.
    pub memory: MemoryBytes,
    /// Fuel of one call.
    pub fuel: Fuel,
    /// Wall-clock time of one call, host functions included; `None` for no deadline.
    pub timeout: Option<Duration>,
    /// Stack of one call, in the contract's deterministic units (about a byte each).
    pub stack_units: u32,
    /// Elements over all tables of the guest.
    pub table_elements: u64,
    /// Instances in the guest's store.
    pub instances: u32,
    /// Bytes written to stdout and stderr together, over the guest's life.
    pub output: MemoryBytes,
    /// Bytes of one message into the guest or out of it, as with [`Guest::call_bytes`](crate::Guest::call_bytes).
    pub message: MemoryBytes,
    /// Host calls over the guest's life.
    pub host_calls: u64,
    /// Files and directories that the guest may hold open at once.
    pub open_files: u32,
    /// Bytes of memory that its memory file systems and overlays hold together. The rules are those of
    /// [`WasiLimits::scratch_bytes`](crate::host::wasi::WasiLimits::scratch_bytes).
    pub scratch: MemoryBytes,
    /// Bytes that it may write to host directories, over its life. The rules are those of
    /// [`WasiLimits::disk_bytes`](crate::host::wasi::WasiLimits::disk_bytes).
    pub disk: MemoryBytes,
    #[doc(hidden)]
    #[serde(skip)]
    pub __more: More,
}

/// Not to be written by hand, so that literals of the structs that have one end in `..`: fields can
/// be added without breaking a program.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct More(());

impl More {
    pub(crate) const NONE: Self = Self(());
}

impl Default for More {
    fn default() -> Self {
        Self::NONE
    }
}

impl Limits {
    /// For guests that stay and are called often: 10 MiB, 1,000,000 fuel, 5 s, messages of 100 KiB. These are
    /// the seed defaults of the design that Cofferdam started from.
    #[must_use]
    pub const fn agent() -> Self {
        Self {
            memory: MemoryBytes::mib(10),
            fuel: Fuel::new(1_000_000),
            timeout: Some(Duration::from_secs(5)),
            stack_units: 512 << 10,
            table_elements: 100_000,
            instances: 16,
            output: MemoryBytes::mib(1),
            message: MemoryBytes::kib(100),
            host_calls: u64::MAX,
            open_files: 64,
            scratch: MemoryBytes::mib(16),
            disk: MemoryBytes::mib(64),
            __more: More::NONE,
        }
    }

    /// For guests that are called once, and for `cofferdam run`: 64 MiB, 30 s, and fuel for about 10 s
    /// of work on a compiling engine (measured: three to nine units a nanosecond on compute kernels).
    #[must_use]
    pub const fn tool() -> Self {
        Self {
            memory: MemoryBytes::mib(64),
            fuel: Fuel::new(50_000_000_000),
            timeout: Some(Duration::from_secs(30)),
            output: MemoryBytes::mib(64),
            message: MemoryBytes::mib(64),
            open_files: 1_024,
            scratch: MemoryBytes::mib(64),
            disk: MemoryBytes::mib(1024),
            ..Self::agent()
        }
    }

    /// What a store is given of it.
    #[must_use]
    pub fn store(&self) -> StoreLimits {
        StoreLimits {
            memory_bytes: self.memory.get(),
            table_elements: self.table_elements,
            stack_units: self.stack_units,
            instances: self.instances,
            host_calls: self.host_calls,
        }
    }
}

impl Default for Limits {
    /// [`Limits::agent`], the tighter of the two.
    fn default() -> Self {
        Self::agent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuel_cannot_pass_what_a_signed_counter_holds() {
        assert_eq!(Fuel::new(u64::MAX), Fuel::UNLIMITED);
        assert_eq!(Fuel::new(5).get(), 5);
    }

    #[test]
    fn memory_is_shown_in_binary_units() {
        assert_eq!(MemoryBytes::mib(10).to_string(), "10.0 MiB");
        assert_eq!(MemoryBytes::kib(u64::MAX).get(), u64::MAX);
    }

    #[test]
    fn the_seed_defaults_are_law() {
        let agent = Limits::agent();
        assert_eq!((agent.memory.get(), agent.fuel.get()), (10 << 20, 1_000_000));
        assert_eq!(agent.timeout, Some(Duration::from_secs(5)));
        assert_eq!((agent.stack_units, agent.message.get()), (512 * 1024, 100 << 10));
        let tool = Limits::tool();
        assert_eq!((tool.memory.get(), tool.timeout), (64 << 20, Some(Duration::from_secs(30))));
    }
}
