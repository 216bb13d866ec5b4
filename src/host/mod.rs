//! What a guest may call: one room per capability. Host functions are recorded once and shared; what
//! one guest has, they find in its [`GuestState`].

pub mod agent;
pub mod wasi;
pub mod wasix;

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;

use cofferdam_engine::{Caller, HostError, Imports};

use crate::policy::{Determinism, Limits};
use agent::AgentState;
use wasi::WasiState;

/// Every host function that Cofferdam has itself: WASI's and those of agents. A policy's grants decide which of
/// them a guest is linked with.
#[must_use]
pub fn imports() -> Imports {
    let mut imports = wasi::imports().clone();
    for (module, name, import) in agent::imports().iter() {
        imports.define(module, name, import.clone());
    }
    imports
}

/// Everything the host keeps for one guest beside the engine's things. A capability that the guest was
/// not given is `None`, and calling it is a host fault that says so.
///
/// Data of your own go in with [`GuestState::with`], are found by host functions with [`CallerExt::data`], and
/// come out of [`Guest::state`](crate::Guest::state):
///
/// ```
/// use cofferdam::host::CallerExt as _;
/// use cofferdam::{engines, GuestState, HostFunc, Sandbox};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if engines::names().is_empty() { return Ok(()); }
/// struct Total(u64);
/// let add = HostFunc::typed(|caller, n: u64| {
///     caller.data::<Total>()?.0 += n;
///     Ok(())
/// });
/// let sandbox = Sandbox::builder(engines::by_name("auto")?).func("env", "add", add).build()?;
/// let module = sandbox.load(br#"(module (import "env" "add" (func $add (param i64)))
///     (func (export "twice") (param i64) (call $add (local.get 0)) (call $add (local.get 0))))"#)?;
///
/// let mut guest = sandbox.guest(&module, GuestState::default().with(Total(100)))?;
/// guest.typed::<u64, ()>("twice")?.call(&mut guest, 21)?;
/// assert_eq!(guest.state().and_then(|state| state.get::<Total>()).map(|total| total.0), Some(142));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct GuestState {
    /// Files, streams, clocks and randomness of WASI preview 1.
    pub wasi: Option<WasiState>,
    /// What the crate `wasmer-wasix` keeps for a WASIX program; it stands on `wasi`.
    #[cfg(feature = "wasix")]
    pub(crate) wasix: Option<Box<cofferdam_wasix::Wasix>>,
    /// Messages, timers, storage and whatever else makes the guest an agent.
    pub agent: Option<Box<AgentState>>,
    /// The embedder's own, by type.
    data: HashMap<TypeId, Box<dyn Any + Send>>,
}

/// Bytes below which a copy is one of the small things that every process must find room for.
const FEW: usize = 64 << 10;

/// Whether the host has memory for `len` bytes that a guest wants kept or moved. A process that asks for more than there
/// is, and has not looked before, ends.
///
/// # Errors
/// There is not so much: the guest's call ends with that.
pub(crate) fn room_for(len: usize) -> Result<(), HostError> {
    if len < FEW || Vec::<u8>::new().try_reserve_exact(len).is_ok() {
        return Ok(());
    }
    Err(no_room(len))
}

/// The host has no memory for `len` bytes more.
pub(crate) fn no_room(len: usize) -> HostError {
    HostError::failed(format_args!("the host has no memory left for {len} bytes"))
}

/// What a host function finds of its guest's [`GuestState`].
pub trait CallerExt {
    /// The embedder's data of type `T`.
    ///
    /// # Errors
    /// [`HostError::Failed`] if this guest was made without such data.
    fn data<T: Any + Send>(&mut self) -> Result<&mut T, HostError>;
}

impl CallerExt for Caller<'_> {
    fn data<T: Any + Send>(&mut self) -> Result<&mut T, HostError> {
        let found = self.state::<GuestState>()?.get_mut();
        found.ok_or_else(|| HostError::failed(format_args!("the guest was made without a `{}`", type_name::<T>())))
    }
}

impl GuestState {
    /// Puts a policy over what the host was told to keep for the guest: its caps hold however the state was
    /// configured, and nothing of the host's own world gets into a deterministic run.
    pub(crate) fn apply(&mut self, limits: &Limits, determinism: Determinism) {
        if let Some(agent) = &mut self.agent {
            agent.apply(limits, determinism);
        }
        let Some(wasi) = &mut self.wasi else { return };
        wasi.tighten(limits);
        if let Determinism::Full { seed } = determinism {
            wasi.determine(seed);
        }
    }

    /// Ends what it has of WASIX.
    pub(crate) fn without_wasix(&mut self) {
        #[cfg(feature = "wasix")]
        drop(self.wasix.take());
    }

    /// Makes it a WASIX program, with what it was given of WASI.
    #[cfg(feature = "wasix")]
    pub(crate) fn with_wasix(&mut self) -> Result<(), cofferdam_wasix::WasixError> {
        if let Some(wasi) = &self.wasi {
            self.wasix = Some(Box::new(wasix::state(wasi)?));
        }
        Ok(())
    }

    /// Bytes of the host's memory that the guest may come to take beside its linear memory.
    pub(crate) fn host_bytes(&self) -> u64 {
        let wasi = self.wasi.as_ref().map_or(0, WasiState::host_bytes);
        #[cfg(feature = "wasix")]
        let wasi = wasi.saturating_add(if self.wasix.is_some() { wasix::HOST_BYTES } else { 0 });
        wasi.saturating_add(self.agent.as_ref().map_or(0, |agent| agent.host_bytes()))
    }

    /// A guest with WASI and nothing else.
    #[must_use]
    pub fn with_wasi(wasi: WasiState) -> Self {
        Self { wasi: Some(wasi), ..Self::default() }
    }

    /// The same for an agent.
    #[must_use]
    pub fn with_agent(mut self, agent: AgentState) -> Self {
        self.agent = Some(Box::new(agent));
        self
    }

    /// The same with `data` of the embedder's own; one of each type.
    #[must_use]
    pub fn with<T: Any + Send>(mut self, data: T) -> Self {
        self.data.insert(TypeId::of::<T>(), Box::new(data));
        self
    }

    /// The embedder's data of type `T`.
    #[must_use]
    pub fn get<T: Any + Send>(&self) -> Option<&T> {
        self.data.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// The same, to be changed.
    pub fn get_mut<T: Any + Send>(&mut self) -> Option<&mut T> {
        self.data.get_mut(&TypeId::of::<T>())?.downcast_mut()
    }
}
