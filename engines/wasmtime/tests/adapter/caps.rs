//! Memory and table caps: exact, over the sum, never passed; refused growth does not end the guest.

use cofferdam_engine::{
    AccessError, Extern, FuelMode, Import, Imports, InstantiateError, MemoryType, StoreLimits, TableType, ValType,
    Value,
};

use crate::common::{Guest, MODES, compiled, i32s, store_with};

const PAGE: u64 = 65_536;

fn memory_limits(pages: u64) -> StoreLimits {
    StoreLimits { memory_bytes: pages * PAGE, ..StoreLimits::default() }
}

fn table_limits(table_elements: u64) -> StoreLimits {
    StoreLimits { table_elements, ..StoreLimits::default() }
}

const GROW: &str = r#"(module (memory (export "memory") 1)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "size") (result i32) (memory.size))
    (func (export "touch") (param i32) (result i32) (i32.store8 (local.get 0) (i32.const 7)) (i32.load8_u (local.get 0))))"#;

#[test]
fn growth_stops_at_the_cap_and_the_guest_goes_on() {
    for mode in MODES {
        let mut guest = Guest::limited(GROW, mode, memory_limits(10));
        assert_eq!(guest.call("grow", &i32s(&[9])).expect("it returns"), i32s(&[1]));
        assert_eq!(guest.call("grow", &i32s(&[1])).expect("it returns"), i32s(&[-1]));
        assert_eq!(guest.call("grow", &i32s(&[-1])).expect("it returns"), i32s(&[-1]));
        assert_eq!(guest.call("grow", &i32s(&[0])).expect("it returns"), i32s(&[10]));
        assert_eq!(guest.call("size", &[]).expect("it returns"), i32s(&[10]));
        let last = (10 * PAGE - 1) as i32;
        assert_eq!(guest.call("touch", &i32s(&[last])).expect("it is there"), i32s(&[7]));
        guest.call("touch", &i32s(&[last + 1])).expect_err("it is not there");
        let usage = guest.store.usage();
        assert_eq!((usage.memory_bytes, usage.peak_memory_bytes), (10 * PAGE, 10 * PAGE));
        // The growth by 4 GiB passes what a memory can be at all, and no cap was asked.
        assert_eq!(usage.refused_growths, 1);
    }
}

#[test]
fn a_declared_maximum_is_not_the_caps_doing() {
    let wat = GROW.replace("\"memory\") 1)", "\"memory\") 1 3)");
    let mut guest = Guest::limited(&wat, FuelMode::Portable, memory_limits(100));
    assert_eq!(guest.call("grow", &i32s(&[3])).expect("it returns"), i32s(&[-1]));
    assert_eq!(guest.store.usage().refused_growths, 0);
}

#[test]
fn the_cap_is_on_the_sum_of_all_memories() {
    let wat = r#"(module (memory 2) (memory $b (export "b") 3)
        (func (export "a") (param i32) (result i32) (memory.grow 0 (local.get 0)))
        (func (export "b_grow") (param i32) (result i32) (memory.grow $b (local.get 0))))"#;
    for mode in MODES {
        let mut guest = Guest::limited(wat, mode, memory_limits(8));
        assert_eq!(guest.store.usage().memory_bytes, 5 * PAGE);
        assert_eq!(guest.call("a", &i32s(&[2])).expect("it returns"), i32s(&[2]));
        assert_eq!(guest.call("b_grow", &i32s(&[2])).expect("it returns"), i32s(&[-1]));
        assert_eq!(guest.call("b_grow", &i32s(&[1])).expect("it returns"), i32s(&[3]));
        // Linked, host-made and grown from outside: all from the same cap.
        assert!(matches!(guest.store.new_memory(host_memory(1)), Err(AccessError::Refused)));
        let Some(Extern::Memory(b)) = guest.store.export(guest.instance, "b") else { panic!("it is a memory") };
        assert!(matches!(guest.store.memory_grow(b, 1), Err(AccessError::Refused)));
        assert_eq!(guest.store.memory_size(b), Ok(4 * PAGE));
        assert_eq!(guest.store.usage().memory_bytes, 8 * PAGE);
    }
}

fn host_memory(minimum: u64) -> MemoryType {
    MemoryType { minimum, maximum: None, shared: false, memory64: false, page_size_log2: 16 }
}

#[test]
fn a_minimum_above_the_cap_is_refused_with_both_numbers() {
    for mode in MODES {
        let two = r#"(module (memory 3) (memory 3))"#;
        let refused = Guest::try_with(two, mode, memory_limits(5), &Imports::new()).err();
        assert!(
            matches!(refused, Some(InstantiateError::Memory { need, cap }) if (need, cap) == (6 * PAGE, 5 * PAGE)),
            "{refused:?}"
        );
        Guest::try_with(two, mode, memory_limits(6), &Imports::new()).expect("exactly the cap");
    }
}

#[test]
fn a_refused_module_leaves_nothing_behind() {
    let mut store = store_with(memory_limits(5));
    let big = compiled("(module (memory 4) (memory 4))", FuelMode::Portable);
    let small = compiled("(module (memory 5))", FuelMode::Portable);
    assert!(matches!(store.instantiate(&*big, &Imports::new()), Err(InstantiateError::Memory { .. })));
    assert_eq!(store.usage().memory_bytes, 0);
    store.instantiate(&*small, &Imports::new()).expect("all of the cap is free");
    assert!(matches!(store.instantiate(&*small, &Imports::new()), Err(InstantiateError::Memory { .. })));
    assert_eq!((store.usage().memory_bytes, store.usage().instances), (5 * PAGE, 1));
}

#[test]
fn an_imported_memory_is_charged_once_and_grows_under_the_cap() {
    let mut store = store_with(memory_limits(6));
    let memory = store.new_memory(host_memory(2)).expect("2 of 6 pages");
    let mut imports = Imports::new();
    imports.define("m", "m", Import::Extern(Extern::Memory(memory)));
    let wat = r#"(module (import "m" "m" (memory 1))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;
    let instance = store.instantiate(&*compiled(wat, FuelMode::Portable), &imports).expect("it links");
    let mut guest = Guest { store, instance, consumed: 0 };
    assert_eq!(guest.store.usage().memory_bytes, 2 * PAGE);
    assert_eq!(guest.call("grow", &i32s(&[5])).expect("it returns"), i32s(&[-1]));
    assert_eq!(guest.call("grow", &i32s(&[4])).expect("it returns"), i32s(&[2]));
    assert_eq!(guest.store.usage().memory_bytes, 6 * PAGE);
}

const TABLES: &str = r#"(module
    (table $a (export "a") 2 funcref) (table $b 3 externref) (table $c 1 4 funcref) (table $fixed (export "fixed") 2 2 funcref)
    (func (export "a_grow") (param i32) (result i32) (table.grow $a (ref.null func) (local.get 0)))
    (func (export "b_grow") (param i32) (result i32) (table.grow $b (ref.null extern) (local.get 0)))
    (func (export "c_grow") (param i32) (result i32) (table.grow $c (ref.null func) (local.get 0)))
    (func (export "fixed_grow") (param i32) (result i32) (table.grow $fixed (ref.null func) (local.get 0)))
    (func (export "b_size") (result i32) (table.size $b)))"#;

#[test]
fn tables_share_one_cap_too() {
    for mode in MODES {
        let mut guest = Guest::limited(TABLES, mode, table_limits(20));
        assert_eq!(guest.store.usage().table_elements, 8);
        let mut grow = |name: &str, by: i32| guest.call(name, &i32s(&[by])).expect("it returns")[0].i32();
        assert_eq!(grow("a_grow", 4), Some(2));
        // Its own maximum, and what can never be, are no cap's doing.
        assert_eq!(grow("c_grow", 4), Some(-1));
        assert_eq!(grow("c_grow", 3), Some(1));
        assert_eq!(grow("fixed_grow", 1), Some(-1));
        assert_eq!(grow("fixed_grow", 0), Some(2));
        assert_eq!(grow("b_grow", 6), Some(-1));
        assert_eq!(grow("b_grow", -1), Some(-1));
        assert_eq!(grow("b_grow", 5), Some(3));
        assert_eq!(grow("a_grow", 1), Some(-1));
        assert_eq!(guest.call("b_size", &[]).expect("it returns"), i32s(&[8]));
        let usage = guest.store.usage();
        assert_eq!((usage.table_elements, usage.refused_growths), (20, 3));
    }
}

#[test]
fn a_table_minimum_above_the_cap_is_refused_with_both_numbers() {
    let refused = Guest::try_with(TABLES, FuelMode::Portable, table_limits(7), &Imports::new()).err();
    assert!(matches!(refused, Some(InstantiateError::TableElements { need: 8, cap: 7 })), "{refused:?}");
    let mut store = store_with(table_limits(7));
    let ty = TableType { element: Some(ValType::FuncRef), minimum: 8, maximum: None, table64: false };
    assert!(matches!(store.new_table(ty, Value::FuncRef(None)), Err(AccessError::Refused)));
    assert_eq!(store.usage().table_elements, 0);
}

#[test]
fn linked_modules_grow_a_table_under_one_cap_and_its_real_maximum() {
    let owner = compiled(r#"(module (table (export "t") 1 6 funcref))"#, FuelMode::Portable);
    let user = r#"(module (import "o" "t" (table 1 6 funcref))
        (func (export "grow") (param i32) (result i32) (table.grow (ref.null func) (local.get 0))))"#;
    let mut store = store_with(table_limits(100));
    let first = store.instantiate(&*owner, &Imports::new()).expect("it links");
    let mut imports = Imports::new();
    imports.define("o", "t", Import::Extern(store.export(first, "t").expect("it is exported")));
    let instance = store.instantiate(&*compiled(user, FuelMode::Portable), &imports).expect("it links");
    let mut guest = Guest { store, instance, consumed: 0 };
    assert_eq!(guest.call("grow", &i32s(&[6])).expect("it returns"), i32s(&[-1]));
    assert_eq!(guest.call("grow", &i32s(&[5])).expect("it returns"), i32s(&[1]));
    assert_eq!(guest.store.usage().table_elements, 6);
}

#[test]
fn instances_are_capped() {
    let mut store = store_with(StoreLimits { instances: 2, ..StoreLimits::default() });
    let module = compiled("(module)", FuelMode::Portable);
    store.instantiate(&*module, &Imports::new()).expect("the first");
    store.instantiate(&*module, &Imports::new()).expect("the second");
    let third = store.instantiate(&*module, &Imports::new());
    assert!(matches!(third, Err(InstantiateError::Instances { cap: 2 })));
}

#[test]
fn dropping_a_store_frees_its_memory() {
    // Each memory reserves 8 GiB of address space, and the machine has 128 TiB of it.
    let module = compiled(GROW, FuelMode::Portable);
    for _ in 0..20_000 {
        let mut store = store_with(memory_limits(1));
        store.instantiate(&*module, &Imports::new()).expect("address space is given back");
    }
}
