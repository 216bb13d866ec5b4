//! One column on one engine, made once and then run again and again.

mod adapter;
mod raw;
mod sandbox;

use std::time::Duration;

use anyhow::{Result, bail};
use cofferdam_prepare::FuelMode;
use rustix::time::{ClockId, clock_gettime};

use crate::column::Column;
use crate::task::{Guests, KernelModule, Task};

/// What one go took and gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Time that the processor spent on the work itself.
    pub took: Duration,
    /// The same on every engine in every column.
    pub answer: i64,
}

impl Done {
    /// Adds what was done since `began`.
    fn add(&mut self, began: Began, answer: i64) {
        self.took += began.elapsed();
        self.answer = self.answer.wrapping_add(answer);
    }
}

/// A moment by the clock of this process's processor time, all its threads together (Wasmer compiles on one of its own).
/// It stands still while other processes run, so a round that was interrupted is nearly as good as any.
#[derive(Clone, Copy)]
struct Began(Duration);

impl Began {
    fn now() -> Self {
        let now = clock_gettime(ClockId::ProcessCPUTime);
        // Neither part of it is ever negative.
        Self(Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32))
    }

    fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

/// One column on one engine.
pub trait Subject {
    /// Does `task` `times` times in a row; a kernel is called once and told to.
    ///
    /// # Errors
    /// Anything that did not go as it must: nothing that is measured can fail.
    fn run(&mut self, task: Task, times: u32) -> Result<Done>;
}

/// Engines by name, in the order of the page.
pub const ENGINES: [&str; 3] = ["wasmer-cranelift", "wasmtime", "wasmi"];

/// What `engine` can do, in the order of the tables.
pub fn tasks(engine: &str) -> impl Iterator<Item = Task> + use<> {
    // Wasmi has no compiled form that could be kept.
    let saves_code = engine != "wasmi";
    Task::all().filter(move |task| saves_code || *task != Task::Load)
}

/// Makes `column` on `engine`.
///
/// # Errors
/// An engine that is not in [`ENGINES`]; the engine's own failure.
pub fn subject(engine: &str, column: Column, guests: &Guests) -> Result<Box<dyn Subject>> {
    use adapter::{Adapter, Limits};
    let ours = |mode, caps, deadline| -> Result<Box<dyn Subject>> {
        Ok(Box::new(Adapter::new(engine, mode, Limits { caps, deadline }, guests)?))
    };
    match column {
        Column::Raw | Column::Again | Column::Bare => {
            let bare = column == Column::Bare;
            Ok(match engine {
                "wasmer-cranelift" => Box::new(raw::wasmer::Raw::new(bare, guests)?),
                "wasmtime" => Box::new(raw::wasmtime::Raw::new(bare, guests)?),
                "wasmi" => Box::new(raw::wasmi::Raw::new(bare, guests)?),
                _ => bail!("there is no engine `{engine}`; there are {}", ENGINES.join(", ")),
            })
        }
        Column::Portable => ours(FuelMode::Portable, false, false),
        Column::PortableCaps => ours(FuelMode::Portable, true, false),
        Column::PortableDeadline => ours(FuelMode::Portable, true, true),
        Column::Native => ours(FuelMode::Native, false, false),
        Column::NativeCaps => ours(FuelMode::Native, true, false),
        Column::NativeDeadline => ours(FuelMode::Native, true, true),
        Column::Sandbox => Ok(Box::new(sandbox::Sandboxed::new(engine, guests)?)),
    }
}

/// The export of a kernel.
fn export(name: &str) -> String {
    format!("k_{name}")
}

/// Something for each module of kernels.
struct PerModule<T>([T; 3]);

impl<T> PerModule<T> {
    fn new(mut make: impl FnMut(KernelModule) -> Result<T>) -> Result<Self> {
        let [c, json, bulk] = KernelModule::ALL;
        Ok(Self([make(c)?, make(json)?, make(bulk)?]))
    }

    fn get(&mut self, module: KernelModule) -> &mut T {
        &mut self.0[module as usize]
    }
}
