//! Wasmtime.

use std::hint::black_box;

use anyhow::anyhow;
use wasmtime::error::Context as _;
use wasmtime::{Config, Engine, Func, Instance, InstancePre, Linker, Module, Result, Store, Val, bail};

use crate::subject::{Began, Done, PerModule, Subject, export};
use crate::task::{GROWN, Guests, KERNELS, Task};

struct Live {
    store: Store<u64>,
    instance: Instance,
}

impl Live {
    fn new(engine: &Engine, pre: &InstancePre<u64>) -> Result<Self> {
        let mut store = Store::new(engine, 0);
        let instance = pre.instantiate(&mut store)?;
        Ok(Self { store, instance })
    }

    fn func(&mut self, name: &str) -> Result<Func> {
        self.instance.get_func(&mut self.store, name).with_context(|| format!("there is no export `{name}`"))
    }

    fn call(&mut self, func: Func, n: u32, results: &mut [Val]) -> Result<()> {
        func.call(&mut self.store, &[Val::I32(n.cast_signed())], results)
    }
}

/// Wasmtime has an error type of its own.
fn wrapped(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:?}")
}

fn number(results: &[Val]) -> Result<i64> {
    match results {
        [Val::I32(n)] => Ok(i64::from(*n)),
        [Val::I64(n)] => Ok(*n),
        other => bail!("{other:?} is not one integer"),
    }
}

pub(in crate::subject) struct Raw {
    engine: Engine,
    bytes: Vec<u8>,
    artefact: Vec<u8>,
    /// Imports are resolved once, as a host that makes many instances does it.
    pre: InstancePre<u64>,
    ops: Live,
    kernels: PerModule<Live>,
}

fn engine(bare: bool) -> Result<Engine> {
    let mut config = Config::new();
    config.parallel_compilation(false);
    if bare {
        // The adapter sets aside less address space for a memory, so that many fit: then compiled code checks bounds.
        config.memory_reservation(64 << 20).memory_guard_size(2 << 20).guard_before_linear_memory(false);
        config.compiler_inlining(wasmtime::Inlining::No);
        config.wasm_simd(false).wasm_relaxed_simd(false).wasm_tail_call(false).wasm_multi_memory(false);
        config.native_unwind_info(false);
    }
    Engine::new(&config)
}

impl Raw {
    pub(in crate::subject) fn new(bare: bool, guests: &Guests) -> anyhow::Result<Self> {
        let engine = engine(bare).map_err(wrapped)?;
        let module = |bytes: &[u8]| Module::new(&engine, bytes).map_err(wrapped);
        let artefact = module(&guests.kernels)?.serialize().map_err(wrapped)?;
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap("env", "add", |_: wasmtime::Caller<'_, u64>, a: i32, b: i32| a.wrapping_add(b))
            .map_err(wrapped)?;
        let linked = |bytes: &[u8]| linker.instantiate_pre(&module(bytes)?).map_err(wrapped);
        let live = |pre: &InstancePre<u64>| Live::new(&engine, pre).map_err(wrapped);
        let pre = linked(&guests.ops)?;
        let ops = live(&pre)?;
        let kernels = PerModule::new(|of| live(&linked(guests.of(of))?))?;
        Ok(Self { engine, bytes: guests.kernels.clone(), artefact, pre, ops, kernels })
    }

    fn done(&mut self, task: Task, times: u32) -> Result<Done> {
        let args = [Val::I32(2), Val::I32(3)];
        let mut results = [Val::I32(0)];
        let mut done = Done::default();
        match task {
            Task::Compile => {
                for _ in 0..times {
                    let began = Began::now();
                    let module = Module::new(&self.engine, black_box(&self.bytes))?;
                    done.add(began, module.exports().len() as i64);
                }
            }
            Task::Load => {
                for _ in 0..times {
                    let began = Began::now();
                    // SAFETY: the bytes are what this engine itself gave when this subject was made.
                    let module = unsafe { Module::deserialize(&self.engine, &self.artefact) }?;
                    done.add(began, module.exports().len() as i64);
                }
            }
            Task::Instantiate => {
                let began = Began::now();
                for _ in 0..times {
                    let mut live = Live::new(&self.engine, &self.pre)?;
                    let add = live.func("add")?;
                    add.call(&mut live.store, &args, &mut results)?;
                }
                done.add(began, number(&results)?);
            }
            Task::Call => {
                let add = self.ops.func("add")?;
                let began = Began::now();
                for _ in 0..times {
                    add.call(&mut self.ops.store, black_box(&args), black_box(&mut results))?;
                }
                done.add(began, number(&results)?);
            }
            Task::HostCall => {
                let calls = self.ops.func("calls")?;
                let began = Began::now();
                self.ops.call(calls, times, &mut results)?;
                done.add(began, number(&results)?);
            }
            Task::Grow => {
                for _ in 0..times {
                    let mut live = Live::new(&self.engine, &self.pre)?;
                    let grow = live.func("grow")?;
                    let began = Began::now();
                    live.call(grow, GROWN, &mut results)?;
                    done.add(began, number(&results)?);
                }
            }
            Task::Kernel(at) => {
                let live = self.kernels.get(KERNELS[at].module);
                let func = live.func(&export(KERNELS[at].name))?;
                let began = Began::now();
                live.call(func, times, &mut results)?;
                done.add(began, number(&results)?);
            }
        }
        Ok(done)
    }
}

impl Subject for Raw {
    fn run(&mut self, task: Task, times: u32) -> anyhow::Result<Done> {
        self.done(task, times).map_err(wrapped)
    }
}
