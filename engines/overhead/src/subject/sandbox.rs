//! The front door: what an embedder calls, with everything that a sandbox does for it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use cofferdam::cache::{DiskCache, DiskCacheConfig};
use cofferdam::policy::{Fuel, Limits, MemoryBytes};
use cofferdam::sandbox::{ResourceConfig, Resources};
use cofferdam::{Guest, GuestState, Module, Report, Sandbox, Value, engines};
use cofferdam_engine::Engine;
use tempfile::TempDir;

use super::adapter::{DEADLINE, MEMORY_CAP, host_add, number};
use super::{Began, Done, PerModule, Subject, export};
use crate::task::{GROWN, Guests, KERNELS, Task};

pub(super) struct Sandboxed {
    engine: Arc<dyn Engine>,
    bytes: Vec<u8>,
    cache: TempDir,
    sandbox: Sandbox,
    module: Module,
    ops: Guest,
    kernels: PerModule<Guest>,
}

/// A sandbox as in a new process: nothing is known in it yet.
fn sandbox(engine: &Arc<dyn Engine>, cache: Option<&TempDir>) -> Result<Sandbox> {
    let disk = cache.map(|at| DiskCache::open(&DiskCacheConfig::new(at.path().join("cache")))).transpose()?;
    let resources = Resources::new(&ResourceConfig { disk_cache: disk.map(Arc::new), ..ResourceConfig::default() });
    let memory = MemoryBytes::new(MEMORY_CAP);
    let limits = Limits { memory, fuel: Fuel::UNLIMITED, timeout: Some(DEADLINE), ..Limits::tool() };
    Ok(Sandbox::builder(engine.clone()).func("env", "add", host_add()).limits(limits).resources(resources).build()?)
}

fn answer(report: &Report) -> Result<i64> {
    number(report.outcome.values().with_context(|| report.outcome.to_string())?)
}

fn exports(module: &Module) -> i64 {
    module.prepared().exports().len() as i64
}

impl Sandboxed {
    pub(super) fn new(engine: &str, guests: &Guests) -> Result<Self> {
        let engine = engines::by_name(engine)?;
        let cache = tempfile::tempdir()?;
        sandbox(&engine, Some(&cache))?.load(&guests.kernels)?;
        let sandbox = sandbox(&engine, None)?;
        let module = sandbox.load(&guests.ops)?;
        let ops = sandbox.guest(&module, GuestState::default())?;
        let kernels = PerModule::new(|of| Ok(sandbox.guest(&sandbox.load(guests.of(of))?, GuestState::default())?))?;
        Ok(Self { engine, bytes: guests.kernels.clone(), cache, sandbox, module, ops, kernels })
    }

    fn loads(&self, cache: Option<&TempDir>, times: u32) -> Result<Done> {
        let mut done = Done::default();
        for _ in 0..times {
            let sandbox = sandbox(&self.engine, cache)?;
            let began = Began::now();
            let module = sandbox.load(&self.bytes)?;
            done.add(began, exports(&module));
        }
        Ok(done)
    }
}

impl Subject for Sandboxed {
    fn run(&mut self, task: Task, times: u32) -> Result<Done> {
        let args = [Value::I32(2), Value::I32(3)];
        let n = |n: u32| [Value::I32(n.cast_signed())];
        let mut done = Done::default();
        match task {
            Task::Compile => done = self.loads(None, times)?,
            Task::Load => done = self.loads(Some(&self.cache), times)?,
            Task::Instantiate => {
                let mut last = 0;
                let began = Began::now();
                for _ in 0..times {
                    let mut guest = self.sandbox.guest(&self.module, GuestState::default())?;
                    last = answer(&guest.call("add", &args))?;
                }
                done.add(began, last);
            }
            Task::Call => {
                let mut last = 0;
                let began = Began::now();
                for _ in 0..times {
                    last = answer(&self.ops.call("add", &args))?;
                }
                done.add(began, last);
            }
            Task::HostCall => {
                let began = Began::now();
                let report = self.ops.call("calls", &n(times));
                done.add(began, answer(&report)?);
            }
            Task::Grow => {
                for _ in 0..times {
                    let mut guest = self.sandbox.guest(&self.module, GuestState::default())?;
                    let began = Began::now();
                    let report = guest.call("grow", &n(GROWN));
                    done.add(began, answer(&report)?);
                }
            }
            Task::Kernel(at) => {
                let guest = self.kernels.get(KERNELS[at].module);
                let export = export(KERNELS[at].name);
                let began = Began::now();
                let report = guest.call(&export, &n(times));
                done.add(began, answer(&report)?);
            }
        }
        Ok(done)
    }
}
