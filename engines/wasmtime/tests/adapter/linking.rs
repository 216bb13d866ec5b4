//! Several instances in one store: they see each other's things and share every limit.

use std::sync::Arc;

use cofferdam_engine::{
    AccessError, CallBudget, Extern, FuelMode, FuncType, GlobalType, HostFunc, Import, Imports, InstanceId,
    InstantiateError, Limit, MemoryType, Stop, Store, StoreLimits, TableType, ValType, Value,
};

use crate::common::{Guest, MODES, compiled, i32s, store_with};

/// What instance `owner` exports, under module name `o`.
fn exports(store: &mut dyn Store, owner: InstanceId, names: &[&str]) -> Imports {
    let mut imports = Imports::new();
    for name in names {
        let export = store.export(owner, name).expect("it is exported");
        imports.define("o", name, Import::Extern(export));
    }
    imports
}

const OWNER: &str = r#"(module
    (memory (export "m") 1) (global $g (export "g") (mut i64) (i64.const 5))
    (table (export "t") 4 4 funcref)
    (type $t (func (result i32)))
    (func $spin (export "spin") (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func $deep (export "deep") (param i32) (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "via table") (param i32) (result i32) (call_indirect (type $t) (local.get 0)))
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
    (func (export "get") (result i64) (global.get $g)))"#;

const USER: &str = r#"(module
    (import "o" "m" (memory 1)) (import "o" "g" (global $g (mut i64)))
    (import "o" "t" (table $t 4 4 funcref))
    (import "o" "spin" (func $spin (param i32))) (import "o" "deep" (func $deep (param i32)))
    (func $seven (result i32) (i32.const 7)) (func $eight (result i32) (i32.const 8))
    (elem (table $t) (i32.const 1) func $seven)
    (data (i32.const 100) "\2a\00\00\00")
    (func (export "later") (table.set $t (i32.const 2) (ref.func $eight)))
    (elem declare func $eight)
    (func (export "spin twice") (param i32) (call $spin (local.get 0)) (call $spin (local.get 0)))
    (func (export "spin alone") (param i32)
        (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func $down (export "deep then deep") (param i32 i32)
        (if (local.get 0)
            (then (call $down (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))
            (else (call $deep (local.get 1)))))
    (func (export "set") (param i64) (global.set $g (local.get 0))))"#;

fn linked(mode: FuelMode, limits: StoreLimits) -> (Guest, InstanceId) {
    let mut store = store_with(limits);
    let owner = store.instantiate(&*compiled(OWNER, mode), &Imports::new()).expect("it links");
    let imports = exports(&mut *store, owner, &["m", "g", "t", "spin", "deep"]);
    let user = store.instantiate(&*compiled(USER, mode), &imports).expect("it links");
    (Guest { store, instance: user, consumed: 0 }, owner)
}

#[test]
fn functions_memories_tables_and_globals_are_shared() {
    for mode in MODES {
        let (mut user, owner) = linked(mode, StoreLimits::default());
        user.call("later", &[]).expect("it returns");
        user.call("set", &[Value::I64(77)]).expect("it returns");
        user.instance = owner;
        // Writes of the other instance, at its making and later, reach the owner's own calls.
        assert_eq!(user.call("via table", &i32s(&[1])).expect("written by a segment"), i32s(&[7]));
        assert_eq!(user.call("via table", &i32s(&[2])).expect("written by `table.set`"), i32s(&[8]));
        user.call("via table", &i32s(&[3])).expect_err("nobody wrote it");
        assert_eq!(user.call("load", &i32s(&[100])).expect("written by a segment"), i32s(&[42]));
        assert_eq!(user.call("get", &[]).expect("it returns"), [Value::I64(77)]);
    }
}

#[test]
fn one_fuel_counter_over_all_instances() {
    for mode in MODES {
        let (mut user, _) = linked(mode, StoreLimits::default());
        user.call("spin twice", &i32s(&[10_000])).expect("it returns");
        let needed = user.consumed;
        user.call("spin alone", &i32s(&[20_000])).expect("it returns");
        assert!(needed.abs_diff(user.consumed) < 100, "{needed} and {}", user.consumed);
        let stop = user.fueled("spin twice", &i32s(&[10_000]), needed - 1).expect_err("one too few");
        assert!(matches!(stop, Stop::Limit { limit: Limit::Fuel, .. }), "{mode}: {stop}");
        user.fueled("spin twice", &i32s(&[10_000]), needed).expect("exactly enough");
    }
}

#[test]
fn one_stack_budget_over_all_instances() {
    for mode in MODES {
        let limits = StoreLimits { stack_units: 200_000, ..StoreLimits::default() };
        let (mut user, _) = linked(mode, limits);
        // Each half fits by itself; together they do not.
        user.call("deep then deep", &i32s(&[1000, 0])).expect("it fits");
        user.call("deep then deep", &i32s(&[0, 1400])).expect("it fits");
        let stop = user.call("deep then deep", &i32s(&[1000, 1400])).expect_err("too deep");
        let Stop::Limit { limit: Limit::Stack, frames } = stop else { panic!("{mode}: {stop}") };
        assert_eq!(frames[0].name.as_deref(), Some("deep"), "innermost is the other module's");
    }
}

#[test]
fn frames_name_the_right_module() {
    let owner = r#"(module (func (export "zero") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0))))"#;
    let user = r#"(module (import "o" "zero" (func $z (param i32) (result i32)))
        (func $pad) (func (export "outer") (result i32) (call $z (i32.const 0))))"#;
    for mode in MODES {
        let mut store = store_with(StoreLimits::default());
        let first = store.instantiate(&*compiled(owner, mode), &Imports::new()).expect("it links");
        let imports = exports(&mut *store, first, &["zero"]);
        let instance = store.instantiate(&*compiled(user, mode), &imports).expect("it links");
        let mut guest = Guest { store, instance, consumed: 0 };
        let Err(Stop::Trap(trap)) = guest.call("outer", &[]) else { panic!("it divides by zero") };
        let names: Vec<_> = trap.frames.iter().map(|f| (f.function, f.name.as_deref())).collect();
        assert_eq!(names, [(0, Some("zero")), (2, Some("outer"))], "{mode}");
    }
}

#[test]
fn import_types_are_matched_by_the_rules() {
    let owner = r#"(module (memory (export "m") 2 5) (table (export "t") 3 funcref) (table (export "x") 3 6 externref)
        (global (export "g") i32 (i32.const 1)) (func (export "f") (param i32)))"#;
    let fits = |import: &str, name: &str| {
        let mut store = store_with(StoreLimits::default());
        let first = store.instantiate(&*compiled(owner, FuelMode::Portable), &Imports::new()).expect("it links");
        let imports = exports(&mut *store, first, &[name]);
        let wat = format!("(module (import \"o\" \"{name}\" {import}))");
        match store.instantiate(&*compiled(&wat, FuelMode::Portable), &imports) {
            Ok(_) => true,
            Err(InstantiateError::ImportType { .. }) => false,
            Err(other) => panic!("{import}: {other}"),
        }
    };
    for (import, name, expected) in [
        ("(memory 2)", "m", true),
        ("(memory 1 5)", "m", true),
        ("(memory 3)", "m", false),
        ("(memory 1 4)", "m", false),
        ("(table 3 funcref)", "t", true),
        ("(table 3 100 funcref)", "t", false),
        ("(table 4 funcref)", "t", false),
        ("(table 3 externref)", "t", false),
        ("(table 0 6 externref)", "x", true),
        ("(table 0 5 externref)", "x", false),
        ("(global i32)", "g", true),
        ("(global (mut i32))", "g", false),
        ("(global i64)", "g", false),
        ("(func (param i32))", "f", true),
        ("(func)", "f", false),
        ("(memory 1)", "f", false),
        ("(func)", "m", false),
    ] {
        assert_eq!(fits(import, name), expected, "{name} as {import}");
    }
}

#[test]
fn host_made_globals_are_linked_and_guarded() {
    let mut store = store_with(StoreLimits::default());
    let ty = GlobalType { value: Some(ValType::F64), mutable: true };
    let global = store.new_global(ty, Value::F64(9)).expect("it can be made");
    assert_eq!(store.new_global(ty, Value::I32(9)), Err(AccessError::WrongType));
    let constant = store.new_global(GlobalType { mutable: false, ..ty }, Value::F64(1)).expect("it can be made");
    let mut imports = Imports::new();
    imports.define("o", "g", Import::Extern(Extern::Global(global)));
    let wat = r#"(module (import "o" "g" (global (mut f64)))
        (func (export "double") (global.set 0 (f64.add (global.get 0) (global.get 0)))))"#;
    let instance = store.instantiate(&*compiled(wat, FuelMode::Portable), &imports).expect("it links");
    let mut guest = Guest { store, instance, consumed: 0 };
    guest.store.global_set(global, Value::F64(1.5f64.to_bits())).expect("it is mutable");
    guest.call("double", &[]).expect("it returns");
    assert_eq!(guest.store.global_get(global), Ok(Value::F64(3f64.to_bits())));
    assert_eq!(guest.store.global_set(constant, Value::F64(2)), Err(AccessError::Immutable));
    assert_eq!(guest.store.global_set(global, Value::I64(2)), Err(AccessError::WrongType));
    let mut other = store_with(StoreLimits::default());
    assert_eq!(other.global_get(global), Err(AccessError::ForeignHandle));
}

#[test]
fn a_failed_instance_may_live_on_in_anothers_table() {
    // The first segment is written before the second does not fit; what it wrote stays callable.
    let user = r#"(module (import "o" "t" (table 4 4 funcref)) (import "o" "m" (memory 1))
        (func $seven (result i32) (i32.const 7))
        (elem (i32.const 1) $seven) (data (i32.const 65536) "x"))"#;
    for mode in MODES {
        let mut store = store_with(StoreLimits::default());
        let owner = store.instantiate(&*compiled(OWNER, mode), &Imports::new()).expect("it links");
        let imports = exports(&mut *store, owner, &["t", "m"]);
        let failed = store.instantiate(&*compiled(user, mode), &imports);
        assert!(matches!(failed, Err(InstantiateError::Trap(_))));
        assert_eq!(store.usage().instances, 1);
        let mut guest = Guest { store, instance: owner, consumed: 0 };
        assert_eq!(guest.call("via table", &i32s(&[1])).expect("it returns"), i32s(&[7]));
    }
}

#[test]
fn handles_are_one_per_thing() {
    let (mut user, owner) = linked(FuelMode::Portable, StoreLimits::default());
    for name in ["m", "g", "t", "spin"] {
        assert_eq!(user.store.export(owner, name), user.store.export(owner, name));
    }
    let mut budget = CallBudget::of_fuel(1000);
    let Some(Extern::Func(spin)) = user.store.export(owner, "spin") else { panic!("a function") };
    user.store.call(spin, &i32s(&[3]), &mut [], &mut budget).expect("it returns");
}

#[test]
fn modes_are_never_mixed_in_one_store() {
    let mut store = store_with(StoreLimits::default());
    store.instantiate(&*compiled("(module)", FuelMode::Portable), &Imports::new()).expect("the first");
    let mixed = store.instantiate(&*compiled("(module)", FuelMode::Native), &Imports::new());
    assert!(matches!(mixed, Err(InstantiateError::Engine(_))), "{mixed:?}");
}

#[test]
fn a_module_that_needs_more_machine_stack_than_its_store_has_comes_first_or_not_at_all() {
    // Values that are the same in each pass of a loop are kept over the call, in a large frame.
    let kept = (0..200).map(|i| {
        let value = format!("(i64.mul (i64.xor (local.get 0) (i64.const {})) (i64.const {}))", i * 7_919, i * 2 + 3);
        format!("(i64.store (i32.const {}) {value})", i * 8)
    });
    let heavy = format!(
        "(module (memory 1) (func $f (export \"run\") (param i64)
            (loop (call $f (local.get 0)) {} (br_if 0 (i64.eqz (local.get 0))))))",
        kept.collect::<String>()
    );
    for mode in MODES {
        let (small, heavy) = (compiled("(module)", mode), compiled(&heavy, mode));
        let mut store = store_with(StoreLimits::default());
        store.instantiate(&*small, &Imports::new()).expect("the first");
        let refused = store.instantiate(&*heavy, &Imports::new());
        assert!(matches!(refused, Err(InstantiateError::Engine(_))), "{mode}: {refused:?}");
        let mut store = store_with(StoreLimits::default());
        store.instantiate(&*heavy, &Imports::new()).expect("it has what it needs");
        store.instantiate(&*small, &Imports::new()).expect("there is more than enough");
    }
}

#[test]
fn what_the_host_made_before_the_first_module_is_the_same_after_it() {
    let wat = r#"(module (import "o" "m" (memory 1)) (import "o" "g" (global $g (mut i64)))
        (import "o" "t" (table $t 3 funcref)) (import "o" "x" (table $x 2 externref))
        (type $t (func (result i32)))
        (func (export "run") (result i32) (i32.add (call_indirect $t (type $t) (i32.const 1)) (i32.load8_u (i32.const 9))))
        (func (export "second") (result externref) (table.get $x (i32.const 1)))
        (func (export "get") (result i64) (global.get $g)))"#;
    // The second budget asks for a larger machine stack than a store begins with.
    let budgets = [StoreLimits::default().stack_units, 3 << 20];
    for (mode, stack_units) in MODES.into_iter().flat_map(|mode| budgets.map(|units| (mode, units))) {
        let mut store = store_with(StoreLimits { stack_units, ..StoreLimits::default() });
        let ty = MemoryType { minimum: 1, maximum: None, shared: false, memory64: false, page_size_log2: 16 };
        let memory = store.new_memory(ty).expect("it fits");
        store.memory_write(memory, 9, &[30]).expect("inside");
        let func = HostFunc::new(FuncType::new([], [ValType::I32]), |_, _, results| {
            results[0] = Value::I32(12);
            Ok(())
        });
        let func = store.new_func(Arc::new(func)).expect("it can be made");
        let of = |element| TableType { element: Some(element), minimum: 3, maximum: None, table64: false };
        let functions = store.new_table(of(ValType::FuncRef), Value::FuncRef(None)).expect("it fits");
        store.table_set(functions, 1, Value::FuncRef(Some(func))).expect("inside");
        let references = store.new_table(of(ValType::ExternRef), Value::ExternRef(Some(u64::MAX))).expect("it fits");
        let global = store.new_global(GlobalType { value: Some(ValType::I64), mutable: true }, Value::I64(-4));
        let global = global.expect("it can be made");
        // Nothing runs yet but the host's own function.
        let (mut results, mut budget) = ([Value::I32(0)], CallBudget::of_fuel(50));
        store.call(func, &[], &mut results, &mut budget).expect("it returns");
        assert_eq!((results, budget.consumed), ([Value::I32(12)], 40));

        let mut imports = Imports::new();
        imports.define("o", "m", Import::Extern(Extern::Memory(memory)));
        imports.define("o", "g", Import::Extern(Extern::Global(global)));
        imports.define("o", "t", Import::Extern(Extern::Table(functions)));
        imports.define("o", "x", Import::Extern(Extern::Table(references)));
        let instance = store.instantiate(&*compiled(wat, mode), &imports).expect("it links");
        let mut guest = Guest { store, instance, consumed: 0 };
        assert_eq!(guest.call("run", &[]).expect("it returns"), i32s(&[42]), "{mode}");
        assert_eq!(guest.call("second", &[]).expect("it returns"), [Value::ExternRef(Some(u64::MAX))]);
        assert_eq!(guest.call("get", &[]).expect("it returns"), [Value::I64(-4)]);
        assert_eq!(guest.store.table_get(functions, 1), Ok(Value::FuncRef(Some(func))), "the same handle");
        let usage = guest.store.usage();
        assert_eq!((usage.memory_bytes, usage.peak_memory_bytes, usage.table_elements), (65_536, 65_536, 6));
    }
}
