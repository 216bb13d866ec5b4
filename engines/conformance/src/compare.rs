//! The same program on several engines, in portable mode: outcome, results, fuel, frames, memory, globals,
//! tables and usage must be equal, with all the fuel it needs and with any smaller budget.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use cofferdam_engine::{
    AccessError, CallBudget, CompileError, CompiledModule, Engine, Extern, FeatureSet, FuelMode, FuncHandle, Imports,
    InstanceId, MemoryHandle, Place, PreparedModule, Proposal, Stop, Store, StoreLimits, Usage, Value,
};

use crate::cell::Cell;
use crate::literal;
use crate::palette::{self, KitState};
use crate::trouble::Trouble;

/// What is compared.
#[derive(Clone, Debug)]
pub struct Program {
    /// A module, binary or text. It may import the kit's host functions from module `h`.
    pub module: Vec<u8>,
    /// Exports to call, in order, all in one store. Empty: the start function and every exported function,
    /// with zeros as arguments.
    pub calls: Vec<(String, Vec<Value>)>,
    /// What the policy allows.
    pub features: FeatureSet,
    /// Caps of the store.
    pub limits: StoreLimits,
    /// Fuel of each call where nothing else is said.
    pub fuel: u64,
}

impl Program {
    /// `module` with every proposal allowed, default caps, and fuel for about 10 ms.
    pub fn new(module: impl Into<Vec<u8>>) -> Self {
        Self {
            module: module.into(),
            calls: Vec::new(),
            features: Proposal::ALL.iter().copied().collect(),
            limits: StoreLimits::default(),
            fuel: 10_000_000,
        }
    }

    /// The same with these calls.
    #[must_use]
    pub fn calling(mut self, calls: &[(&str, &[Value])]) -> Self {
        self.calls = calls.iter().map(|(name, args)| ((*name).to_owned(), args.to_vec())).collect();
        self
    }
}

/// How one call ended, as far as every engine must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What was called.
    pub name: String,
    /// Fuel given.
    pub budget: u64,
    /// Fuel consumed.
    pub consumed: u64,
    /// Results, trap, limit, exit code, in words.
    pub ended: String,
    /// Frames of a trap, if the engine can tell them.
    pub frames: Option<Vec<Place>>,
}

/// Everything that is compared after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Why there is no instance, in words; then nothing else is there.
    pub refused: Option<String>,
    /// Each call, in order.
    pub calls: Vec<Call>,
    /// Exported memories, globals and tables, in words: the memories by size and hash.
    pub state: Vec<String>,
    /// What the host function `h.log` was told.
    pub trace: Vec<i32>,
    /// What the store held.
    pub usage: Usage,
}

/// What a comparison covered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Engines that ran the program.
    pub engines: Vec<String>,
    /// Engines that could not, and why.
    pub cannot: Vec<(String, String)>,
    /// Runs on each engine.
    pub runs: usize,
    /// Calls that completed, on one engine.
    pub completed: usize,
    /// Calls that trapped.
    pub trapped: usize,
    /// Calls that a limit ended.
    pub limited: usize,
}

/// Why engines could not be compared, or where they differ.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Difference {
    /// The gate refuses the module, on every engine alike.
    #[error("the gate refuses the module: {0}")]
    Gate(String),
    /// Two engines differ.
    #[error("{first} and {second} differ, run {run}:\n{what}")]
    Differ {
        /// One engine.
        first: String,
        /// The other.
        second: String,
        /// Which run: 0 is the one with all the fuel.
        run: usize,
        /// Where, with both sides.
        what: String,
    },
    /// An engine did what no engine may.
    #[error("{engine}: {trouble}")]
    Wrong {
        /// The engine.
        engine: String,
        /// What it did.
        trouble: Trouble,
    },
}

/// Runs `program` on each of `engines`: with all its fuel, and then `random` times with budgets between nothing
/// and what each call consumed, drawn from `seed`.
///
/// # Errors
/// The first difference.
pub fn compare(
    engines: &[Arc<dyn Engine>],
    program: &Program,
    random: usize,
    seed: u64,
) -> Result<Agreement, Difference> {
    let capable = |e: &Arc<dyn Engine>| e.descriptor().capabilities.nan_canonicalisation;
    let canonical_nans = engines.iter().all(capable);
    let mut agreement = Agreement::default();
    let mut runners = Vec::new();
    for engine in engines {
        let id = engine.descriptor().id.to_owned();
        let cell = Cell { engine, mode: FuelMode::Portable };
        let prepared = cell.prepared(&program.module, program.features, canonical_nans);
        let prepared = prepared.map_err(|e| Difference::Gate(e.to_string()))?;
        match engine.compile(&prepared) {
            Ok(compiled) => runners.push((id, Runner { engine, compiled, program })),
            Err(CompileError::Engine(fault)) => {
                return Err(Difference::Wrong { engine: id, trouble: Trouble::wrong(fault) });
            }
            Err(cannot) => agreement.cannot.push((id, cannot.to_string())),
        }
    }
    agreement.engines = runners.iter().map(|(id, _)| id.clone()).collect();
    let Some(((first, runner), others)) = runners.split_first() else { return Ok(agreement) };
    let wrong = |engine: &str, trouble| Difference::Wrong { engine: engine.to_owned(), trouble };
    let full = runner.run(&[]).map_err(|t| wrong(first, t))?;
    let mut random_numbers = SplitMix(seed);
    for run in 0..=random {
        let budgets: Vec<u64> = match run {
            0 => Vec::new(),
            _ => full.calls.iter().map(|c| random_numbers.up_to(c.consumed)).collect(),
        };
        let expected = if run == 0 { full.clone() } else { runner.run(&budgets).map_err(|t| wrong(first, t))? };
        for call in &expected.calls {
            match call.ended.split_once(' ').map_or("", |(word, _)| word) {
                "completed" => agreement.completed += 1,
                "trap" => agreement.trapped += 1,
                "limit" => agreement.limited += 1,
                _ => {}
            }
        }
        for (second, other) in others {
            let found = other.run(&budgets).map_err(|t| wrong(second, t))?;
            if let Some(what) = difference(&expected, &found) {
                return Err(Difference::Differ { first: first.clone(), second: second.clone(), run, what });
            }
        }
        agreement.runs += 1;
    }
    Ok(agreement)
}

/// Runs `program` once on `engine`, call by call with `budgets`, and with the program's fuel where they end.
///
/// # Errors
/// [`Trouble::Lacks`] for a proposal that the engine does not have; [`Trouble::Wrong`].
pub fn observe(
    engine: &Arc<dyn Engine>,
    mode: FuelMode,
    program: &Program,
    budgets: &[u64],
) -> Result<Observed, Trouble> {
    let cell = Cell { engine, mode };
    let canonical_nans = engine.descriptor().capabilities.nan_canonicalisation;
    let prepared = cell.prepared(&program.module, program.features, canonical_nans).map_err(Trouble::wrong)?;
    Runner { engine, compiled: cell.compile_prepared(&prepared)?, program }.run(budgets)
}

struct Runner<'a> {
    engine: &'a Arc<dyn Engine>,
    compiled: Arc<dyn CompiledModule>,
    program: &'a Program,
}

impl Runner<'_> {
    fn run(&self, budgets: &[u64]) -> Result<Observed, Trouble> {
        let state = Box::new(KitState::default());
        let mut store = self.engine.store(&self.program.limits, state).map_err(Trouble::wrong)?;
        let imports: Imports = palette::imports();
        let instance = match store.instantiate(&*self.compiled, &imports) {
            Ok(instance) => instance,
            Err(cofferdam_engine::InstantiateError::Engine(fault)) => return Err(Trouble::wrong(fault)),
            Err(refused) => {
                let (refused, usage) = (Some(refused.to_string()), store.usage());
                return Ok(Observed { refused, calls: Vec::new(), state: Vec::new(), trace: Vec::new(), usage });
            }
        };
        let mut calls = Vec::new();
        for (at, (name, func, args)) in self.calls(&mut *store, instance)?.into_iter().enumerate() {
            let budget = budgets.get(at).copied().unwrap_or(self.program.fuel);
            calls.push(self.call(&mut *store, name, func, &args, budget)?);
        }
        let trace = match store.state().downcast_mut::<KitState>() {
            Some(kept) => std::mem::take(&mut kept.trace),
            None => return Err(Trouble::wrong("the store lost the guest's state")),
        };
        let state = exports(&mut *store, instance, self.compiled.prepared())?;
        Ok(Observed { refused: None, calls, state, trace, usage: store.usage() })
    }

    fn calls(
        &self,
        store: &mut dyn Store,
        instance: InstanceId,
    ) -> Result<Vec<(String, FuncHandle, Vec<Value>)>, Trouble> {
        let mut calls = Vec::new();
        if let Some(start) = store.start(instance) {
            calls.push(("the start function".to_owned(), start, Vec::new()));
        }
        if self.program.calls.is_empty() {
            for export in self.compiled.prepared().exports() {
                if let Some(Extern::Func(func)) = store.export(instance, &export.name)
                    && let Some(ty) = store.func_type(func)
                {
                    let zeros = ty.params().iter().map(|t| Value::default_of(*t)).collect();
                    calls.push((export.name.to_string(), func, zeros));
                }
            }
        }
        for (name, args) in &self.program.calls {
            match store.export(instance, name) {
                Some(Extern::Func(func)) => calls.push((name.clone(), func, args.clone())),
                other => return Err(Trouble::wrong(format!("`{name}` is {other:?}, no function"))),
            }
        }
        Ok(calls)
    }

    fn call(
        &self,
        store: &mut dyn Store,
        name: String,
        func: FuncHandle,
        args: &[Value],
        fuel: u64,
    ) -> Result<Call, Trouble> {
        let ty = store.func_type(func).ok_or_else(|| Trouble::wrong("the function has no type"))?;
        let mut results = Value::results_of(&ty);
        let mut budget = CallBudget::of_fuel(fuel);
        let ended = store.call(func, args, &mut results, &mut budget);
        let shows_frames = self.engine.descriptor().capabilities.trap_frames;
        let (ended, frames) = match ended {
            Ok(()) => (format!("completed {}", results.iter().map(literal::write).collect::<Vec<_>>().join(" ")), None),
            Err(Stop::Trap(trap)) => (format!("trap {}", trap.kind.reason()), shows_frames.then_some(trap.frames)),
            // Its frames are shown where an engine can tell them, which is not the same for all.
            Err(Stop::Limit { limit, .. }) => (format!("limit {}", limit.reason()), None),
            Err(Stop::Exit(code)) => (format!("exit {code}"), None),
            Err(Stop::Host(why)) => (format!("host {why}"), None),
            Err(Stop::BadArguments { expected }) => (format!("bad-arguments {expected}"), None),
            Err(Stop::Engine(fault)) => return Err(Trouble::wrong(fault)),
        };
        Ok(Call { name, budget: fuel, consumed: budget.consumed, ended, frames })
    }
}

/// Every exported memory, global and table, in words.
fn exports(store: &mut dyn Store, instance: InstanceId, module: &PreparedModule) -> Result<Vec<String>, Trouble> {
    let mut state = Vec::new();
    for export in module.exports() {
        let seen = match store.export(instance, &export.name) {
            Some(Extern::Memory(memory)) => MemoryDigest::of(store, memory).map(|digest| digest.to_string()),
            Some(Extern::Global(global)) => store.global_get(global).map(|v| literal::write(&v)),
            Some(Extern::Table(table)) => words_of_table(store, table),
            Some(Extern::Func(_)) | None => continue,
        };
        match seen {
            Ok(seen) => state.push(format!("{}: {seen}", export.name)),
            // A type that cannot cross the border on any engine.
            Err(AccessError::Unsupported) => {}
            Err(error) => return Err(Trouble::wrong(format!("export `{}`: {error}", export.name))),
        }
    }
    Ok(state)
}

/// All of a linear memory, small enough to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryDigest {
    /// Its size in bytes.
    pub bytes: u64,
    /// The BLAKE3 hash of what is in it.
    pub hash: blake3::Hash,
}

impl MemoryDigest {
    /// Of `memory` as it is now; it is read in pieces of 64 KiB.
    ///
    /// # Errors
    /// Where the store cannot read it, as a handle of another store or a memory that the engine does not show.
    pub fn of(store: &dyn Store, memory: MemoryHandle) -> Result<Self, AccessError> {
        let bytes = store.memory_size(memory)?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 16];
        let mut at = 0;
        while at < bytes {
            let part = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(buffer.len());
            store.memory_read(memory, at, &mut buffer[..part])?;
            hasher.update(&buffer[..part]);
            at += part as u64;
        }
        Ok(Self { bytes, hash: hasher.finalize() })
    }
}

impl fmt::Display for MemoryDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {}", self.bytes, self.hash)
    }
}

fn words_of_table(store: &mut dyn Store, table: cofferdam_engine::TableHandle) -> Result<String, AccessError> {
    let size = store.table_size(table)?;
    let mut words = format!("{size} elements:");
    for index in 0..size.min(10_000) {
        let _ = write!(words, " {}", literal::write(&store.table_get(table, index)?));
    }
    Ok(words)
}

/// Whether two engines name the same places. Wasmer's Cranelift may join a load with the operator behind it, and then
/// names that one when the load is out of bounds; so the offset of such a trap itself is not compared, its function
/// and all else is. Nor is an offset that one of them does not know.
fn same_places(first: &Call, second: &Call) -> bool {
    let (Some(a), Some(b)) = (&first.frames, &second.frames) else { return true };
    let joined = first.ended == "trap memory_out_of_bounds";
    let innermost = |a: &Place, b: &Place| {
        let told = !joined && a.offset.is_some() && b.offset.is_some();
        (!told || a.offset == b.offset) && (a.function, &a.name) == (b.function, &b.name)
    };
    match (a.split_first(), b.split_first()) {
        (Some((a, outer)), Some((b, others))) => innermost(a, b) && outer == others,
        (a, b) => a == b,
    }
}

/// Where two runs differ, with both sides.
fn difference(first: &Observed, second: &Observed) -> Option<String> {
    let differ =
        |what: &str, a: &dyn std::fmt::Debug, b: &dyn std::fmt::Debug| Some(format!("{what}\n  {a:?}\n  {b:?}"));
    if first.refused != second.refused {
        return differ("instantiation", &first.refused, &second.refused);
    }
    for (a, b) in first.calls.iter().zip(&second.calls) {
        let rest = (&a.name, a.budget, a.consumed, &a.ended) != (&b.name, b.budget, b.consumed, &b.ended);
        if rest || !same_places(a, b) {
            return differ("a call", a, b);
        }
    }
    if first.calls.len() != second.calls.len() {
        return differ("the number of calls", &first.calls.len(), &second.calls.len());
    }
    if let Some((a, b)) = first.state.iter().zip(&second.state).find(|(a, b)| a != b) {
        return differ("an export", a, b);
    }
    if first.state.len() != second.state.len() {
        return differ("exports", &first.state, &second.state);
    }
    if first.trace != second.trace {
        return differ("host calls", &first.trace, &second.trace);
    }
    (first.usage != second.usage).then(|| format!("usage\n  {:?}\n  {:?}", first.usage, second.usage))
}

/// A small generator of numbers that are the same everywhere.
#[derive(Clone, Debug)]
pub struct SplitMix(pub u64);

impl SplitMix {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from nothing to `most`.
    pub fn up_to(&mut self, most: u64) -> u64 {
        self.draw().checked_rem(most.saturating_add(1)).unwrap_or(0)
    }
}
