//! Our adapter behind its trait; what the runtime above it adds is left out.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use cofferdam::engines;
use cofferdam_engine::{
    CallBudget, CompiledModule, Engine, Extern, FuncHandle, FuncType, HostFunc, Imports, InstanceId, Stop, Store,
    StoreLimits, UNLIMITED_FUEL, ValType, Value,
};
use cofferdam_prepare::{
    ArtefactKey, FeatureSet, FuelMode, Gate, ModuleLimits, PrepareOptions, VerifiedArtefact, prepare_for, recognise,
    validate,
};

use super::{Began, Done, PerModule, Subject, export};
use crate::task::{GROWN, Guests, KERNELS, Task};

/// What is bounded beside fuel, which is always counted.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub caps: bool,
    pub deadline: bool,
}

/// Bytes of memory that a guest may have where there is a cap.
pub(super) const MEMORY_CAP: u64 = 64 << 20;
/// Long enough that no call ever meets it.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

impl Limits {
    /// The stack budget is the same in both: machine stacks are made for it, and it cannot be off.
    fn of_store(self) -> StoreLimits {
        if self.caps {
            StoreLimits { memory_bytes: MEMORY_CAP, host_calls: 1 << 40, ..StoreLimits::default() }
        } else {
            StoreLimits { memory_bytes: u64::MAX, table_elements: u64::MAX, ..StoreLimits::default() }
        }
    }

    fn of_call(self) -> CallBudget {
        CallBudget { timeout: self.deadline.then_some(DEADLINE), ..CallBudget::of_fuel(UNLIMITED_FUEL) }
    }
}

/// An instance in its store.
struct Live {
    store: Box<dyn Store>,
    instance: InstanceId,
}

impl Live {
    fn new(engine: &dyn Engine, module: &dyn CompiledModule, limits: Limits, imports: &Imports) -> Result<Self> {
        let mut store = engine.store(&limits.of_store(), Box::new(()))?;
        let instance = store.instantiate(module, imports)?;
        Ok(Self { store, instance })
    }

    fn func(&mut self, name: &str) -> Result<FuncHandle> {
        match self.store.export(self.instance, name) {
            Some(Extern::Func(func)) => Ok(func),
            _ => bail!("there is no export `{name}`"),
        }
    }

    fn call(&mut self, func: FuncHandle, n: u32, results: &mut [Value], budget: &mut CallBudget) -> Result<()> {
        self.store.call(func, &[Value::I32(n.cast_signed())], results, budget).map_err(stopped)
    }
}

fn stopped(stop: Stop) -> anyhow::Error {
    anyhow!("the guest stopped: {stop:?}")
}

/// The one integer that everything here returns.
pub(super) fn number(results: &[Value]) -> Result<i64> {
    match results {
        [Value::I32(n)] => Ok(i64::from(*n)),
        [Value::I64(n)] => Ok(*n),
        other => bail!("{other:?} is not one integer"),
    }
}

/// The host function of `guests/ops.wat`.
pub(super) fn host_add() -> HostFunc {
    HostFunc::new(FuncType::new([ValType::I32, ValType::I32], [ValType::I32]), |_, params, results| {
        if let [Value::I32(a), Value::I32(b)] = params {
            results[0] = Value::I32(a.wrapping_add(*b));
        }
        Ok(())
    })
}

/// All that happens to a module's bytes: recognised, validated, gated, rewritten, compiled.
fn compiled(engine: &dyn Engine, mode: FuelMode, bytes: &[u8]) -> Result<Arc<dyn CompiledModule>> {
    let gate = Gate { features: FeatureSet::STANDARD, level: "standard".into(), limits: ModuleLimits::default() };
    let valid = validate(recognise(bytes, &gate.limits)?, &gate)?;
    let prepared = prepare_for(valid, &PrepareOptions { mode, canonical_nans: false }, engine.assist())?;
    Ok(engine.compile(&prepared)?)
}

/// How many things `module` exports, so that something is known of what was made.
fn exports(module: &dyn CompiledModule) -> i64 {
    module.prepared().exports().len() as i64
}

pub(super) struct Adapter {
    engine: Arc<dyn Engine>,
    mode: FuelMode,
    limits: Limits,
    bytes: Vec<u8>,
    key: ArtefactKey,
    /// Sealed, as the disk cache keeps it.
    artefact: Option<Vec<u8>>,
    imports: Imports,
    module: Arc<dyn CompiledModule>,
    ops: Live,
    kernels: PerModule<Live>,
}

impl Adapter {
    pub(super) fn new(engine: &str, mode: FuelMode, limits: Limits, guests: &Guests) -> Result<Self> {
        let engine = engines::by_name(engine)?;
        let mut imports = Imports::new();
        imports.host("env", "add", host_add());
        let key = ArtefactKey::new([7; ArtefactKey::LEN]);
        let artefact = if engine.descriptor().capabilities.artefacts {
            let module = compiled(&*engine, mode, &guests.kernels)?;
            Some(VerifiedArtefact::seal_module(&key, b"overhead", module.prepared(), &module.serialize()?)?)
        } else {
            None
        };
        let module = compiled(&*engine, mode, &guests.ops)?;
        let ops = Live::new(&*engine, &*module, limits, &imports)?;
        let kernels = PerModule::new(|of| {
            Live::new(&*engine, &*compiled(&*engine, mode, guests.of(of))?, limits, &Imports::new())
        })?;
        let bytes = guests.kernels.clone();
        Ok(Self { engine, mode, limits, bytes, key, artefact, imports, module, ops, kernels })
    }

    fn load(&self, sealed: Vec<u8>) -> Result<Arc<dyn CompiledModule>> {
        let verified = VerifiedArtefact::open(&self.key, sealed)?;
        let module = verified.module().context("the module is not in its artefact")?;
        Ok(self.engine.load(&module, &verified)?)
    }

    fn instance(&self) -> Result<Live> {
        Live::new(&*self.engine, &*self.module, self.limits, &self.imports)
    }
}

impl Subject for Adapter {
    fn run(&mut self, task: Task, times: u32) -> Result<Done> {
        let args = [Value::I32(2), Value::I32(3)];
        let mut results = [Value::I32(0)];
        let mut budget = self.limits.of_call();
        let mut done = Done::default();
        match task {
            Task::Compile => {
                for _ in 0..times {
                    let began = Began::now();
                    let module = compiled(&*self.engine, self.mode, black_box(&self.bytes))?;
                    done.add(began, exports(&*module));
                }
            }
            Task::Load => {
                for _ in 0..times {
                    let sealed = self.artefact.clone().context("this engine saves no code")?;
                    let began = Began::now();
                    let module = self.load(sealed)?;
                    done.add(began, exports(&*module));
                }
            }
            Task::Instantiate => {
                let began = Began::now();
                for _ in 0..times {
                    let mut live = self.instance()?;
                    let add = live.func("add")?;
                    live.store.call(add, &args, &mut results, &mut budget).map_err(stopped)?;
                }
                done.add(began, number(&results)?);
            }
            Task::Call => {
                let add = self.ops.func("add")?;
                let began = Began::now();
                for _ in 0..times {
                    let store = &mut self.ops.store;
                    store.call(add, black_box(&args), black_box(&mut results), &mut budget).map_err(stopped)?;
                }
                done.add(began, number(&results)?);
            }
            Task::HostCall => {
                let calls = self.ops.func("calls")?;
                let began = Began::now();
                self.ops.call(calls, times, &mut results, &mut budget)?;
                done.add(began, number(&results)?);
            }
            Task::Grow => {
                for _ in 0..times {
                    let mut live = self.instance()?;
                    let grow = live.func("grow")?;
                    let began = Began::now();
                    live.call(grow, GROWN, &mut results, &mut budget)?;
                    done.add(began, number(&results)?);
                }
            }
            Task::Kernel(at) => {
                let live = self.kernels.get(KERNELS[at].module);
                let func = live.func(&export(KERNELS[at].name))?;
                let ty = live.store.func_type(func).context("the kernel has no type")?;
                let mut results = Value::results_of(&ty);
                let began = Began::now();
                live.call(func, times, &mut results, &mut budget)?;
                done.add(began, number(&results)?);
            }
        }
        Ok(done)
    }
}
