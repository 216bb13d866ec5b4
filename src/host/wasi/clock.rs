//! Clocks: `clock_res_get`, `clock_time_get`, and the time that `poll_oneoff` sleeps by.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use cofferdam_engine::Caller;

use super::config::Clocks;
use super::errno::{Done, Errno};
use super::state::WasiState;

/// What one reading of a virtual clock takes, so that a guest that waits for time to pass sees it pass.
const STEP_NS: u64 = 1_000_000;

/// A clock of preview 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) enum ClockId {
    /// Since 1970.
    Realtime,
    /// Since the guest was made; never back.
    Monotonic,
    /// Processor time, of the process or the thread. Answered with the monotonic clock: the guest's own
    /// processor time is counted in fuel.
    Cpu,
}

impl TryFrom<u32> for ClockId {
    type Error = Errno;

    fn try_from(id: u32) -> Result<Self, Errno> {
        match id {
            0 => Ok(Self::Realtime),
            1 => Ok(Self::Monotonic),
            2 | 3 => Ok(Self::Cpu),
            _ => Err(Errno::Invalid),
        }
    }
}

/// The guest's clocks.
#[derive(Debug)]
pub(in crate::host) enum Clock {
    /// The host's.
    Real {
        /// When the guest was made.
        began: Instant,
    },
    /// Moved only by the guest.
    Virtual {
        /// The real-time clock at the start.
        start_ns: u64,
        /// How far it has moved.
        elapsed_ns: u64,
    },
}

impl Clock {
    pub(in crate::host) fn new(clocks: Clocks) -> Self {
        match clocks {
            Clocks::Real => Self::Real { began: Instant::now() },
            Clocks::Virtual { start_ns } => Self::Virtual { start_ns, elapsed_ns: 0 },
        }
    }

    /// Reads a clock, which moves a virtual one.
    pub(in crate::host) fn read(&mut self, id: ClockId) -> u64 {
        if let Self::Virtual { elapsed_ns, .. } = self {
            *elapsed_ns = elapsed_ns.saturating_add(STEP_NS);
        }
        self.now(id)
    }

    /// What a clock shows. Monotonic clocks are never 0, which some runtimes take for "no clock".
    pub(in crate::host) fn now(&self, id: ClockId) -> u64 {
        match (self, id) {
            (Self::Real { .. }, ClockId::Realtime) => {
                // A host clock before 1970 is shown as 1970.
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
            }
            (Self::Real { began }, _) => {
                u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(STEP_NS)
            }
            (Self::Virtual { start_ns, elapsed_ns }, ClockId::Realtime) => start_ns.saturating_add(*elapsed_ns),
            (Self::Virtual { elapsed_ns, .. }, _) => elapsed_ns.saturating_add(STEP_NS),
        }
    }

    /// Moves a virtual clock by `ns`; a real one moves by itself.
    pub(super) fn advance(&mut self, ns: u64) {
        if let Self::Virtual { elapsed_ns, .. } = self {
            *elapsed_ns = elapsed_ns.saturating_add(ns);
        }
    }

    pub(in crate::host) fn is_virtual(&self) -> bool {
        matches!(self, Self::Virtual { .. })
    }
}

pub(super) fn clock_res_get(caller: &mut Caller<'_>, id: u32, out: u32) -> Done {
    ClockId::try_from(id)?;
    let resolution: u64 = if WasiState::of(caller)?.clock.is_virtual() { STEP_NS } else { 1 };
    Ok(caller.write(out, &resolution.to_le_bytes())?)
}

pub(super) fn clock_time_get(caller: &mut Caller<'_>, id: u32, _precision: u64, out: u32) -> Done {
    let id = ClockId::try_from(id)?;
    let now = WasiState::of(caller)?.clock.read(id);
    Ok(caller.write(out, &now.to_le_bytes())?)
}
