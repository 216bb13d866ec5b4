//! A store with one fault in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cofferdam_engine::{
    AccessError, CallBudget, CompiledModule, EngineFault, Extern, FuncHandle, FuncType, GlobalHandle, GlobalType,
    HostFunc, HostState, Imports, InstanceId, InstantiateError, Limit, MemoryHandle, MemoryType, Place, Scheduler,
    Stop, Store, StoreId, TableHandle, TableType, Trap, TrapKind, Usage, Value,
};

use crate::fault::Fault;

pub struct BrokenStore {
    pub inner: Box<dyn Store>,
    pub fault: Fault,
    pub calls: u64,
    pub change: u64,
    pub instances: u64,
    /// The host gave imports under our own names.
    pub ours: bool,
}

/// Counts turns on their way to the real scheduler.
struct Counted(Option<Arc<dyn Scheduler>>, AtomicU64);

impl Scheduler for Counted {
    fn turn(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
        if let Some(inner) = &self.0 {
            inner.turn();
        }
    }
    fn away(&self, wait: &mut dyn FnMut()) {
        wait();
    }
}

impl BrokenStore {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// What the fault makes of the way a call ended.
    fn end(&self, ended: Result<(), Stop>) -> Result<(), Stop> {
        let engine = || Stop::Engine(EngineFault::new("calling", "as the fault wants it"));
        let frames = |mut frames: Vec<Place>| {
            match self.fault {
                Fault::ShiftsFunctions => frames.iter_mut().for_each(|f| f.function += 1),
                Fault::ShiftsOffsets => frames.iter_mut().for_each(|f| f.offset = f.offset.map(|o| o + 1)),
                Fault::DropsNames => frames.iter_mut().for_each(|f| f.name = None),
                Fault::DropsFrames => frames.clear(),
                Fault::ReversesFrames => frames.reverse(),
                Fault::OneFrameMore => frames.push(Place { function: 0, name: None, offset: None }),
                _ => {}
            }
            frames
        };
        let Err(stop) = ended else { return Ok(()) };
        Err(match (self.fault, stop) {
            (Fault::Traps(from, to), Stop::Trap(trap)) if trap.kind == from => {
                Stop::Trap(Trap { kind: to, frames: trap.frames })
            }
            (Fault::StackAsTrap, Stop::Limit { limit: Limit::Stack, frames }) => {
                Stop::Trap(Trap { kind: TrapKind::Unreachable, frames })
            }
            (Fault::DeadlineAsFuel, Stop::Limit { limit: Limit::Deadline, .. }) => Stop::limit(Limit::Fuel),
            (Fault::CancelAsDeadline, Stop::Limit { limit: Limit::Cancelled, .. }) => Stop::limit(Limit::Deadline),
            (Fault::HostCallsAsHost, Stop::Limit { limit: Limit::HostCalls, .. }) => Stop::Host("too many".into()),
            (Fault::OutputAsHost, Stop::Limit { limit: Limit::Output, .. }) => Stop::Host("too much".into()),
            (Fault::HostAsEngine, Stop::Host(_)) => engine(),
            (Fault::HostAsTrap, Stop::Host(_)) => Stop::Trap(Trap::new(TrapKind::Unreachable)),
            (Fault::ExitAsHost, Stop::Exit(_)) => Stop::Host("exit".into()),
            (Fault::ExitCodeLost, Stop::Exit(_)) => Stop::Exit(0),
            (Fault::LinksOurNames, Stop::Limit { limit: Limit::Fuel, .. }) if self.ours => return Ok(()),
            (_, Stop::Trap(trap)) => Stop::Trap(Trap { kind: trap.kind, frames: frames(trap.frames) }),
            (_, Stop::Limit { limit, frames: of }) => Stop::Limit { limit, frames: frames(of) },
            (_, stop) => stop,
        })
    }
}

/// What the fault makes of a result.
fn changed(fault: Fault, value: Value) -> Value {
    match (fault, value) {
        (Fault::WrongInteger, Value::I32(v)) => Value::I32(v ^ 1),
        (Fault::QuietNans, Value::F32(bits)) if f32::from_bits(bits).is_nan() => Value::F32(bits | 1 << 22),
        (Fault::QuietNans, Value::F64(bits)) if f64::from_bits(bits).is_nan() => Value::F64(bits | 1 << 51),
        (Fault::WrongNans, Value::F32(bits)) if f32::from_bits(bits).is_nan() => Value::F32(bits | 1 << 31),
        (Fault::WrongNans, Value::F64(bits)) if f64::from_bits(bits).is_nan() => Value::F64(bits | 1 << 63),
        (_, value) => value,
    }
}

impl Store for BrokenStore {
    fn id(&self) -> StoreId {
        self.inner.id()
    }

    fn instantiate(&mut self, module: &dyn CompiledModule, imports: &Imports) -> Result<InstanceId, InstantiateError> {
        self.ours |= imports.get("cofferdam:meter", "fuel").is_some();
        let made = self.inner.instantiate(module, imports).map_err(|error| match (self.fault, error) {
            (Fault::ForgetsMissingImports, InstantiateError::MissingImport { module, name, .. }) => {
                EngineFault::new("instantiating", format!("{module} {name}")).into()
            }
            (Fault::LinksAnyType, InstantiateError::ImportType { module, name, .. }) => {
                EngineFault::new("instantiating", format!("{module} {name}")).into()
            }
            (Fault::NamesNoNeed, InstantiateError::Memory { cap, .. }) => InstantiateError::Memory { need: 0, cap },
            (_, error) => error,
        })?;
        self.instances += 1;
        if self.is(Fault::StartsAtOnce)
            && let Some(start) = self.inner.start(made)
        {
            let _ = self.inner.call(start, &[], &mut [], &mut CallBudget::of_fuel(1_000_000));
        }
        Ok(made)
    }

    fn start(&mut self, instance: InstanceId) -> Option<FuncHandle> {
        self.inner.start(instance)
    }

    fn call(
        &mut self,
        func: FuncHandle,
        args: &[Value],
        results: &mut [Value],
        budget: &mut CallBudget,
    ) -> Result<(), Stop> {
        self.calls += 1;
        let mut inner = budget.clone();
        match self.fault {
            Fault::GivesOneMore => inner.fuel += 1,
            Fault::KeepsChange => inner.fuel = inner.fuel.saturating_add(self.change),
            Fault::FuelByInstance => inner.fuel = inner.fuel.saturating_mul(self.instances.max(1)),
            Fault::IgnoresDeadline => inner.timeout = None,
            Fault::IgnoresCancellation => inner.cancel = None,
            Fault::NoTurns => inner.scheduler = None,
            _ => {}
        }
        if self.is(Fault::StopsAtOnce) && budget.timeout.is_some_and(|t| t.is_zero()) {
            budget.consumed = 0;
            return Err(Stop::limit(Limit::Deadline));
        }
        let counted = Arc::new(Counted(inner.scheduler.clone(), AtomicU64::new(0)));
        if self.is(Fault::SlicesCost) && inner.scheduler.is_some() {
            inner.scheduler = Some(counted.clone());
        }
        let mut ended = self.inner.call(func, args, results, &mut inner);
        let mut consumed = inner.consumed;
        match (self.fault, &ended) {
            (Fault::CountsOneMore, _) => consumed += 1,
            (Fault::CountsOneLess, _) => consumed = consumed.saturating_sub(1),
            (Fault::RefundsOnTrap, Err(Stop::Trap(_))) => consumed /= 2,
            (Fault::RefundsOnExit, Err(Stop::Exit(_) | Stop::Host(_))) => consumed = 0,
            (Fault::RefundsOnStop, Err(Stop::Limit { .. })) => consumed = consumed.saturating_sub(1),
            (Fault::FuelByInstance, _) => consumed /= self.instances.max(1),
            (Fault::SlicesCost, _) => consumed += counted.1.load(Ordering::Relaxed),
            (Fault::FuelDrifts, Ok(())) => consumed += self.calls,
            (Fault::TakesAnyArguments, Err(Stop::BadArguments { .. })) => ended = Ok(()),
            (Fault::TakesMadeUpHandles | Fault::TakesForeignHandles, Err(Stop::Engine(_))) => ended = Ok(()),
            (Fault::LosesStore, _) if self.change == u64::MAX => {
                ended = Err(EngineFault::new("calling", "the store is gone").into());
            }
            (Fault::LosesStore, Err(_)) => self.change = u64::MAX,
            _ => {}
        }
        budget.consumed = consumed.min(budget.fuel);
        if self.is(Fault::KeepsChange) {
            self.change = budget.fuel.saturating_sub(consumed).min(1_000);
        }
        if self.is(Fault::WritesResultsOnTrap) && ended.is_err() {
            results.iter_mut().for_each(|r| *r = Value::I32(7));
        }
        if ended.is_ok() {
            results.iter_mut().for_each(|r| *r = changed(self.fault, *r));
        }
        self.end(ended)
    }

    fn export(&mut self, instance: InstanceId, name: &str) -> Option<Extern> {
        match (self.fault, name) {
            (Fault::ExportsStart, "cofferdam:start") => self.inner.start(instance).map(Extern::Func),
            (Fault::ExportsFuel, "cofferdam:fuel" | "fuel") => {
                Some(Extern::Global(GlobalHandle::new(self.inner.id(), 0)))
            }
            (Fault::ExportsAnew, _) => match self.inner.export(instance, name)? {
                Extern::Func(func) => {
                    self.calls += 1;
                    let _ = func;
                    Some(Extern::Func(FuncHandle::new(self.inner.id(), 500 + self.calls as u32)))
                }
                other => Some(other),
            },
            _ => self.inner.export(instance, name),
        }
    }

    fn func_type(&self, func: FuncHandle) -> Option<FuncType> {
        self.inner.func_type(func)
    }

    fn memory_size(&self, memory: MemoryHandle) -> Result<u64, AccessError> {
        self.taken(memory.index_in(self.inner.id()).is_some(), self.inner.memory_size(memory), 0)
    }

    fn memory_read(&self, memory: MemoryHandle, offset: u64, into: &mut [u8]) -> Result<(), AccessError> {
        self.inner.memory_read(memory, offset, into)
    }

    fn memory_write(&mut self, memory: MemoryHandle, offset: u64, from: &[u8]) -> Result<(), AccessError> {
        match self.fault {
            Fault::LosesWrites => self.inner.memory_size(memory).map(drop),
            Fault::WritesPastTheEnd => match self.inner.memory_write(memory, offset, from) {
                Err(AccessError::OutOfBounds) => Ok(()),
                other => other,
            },
            _ => self.inner.memory_write(memory, offset, from),
        }
    }

    fn memory_grow(&mut self, memory: MemoryHandle, pages: u64) -> Result<u64, AccessError> {
        self.inner.memory_grow(memory, pages)
    }

    fn global_get(&mut self, global: GlobalHandle) -> Result<Value, AccessError> {
        self.inner.global_get(global)
    }

    fn global_set(&mut self, global: GlobalHandle, value: Value) -> Result<(), AccessError> {
        match (self.fault, self.inner.global_set(global, value)) {
            (Fault::SetsConstants, Err(AccessError::Immutable)) => Ok(()),
            (_, set) => set,
        }
    }

    fn table_size(&self, table: TableHandle) -> Result<u64, AccessError> {
        self.inner.table_size(table)
    }

    fn table_get(&mut self, table: TableHandle, index: u64) -> Result<Value, AccessError> {
        match (self.fault, self.inner.table_get(table, index)) {
            (Fault::ReadsPastTheEnd, Err(AccessError::OutOfBounds)) => Ok(Value::FuncRef(None)),
            (_, got) => got,
        }
    }

    fn table_set(&mut self, table: TableHandle, index: u64, value: Value) -> Result<(), AccessError> {
        self.inner.table_set(table, index, value)
    }

    fn new_memory(&mut self, ty: MemoryType) -> Result<MemoryHandle, AccessError> {
        self.inner.new_memory(ty)
    }

    fn new_table(&mut self, ty: TableType, init: Value) -> Result<TableHandle, AccessError> {
        self.inner.new_table(ty, init)
    }

    fn new_global(&mut self, ty: GlobalType, value: Value) -> Result<GlobalHandle, AccessError> {
        self.inner.new_global(ty, value)
    }

    fn new_func(&mut self, func: Arc<HostFunc>) -> Result<FuncHandle, AccessError> {
        self.inner.new_func(func)
    }

    fn usage(&self) -> Usage {
        let mut usage = self.inner.usage();
        match self.fault {
            Fault::ForgetsPeak => usage.peak_memory_bytes = 0,
            Fault::ForgetsMemory => usage.memory_bytes = 0,
            Fault::ForgetsTables => usage.table_elements = 0,
            Fault::ForgetsRefusals => usage.refused_growths = 0,
            Fault::ForgetsHostCalls => usage.host_calls = 0,
            Fault::ForgetsInstances => usage.instances = 0,
            _ => {}
        }
        usage
    }

    fn state(&mut self) -> &mut HostState {
        self.inner.state()
    }
}

impl BrokenStore {
    fn taken(&self, own: bool, result: Result<u64, AccessError>, instead: u64) -> Result<u64, AccessError> {
        match (self.fault, result) {
            (Fault::TakesForeignHandles, Err(AccessError::ForeignHandle)) if !own => Ok(instead),
            (Fault::TakesMadeUpHandles, Err(AccessError::ForeignHandle)) if own => Ok(instead),
            (_, result) => result,
        }
    }
}
