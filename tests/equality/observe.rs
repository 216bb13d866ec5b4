//! A program, what it does to a guest, and everything that can be seen of it from outside.

use std::fmt;
use std::sync::Arc;

use cofferdam::host::wasi::WasiConfig;
use cofferdam::policy::{Determinism, Fuel, Grants, Level, Limits, MemoryBytes, SecurityPolicy};
use cofferdam::sandbox::Module;
use cofferdam::{CallOptions, Engine, ExternType, Guest, GuestState, Limit, Outcome, Place, Sandbox, Value};

/// A module and what is done with it.
pub struct Program {
    pub name: String,
    pub module: Vec<u8>,
    /// What each run is given.
    pub wasi: fn() -> WasiConfig,
    /// The calls; ends early where one does not return.
    pub script: fn(&mut Run) -> Option<()>,
    /// What must come of it with all the fuel it wants.
    pub expect: fn(&Observed),
    /// More than it needs, or what an endless one is given.
    pub fuel: u64,
}

/// A policy under which every run is the same.
pub fn policy() -> SecurityPolicy {
    let limits =
        Limits { memory: MemoryBytes::mib(64), timeout: None, message: MemoryBytes::mib(1), ..Limits::agent() };
    SecurityPolicy::new(Level::Relaxed).determinism(Determinism::Full { seed: 7 }).grants(Grants::wasi()).limits(limits)
}

/// How one call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    export: String,
    /// The outcome, with results as bits.
    pub ended: String,
    pub consumed: u64,
    by_fuel: bool,
    /// Of a kind that Cranelift may join with another operator.
    joined: bool,
    /// `None` from an engine that cannot tell.
    frames: Option<Vec<Place>>,
}

/// Everything that is compared after a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    pub calls: Vec<Call>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// What the script read out of the guest.
    pub read: Vec<Vec<u8>>,
    /// Exported memories by size and hash, exported globals by value.
    pub exports: Vec<String>,
    /// Peak of memory, refused growths, host calls.
    pub usage: (u64, u64, u64),
}

impl Observed {
    /// Fuel over all calls.
    pub fn fuel(&self) -> u64 {
        self.calls.iter().map(|call| call.consumed).sum()
    }

    /// Whether the last call ended because there was no more.
    pub fn stopped_by_fuel(&self) -> bool {
        self.calls.last().is_some_and(|call| call.by_fuel)
    }

    /// The word for how the last call ended.
    pub fn ended(&self) -> &str {
        self.calls.last().map_or("", |call| &call.ended)
    }
}

/// A program on an engine.
pub struct Loaded<'a> {
    engine: &'a Arc<dyn Engine>,
    sandbox: Sandbox,
    module: Module,
    program: &'a Program,
}

impl fmt::Display for Loaded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.engine.descriptor().id)
    }
}

impl<'a> Loaded<'a> {
    pub fn new(engine: &'a Arc<dyn Engine>, program: &'a Program) -> Self {
        let sandbox = Sandbox::builder(engine.clone()).policy(policy()).build().expect("the policy can be enforced");
        let id = engine.descriptor().id;
        let module = sandbox.load(&program.module).unwrap_or_else(|e| panic!("{} on {id}: {e}", program.name));
        Self { engine, sandbox, module, program }
    }

    /// The program in a guest of its own, with `fuel` for all of its calls together.
    pub fn run(&self, fuel: u64) -> Observed {
        let run = self.try_run(fuel, &self.program.script);
        run.unwrap_or_else(|error| panic!("{} on {self}: {error}", self.program.name))
    }

    /// The same with another script, for modules of which there may be no guest: then the reason is given, in words
    /// that name no engine.
    pub fn try_run(&self, fuel: u64, script: &dyn Fn(&mut Run) -> Option<()>) -> Result<Observed, String> {
        let wasi = (self.program.wasi)().build().expect("the configuration is good");
        let guest = self.sandbox.guest(&self.module, GuestState::with_wasi(wasi)).map_err(|e| e.to_string())?;
        let shows_frames = self.engine.descriptor().capabilities.trap_frames;
        let mut run = Run { guest, left: fuel, shows_frames, observed: Observed::default() };
        // A script that ends early has been stopped; that is seen by its calls.
        let _ = script(&mut run);
        Ok(run.finish())
    }
}

/// A run under way.
pub struct Run {
    pub guest: Guest,
    left: u64,
    shows_frames: bool,
    observed: Observed,
}

impl Run {
    /// Calls `export` with what is left of the fuel; `None` if it does not return.
    pub fn call(&mut self, export: &str, args: &[Value]) -> Option<Vec<Value>> {
        let report = self.guest.call_with(export, args, &CallOptions::default().fuel(Fuel::new(self.left)));
        let consumed = report.receipt.fuel;
        self.left -= consumed;
        let outcome = report.outcome;
        let ended = match &outcome {
            Outcome::Completed { values, exit_code: None } => format!("completed {values:?}"),
            other => format!("{} {:?}: {other}", other.name(), other.reason()),
        };
        let traps = matches!(outcome, Outcome::Trapped(_));
        self.observed.calls.push(Call {
            export: export.to_owned(),
            ended,
            consumed,
            by_fuel: matches!(outcome, Outcome::Stopped { limit: Limit::Fuel, .. }),
            joined: outcome.reason() == Some("memory_out_of_bounds"),
            frames: (self.shows_frames && traps).then(|| outcome.frames().to_vec()),
        });
        match outcome {
            Outcome::Completed { values, exit_code: None } => Some(values),
            _ => None,
        }
    }

    /// The same for a function that returns one `i32` that is an address or a number.
    pub fn number(&mut self, export: &str, args: &[Value]) -> Option<u32> {
        self.call(export, args)?.first()?.i32().map(i32::cast_unsigned)
    }

    /// Puts `bytes` where the guest's `allocator` says.
    pub fn put(&mut self, allocator: &str, bytes: &[u8]) -> Option<i32> {
        let length = i32::try_from(bytes.len()).expect("it is short");
        let address = self.number(allocator, &[Value::I32(length)])?;
        let mut memory = self.guest.memory("memory").expect("it exports its memory");
        memory.write(address.into(), bytes).expect("its allocator gave room in its memory");
        Some(address.cast_signed())
    }

    /// Reads `len` bytes at `address` and keeps them to be compared.
    pub fn read(&mut self, address: u32, len: u32) {
        let memory = self.guest.memory("memory").expect("it exports its memory");
        let bytes = memory.read(address.into(), len.into()).expect("they lie in its memory");
        self.observed.read.push(bytes);
    }

    fn finish(mut self) -> Observed {
        let exports: Vec<_> = self.guest.module().prepared().exports().to_vec();
        for export in exports {
            let seen = match &export.ty {
                ExternType::Memory(_) => {
                    let memory = self.guest.memory(&export.name).expect("it is exported");
                    let size = memory.size().expect("its size can be told");
                    format!("{size} bytes, {}", blake3::hash(&memory.read(0, size).expect("it can be read")))
                }
                ExternType::Global(_) => format!("{:?}", self.guest.global(&export.name)),
                _ => continue,
            };
            self.observed.exports.push(format!("{}: {seen}", export.name));
        }
        let usage = self.guest.usage();
        self.observed.usage = (usage.peak_memory_bytes, usage.refused_growths, usage.host_calls);
        if let Some(wasi) = self.guest.into_state().and_then(|state| state.wasi) {
            self.observed.stdout = wasi.stdout_bytes().to_vec();
            self.observed.stderr = wasi.stderr_bytes().to_vec();
        }
        self.observed
    }
}

/// Whether two engines name the same places, as far as they are the same everywhere: Wasmer's Cranelift may join a load
/// with the operator behind it, and then names that one; Singlepass does not know every offset. Functions and the frames further out are compared all the same.
fn same_places(first: &Call, second: &Call) -> bool {
    let (Some(a), Some(b)) = (&first.frames, &second.frames) else { return true };
    let innermost = |a: &Place, b: &Place| {
        let told = !first.joined && a.offset.is_some() && b.offset.is_some();
        (!told || a.offset == b.offset) && (a.function, &a.name) == (b.function, &b.name)
    };
    match (a.split_first(), b.split_first()) {
        (Some((a, outer)), Some((b, others))) => innermost(a, b) && outer == others,
        (a, b) => a == b,
    }
}

/// Where two runs differ, with both sides.
pub fn difference(first: &Observed, second: &Observed) -> Option<String> {
    for (a, b) in first.calls.iter().zip(&second.calls) {
        let bare = |call: &Call| Call { frames: None, ..call.clone() };
        if !same_places(a, b) || bare(a) != bare(b) {
            return Some(format!("a call\n  {a:?}\n  {b:?}"));
        }
    }
    if first.calls.len() != second.calls.len() {
        return Some(format!("{} calls, {} calls", first.calls.len(), second.calls.len()));
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for (what, a, b) in [("stdout", &first.stdout, &second.stdout), ("stderr", &first.stderr, &second.stderr)] {
        if a != b {
            return Some(format!("{what}\n  {:?}\n  {:?}", text(a), text(b)));
        }
    }
    if first.read != second.read {
        return Some("what was read out of memory".to_owned());
    }
    if first.exports != second.exports {
        return Some(format!("exports\n  {:?}\n  {:?}", first.exports, second.exports));
    }
    (first.usage != second.usage).then(|| format!("usage\n  {:?}\n  {:?}", first.usage, second.usage))
}
