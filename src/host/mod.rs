//! What a guest may call: one room per capability. Host functions are recorded once and shared; what
//! one guest has, they find in its [`GuestState`].

pub mod wasi;

use crate::policy::{Determinism, Limits};
use wasi::WasiState;

/// Everything the host keeps for one guest beside the engine's things. A capability that the guest was
/// not given is `None`, and calling it is a host fault that says so.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct GuestState {
    /// Files, streams, clocks and randomness of WASI preview 1.
    pub wasi: Option<WasiState>,
}

impl GuestState {
    /// Puts a policy over what the host was told to keep for the guest: its caps hold however the state was
    /// configured, and nothing of the host's own world gets into a deterministic run.
    pub(crate) fn apply(&mut self, limits: &Limits, determinism: Determinism) {
        let Some(wasi) = &mut self.wasi else { return };
        wasi.tighten(limits);
        if let Determinism::Full { seed } = determinism {
            wasi.determine(seed);
        }
    }

    /// A guest with WASI and nothing else.
    #[must_use]
    pub fn with_wasi(wasi: WasiState) -> Self {
        Self { wasi: Some(wasi) }
    }
}
