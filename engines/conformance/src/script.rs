//! Runs rows that are data.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use cofferdam_engine::{
    AccessError, CallBudget, CancelHandle, Extern, FuelMode, GlobalType, Import, InstantiateError, MemoryType, Stop,
    TableType, ValType, Value,
};

use crate::cell::{Cell, Guest};
use crate::literal;
use crate::row::{AccessEnd, Call, CallEnd, Cap, Frame, HostMade, MadeEnd, Script, Step, Target, UsageField};
use crate::trouble::{Done, Trouble, same};

/// Longest budget that a step tries one by one.
const MOST_BUDGETS: u64 = 5_000;
/// A call with a deadline that is still under way after this is ended otherwise, and the row fails.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Runs `script` in `cell`.
///
/// # Errors
/// The first thing that is other than expected, with its line.
pub fn run(cell: &Cell<'_>, script: &Script) -> Done {
    let can = &cell.engine.descriptor().capabilities;
    cell.needs(!script.caps.contains(&Cap::Memory) || can.memory_cap, "memory cap")?;
    cell.needs(!script.caps.contains(&Cap::Tables) || can.table_cap, "table cap")?;
    cell.needs(!script.canonical_nans || can.nan_canonicalisation, "canonical NaNs")?;
    let made = script.steps.iter().filter(|(_, s)| matches!(s, Step::Instantiate { .. } | Step::Host { .. }));
    cell.needs(made.count() < 2 || can.linking, "linking")?;
    let mut runner = Runner { cell, script, guest: cell.guest(&script.limits)? };
    if !script.steps.iter().any(|(_, s)| matches!(s, Step::Instantiate { .. } | Step::Gate { .. })) {
        runner.instantiate("main", &MadeEnd::Made)?;
    }
    for (line, step) in &script.steps {
        runner.step(step).map_err(|trouble| match trouble {
            Trouble::Wrong(what) => Trouble::Wrong(format!("line {line}: {what}")),
            lacks => lacks,
        })?;
    }
    Ok(())
}

struct Runner<'a> {
    cell: &'a Cell<'a>,
    script: &'a Script,
    guest: Guest,
}

impl Runner<'_> {
    fn step(&mut self, step: &Step) -> Done {
        match step {
            Step::Instantiate { module, end } => self.instantiate(module, end),
            Step::Call(call) => self.call(call),
            Step::Exhaust { call, fuel } => self.exhaust(call, *fuel),
            Step::Usage(fields) => self.usage(fields),
            Step::Trace(expected) => {
                let told = std::mem::take(&mut self.guest.kit_state()?.trace);
                same("the trace", &told, expected)
            }
            Step::Gate { module, reason } => self.gate(module, reason),
            Step::NoExport(target) => {
                let instance = self.guest.instance(&target.instance)?;
                same(format!("export `{}`", target.name), &self.guest.store.export(instance, &target.name), &None)
            }
            Step::Host { name, what, end } => self.host(name, *what, *end),
            Step::Global { .. } | Step::SetGlobal { .. } => self.global(step),
            Step::TableSize { .. } | Step::TableAt { .. } => self.table(step),
            _ => self.memory(step),
        }
    }

    fn text(&self, module: &str) -> Done<&str> {
        let found = self.script.modules.iter().find(|(name, _)| name == module);
        found.map(|(_, text)| &**text).ok_or_else(|| Trouble::Wrong(format!("the row has no module `{module}`")))
    }

    fn gate(&self, module: &str, reason: &str) -> Done {
        match self.cell.prepared(self.text(module)?.as_bytes(), self.script.features, false) {
            Ok(_) => Err(Trouble::wrong("the gate let it through")),
            Err(refusal) => same("the refusal", &refusal.reason(), &reason),
        }
    }

    fn instantiate(&mut self, module: &str, expected: &MadeEnd) -> Done {
        let text = self.text(module)?.as_bytes();
        let prepared = self.cell.prepared(text, self.script.features, self.script.canonical_nans);
        let prepared = prepared.map_err(|e| Trouble::wrong(format!("module `{module}`: {e}")))?;
        let compiled = self.cell.compile_prepared(&prepared)?;
        let found = match self.guest.instantiate(module, &*compiled) {
            Ok(_) => MadeEnd::Made,
            Err(InstantiateError::Memory { need, cap }) => MadeEnd::Memory(need, cap),
            Err(InstantiateError::TableElements { need, cap }) => MadeEnd::TableElements(need, cap),
            Err(InstantiateError::Instances { cap }) => MadeEnd::Instances(cap),
            Err(InstantiateError::MissingImport { module, name, .. }) => MadeEnd::MissingImport(module, name),
            Err(InstantiateError::ImportType { module, name, .. }) => MadeEnd::ImportType(module, name),
            Err(InstantiateError::Trap(trap)) => MadeEnd::Trap(trap.kind),
            Err(other) => return Err(Trouble::wrong(format!("`{module}` was not instantiated: {other}"))),
        };
        same(format!("instantiating `{module}`"), &found, expected)
    }

    /// Makes the call and gives how it ended, in the row's words and as it was.
    fn make(&mut self, call: &Call, budget: &mut CallBudget) -> Done<(CallEnd, Vec<Value>, Vec<Frame>)> {
        let can = &self.cell.engine.descriptor().capabilities;
        self.cell.needs(call.timeout_ms.is_none() || can.deadline, "deadline")?;
        let func = match &call.function {
            Some(name) => self.guest.func(&call.instance, name)?,
            None => {
                let instance = self.guest.instance(&call.instance)?;
                self.guest.store.start(instance).ok_or_else(|| Trouble::wrong("there is no start function"))?
            }
        };
        let ty = self.guest.store.func_type(func).ok_or_else(|| Trouble::wrong("the function has no type"))?;
        let types = ty.params().iter().map(|t| Some(*t)).chain(std::iter::repeat(None));
        let args = call.args.iter().zip(types).map(|(word, ty)| literal::typed(word, ty));
        let args = args.collect::<Done<Vec<_>>>()?;
        budget.timeout = call.timeout_ms.map(Duration::from_millis);
        let cancel = CancelHandle::new();
        self.guest.kit_state()?.cancel = cancel.clone();
        budget.cancel = Some(cancel.clone());
        let ended = match call.timeout_ms {
            None => self.guest.run(func, &args, budget)?,
            Some(_) => watched(cancel, || self.guest.run(func, &args, budget))?,
        };
        Ok(match ended {
            Ok(results) => (CallEnd::Completed(results.iter().map(literal::write).collect()), results, Vec::new()),
            Err(stop) => {
                let (end, places) = in_words(stop)?;
                let frames = places.into_iter().map(|p| Frame {
                    function: p.function,
                    name: p.name.map(|n| n.to_string()),
                    offset: p.offset,
                });
                (end, Vec::new(), frames.collect())
            }
        })
    }

    fn call(&mut self, call: &Call) -> Done {
        let mut budget = CallBudget::of_fuel(call.budget);
        let (end, results, frames) = self.make(call, &mut budget)?;
        let name = call.function.as_deref().unwrap_or("the start function");
        match &call.end {
            CallEnd::Completed(words) => {
                let as_expected = matches!(end, CallEnd::Completed(_))
                    && words.len() == results.len()
                    && words.iter().zip(&results).try_fold(true, |all, (w, r)| Ok(all && literal::matches(w, r)?))?;
                if !as_expected {
                    return same(format!("`{name}`"), &end, &call.end);
                }
            }
            expected => same(format!("`{name}`"), &end, expected)?,
        }
        if let Some(fuel) = call.fuel {
            self.fuel(name, budget.consumed, fuel, matches!(end, CallEnd::Completed(_)))?;
        }
        match &call.frames {
            Some(expected) => self.frames(&frames, expected),
            None => Ok(()),
        }
    }

    /// Portable fuel is exact. Native fuel is the engine's own, by the same prices: of the same size in a
    /// completed run, and no larger in another, where some engines charge for work when it is done.
    fn fuel(&self, name: &str, consumed: u64, expected: u64, completed: bool) -> Done {
        let least = if completed { expected / 4 } else { expected.min(1) };
        match self.cell.mode {
            FuelMode::Portable => same(format!("fuel of `{name}`"), &consumed, &expected),
            FuelMode::Native if consumed >= least && consumed <= expected.saturating_mul(4) + 64 => Ok(()),
            FuelMode::Native => Err(Trouble::Wrong(format!(
                "native fuel of `{name}`: {consumed}, far from {expected} by the same list"
            ))),
        }
    }

    fn frames(&self, found: &[Frame], expected: &[Frame]) -> Done {
        self.cell.needs(self.cell.engine.descriptor().capabilities.trap_frames, "trap frames")?;
        let found: Vec<Frame> = found
            .iter()
            .zip(expected)
            .map(|(f, e)| f.as_far_as(e))
            .chain(found.iter().skip(expected.len()).cloned())
            .collect();
        same("frames", &found.as_slice(), &expected)
    }

    fn exhaust(&mut self, call: &Call, fuel: u64) -> Done {
        let mut fuel = fuel;
        if self.cell.mode == FuelMode::Native {
            let mut guest = self.fresh()?;
            let mut budget = CallBudget::of_fuel(crate::read::PLENTY);
            guest.make(call, &mut budget)?;
            fuel = budget.consumed;
        }
        if fuel > MOST_BUDGETS {
            return Err(Trouble::Wrong(format!("{fuel} budgets are too many to try")));
        }
        for given in 0..=fuel {
            let mut guest = self.fresh()?;
            let mut budget = CallBudget::of_fuel(given);
            let (end, ..) = guest.make(call, &mut budget)?;
            let stopped = end == CallEnd::Limit(cofferdam_engine::Limit::Fuel);
            if stopped != (given < fuel) || (given == fuel && end != call.end) {
                return Err(Trouble::Wrong(format!("with {given} fuel, where {fuel} are needed: {end:?}")));
            }
            same(format!("consumed of {given}"), &budget.consumed, &given)?;
        }
        Ok(())
    }

    /// The same row in a new store, with its modules instantiated.
    fn fresh(&self) -> Done<Self> {
        let mut fresh = Runner { cell: self.cell, script: self.script, guest: self.cell.guest(&self.script.limits)? };
        let mut names: Vec<_> = self
            .script
            .steps
            .iter()
            .filter_map(|(_, s)| match s {
                Step::Instantiate { module, end: MadeEnd::Made } => Some(&**module),
                _ => None,
            })
            .collect();
        if names.is_empty() {
            names.push("main");
        }
        for name in names {
            fresh.instantiate(name, &MadeEnd::Made)?;
        }
        Ok(fresh)
    }

    fn usage(&self, fields: &[(UsageField, u64)]) -> Done {
        let usage = self.guest.store.usage();
        for (field, expected) in fields {
            let found = match field {
                UsageField::Memory => usage.memory_bytes,
                UsageField::Peak => usage.peak_memory_bytes,
                UsageField::Tables => usage.table_elements,
                UsageField::Instances => u64::from(usage.instances),
                UsageField::Refused => usage.refused_growths,
                UsageField::HostCalls => usage.host_calls,
            };
            same(format!("usage, {field:?}"), &found, expected)?;
        }
        Ok(())
    }

    fn host(&mut self, name: &str, what: HostMade, expected: AccessEnd) -> Done {
        let store = &mut self.guest.store;
        let made = match what {
            HostMade::Memory(minimum, maximum) => store
                .new_memory(MemoryType { minimum, maximum, shared: false, memory64: false, page_size_log2: 16 })
                .map(Extern::Memory),
            HostMade::Table(minimum, maximum) => {
                let ty = TableType { element: Some(ValType::FuncRef), minimum, maximum, table64: false };
                store.new_table(ty, Value::FuncRef(None)).map(Extern::Table)
            }
            HostMade::Global(value) => {
                let ty = GlobalType { value: Some(ValType::I64), mutable: true };
                store.new_global(ty, Value::I64(value)).map(Extern::Global)
            }
        };
        if let Ok(made) = made {
            self.guest.given.define("host", name, Import::Extern(made));
        }
        same(format!("making `{name}`"), &access(made.map(drop))?, &expected)
    }

    fn global(&mut self, step: &Step) -> Done {
        let (Step::Global { target, .. } | Step::SetGlobal { target, .. }) = step else { return Ok(()) };
        let Extern::Global(global) = self.guest.export(&target.instance, &target.name)? else {
            return Err(no(target, "global"));
        };
        let name = &target.name;
        match step {
            Step::SetGlobal { value, end, .. } => {
                let set = self.guest.store.global_set(global, literal::typed(value, None)?);
                same(format!("setting `{name}`"), &access(set)?, end)
            }
            Step::Global { value, .. } => {
                let found = self.guest.store.global_get(global);
                let found = found.map_err(|e| Trouble::wrong(format!("global `{name}`: {e}")))?;
                if literal::matches(value, &found)? {
                    return Ok(());
                }
                same(format!("global `{name}`"), &literal::write(&found), value)
            }
            _ => Ok(()),
        }
    }

    fn table(&mut self, step: &Step) -> Done {
        let (Step::TableSize { target, .. } | Step::TableAt { target, .. }) = step else { return Ok(()) };
        let Extern::Table(table) = self.guest.export(&target.instance, &target.name)? else {
            return Err(no(target, "table"));
        };
        let name = &target.name;
        match step {
            Step::TableSize { elements, .. } => {
                same(format!("size of `{name}`"), &self.guest.store.table_size(table), &Ok(*elements))
            }
            Step::TableAt { index, value, .. } => match (self.guest.store.table_get(table, *index), value) {
                (Ok(found), Ok(word)) if literal::matches(word, &found)? => Ok(()),
                (Ok(found), expected) => same(format!("`{name}[{index}]`"), &Ok(literal::write(&found)), expected),
                (Err(error), expected) => same(format!("`{name}[{index}]`"), &Err(access(Err(error))?), expected),
            },
            _ => Ok(()),
        }
    }

    fn memory(&mut self, step: &Step) -> Done {
        let (Step::Memory { target, .. }
        | Step::MemorySize { target, .. }
        | Step::WriteMemory { target, .. }
        | Step::GrowMemory { target, .. }) = step
        else {
            return Ok(());
        };
        let Extern::Memory(memory) = self.guest.export(&target.instance, &target.name)? else {
            return Err(no(target, "memory"));
        };
        let name = &target.name;
        let store = &mut self.guest.store;
        match step {
            Step::Memory { at, bytes, .. } => {
                let mut found = vec![0; bytes.len()];
                let read = store.memory_read(memory, *at, &mut found);
                read.map_err(|e| Trouble::wrong(format!("reading `{name}` at {at}: {e}")))?;
                same(format!("`{name}` at {at}"), &found, bytes)
            }
            Step::MemorySize { bytes, .. } => {
                same(format!("size of `{name}`"), &store.memory_size(memory), &Ok(*bytes))
            }
            Step::WriteMemory { at, bytes, end, .. } => {
                same(format!("writing `{name}` at {at}"), &access(store.memory_write(memory, *at, bytes))?, end)
            }
            Step::GrowMemory { pages, end, .. } => {
                let grown = match store.memory_grow(memory, *pages) {
                    Ok(before) => Ok(before),
                    Err(error) => Err(access(Err(error))?),
                };
                same(format!("growing `{name}`"), &grown, end)
            }
            _ => Ok(()),
        }
    }
}

/// Does `work`, and cancels it should the deadline not have ended it long ago.
fn watched<T>(cancel: CancelHandle, work: impl FnOnce() -> T) -> T {
    let (done, wait) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if wait.recv_timeout(LONGEST_WAIT) == Err(RecvTimeoutError::Timeout) {
                cancel.cancel();
            }
        });
        let worked = work();
        drop(done);
        worked
    })
}

impl Frame {
    /// This frame without what `expected` leaves open.
    fn as_far_as(&self, expected: &Self) -> Self {
        Self {
            function: self.function,
            name: expected.name.as_ref().and(self.name.clone()),
            offset: expected.offset.and(self.offset),
        }
    }
}

fn no(target: &Target, kind: &str) -> Trouble {
    Trouble::Wrong(format!("`{}.{}` is no {kind}", target.instance, target.name))
}

/// A stop in the row's words, and its frames.
fn in_words(stop: Stop) -> Done<(CallEnd, Vec<cofferdam_engine::Place>)> {
    Ok(match stop {
        Stop::Trap(trap) => (CallEnd::Trap(trap.kind), trap.frames),
        Stop::Limit { limit, frames } => (CallEnd::Limit(limit), frames),
        Stop::Exit(code) => (CallEnd::Exit(code), Vec::new()),
        Stop::Host(_) => (CallEnd::Host, Vec::new()),
        Stop::BadArguments { .. } => (CallEnd::BadArguments, Vec::new()),
        Stop::Engine(fault) => return Err(Trouble::wrong(fault)),
    })
}

fn access(result: Result<(), AccessError>) -> Done<AccessEnd> {
    Ok(match result {
        Ok(()) => AccessEnd::Fine,
        Err(AccessError::OutOfBounds) => AccessEnd::OutOfBounds,
        Err(AccessError::WrongType) => AccessEnd::WrongType,
        Err(AccessError::Immutable) => AccessEnd::Immutable,
        Err(AccessError::Refused) => AccessEnd::Refused,
        Err(other) => return Err(Trouble::wrong(other)),
    })
}
