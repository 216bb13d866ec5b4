//! [`WasiState`]: what the host keeps of WASI for one guest, and how a call gets at it.

use std::path::PathBuf;
use std::sync::Arc;

use cofferdam_engine::{Caller, HostError};

use super::clock::{Clock, ClockId};
use super::config::{Clocks, Random, WasiLimits};
use super::descriptors::Descriptors;
use super::errno::Done;
use super::fs::{Terms, Volume};
use super::memory_dir::MemoryView;
use super::quota::Quota;
use super::random::Source;
use super::stream::{Input, Sink};
use crate::host::GuestState;
use crate::policy::Limits;

/// What the host keeps of WASI for one guest: made by [`WasiConfig::build`](super::WasiConfig::build),
/// given to a guest in its [`GuestState`], asked for captured output afterwards.
pub struct WasiState {
    pub(super) args: Strings,
    pub(super) env: Strings,
    pub(super) descriptors: Descriptors,
    pub(super) stdin: Input,
    /// Standard output and standard error.
    pub(super) outputs: [Sink; 2],
    /// Bytes that may still be written to them.
    pub(super) output_left: u64,
    /// Whether the last byte written to each ended no line.
    pub(super) open_line: [bool; 2],
    /// Bytes of directory listings held now.
    pub(super) listing_bytes: u64,
    /// What files may take.
    pub(super) quota: Arc<Quota>,
    /// Memory file systems and overlays, by the guest's name for each.
    pub(super) volumes: Vec<(String, Arc<Volume>)>,
    /// Directories of the host's that the guest was given, as they were named.
    pub(super) host_directories: Vec<PathBuf>,
    pub(super) clock: Clock,
    pub(super) random: Source,
    /// Streams move whole buffers: how much of one the other side has ready at a time must not be seen.
    pub(super) whole: bool,
    pub(super) limits: WasiLimits,
}

impl WasiState {
    /// Directories of the host's that the guest was given, to be changed or only read.
    pub(crate) fn host_directories(&self) -> &[PathBuf] {
        &self.host_directories
    }

    /// What the guest has written to a captured stdout so far; empty if it is not captured.
    #[must_use]
    pub fn stdout_bytes(&self) -> &[u8] {
        self.outputs[0].captured()
    }

    /// What the guest has written to a captured stderr so far; empty if it is not captured.
    #[must_use]
    pub fn stderr_bytes(&self) -> &[u8] {
        self.outputs[1].captured()
    }

    /// What the guest has written to a captured stdout and stderr, which are empty then.
    pub(crate) fn take_output(&mut self) -> [Vec<u8>; 2] {
        self.outputs.each_mut().map(Sink::take_captured)
    }

    /// Bytes written to stdout and stderr together, wherever they went.
    #[must_use]
    pub fn output_bytes(&self) -> u64 {
        self.limits.output_bytes.saturating_sub(self.output_left)
    }

    /// The memory file system or the scratch of the overlay that the guest knows as `guest`: what is in it
    /// now, to be read while the guest does not run. `None` if there is no such one.
    #[must_use]
    pub fn memory(&self, guest: &str) -> Option<MemoryView> {
        let (_, volume) = self.volumes.iter().find(|(name, _)| name == guest)?;
        Some(MemoryView::new(volume.clone()))
    }

    /// What files have taken of the guest's limits so far.
    #[must_use]
    pub fn file_usage(&self) -> FileUsage {
        let Quota { scratch, disk, .. } = &*self.quota;
        FileUsage {
            scratch_bytes: scratch.used(),
            scratch_refusals: scratch.refused(),
            disk_bytes: disk.used(),
            disk_refusals: disk.refused(),
        }
    }

    /// Whether standard error ends in the middle of a line, so that whoever writes there next should begin
    /// a new one.
    #[must_use]
    pub fn stderr_line_is_open(&self) -> bool {
        self.open_line[1]
    }

    /// Puts the policy's caps over the configuration's own: the smaller one of each counts.
    pub(crate) fn tighten(&mut self, limits: &Limits) {
        let (output_bytes, open_files) = (limits.output.get(), limits.open_files);
        self.quota.scratch.tighten(limits.scratch.get());
        self.quota.disk.tighten(limits.disk.get());
        // Listings are copies for the guest, so it has no more of them than of memory.
        self.limits.listing_bytes = self.limits.listing_bytes.min(limits.memory.get());
        let written = self.output_bytes();
        self.limits.output_bytes = self.limits.output_bytes.min(output_bytes);
        self.output_left = self.limits.output_bytes.saturating_sub(written);
        self.limits.open_files = self.limits.open_files.min(open_files);
        self.descriptors.tighten(open_files);
    }

    /// Bytes of the host's memory that the guest may come to take here: of files in memory if it has such, of
    /// captured output, of listings.
    pub(crate) fn host_bytes(&self) -> u64 {
        let files = if self.volumes.is_empty() { 0 } else { self.quota.scratch.limit() };
        let captured = self.outputs.iter().any(|output| matches!(output, Sink::Capture(_)));
        let output = if captured { self.limits.output_bytes } else { 0 };
        files.saturating_add(output).saturating_add(self.limits.listing_bytes)
    }

    /// Makes what is still the host's repeatable: clocks that stand at 0, randomness from `seed`, streams that
    /// move whole buffers. What was configured to be virtual or seeded stays as it is.
    pub(crate) fn determine(&mut self, seed: u64) {
        self.whole = true;
        if matches!(self.clock, Clock::Real { .. }) {
            self.clock = Clock::new(Clocks::Virtual { start_ns: 0 });
            // They were made by the clock that there was.
            let now = self.clock.now(ClockId::Realtime);
            self.volumes.iter().for_each(|(_, volume)| volume.made_at(now));
        }
        if self.random.is_system() {
            self.random = Source::new(Random::Seeded(seed));
        }
    }

    /// What is asked and charged while something in a file system is changed.
    pub(super) fn terms(&self) -> Terms<'_> {
        Terms { quota: &self.quota, clock: &self.clock }
    }

    /// The state of the calling guest.
    pub(super) fn of<'a>(caller: &'a mut Caller<'_>) -> Done<&'a mut Self> {
        Ok(present(&mut caller.state::<GuestState>()?.wasi)?)
    }

    /// The state of the calling guest and its memory, for copying between them.
    pub(super) fn and_memory<'a>(caller: &'a mut Caller<'_>) -> Done<(&'a mut Self, &'a mut [u8])> {
        let (state, memory) = caller.state_and_memory::<GuestState>()?;
        Ok((present(&mut state.wasi)?, memory))
    }
}

/// What files have taken of a guest's limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileUsage {
    /// Bytes that its memory file systems and overlays hold now, by the rules of
    /// [`WasiLimits::scratch_bytes`].
    pub scratch_bytes: u64,
    /// Calls that were refused or cut short because of it.
    pub scratch_refusals: u64,
    /// Bytes that it has written to host directories, by the rules of [`WasiLimits::disk_bytes`].
    pub disk_bytes: u64,
    /// Calls that were refused or cut short because of it.
    pub disk_refusals: u64,
}

impl std::fmt::Debug for WasiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasiState").field("limits", &self.limits).finish_non_exhaustive()
    }
}

fn present(wasi: &mut Option<WasiState>) -> Result<&mut WasiState, HostError> {
    wasi.as_mut().ok_or_else(|| HostError::failed("the guest calls WASI, and its state was made without it"))
}

/// Arguments or environment as the guest wants them: NUL-terminated, one after the other.
#[derive(Debug, Default)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

impl Strings {
    /// `None` if a guest could not address them all.
    pub(super) fn new(strings: impl Iterator<Item = String>) -> Option<Self> {
        let mut all = Self::default();
        for string in strings {
            all.starts.push(u32::try_from(all.bytes.len()).ok()?);
            all.bytes.extend_from_slice(string.as_bytes());
            all.bytes.push(0);
        }
        u32::try_from(all.bytes.len()).ok()?;
        u32::try_from(all.starts.len()).ok()?.checked_mul(4)?;
        Some(all)
    }

    /// All of them.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where each starts in [`Strings::bytes`].
    pub(super) fn starts(&self) -> &[u32] {
        &self.starts
    }
}
