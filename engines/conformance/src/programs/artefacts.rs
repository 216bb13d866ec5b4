//! Saved code runs like what it was saved from; foreign code is not loaded.

use std::sync::Arc;

use cofferdam_engine::{
    ArtefactKey, CallBudget, CompiledModule, FeatureSet, FuelMode, Limit, LoadError, PreparedModule, Stop, StoreLimits,
    TrapKind, Value, VerifiedArtefact,
};

use super::{FIB, Program};
use crate::cell::Cell;
use crate::clause::Clause;
use crate::trouble::{Done, Trouble, same};

pub const ROWS: &[Program] = &[
    ("artefact.runs-like-its-origin", Clause::Artefacts, runs_like_its_origin),
    ("artefact.saved-twice", Clause::Artefacts, saved_twice),
    ("artefact.tables-memory-and-traps", Clause::Artefacts, tables_memory_and_traps),
    ("artefact.of-another-module", Clause::Artefacts, of_another_module),
    ("artefact.of-another-fuel-mode", Clause::Artefacts, of_another_mode),
    ("artefact.of-another-nan-mode", Clause::Artefacts, of_another_nan_mode),
    ("artefact.garbage", Clause::Artefacts, garbage),
    ("artefact.cut-off", Clause::Artefacts, cut_off),
];

const KEY: ArtefactKey = ArtefactKey::new([1; 32]);

/// `payload` as if it came from disk, sealed by us.
fn sealed(payload: &[u8]) -> Done<VerifiedArtefact> {
    VerifiedArtefact::open(&KEY, VerifiedArtefact::seal(&KEY, b"", payload)).map_err(Trouble::wrong)
}

fn saved(cell: &Cell<'_>, module: &dyn CompiledModule) -> Done<Vec<u8>> {
    cell.needs(cell.engine.descriptor().capabilities.artefacts, "artefacts")?;
    module.serialize().map_err(|e| Trouble::wrong(format!("saving: {e}")))
}

fn loaded(cell: &Cell<'_>, module: &PreparedModule, payload: &[u8]) -> Done<Arc<dyn CompiledModule>> {
    cell.engine.load(module, &sealed(payload)?).map_err(|e| Trouble::wrong(format!("loading: {e}")))
}

/// `payload` must be foreign to `module`.
fn foreign(cell: &Cell<'_>, what: &str, module: &PreparedModule, payload: &[u8]) -> Done {
    match cell.engine.load(module, &sealed(payload)?) {
        Err(LoadError::Foreign) => Ok(()),
        Err(other) => Err(Trouble::wrong(format!("{what} should be foreign: {other}"))),
        Ok(_) => Err(Trouble::wrong(format!("{what} was loaded"))),
    }
}

/// How calls of [`FIB`] end: results, fuel, and the same with too little fuel.
fn behaviour(cell: &Cell<'_>, module: &dyn CompiledModule) -> Done<(Vec<Value>, u64, bool, u64)> {
    let mut guest = cell.guest(&StoreLimits::default())?;
    guest.add("main", module)?;
    let results = guest.call("fib", &[Value::I32(15)])?.map_err(Trouble::wrong)?;
    let consumed = guest.consumed;
    let stopped = guest.call_with("fib", &[Value::I32(15)], &mut CallBudget::of_fuel(100))?;
    let out_of_fuel = matches!(stopped, Err(Stop::Limit { limit: Limit::Fuel, .. }));
    Ok((results, consumed, out_of_fuel, guest.consumed))
}

fn runs_like_its_origin(cell: &Cell<'_>) -> Done {
    let module = cell.prepare(FIB)?;
    let fresh = cell.compile_prepared(&module)?;
    let loaded = loaded(cell, &module, &saved(cell, &*fresh)?)?;
    let before = behaviour(cell, &*fresh)?;
    same("results", &before.0, &vec![Value::I32(610)])?;
    same("the loaded module", &behaviour(cell, &*loaded)?, &before)?;
    same("its origin", &loaded.prepared().hash(), &module.hash())
}

fn saved_twice(cell: &Cell<'_>) -> Done {
    let module = cell.prepare(FIB)?;
    let once = loaded(cell, &module, &saved(cell, &*cell.compile_prepared(&module)?)?)?;
    let twice = loaded(cell, &module, &saved(cell, &*once)?)?;
    same("the module saved twice", &behaviour(cell, &*twice)?, &behaviour(cell, &*once)?)
}

fn tables_memory_and_traps(cell: &Cell<'_>) -> Done {
    let wat = r#"(module (table (export "t") 2 2 funcref) (type $v (func)) (memory 1 2) (data (i32.const 3) "\2a")
        (func (export "null") (call_indirect (type $v) (i32.const 1)))
        (func (export "load") (result i32) (i32.load8_u (i32.const 3)))
        (func (export "grow") (result i32) (table.grow (ref.null func) (i32.const 1))))"#;
    let module = cell.prepare(wat)?;
    let module = loaded(cell, &module, &saved(cell, &*cell.compile_prepared(&module)?)?)?;
    let mut guest = cell.guest(&StoreLimits::default())?;
    guest.add("main", &*module)?;
    same("load", &guest.call("load", &[])?.ok(), &Some(vec![Value::I32(42)]))?;
    same("growth past the maximum", &guest.call("grow", &[])?.ok(), &Some(vec![Value::I32(-1)]))?;
    match guest.call("null", &[])? {
        Err(Stop::Trap(trap)) => same("the trap", &trap.kind, &TrapKind::IndirectCallToNull),
        other => Err(Trouble::wrong(format!("a null call ended as {other:?}"))),
    }
}

fn of_another_module(cell: &Cell<'_>) -> Done {
    let payload = saved(cell, &*cell.compile(FIB)?)?;
    foreign(cell, "code of another module", &cell.prepare("(module)")?, &payload)?;
    let nearly = FIB.replace("(i32.const 2)) (then", "(i32.const 3)) (then");
    foreign(cell, "code of nearly the same module", &cell.prepare(&nearly)?, &payload)
}

fn of_another_mode(cell: &Cell<'_>) -> Done {
    let modes = cell.engine.descriptor().capabilities.fuel_modes;
    let other = modes.iter().find(|m| **m != cell.mode).copied();
    let other = other.ok_or_else(|| Trouble::Lacks("second fuel mode".to_owned()))?;
    let payload = saved(cell, &*Cell { mode: other, ..*cell }.compile(FIB)?)?;
    let name = if other == FuelMode::Native { "code with native fuel" } else { "code with portable fuel" };
    foreign(cell, name, &cell.prepare(FIB)?, &payload)
}

fn of_another_nan_mode(cell: &Cell<'_>) -> Done {
    cell.needs(cell.engine.descriptor().capabilities.nan_canonicalisation, "canonical NaNs")?;
    let prepared = |nans| cell.prepared(FIB.as_bytes(), FeatureSet::STANDARD, nans).map_err(Trouble::wrong);
    let payload = saved(cell, &*cell.compile_prepared(&prepared(false)?)?)?;
    foreign(cell, "code without canonical NaNs", &prepared(true)?, &payload)
}

fn garbage(cell: &Cell<'_>) -> Done {
    cell.needs(cell.engine.descriptor().capabilities.artefacts, "artefacts")?;
    let module = cell.prepare(FIB)?;
    for payload in [&b""[..], b"\x7fELF", b"\0asm\x01\0\0\0", &[0; 4096], &[0xff; 4096]] {
        foreign(cell, "garbage", &module, payload)?;
    }
    Ok(())
}

fn cut_off(cell: &Cell<'_>) -> Done {
    let module = cell.prepare(FIB)?;
    let payload = saved(cell, &*cell.compile_prepared(&module)?)?;
    for cut in [payload.len().saturating_sub(1), payload.len() / 2, payload.len().min(16)] {
        match cell.engine.load(&module, &sealed(payload.get(..cut).unwrap_or(&[]))?) {
            Err(_) => {}
            Ok(_) => return Err(Trouble::wrong(format!("{cut} of {} bytes were loaded", payload.len()))),
        }
    }
    Ok(())
}
