//! One case on every engine: what must be equal, and the first thing that is not.

use std::fmt;
use std::sync::Arc;

use cofferdam_engine::{Engine, FuelMode, Limit, Place, TrapKind};
use cofferdam_prepare::{Gate, ModuleLimits, ValidModule, recognise, validate};
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::host::mix;
use crate::observe::{Call, Cannot, Ended, Loaded, Observed};
use crate::policy::Policy;

/// Fuel in native mode for each unit of portable fuel: native meters also count what `prepare` inserts.
const NATIVE_FUEL: u64 = 40;

/// What kind of difference was found. A reduced case must still show the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// An engine failed, or broke a rule that holds for each call alone.
    EngineFault,
    /// One has an instance and another not, or for another reason.
    Instantiation,
    /// A call ended differently.
    Outcome,
    /// A call consumed different fuel.
    Fuel,
    /// A trap has other frames.
    Frames,
    /// A memory, global or table differs after the calls.
    State,
    /// Host calls differ.
    HostCalls,
    /// What the store says it holds differs.
    Usage,
    /// The process died.
    Crash,
    /// It did not end.
    Hang,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EngineFault => "engine fault",
            Self::Instantiation => "instantiation",
            Self::Outcome => "outcome",
            Self::Fuel => "fuel",
            Self::Frames => "frames",
            Self::State => "state",
            Self::HostCalls => "host calls",
            Self::Usage => "usage",
            Self::Crash => "crash",
            Self::Hang => "hang",
        })
    }
}

/// A difference between two runs that must be the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its kind.
    pub what: What,
    /// One side: engine and mode.
    pub first: String,
    /// The other side.
    pub second: String,
    /// Which run: 0 has all the fuel.
    pub run: u32,
    /// Both answers.
    pub detail: String,
}

impl Finding {
    /// The process died; of which engine cannot be seen from inside.
    #[must_use]
    pub fn crash() -> Self {
        Self { what: What::Crash, first: String::new(), second: String::new(), run: 0, detail: String::new() }
    }

    /// Whether `other` is of the same kind between the same sides.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        (self.what, &self.first, &self.second) == (other.what, &other.first, &other.second)
    }
}

/// How the calls of a run ended, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// Returned.
    pub completed: u64,
    /// Trapped.
    pub trapped: u64,
    /// Out of fuel.
    pub fuel: u64,
    /// Out of stack.
    pub stack: u64,
    /// Ended by a host function or another limit.
    pub host: u64,
}

impl Ends {
    fn count(&mut self, observed: &Observed) {
        for call in &observed.calls {
            match call.ended {
                Ended::Completed(_) => self.completed += 1,
                Ended::Trapped(_) => self.trapped += 1,
                Ended::Limit(Limit::Fuel) => self.fuel += 1,
                Ended::Limit(Limit::Stack) => self.stack += 1,
                _ => self.host += 1,
            }
        }
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.completed += other.completed;
        self.trapped += other.trapped;
        self.fuel += other.fuel;
        self.stack += other.stack;
        self.host += other.host;
    }
}

/// What came of a case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The gate refuses the module, before any engine.
    pub refused: Option<String>,
    /// Engines that ran it.
    pub engines: Vec<String>,
    /// Engines that say they cannot, and why.
    pub cannot: Vec<(String, String)>,
    /// Runs, over all engines and modes.
    pub runs: u64,
    /// Ends of the calls on one engine.
    pub ends: Ends,
    /// Instances that were refused alike.
    pub not_instantiated: bool,
    /// The backstop ended a call; nothing was compared from there on.
    pub cut: bool,
    /// Engines whose native mode was compared with their portable one.
    pub native: u64,
    /// The first difference.
    pub finding: Option<Finding>,
}

/// Runs `case` on each of `engines`.
#[must_use]
pub fn check(engines: &[Arc<dyn Engine>], case: &Case) -> Verdict {
    let mut verdict = Verdict::default();
    let gate = Gate { features: case.policy.features(), level: "fuzz".into(), limits: ModuleLimits::default() };
    let valid = recognise(&case.module, &gate.limits).and_then(|module| validate(module, &gate));
    match valid {
        Ok(valid) => verdict.finding = run(engines, &case.policy, &valid, &mut verdict).err().map(|finding| *finding),
        Err(refusal) => verdict.refused = Some(refusal.to_string()),
    }
    verdict
}

fn fault(side: String, run: u32, detail: String) -> Box<Finding> {
    Box::new(Finding { what: What::EngineFault, first: side.clone(), second: side, run, detail })
}

fn side(id: &str, mode: FuelMode) -> String {
    format!("{id} {mode}")
}

fn run(
    engines: &[Arc<dyn Engine>],
    policy: &Policy,
    valid: &ValidModule,
    verdict: &mut Verdict,
) -> Result<(), Box<Finding>> {
    let mut loaded = Vec::new();
    for engine in engines {
        let id = engine.descriptor().id;
        match Loaded::new(engine, FuelMode::Portable, valid) {
            Ok(ready) => loaded.push(ready),
            Err(Cannot::Lacks(why)) => verdict.cannot.push((id.to_owned(), why)),
            Err(Cannot::Fault(why)) => return Err(fault(side(id, FuelMode::Portable), 0, why)),
        }
    }
    let mut full: Option<Observed> = None;
    let mut seed = policy.seed;
    for round in 0..=policy.rounds {
        let budgets: Vec<u64> = match (&full, round) {
            (Some(full), 1..) => {
                let mut less = |consumed: u64| {
                    seed = mix(seed, u64::from(round));
                    seed.checked_rem(consumed.saturating_add(1)).unwrap_or(0)
                };
                full.calls.iter().map(|call| less(call.consumed)).collect()
            }
            _ => Vec::new(),
        };
        let mut expected: Option<(String, Observed)> = None;
        let mut lacking = Vec::new();
        for (at, ready) in loaded.iter().enumerate() {
            let this = side(ready.id(), ready.mode);
            let observed = match ready.run(policy, policy.fuel, &budgets) {
                Ok(observed) => observed,
                Err(Cannot::Lacks(why)) => {
                    verdict.cannot.push((ready.id().to_owned(), why));
                    lacking.push(at);
                    continue;
                }
                Err(Cannot::Fault(why)) => return Err(fault(this, round, why)),
            };
            verdict.runs += 1;
            if observed.cut() {
                verdict.cut = true;
                return Ok(());
            }
            match &expected {
                Some((first, expected)) => {
                    if let Some((what, detail)) = difference(expected, &observed, true) {
                        let (first, second) = (first.clone(), this);
                        return Err(Box::new(Finding { what, first, second, run: round, detail }));
                    }
                }
                None => expected = Some((this, observed)),
            }
        }
        for at in lacking.into_iter().rev() {
            loaded.remove(at);
        }
        let Some((_, observed)) = expected else { return Ok(()) };
        verdict.ends.count(&observed);
        verdict.not_instantiated |= observed.refused.is_some();
        if observed.refused.is_some() {
            full = Some(observed);
            break;
        }
        full.get_or_insert(observed);
    }
    verdict.engines = loaded.iter().map(|ready| ready.id().to_owned()).collect();
    match full {
        Some(full) if policy.native => native(&loaded, policy, valid, &full, verdict),
        _ => Ok(()),
    }
}

/// Runs the module in native mode on each engine, and compares with what `portable` fuel showed.
fn native(
    loaded: &[Loaded],
    policy: &Policy,
    valid: &ValidModule,
    portable: &Observed,
    verdict: &mut Verdict,
) -> Result<(), Box<Finding>> {
    for ready in loaded {
        let id = ready.id();
        if !ready.engine.descriptor().capabilities.fuel_modes.contains(&FuelMode::Native) {
            continue;
        }
        let this = side(id, FuelMode::Native);
        // Wasmer counts the same in both modes, so that budgets can be equal.
        let same_count = id.starts_with("wasmer");
        let fuel =
            if same_count { policy.fuel } else { policy.fuel.saturating_mul(NATIVE_FUEL).saturating_add(10_000) };
        let observed = match Loaded::new(&ready.engine, FuelMode::Native, valid) {
            Ok(native) => native.run(policy, fuel, &[]),
            Err(cannot) => Err(cannot),
        };
        let observed = match observed {
            Ok(observed) => observed,
            Err(Cannot::Lacks(why)) => {
                verdict.cannot.push((this, why));
                continue;
            }
            Err(Cannot::Fault(why)) => return Err(fault(this, 0, why)),
        };
        verdict.runs += 1;
        if observed.cut() {
            verdict.cut = true;
            return Ok(());
        }
        verdict.native += 1;
        if let Some((what, detail)) = native_difference(portable, &observed, same_count) {
            let first = side(loaded.first().map_or(id, Loaded::id), FuelMode::Portable);
            return Err(Box::new(Finding { what, first, second: this, run: 0, detail }));
        }
    }
    Ok(())
}

/// Whether both name the same places. Cranelift may join a load with the operator behind it, and two checks of one
/// index into one, and then names the other operator when it is out of bounds: so the offset of such a trap itself is
/// not compared. Nor is that of an engine that may not know it and does not.
fn same_places(first: &Call, second: &Call) -> bool {
    let (Some(a), Some(b)) = (&first.frames, &second.frames) else { return true };
    let bounds = |kind: &TrapKind| matches!(kind, TrapKind::MemoryOutOfBounds | TrapKind::TableOutOfBounds);
    let joined = matches!(&first.ended, Ended::Trapped(kind) if bounds(kind));
    let untold = |a: &Place, b: &Place| first.vague && a.offset.is_none() || second.vague && b.offset.is_none();
    let innermost = |a: &Place, b: &Place| {
        (joined || a.offset == b.offset || untold(a, b)) && (a.function, &a.name) == (b.function, &b.name)
    };
    match (a.split_first(), b.split_first()) {
        (Some((a, outer)), Some((b, others))) => innermost(a, b) && outer == others,
        (a, b) => a == b,
    }
}

fn both(what: &dyn fmt::Display, a: &dyn fmt::Debug, b: &dyn fmt::Debug) -> String {
    let short = |side: &dyn fmt::Debug| format!("{side:?}").chars().take(2_000).collect::<String>();
    format!("{what}\n  {}\n  {}", short(a), short(b))
}

/// Where two runs differ; `fuel`: whether the units consumed are compared as well.
fn difference(first: &Observed, second: &Observed, fuel: bool) -> Option<(What, String)> {
    if first.refused != second.refused {
        return Some((What::Instantiation, both(&"instantiation", &first.refused, &second.refused)));
    }
    for (a, b) in first.calls.iter().zip(&second.calls) {
        if (&a.name, &a.ended) != (&b.name, &b.ended) {
            return Some((What::Outcome, both(&"a call", a, b)));
        }
        if fuel && (a.budget, a.consumed) != (b.budget, b.consumed) {
            return Some((What::Fuel, both(&"a call", a, b)));
        }
        if !same_places(a, b) {
            return Some((What::Frames, both(&"a call", a, b)));
        }
    }
    if first.calls.len() != second.calls.len() {
        return Some((What::Outcome, both(&"calls", &first.calls.len(), &second.calls.len())));
    }
    if let Some((a, b)) = first.state.iter().zip(&second.state).find(|(a, b)| a != b) {
        return Some((What::State, both(&"an export", a, b)));
    }
    if first.state.len() != second.state.len() {
        return Some((What::State, both(&"exports", &first.state.len(), &second.state.len())));
    }
    if first.trace != second.trace {
        return Some((What::HostCalls, both(&"the trace", &first.trace, &second.trace)));
    }
    (first.usage != second.usage).then(|| (What::Usage, both(&"usage", &first.usage, &second.usage)))
}

/// What the contract says of the two modes: where fuel does not run out, they show the guest the same.
fn native_difference(portable: &Observed, native: &Observed, same_count: bool) -> Option<(What, String)> {
    let spent = |call: &Call| call.ended == Ended::Limit(Limit::Fuel);
    let pairs = portable.calls.iter().zip(&native.calls);
    let equal = pairs.take_while(|(a, b)| !spent(a) && !spent(b)).count();
    let whole = equal == portable.calls.len().max(native.calls.len());
    if !whole {
        // Memory and all that follows may differ from there on.
        let part = |of: &Observed| {
            let calls = of.calls.iter().take(equal).cloned().collect();
            Observed { refused: of.refused.clone(), calls, ..Observed::default() }
        };
        return modes(&part(portable), &part(native), same_count);
    }
    modes(portable, native, same_count)
}

fn modes(portable: &Observed, native: &Observed, same_count: bool) -> Option<(What, String)> {
    if let Some(found) = difference(portable, native, false) {
        return Some(found);
    }
    // A completed run consumes the same where the meters count the same.
    let completed = |call: &Call| matches!(call.ended, Ended::Completed(_));
    let mut pairs = portable.calls.iter().zip(&native.calls).filter(|_| same_count);
    pairs
        .find(|(a, b)| completed(a) && a.consumed != b.consumed)
        .map(|(a, b)| (What::Fuel, both(&"a call in both modes", a, b)))
}
