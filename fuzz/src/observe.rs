//! Runs a case on one engine and writes down all that can be seen of it.

use std::sync::Arc;
use std::time::Duration;

use cofferdam_conformance::compare::MemoryDigest;
use cofferdam_engine::{
    AccessError, CallBudget, CompileError, CompiledModule, Engine, EngineFault, Extern, FuelMode, FuncHandle, Imports,
    InstanceId, InstantiateError, Limit, Place, PreparedModule, Scheduler, Stop, Store, TrapKind, Usage, Value,
};
use cofferdam_prepare::{PrepareOptions, ValidModule, prepare_for};

use crate::host::{self, Kept, mix, value_of};
use crate::policy::Policy;

/// The backstop of one call. Budgets of fuel end every case long before it.
const DEADLINE: Duration = Duration::from_secs(5);
/// Calls of one run, so that a module with hundreds of exports does not take the time of others.
const MOST_CALLS: usize = 24;
/// Elements of a table that are looked at.
const MOST_ELEMENTS: u64 = 4_000;

/// How one call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It returned these.
    Completed(Vec<Seen>),
    /// It trapped.
    Trapped(TrapKind),
    /// A limit ended it.
    Limit(Limit),
    /// It asked to end.
    Exit(u32),
    /// A host function failed.
    Host(String),
    /// The engine did not take the arguments.
    BadArguments(String),
}

/// A value as it can be compared between stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Anything but a function.
    Value(Value),
    /// The function exported as the export of this number, if it is one.
    Function(Option<usize>),
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What was called.
    pub name: String,
    /// Fuel given.
    pub budget: u64,
    /// Fuel consumed.
    pub consumed: u64,
    /// How it ended.
    pub ended: Ended,
    /// Frames of a trap, where the engine can tell them.
    pub frames: Option<Vec<Place>>,
    /// Whether the engine may not know where in its function a trap was, and says so.
    pub vague: bool,
}

/// One export after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Bytes, and a hash of them.
    Memory(MemoryDigest),
    /// Its value.
    Global(Seen),
    /// Elements, and the first ones.
    Table(u64, Vec<Seen>),
}

/// All that is seen of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Why there is no instance; then there is nothing else.
    pub refused: Option<String>,
    /// Each call, in order.
    pub calls: Vec<Call>,
    /// Exported memories, globals and tables, by name.
    pub state: Vec<(String, State)>,
    /// Hash over the host calls.
    pub trace: u64,
    /// What the store holds.
    pub usage: Usage,
}

impl Observed {
    /// Whether the backstop ended one of its calls.
    #[must_use]
    pub fn cut(&self) -> bool {
        self.calls.iter().any(|call| call.ended == Ended::Limit(Limit::Deadline))
    }
}

/// Why a module does not run on an engine.
#[derive(Clone, Debug)]
pub enum Cannot {
    /// The engine says openly that it does not do this.
    Lacks(String),
    /// What no engine may do.
    Fault(String),
}

impl From<EngineFault> for Cannot {
    fn from(fault: EngineFault) -> Self {
        Self::Fault(fault.to_string())
    }
}

/// A module compiled for one engine in one mode.
pub struct Loaded {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// Who counts fuel.
    pub mode: FuelMode,
    compiled: Arc<dyn CompiledModule>,
    functions: Imports,
}

impl Loaded {
    /// Prepares and compiles `valid`.
    ///
    /// # Errors
    /// What the engine lacks, or its fault.
    pub fn new(engine: &Arc<dyn Engine>, mode: FuelMode, valid: &ValidModule) -> Result<Self, Cannot> {
        let options = PrepareOptions { mode, canonical_nans: true };
        let prepared =
            prepare_for(valid.clone(), &options, engine.assist()).map_err(|e| Cannot::Lacks(e.to_string()))?;
        let descriptor = engine.descriptor();
        let missing = prepared.used().minus(descriptor.capabilities.features);
        let compiled = match engine.compile(&prepared) {
            Ok(_) if !missing.is_empty() => {
                return Err(Cannot::Fault(format!("compiled a module with {missing:?}, which it does not claim")));
            }
            Ok(compiled) => compiled,
            Err(CompileError::Engine(fault)) => return Err(fault.into()),
            Err(CompileError::Unsupported { proposal, .. }) if !missing.has(proposal) => {
                return Err(Cannot::Fault(format!("refused a module for `{proposal}`, which it does not use")));
            }
            Err(cannot) => return Err(Cannot::Lacks(cannot.to_string())),
        };
        Ok(Self { engine: engine.clone(), mode, functions: host::functions(prepared.imports()), compiled })
    }

    /// The engine's id.
    #[must_use]
    pub fn id(&self) -> &'static str {
        self.engine.descriptor().id
    }

    /// Runs the start function and every exported function, each with its entry of `budgets`, or `fuel` where there
    /// is none.
    ///
    /// # Errors
    /// The engine's fault.
    pub fn run(&self, policy: &Policy, fuel: u64, budgets: &[u64]) -> Result<Observed, Cannot> {
        let mut store = self.engine.store(&policy.limits(), Box::new(Kept::default()))?;
        let store = &mut *store;
        let module = self.compiled.prepared();
        let refused = |store: &dyn Store, why: String| {
            Ok(Observed { refused: Some(why), usage: store.usage(), ..Observed::default() })
        };
        let imports = match host::imports(store, module, &self.functions) {
            Ok(imports) => imports,
            Err((_, AccessError::Unsupported)) => return Err(Cannot::Lacks("a host-made import".to_owned())),
            Err((at, error)) => return refused(store, format!("import {at}: {error}")),
        };
        let instance = match store.instantiate(&*self.compiled, &imports) {
            Ok(instance) => instance,
            Err(InstantiateError::Engine(fault)) => return Err(fault.into()),
            Err(InstantiateError::SignatureClash(clash)) => return Err(Cannot::Lacks(clash.to_string())),
            // The frames are the same as those of other traps, and are not what a user is shown here.
            Err(why) => return refused(store, why.to_string()),
        };
        let known = known_functions(store, instance, module);
        let mut calls = Vec::new();
        for (at, (name, func)) in functions(store, instance, module).into_iter().enumerate() {
            let fuel = budgets.get(at).copied().unwrap_or(fuel);
            calls.push(self.call(store, policy, name, func, fuel, &known)?);
        }
        let state = state(store, instance, module, &known)?;
        let kept = store.state().downcast_mut::<Kept>();
        let trace = kept.ok_or_else(|| Cannot::Fault("the store lost the guest's state".into()))?.trace;
        Ok(Observed { refused: None, calls, state, trace, usage: store.usage() })
    }

    fn call(
        &self,
        store: &mut dyn Store,
        policy: &Policy,
        name: String,
        func: FuncHandle,
        fuel: u64,
        known: &[FuncHandle],
    ) -> Result<Call, Cannot> {
        let ty = store.func_type(func).ok_or_else(|| Cannot::Fault("a function has no type".into()))?;
        let seed = mix(policy.seed, host::hash_of(&name));
        let mut args: Vec<_> = ty.params().iter().zip(0..).map(|(ty, at)| value_of(*ty, mix(seed, at))).collect();
        for (arg, at) in args.iter_mut().zip(0..) {
            if let (Value::FuncRef(func), 1..) = (arg, known.len()) {
                *func = known.get(mix(seed, at) as usize % (known.len() + 1)).copied();
            }
        }
        let mut results = Value::results_of(&ty);
        let blank = results.clone();
        let mut budget = CallBudget::of_fuel(fuel);
        budget.timeout = policy.deadline.then_some(DEADLINE);
        budget.scheduler = policy.scheduler.then(|| Arc::new(Alone) as Arc<dyn Scheduler>);
        if let Some(kept) = store.state().downcast_mut::<Kept>() {
            kept.ended = false;
        }
        let ended = store.call(func, &args, &mut results, &mut budget);
        if ended.is_err() && results != blank {
            return Err(Cannot::Fault(format!("`{name}` did not return and wrote results: {results:?}")));
        }
        if budget.consumed > fuel {
            return Err(Cannot::Fault(format!("`{name}` consumed {} of {fuel}", budget.consumed)));
        }
        let mut frames = None;
        let ended = match ended {
            Ok(()) => Ended::Completed(results.iter().map(|value| seen(*value, known)).collect()),
            Err(Stop::Trap(trap)) => {
                let by_host = store.state().downcast_ref::<Kept>().is_some_and(|kept| kept.ended);
                // Wasmer cannot trace the stack through a host function that takes or gives anything but integers.
                let untraced = by_host && trap.frames.is_empty();
                let shows = self.engine.descriptor().capabilities.trap_frames && !untraced;
                frames = shows.then_some(trap.frames);
                Ended::Trapped(trap.kind)
            }
            Err(Stop::Limit { limit: Limit::Fuel, .. }) if budget.consumed != fuel => {
                return Err(Cannot::Fault(format!("`{name}` is out of fuel with {} of {fuel}", budget.consumed)));
            }
            Err(Stop::Limit { limit, .. }) => Ended::Limit(limit),
            Err(Stop::Exit(code)) => Ended::Exit(code),
            Err(Stop::Host(why)) => Ended::Host(why.to_string()),
            Err(Stop::BadArguments { expected }) => Ended::BadArguments(expected),
            Err(Stop::Engine(fault)) => return Err(Cannot::Fault(format!("calling `{name}`: {fault}"))),
        };
        let vague = self.engine.descriptor().id == VAGUE;
        Ok(Call { name, budget: fuel, consumed: budget.consumed, ended, frames, vague })
    }
}

/// The engine that often has no position for a trap.
const VAGUE: &str = "wasmer-singlepass";

/// The only guest there is.
struct Alone;

impl Scheduler for Alone {
    fn turn(&self) {}
    fn away(&self, wait: &mut dyn FnMut()) {
        wait();
    }
}

fn exported(store: &mut dyn Store, instance: InstanceId, module: &PreparedModule) -> Vec<(String, FuncHandle)> {
    let exports = module.exports().iter();
    let functions = exports.filter_map(|export| match store.export(instance, &export.name) {
        Some(Extern::Func(func)) => Some((export.name.to_string(), func)),
        _ => None,
    });
    functions.collect()
}

fn known_functions(store: &mut dyn Store, instance: InstanceId, module: &PreparedModule) -> Vec<FuncHandle> {
    exported(store, instance, module).into_iter().map(|(_, func)| func).collect()
}

fn functions(store: &mut dyn Store, instance: InstanceId, module: &PreparedModule) -> Vec<(String, FuncHandle)> {
    let mut calls = Vec::new();
    if let Some(start) = store.start(instance) {
        calls.push(("the start function".to_owned(), start));
    }
    calls.extend(exported(store, instance, module));
    calls.truncate(MOST_CALLS);
    calls
}

fn seen(value: Value, known: &[FuncHandle]) -> Seen {
    match value {
        Value::FuncRef(Some(func)) => Seen::Function(known.iter().position(|f| *f == func)),
        other => Seen::Value(other),
    }
}

fn state(
    store: &mut dyn Store,
    instance: InstanceId,
    module: &PreparedModule,
    known: &[FuncHandle],
) -> Result<Vec<(String, State)>, Cannot> {
    let mut all = Vec::new();
    for export in module.exports() {
        let state = match store.export(instance, &export.name) {
            Some(Extern::Memory(memory)) => MemoryDigest::of(store, memory).map(State::Memory),
            Some(Extern::Global(global)) => store.global_get(global).map(|value| State::Global(seen(value, known))),
            Some(Extern::Table(table)) => table_state(store, table, known),
            Some(Extern::Func(_)) | None => continue,
        };
        match state {
            Ok(state) => all.push((export.name.to_string(), state)),
            // A type that cannot cross the border on any engine.
            Err(AccessError::Unsupported) => {}
            Err(error) => return Err(Cannot::Fault(format!("export `{}`: {error}", export.name))),
        }
    }
    Ok(all)
}

fn table_state(
    store: &mut dyn Store,
    table: cofferdam_engine::TableHandle,
    known: &[FuncHandle],
) -> Result<State, AccessError> {
    let size = store.table_size(table)?;
    let first = (0..size.min(MOST_ELEMENTS)).map(|at| Ok(seen(store.table_get(table, at)?, known)));
    Ok(State::Table(size, first.collect::<Result<_, AccessError>>()?))
}
