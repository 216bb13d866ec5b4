//! Wasmer with Cranelift.

use std::hint::black_box;
use std::num::NonZero;

use anyhow::{Result, bail};
use wasmer::sys::{Cranelift, EngineBuilder, Features};
use wasmer::{Engine, Function, FunctionEnv, FunctionEnvMut, Imports, Instance, Module, Store, Value, imports};

use crate::subject::{Began, Done, PerModule, Subject, export};
use crate::task::{GROWN, Guests, KERNELS, Task};

struct Live {
    store: Store,
    instance: Instance,
}

impl Live {
    fn of_ops(engine: &Engine, module: &Module) -> Result<Self> {
        let mut store = Store::new(engine.clone());
        let env = FunctionEnv::new(&mut store, 0u64);
        let add = |_: FunctionEnvMut<'_, u64>, a: i32, b: i32| -> i32 { a.wrapping_add(b) };
        let add = Function::new_typed_with_env(&mut store, &env, add);
        let instance = Instance::new(&mut store, module, &imports! { "env" => { "add" => add } })?;
        Ok(Self { store, instance })
    }

    fn call(&mut self, func: &Function, n: u32) -> Result<i64> {
        number(&func.call(&mut self.store, &[Value::I32(n.cast_signed())])?)
    }
}

fn number(results: &[Value]) -> Result<i64> {
    match results {
        [Value::I32(n)] => Ok(i64::from(*n)),
        [Value::I64(n)] => Ok(*n),
        other => bail!("{other:?} is not one integer"),
    }
}

pub(in crate::subject) struct Raw {
    bare: bool,
    engine: Engine,
    bytes: Vec<u8>,
    artefact: Vec<u8>,
    module: Module,
    ops: Live,
    kernels: PerModule<Live>,
}

fn engine(bare: bool) -> Engine {
    let mut compiler = Cranelift::default();
    compiler.num_threads(NonZero::<usize>::MIN);
    let mut builder = EngineBuilder::new(compiler);
    if bare {
        // The adapter switches off what level standard does not have.
        let mut features = Features::none();
        features.reference_types(true).bulk_memory(true).multi_value(true).extended_const(true);
        builder = builder.set_features(Some(features));
    }
    builder.engine().into()
}

impl Raw {
    pub(in crate::subject) fn new(bare: bool, guests: &Guests) -> Result<Self> {
        let engine = engine(bare);
        let artefact = Module::new(&engine, &guests.kernels)?.serialize()?.to_vec();
        let module = Module::new(&engine, &guests.ops)?;
        let ops = Live::of_ops(&engine, &module)?;
        let kernels = PerModule::new(|of| {
            let module = Module::new(&engine, guests.of(of))?;
            let mut store = Store::new(engine.clone());
            let instance = Instance::new(&mut store, &module, &Imports::new())?;
            Ok(Live { store, instance })
        })?;
        Ok(Self { bare, engine, bytes: guests.kernels.clone(), artefact, module, ops, kernels })
    }
}

impl Subject for Raw {
    fn run(&mut self, task: Task, times: u32) -> Result<Done> {
        let args = [Value::I32(2), Value::I32(3)];
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
            Task::Load => {
                let engine = engine(self.bare);
                for _ in 0..times {
                    let began = Began::now();
                    // SAFETY: the bytes are what this engine itself gave when this subject was made.
                    let module = unsafe { Module::deserialize(&engine, self.artefact.as_slice()) }?;
                    done.add(began, module.exports().count() as i64);
                }
            }
            Task::Instantiate => {
                let mut last = 0;
                let began = Began::now();
                for _ in 0..times {
                    let mut live = Live::of_ops(&self.engine, &self.module)?;
                    let add = live.instance.exports.get_function("add")?;
                    last = number(&add.call(&mut live.store, &args)?)?;
                }
                done.add(began, last);
            }
            Task::Call => {
                let add = self.ops.instance.exports.get_function("add")?.clone();
                let mut last = 0;
                let began = Began::now();
                for _ in 0..times {
                    last = number(&black_box(add.call(&mut self.ops.store, black_box(&args))?))?;
                }
                done.add(began, last);
            }
            Task::HostCall => {
                let calls = self.ops.instance.exports.get_function("calls")?.clone();
                let began = Began::now();
                let answer = self.ops.call(&calls, times)?;
                done.add(began, answer);
            }
            Task::Grow => {
                for _ in 0..times {
                    let mut live = Live::of_ops(&self.engine, &self.module)?;
                    let grow = live.instance.exports.get_function("grow")?.clone();
                    let began = Began::now();
                    let answer = live.call(&grow, GROWN)?;
                    done.add(began, answer);
                }
            }
            Task::Kernel(at) => {
                let live = self.kernels.get(KERNELS[at].module);
                let func = live.instance.exports.get_function(&export(KERNELS[at].name))?.clone();
                let began = Began::now();
                let answer = live.call(&func, times)?;
                done.add(began, answer);
            }
        }
        Ok(done)
    }
}
