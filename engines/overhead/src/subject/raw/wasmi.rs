//! Wasmi.

use std::hint::black_box;

use anyhow::{Context as _, Result, bail};
use wasmi::{Caller, CompilationMode, Config, Engine, Extern, Func, Instance, Module, Store, Val};

use crate::subject::{Began, Done, PerModule, Subject, export};
use crate::task::{GROWN, Guests, KERNELS, Task};

struct Live {
    store: Store<u64>,
    instance: Instance,
}

impl Live {
    /// Gives the host function for every import.
    fn new(engine: &Engine, module: &Module) -> Result<Self> {
        let mut store = Store::new(engine, 0);
        let add = Func::wrap(&mut store, |_: Caller<'_, u64>, a: i32, b: i32| -> i32 { a.wrapping_add(b) });
        let imports: Vec<_> = module.imports().map(|_| Extern::Func(add)).collect();
        let instance = Instance::new(&mut store, module, &imports)?;
        Ok(Self { store, instance })
    }

    fn func(&self, name: &str) -> Result<Func> {
        self.instance.get_func(&self.store, name).with_context(|| format!("there is no export `{name}`"))
    }

    fn call(&mut self, func: Func, n: u32, results: &mut [Val]) -> Result<()> {
        Ok(func.call(&mut self.store, &[Val::I32(n.cast_signed())], results)?)
    }
}

fn number(results: &[Val]) -> Result<i64> {
    match results {
        [Val::I32(n)] => Ok(i64::from(*n)),
        [Val::I64(n)] => Ok(*n),
        other => bail!("{other:?} is not one integer"),
    }
}

pub(in crate::subject) struct Raw {
    bare: bool,
    engine: Engine,
    bytes: Vec<u8>,
    module: Module,
    ops: Live,
    kernels: PerModule<Live>,
}

fn engine(bare: bool) -> Engine {
    let mut config = Config::default();
    config.compilation_mode(CompilationMode::Eager);
    if bare {
        // The adapter lets stacks grow as far as its own budget does, from a smaller beginning, and keeps fewer.
        config
            .set_max_stack_height(isize::MAX.cast_unsigned())
            .set_min_stack_height(4 << 10)
            .set_max_recursion_depth(usize::MAX)
            .set_max_cached_stacks(8)
            .ignore_custom_sections(true)
            .wasm_simd(false)
            .wasm_relaxed_simd(false)
            .wasm_tail_call(false)
            .wasm_multi_memory(false)
            .wasm_wide_arithmetic(false)
            .wasm_custom_page_sizes(false);
    }
    Engine::new(&config)
}

impl Raw {
    pub(in crate::subject) fn new(bare: bool, guests: &Guests) -> Result<Self> {
        let engine = engine(bare);
        let module = Module::new(&engine, &guests.ops)?;
        let ops = Live::new(&engine, &module)?;
        let kernels = PerModule::new(|of| Live::new(&engine, &Module::new(&engine, guests.of(of))?))?;
        Ok(Self { bare, engine, bytes: guests.kernels.clone(), module, ops, kernels })
    }
}

impl Subject for Raw {
    fn run(&mut self, task: Task, times: u32) -> Result<Done> {
        let args = [Val::I32(2), Val::I32(3)];
        let mut results = [Val::I32(0)];
        let mut done = Done::default();
        match task {
            Task::Compile => {
                // Code is freed with its engine, so each go has its own.
                let engine = engine(self.bare);
                for _ in 0..times {
                    let began = Began::now();
                    let module = Module::new(&engine, black_box(&self.bytes))?;
                    done.add(began, module.exports().count() as i64);
                }
            }
            Task::Load => bail!("Wasmi saves no code"),
            Task::Instantiate => {
                let began = Began::now();
                for _ in 0..times {
                    let mut live = Live::new(&self.engine, &self.module)?;
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
                    let mut live = Live::new(&self.engine, &self.module)?;
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
