//! [`Guest`]: one instance of a module, called as often as its state is wanted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam_engine::{
    CallBudget, CancelHandle, Extern, FuncHandle, FuncType, HostState, InstanceId, Limit, Scheduler, Stop, Store,
    Usage, Value,
};
use cofferdam_prepare::{PREPARE_VERSION, PRICE_VERSION};

use super::load::{Module, Printable};
use super::outcome::{CallRefusal, Outcome, Receipt, Report, stopped};
use super::resources::{Reservation, Resources};
use crate::host::GuestState;
use crate::policy::{Fuel, Limits, More};

/// The export that makes a module a WASI command.
pub const COMMAND: &str = "_start";
/// The export that a WASI reactor wants called before any other.
const INITIALIZE: &str = "_initialize";

/// What one call may use, where that differs from the guest's limits. A literal ends in `..`, as with [`Limits`].
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// Fuel for this call.
    pub fuel: Option<Fuel>,
    /// Time for this call.
    pub timeout: Option<Duration>,
    /// Ends this call from outside.
    pub cancel: Option<CancelHandle>,
    #[doc(hidden)]
    pub __more: More,
}

impl CallOptions {
    /// No more than `fuel` for this call.
    #[must_use]
    pub fn fuel(mut self, fuel: Fuel) -> Self {
        self.fuel = Some(fuel);
        self
    }

    /// No more than `timeout` of wall-clock time for this call.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// `cancel` ends this call.
    #[must_use]
    pub fn cancel(mut self, cancel: &CancelHandle) -> Self {
        self.cancel = Some(cancel.clone());
        self
    }
}

/// What one call, or several that belong together, may spend and have spent.
pub(super) struct Spending {
    began: Instant,
    fuel: u64,
    timeout: Option<Duration>,
    cancel: Option<CancelHandle>,
    consumed: u64,
}

/// One instance with its state. Calls run on the caller's thread, one at a time; [`Guest::into_async`]
/// is for async programs. After a trap or a stop it answers no more: its memory may be half-written.
pub struct Guest {
    pub(super) store: Box<dyn Store>,
    pub(super) instance: InstanceId,
    module: Module,
    pub(super) limits: Limits,
    engine: (&'static str, &'static str),
    resources: Arc<Resources>,
    /// Functions to be run before the first call, in order.
    prologue: Vec<(Option<&'static str>, FuncHandle)>,
    poisoned: bool,
    /// Ends whatever call is under way, beside the caller's own handle: the future that waits for it is gone.
    pub(super) scope: Option<CancelHandle>,
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
            scope: None,
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
        let mut spending = self.begin(options);
        let outcome = match self.checked_call(export, args, &mut spending) {
            Ok(values) => Outcome::Completed { values, exit_code: None },
            Err(outcome) => outcome,
        };
        self.end(outcome, &spending)
    }

    fn checked_call(&mut self, export: &str, args: &[Value], spending: &mut Spending) -> Result<Vec<Value>, Outcome> {
        self.alive()?;
        let (func, ty) = self.function(export)?;
        if !Value::all_match(args, ty.params()) {
            let refusal = CallRefusal::BadArguments { name: export.to_owned(), expected: ty.to_string() };
            return Err(Outcome::Refused(refusal));
        }
        let mut results = Value::results_of(&ty);
        self.step(func, export, args, &mut results, spending)?;
        Ok(results)
    }

    pub(super) fn owns(&self, func: FuncHandle) -> bool {
        func.index_in(self.store.id()).is_some()
    }

    pub(super) fn resources(&self) -> &Arc<Resources> {
        &self.resources
    }

    /// What calls under `options` may spend together, from now on.
    pub(super) fn begin(&self, options: &CallOptions) -> Spending {
        let cancel = match (&options.cancel, &self.scope) {
            (Some(own), Some(scope)) => Some(own.with(scope)),
            (own, scope) => own.as_ref().or(scope.as_ref()).cloned(),
        };
        Spending {
            began: Instant::now(),
            fuel: options.fuel.unwrap_or(self.limits.fuel).get(),
            timeout: options.timeout.or(self.limits.timeout),
            cancel,
            consumed: 0,
        }
    }

    /// The report of what was spent. A guest that did not come back from its call, or too late, is not called again.
    pub(super) fn end(&mut self, mut outcome: Outcome, spending: &Spending) -> Report {
        let wall = spending.began.elapsed();
        // One long operator, such as `memory.grow`, may have been the last, and nothing looked at the clock after it.
        if matches!(outcome, Outcome::Completed { .. }) && spending.timeout.is_some_and(|timeout| wall > timeout) {
            outcome = Outcome::Stopped { limit: Limit::Deadline, frames: Vec::new() };
        }
        if !matches!(outcome, Outcome::Completed { exit_code: None, .. } | Outcome::Refused(_)) {
            self.poisoned = true;
        }
        Report { outcome, receipt: self.receipt(spending.consumed, wall) }
    }

    pub(super) fn alive(&self) -> Result<(), CallRefusal> {
        if self.poisoned { Err(CallRefusal::Poisoned) } else { Ok(()) }
    }

    /// The function exported as `name`, with its signature.
    pub(super) fn function(&mut self, name: &str) -> Result<(FuncHandle, FuncType), CallRefusal> {
        if let Some(Extern::Func(func)) = self.store.export(self.instance, name)
            && let Some(ty) = self.store.func_type(func)
        {
            return Ok((func, ty));
        }
        Err(self.missing(name))
    }

    /// Calls `func`, whose types were checked, out of what is left to spend. What must run before the first
    /// call is run first. `name` is for messages.
    pub(super) fn step(
        &mut self,
        func: FuncHandle,
        name: &str,
        args: &[Value],
        results: &mut [Value],
        spending: &mut Spending,
    ) -> Result<(), Outcome> {
        self.alive()?;
        if spending.cancel.as_ref().is_some_and(CancelHandle::is_cancelled) {
            return Err(stopped(Stop::limit(Limit::Cancelled), name));
        }
        self.prologue(Some(name), spending)?;
        self.spend(func, name, args, results, spending)
    }

    /// Runs what must run before the first call, if it has not been run.
    pub(super) fn settle(&mut self, spending: &mut Spending) -> Result<(), Outcome> {
        self.alive()?;
        self.prologue(None, spending)
    }

    /// Functions that must run before the first call, which is one of `called`.
    fn prologue(&mut self, called: Option<&str>, spending: &mut Spending) -> Result<(), Outcome> {
        for (prologue, first) in std::mem::take(&mut self.prologue) {
            if prologue.is_none() || prologue != called {
                self.spend(first, prologue.unwrap_or("start function"), &[], &mut [], spending)?;
            }
        }
        Ok(())
    }

    fn spend(
        &mut self,
        func: FuncHandle,
        name: &str,
        args: &[Value],
        results: &mut [Value],
        spending: &mut Spending,
    ) -> Result<(), Outcome> {
        let mut timeout = spending.timeout;
        if spending.consumed > 0 {
            timeout = timeout.map(|t| t.saturating_sub(spending.began.elapsed()));
        }
        if timeout == Some(Duration::ZERO) {
            return Err(stopped(Stop::limit(Limit::Deadline), name));
        }
        let scheduler: Arc<dyn Scheduler> = self.resources.permits.clone();
        let fuel = spending.fuel.saturating_sub(spending.consumed);
        let cancel = spending.cancel.clone();
        let mut budget = CallBudget { fuel, timeout, cancel, scheduler: Some(scheduler), consumed: 0 };
        let done = self.store.call(func, args, results, &mut budget);
        spending.consumed = spending.consumed.saturating_add(budget.consumed);
        done.map_err(|stop| stopped(stop, name))
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

    /// What the guest holds and has held at most.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.store.usage()
    }

    /// Later calls are made under the limits of a call in `limits`: fuel, time, message bytes. Those of the store
    /// stay as they were made.
    pub(crate) fn set_call_limits(&mut self, limits: &Limits) {
        self.limits.fuel = limits.fuel;
        self.limits.timeout = limits.timeout;
        self.limits.message = limits.message;
        if let Some(agent) = self.state().and_then(|state| state.agent.as_deref_mut()) {
            agent.io.output_cap = limits.message.get();
        }
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

    /// Ends the guest and gives what the host kept for it.
    #[must_use]
    pub fn into_state(mut self) -> Option<GuestState> {
        let state: HostState = std::mem::replace(self.store.state(), Box::new(()));
        state.downcast().ok().map(|state| *state)
    }
}
