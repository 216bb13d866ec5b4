//! What `cofferdam-wasix` asks of the runtime: where it is kept, the streams, and who pays.

use std::sync::{Arc, OnceLock};

use cofferdam_engine::{Caller, HostError, Import, Imports};
use cofferdam_wasix::{Allowance, Config, Host, Limits, Stream, Wasix, WasixError};

use crate::host::GuestState;
use crate::host::wasi::{self, WasiState};

/// Host memory that a WASIX program may come to take beside what its WASI counts: wasmer-wasix remembers paths.
pub const HOST_BYTES: u64 = 16 << 20;

/// The runtime, as the bridge sees it.
struct Bridge;

impl Host for Bridge {
    type State = GuestState;

    fn slot(state: &mut GuestState) -> &mut Option<Box<Wasix>> {
        &mut state.wasix
    }

    fn write(caller: &mut Caller<'_>, stream: Stream, bytes: &[u8]) -> Result<Result<(), u16>, HostError> {
        wasi::write_all(caller, stream == Stream::Stderr, bytes)
    }

    fn read(caller: &mut Caller<'_>, most: usize) -> Result<Result<Vec<u8>, u16>, HostError> {
        wasi::read_some(caller, most)
    }

    fn settle(caller: &mut Caller<'_>) -> Result<(), HostError> {
        wasi::settle(caller)
    }
}

/// Every function of WASIX and preview 1 that is offered, recorded once.
///
/// # Errors
/// The crate `wasmer-wasix` has not what it should have.
pub fn imports() -> Result<&'static Imports, WasixError> {
    static IMPORTS: OnceLock<Result<Imports, WasixError>> = OnceLock::new();
    let made = IMPORTS.get_or_init(|| {
        let mut imports = cofferdam_wasix::imports::<Bridge>()?;
        // wasmer-wasix fills any length at once, whatever the deadline.
        if let Some(Import::Host(random)) = wasi::imports().get(wasi::MODULE, "random_get") {
            cofferdam_wasix::replace(&mut imports, "random_get", random);
        }
        Ok(imports)
    });
    made.as_ref().map_err(WasixError::clone)
}

/// WASIX for a guest that was given `wasi`: the same arguments, variables and directories, under the same caps.
///
/// # Errors
/// A directory's name that WASIX cannot have.
pub fn state(wasi: &WasiState) -> Result<Wasix, WasixError> {
    let allowance = Allowance::default();
    let caps = wasi.caps();
    let dirs =
        wasi.directories().into_iter().map(|(name, files)| (name, Arc::new(files.allowed(&allowance)) as Arc<_>));
    let variables = wasi.variables().into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    Wasix::new(Config {
        args: wasi.arguments(),
        env: variables.collect(),
        dirs: dirs.collect(),
        allowance,
        limits: Limits {
            open_files: caps.open_files,
            iovs: caps.iovs,
            path_bytes: caps.path_bytes,
            ..Limits::default()
        },
    })
}
