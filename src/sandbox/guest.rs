//! [`Guest`]: one instance of a module, called as often as its state is wanted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam_engine::{
    AccessError, CallBudget, CancelHandle, Extern, FuncHandle, HostState, InstanceId, Limit, MemoryHandle, Scheduler,
    Stop, Store, Usage, Value,
};
use cofferdam_prepare::{PREPARE_VERSION, PRICE_VERSION};

use super::load::{Module, Printable};
use super::outcome::{CallRefusal, Outcome, Receipt, Report, stopped};
use super::resources::{Reservation, Resources};
use super::workers::Busy;
use crate::host::GuestState;
use crate::policy::Limits;

/// The export that makes a module a WASI command.
pub const COMMAND: &str = "_start";
/// The export that a WASI reactor wants called before any other.
const INITIALIZE: &str = "_initialize";

/// What one call may use, where that differs from the guest's limits.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// Fuel for this call.
    pub fuel: Option<crate::policy::Fuel>,
    /// Time for this call.
    pub timeout: Option<Duration>,
    /// Ends this call from outside.
    pub cancel: Option<CancelHandle>,
}

/// Why an asynchronous call gave no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotRun {
    /// No worker is free and the queue is full. Try again later.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The worker died with the guest: a fault of the host, outside any call.
    #[error("the worker thread that ran the guest died")]
    Lost,
}

/// Ends a call whose future nobody awaits any more.
struct CancelOnDrop(Option<CancelHandle>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancel) = &self.0 {
            cancel.cancel();
        }
    }
}

/// One instance with its state. Calls run on the caller's thread, one at a time; [`Guest::call_async`]
/// runs one on a worker. After a trap or a stop it answers no more: its memory may be half-written.
pub struct Guest {
    store: Box<dyn Store>,
    instance: InstanceId,
    module: Module,
    limits: Limits,
    engine: (&'static str, &'static str),
    resources: Arc<Resources>,
    /// Functions to be run before the first call, in order.
    prologue: Vec<(Option<&'static str>, FuncHandle)>,
    poisoned: bool,
    _reservation: Reservation,
}

impl Guest {
    pub(super) fn new(
        mut store: Box<dyn Store>,
        instance: InstanceId,
        module: Module,
        limits: Limits,
        engine: (&'static str, &'static str),
        resources: Arc<Resources>,
        reservation: Reservation,
    ) -> Self {
        let mut prologue = Vec::new();
        if let Some(start) = store.start(instance) {
            prologue.push((None, start));
        }
        if !module.has_function(COMMAND)
            && let Some(Extern::Func(initialize)) = store.export(instance, INITIALIZE)
            && store.func_type(initialize).is_some_and(|ty| ty.params().is_empty() && ty.results().is_empty())
        {
            prologue.push((Some(INITIALIZE), initialize));
        }
        Self {
            store,
            instance,
            module,
            limits,
            engine,
            resources,
            prologue,
            poisoned: false,
            _reservation: reservation,
        }
    }

    /// Calls the function exported as `export` under the guest's limits. The first call also runs the
    /// module's start function and, for a WASI reactor, `_initialize`, under the same budget.
    pub fn call(&mut self, export: &str, args: &[Value]) -> Report {
        self.call_with(export, args, &CallOptions::default())
    }

    /// The same with other limits for this call.
    pub fn call_with(&mut self, export: &str, args: &[Value], options: &CallOptions) -> Report {
        let resources = self.resources.clone();
        let _permit = resources.permits.acquire();
        let began = Instant::now();
        let mut consumed = 0;
        let outcome = self.run(export, args, options, began, &mut consumed);
        if !matches!(outcome, Outcome::Completed { exit_code: None, .. } | Outcome::Refused(_)) {
            self.poisoned = true;
        }
        Report { outcome, receipt: self.receipt(consumed, began.elapsed()) }
    }

    fn run(
        &mut self,
        export: &str,
        args: &[Value],
        options: &CallOptions,
        began: Instant,
        consumed: &mut u64,
    ) -> Outcome {
        if self.poisoned {
            return Outcome::Refused(CallRefusal::Poisoned);
        }
        let Some(Extern::Func(func)) = self.store.export(self.instance, export) else {
            return Outcome::Refused(self.missing(export));
        };
        let Some(ty) = self.store.func_type(func) else {
            return Outcome::Refused(self.missing(export));
        };
        if !Value::all_match(args, ty.params()) {
            return Outcome::Refused(CallRefusal::BadArguments { name: export.to_owned(), expected: ty.to_string() });
        }
        if options.cancel.as_ref().is_some_and(CancelHandle::is_cancelled) {
            return stopped(Stop::limit(Limit::Cancelled), export);
        }
        let fuel = options.fuel.unwrap_or(self.limits.fuel).get();
        let timeout = options.timeout.or(self.limits.timeout);
        let scheduler: Arc<dyn Scheduler> = self.resources.permits.clone();
        let mut budget =
            CallBudget { fuel, timeout, cancel: options.cancel.clone(), scheduler: Some(scheduler), consumed: 0 };
        for (name, func) in std::mem::take(&mut self.prologue) {
            if name == Some(export) {
                continue;
            }
            let done = self.store.call(func, &[], &mut [], &mut budget);
            *consumed += budget.consumed;
            if let Err(stop) = done {
                return stopped(stop, name.unwrap_or("start function"));
            }
            budget.fuel -= budget.consumed.min(budget.fuel);
            budget.timeout = timeout.map(|t| t.saturating_sub(began.elapsed()));
        }
        if budget.timeout == Some(Duration::ZERO) {
            return stopped(Stop::limit(Limit::Deadline), export);
        }
        let mut results = Value::results_of(&ty);
        let done = self.store.call(func, args, &mut results, &mut budget);
        *consumed += budget.consumed;
        match done {
            Ok(()) => Outcome::Completed { values: results, exit_code: None },
            Err(stop) => stopped(stop, export),
        }
    }

    fn missing(&self, export: &str) -> CallRefusal {
        let names = self.module.prepared().exports().iter().filter(|e| e.ty.kind() == "function");
        let available = names.take(10).map(|e| Printable::new(&e.name).to_string()).collect();
        CallRefusal::MissingExport { name: Printable::new(export).to_string(), available }
    }

    fn receipt(&self, fuel: u64, wall: Duration) -> Receipt {
        let usage = self.store.usage();
        let prepared = self.module.prepared();
        Receipt {
            engine: self.engine.0,
            engine_version: self.engine.1,
            module_hash: prepared.hash(),
            fuel,
            fuel_mode: prepared.mode(),
            price_version: PRICE_VERSION,
            prepare_version: PREPARE_VERSION,
            peak_memory_bytes: usage.peak_memory_bytes,
            refused_growths: usage.refused_growths,
            host_calls: usage.host_calls,
            wall,
        }
    }

    /// Calls on a worker thread and gives the guest back with the report. Dropping the future cancels
    /// the call; the guest is then dropped when it has stopped. Host functions that wait are driven with
    /// the caller's tokio runtime entered.
    ///
    /// # Errors
    /// [`NotRun::Busy`] if every worker is taken and the queue is full; the guest is dropped then.
    pub async fn call_async(
        mut self,
        export: String,
        args: Vec<Value>,
        mut options: CallOptions,
    ) -> Result<(Self, Report), NotRun> {
        // A handle of our own: dropping the future must reach this call and no other of the caller's.
        let cancel = options.cancel.as_ref().map_or_else(CancelHandle::new, CancelHandle::child);
        options.cancel = Some(cancel.clone());
        let mut cancel_on_drop = CancelOnDrop(Some(cancel));
        let handle = tokio::runtime::Handle::try_current().ok();
        let (send, receive) = tokio::sync::oneshot::channel();
        let resources = self.resources.clone();
        resources.workers.submit(move || {
            let _entered = handle.as_ref().map(tokio::runtime::Handle::enter);
            let report = self.call_with(&export, &args, &options);
            // Nobody receives if the future was dropped; the guest is then dropped here.
            let _ = send.send((self, report));
        })?;
        let done = receive.await;
        cancel_on_drop.0 = None;
        done.map_err(|_| NotRun::Lost)
    }

    /// What the guest holds and has held at most.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.store.usage()
    }

    /// Whether it answers no more calls.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// The module it is an instance of.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Its state on the host's side, such as captured output.
    pub fn state(&mut self) -> Option<&mut GuestState> {
        let state: &mut HostState = self.store.state();
        state.downcast_mut()
    }

    /// Copies guest memory at `offset` of the exported memory `memory` into `into`.
    ///
    /// # Errors
    /// No such memory, or out of bounds.
    pub fn read_memory(&mut self, offset: u64, into: &mut [u8]) -> Result<(), AccessError> {
        let memory = self.memory()?;
        self.store.memory_read(memory, offset, into)
    }

    /// Copies `from` into guest memory at `offset` of the exported memory `memory`.
    ///
    /// # Errors
    /// No such memory, or out of bounds; nothing is written then.
    pub fn write_memory(&mut self, offset: u64, from: &[u8]) -> Result<(), AccessError> {
        let memory = self.memory()?;
        self.store.memory_write(memory, offset, from)
    }

    fn memory(&mut self) -> Result<MemoryHandle, AccessError> {
        match self.store.export(self.instance, "memory") {
            Some(Extern::Memory(memory)) => Ok(memory),
            _ => Err(AccessError::OutOfBounds),
        }
    }
}
