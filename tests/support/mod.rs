//! What the hostile tests share: limits, guests by name, WASI that reaches nothing.

use std::path::PathBuf;

use cofferdam::host::wasi::{Output, Stdin, WasiConfig};
use cofferdam::policy::{Fuel, Grants, Limits, MemoryBytes, SecurityPolicy};
use cofferdam::sandbox::{GuestError, LoadError};
use cofferdam::{Engine, FuelMode, Guest, GuestState, Sandbox};
use std::sync::Arc;
use std::time::Duration;

/// Limits for hostile guests: small, and one second.
pub fn tight() -> Limits {
    Limits {
        memory: MemoryBytes::mib(16),
        fuel: Fuel::UNLIMITED,
        timeout: Some(Duration::from_secs(1)),
        ..Limits::agent()
    }
}

/// A hostile guest of `tests/guests/hostile`.
pub fn hostile(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/guests/hostile").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A policy with WASI granted.
pub fn policy(mode: FuelMode, limits: Limits) -> SecurityPolicy {
    SecurityPolicy::standard().grants(Grants::wasi()).fuel_mode(mode).limits(limits)
}

/// WASI that reaches nothing: no arguments, empty stdin, captured output.
pub fn closed_wasi() -> WasiConfig {
    WasiConfig { stdin: Stdin::Empty, stdout: Output::Capture, stderr: Output::Capture, ..WasiConfig::default() }
}

/// Why a guest could not be had.
#[derive(Debug)]
pub enum Refused {
    Load(LoadError),
    Guest(GuestError),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Guest(error) => error.fmt(f),
        }
    }
}

/// A guest from `module` on `engine` under `policy`.
pub fn guest_with(
    engine: &Arc<dyn Engine>,
    policy: SecurityPolicy,
    module: &[u8],
    wasi: WasiConfig,
) -> Result<Guest, Refused> {
    let sandbox = Sandbox::builder(engine.clone()).policy(policy).build().expect("the engine can enforce the policy");
    let module = sandbox.load(module).map_err(Refused::Load)?;
    let wasi = wasi.build().expect("the configuration is good");
    sandbox.guest(&module, GuestState::with_wasi(wasi)).map_err(Refused::Guest)
}
