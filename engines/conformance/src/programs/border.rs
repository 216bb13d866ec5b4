//! Handles, foreign and made up; host functions as values; what a host gives under our own names.

use std::sync::Arc;

use cofferdam_engine::mock::MockEngine;
use cofferdam_engine::{
    AccessError, CallBudget, Engine, Extern, FuelMode, FuncHandle, FuncType, GlobalHandle, GlobalType, HostFunc,
    Import, InstanceId, InstantiateError, Limit, MemoryHandle, Stop, StoreLimits, TableHandle, ValType, Value,
};

use super::Program;
use crate::cell::Cell;
use crate::clause::Clause;
use crate::trouble::{Done, Trouble, same};

pub const ROWS: &[Program] = &[
    ("border.foreign-handles", Clause::Border, foreign_handles),
    ("border.made-up-handles", Clause::Border, made_up_handles),
    ("border.one-handle-for-one-thing", Clause::Border, one_handle_for_one_thing),
    ("border.host-function-as-a-value", Clause::Border, host_function_as_a_value),
    ("border.host-made-globals", Clause::Border, host_made_globals),
    ("border.module-of-another-engine", Clause::Border, module_of_another_engine),
    ("border.results-of-another-number", Clause::Branches, results_of_another_number),
    ("hidden.given-by-the-host", Clause::Hidden, given_by_the_host),
    ("linked.modes-never-mixed", Clause::SharedFuel, modes_never_mixed),
];

const THINGS: &str = r#"(module (memory (export "m") 1) (global (export "g") (mut i32) (i32.const 1))
    (table (export "t") 1 funcref) (func (export "f")))"#;

/// Whether every use of these handles is refused as foreign.
fn refused(guest: &mut crate::cell::Guest, m: MemoryHandle, g: GlobalHandle, t: TableHandle, f: FuncHandle) -> Done {
    let foreign = AccessError::ForeignHandle;
    let store = &mut guest.store;
    same("memory_size", &store.memory_size(m), &Err(foreign))?;
    same("memory_read", &store.memory_read(m, 0, &mut [0]), &Err(foreign))?;
    same("memory_write", &store.memory_write(m, 0, &[0]), &Err(foreign))?;
    same("memory_grow", &store.memory_grow(m, 1), &Err(foreign))?;
    same("global_get", &store.global_get(g), &Err(foreign))?;
    same("global_set", &store.global_set(g, Value::I32(1)), &Err(foreign))?;
    same("table_size", &store.table_size(t), &Err(foreign))?;
    same("table_get", &store.table_get(t, 0), &Err(foreign))?;
    same("table_set", &store.table_set(t, 0, Value::FuncRef(None)), &Err(foreign))?;
    same("func_type", &store.func_type(f), &None)?;
    match store.call(f, &[], &mut [], &mut CallBudget::of_fuel(1000)) {
        Err(Stop::Engine(_)) => Ok(()),
        other => Err(Trouble::wrong(format!("calling a foreign function ended as {other:?}"))),
    }
}

fn foreign_handles(cell: &Cell<'_>) -> Done {
    let (mut other, mut guest) = (cell.guest_of(THINGS)?, cell.guest_of(THINGS)?);
    let foreign_instance = other.instance("main")?;
    let things = ["m", "g", "t"].map(|name| other.export("main", name));
    let [Ok(Extern::Memory(m)), Ok(Extern::Global(g)), Ok(Extern::Table(t))] = things else {
        return Err(Trouble::wrong(format!("exports of another kind: {things:?}")));
    };
    let f = other.func("main", "f")?;
    refused(&mut guest, m, g, t, f)?;
    same("an export of a foreign instance", &guest.store.export(foreign_instance, "m"), &None)?;
    same("start of a foreign instance", &guest.store.start(foreign_instance), &None)?;
    // A foreign function as a value goes nowhere either.
    let Extern::Table(own) = guest.export("main", "t")? else { return Err(Trouble::wrong("no table")) };
    if guest.store.table_set(own, 0, Value::FuncRef(Some(f))).is_ok() {
        return Err(Trouble::wrong("a function of another store was put into a table"));
    }
    let import = Import::Extern(Extern::Memory(m));
    guest.given.define("other", "m", import);
    let wants = cell.compile(r#"(module (import "other" "m" (memory 1)))"#)?;
    match guest.instantiate("wants", &*wants) {
        Err(_) => Ok(()),
        Ok(_) => Err(Trouble::wrong("a memory of another store was linked")),
    }
}

fn made_up_handles(cell: &Cell<'_>) -> Done {
    let mut guest = cell.guest_of(THINGS)?;
    let id = guest.store.id();
    for index in [1_000, u32::MAX] {
        let (m, g) = (MemoryHandle::new(id, index), GlobalHandle::new(id, index));
        let (t, f) = (TableHandle::new(id, index), FuncHandle::new(id, index));
        refused(&mut guest, m, g, t, f)?;
        same("an export of no instance", &guest.store.export(InstanceId::new(id, index), "m"), &None)?;
    }
    Ok(())
}

fn one_handle_for_one_thing(cell: &Cell<'_>) -> Done {
    let mut guest = cell.guest_of(THINGS)?;
    for name in ["m", "g", "t", "f"] {
        same(name, &guest.export("main", name)?, &guest.export("main", name)?)?;
    }
    Ok(())
}

fn host_function_as_a_value(cell: &Cell<'_>) -> Done {
    let wat = r#"(module (table (export "t") 2 funcref) (type $t (func (param i32) (result i32)))
        (func (export "run") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (i32.const 1))))"#;
    let mut guest = cell.guest_of(wat)?;
    let double = HostFunc::new(FuncType::new([ValType::I32], [ValType::I32]), |_, args, results| {
        if let (Some(result), Some(arg)) = (results.first_mut(), args.first().and_then(Value::i32)) {
            *result = Value::I32(arg.wrapping_mul(2));
        }
        Ok(())
    });
    let double = guest.store.new_func(Arc::new(double)).map_err(Trouble::wrong)?;
    let Extern::Table(table) = guest.export("main", "t")? else { return Err(Trouble::wrong("no table")) };
    same("table_set", &guest.store.table_set(table, 1, Value::FuncRef(Some(double))), &Ok(()))?;
    same("table_get", &guest.store.table_get(table, 1), &Ok(Value::FuncRef(Some(double))))?;
    same("a value of another type", &guest.store.table_set(table, 0, Value::I32(1)), &Err(AccessError::WrongType))?;
    same("run", &guest.call("run", &[Value::I32(21)])?.ok(), &Some(vec![Value::I32(42)]))?;
    same("host calls", &guest.store.usage().host_calls, &1)?;
    if cell.mode == FuelMode::Portable {
        // Entry 1, get, const, call_indirect 4, the host's 40.
        same("fuel", &guest.consumed, &47)?;
    }
    Ok(())
}

fn host_made_globals(cell: &Cell<'_>) -> Done {
    let mut guest = cell.guest(&StoreLimits::default())?;
    let ty = GlobalType { value: Some(ValType::F64), mutable: true };
    let global = guest.store.new_global(ty, Value::F64(9)).map_err(Trouble::wrong)?;
    same("another type", &guest.store.new_global(ty, Value::I32(9)), &Err(AccessError::WrongType))?;
    let constant = guest.store.new_global(GlobalType { mutable: false, ..ty }, Value::F64(1));
    let constant = constant.map_err(Trouble::wrong)?;
    same("get", &guest.store.global_get(global), &Ok(Value::F64(9)))?;
    same("set", &guest.store.global_set(global, Value::F64(3)), &Ok(()))?;
    same("get again", &guest.store.global_get(global), &Ok(Value::F64(3)))?;
    same("set a constant", &guest.store.global_set(constant, Value::F64(2)), &Err(AccessError::Immutable))?;
    same("set another type", &guest.store.global_set(global, Value::I64(2)), &Err(AccessError::WrongType))
}

fn module_of_another_engine(cell: &Cell<'_>) -> Done {
    let foreign = MockEngine::new().compile(&cell.prepare("(module)")?).map_err(Trouble::wrong)?;
    let mut guest = cell.guest(&StoreLimits::default())?;
    match guest.instantiate("main", &*foreign) {
        Err(InstantiateError::Engine(_)) => same("instances", &guest.store.usage().instances, &0),
        other => Err(Trouble::wrong(format!("a module of another engine: {other:?}"))),
    }
}

fn results_of_another_number(cell: &Cell<'_>) -> Done {
    let mut guest = cell.guest_of(r#"(module (func (export "f") (result i32) (i32.const 1)))"#)?;
    let func = guest.func("main", "f")?;
    for mut results in [vec![], vec![Value::I32(0); 2]] {
        let ended = guest.store.call(func, &[], &mut results, &mut CallBudget::of_fuel(1000));
        if !matches!(ended, Err(Stop::BadArguments { .. })) {
            return Err(Trouble::wrong(format!("room for {} results: {ended:?}", results.len())));
        }
    }
    Ok(())
}

fn given_by_the_host(cell: &Cell<'_>) -> Done {
    // A host that gives imports under our names must not reach the counters.
    let mut guest = cell.guest(&StoreLimits { stack_units: 4096, ..StoreLimits::default() })?;
    let global = |value| GlobalType { value: Some(value), mutable: true };
    let fuel = guest.store.new_global(global(ValType::I64), Value::I64(1 << 40)).map_err(Trouble::wrong)?;
    let stack = guest.store.new_global(global(ValType::I32), Value::I32(1 << 30)).map_err(Trouble::wrong)?;
    let tick = HostFunc::new(FuncType::new([ValType::I64], []), |_, _, _| Ok(()));
    guest.given.define("cofferdam:meter", "fuel", Import::Extern(Extern::Global(fuel)));
    guest.given.define("cofferdam:meter", "stack", Import::Extern(Extern::Global(stack)));
    guest.given.host("cofferdam:meter", "tick", tick);
    let wat = r#"(module (func (export "run") (loop (br 0))) (func $f (export "deep") (call $f)))"#;
    guest.add("main", &*cell.compile(wat)?)?;
    let mut budget = CallBudget::of_fuel(50_000_000);
    let ended = guest.call_with("run", &[], &mut budget)?;
    if !matches!(ended, Err(Stop::Limit { limit: Limit::Fuel, .. })) {
        return Err(Trouble::wrong(format!("an endless loop ended as {ended:?}")));
    }
    let ended = guest.call_with("deep", &[], &mut CallBudget::of_fuel(50_000_000))?;
    if !matches!(ended, Err(Stop::Limit { limit: Limit::Stack, .. })) {
        return Err(Trouble::wrong(format!("endless recursion ended as {ended:?}")));
    }
    same("the host's own fuel global", &guest.store.global_get(fuel), &Ok(Value::I64(1 << 40)))?;
    same("the host's own stack global", &guest.store.global_get(stack), &Ok(Value::I32(1 << 30)))?;
    same("host calls", &guest.store.usage().host_calls, &0)
}

fn modes_never_mixed(cell: &Cell<'_>) -> Done {
    let modes = cell.engine.descriptor().capabilities.fuel_modes;
    let other = modes.iter().find(|m| **m != cell.mode).copied();
    let other = other.ok_or_else(|| Trouble::Lacks("second fuel mode".to_owned()))?;
    let mut guest = cell.guest_of("(module)")?;
    match guest.instantiate("other", &*Cell { mode: other, ..*cell }.compile("(module)")?) {
        Err(InstantiateError::Engine(_)) => Ok(()),
        mixed => Err(Trouble::wrong(format!("a module of the other fuel mode in one store: {mixed:?}"))),
    }
}
