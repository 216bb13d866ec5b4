//! Traps of every kind, with frames in the guest's own terms.

use cofferdam_engine::{Imports, InstantiateError, Stop, Trap, TrapKind, Value};

use crate::common::{Guest, MODES, i32s};

const TRAPS: &str = r#"(module
    (type $void (func)) (type $other (func (param i64)))
    (memory 1) (data $d "abc")
    (table $t 3 funcref) (elem (table $t) (i32.const 0) func $void_func $other_func)
    (table $x 2 externref) (elem $none externref (ref.null extern))
    (elem $e func $void_func)
    (func $void_func) (func $other_func (param i64))
    (func (export "unreachable") (unreachable))
    (func (export "load") (drop (i32.load (i32.const 65533))))
    (func (export "store far") (i32.store offset=4294967295 (i32.const -1) (i32.const 1)))
    (func (export "fill") (memory.fill (i32.const 65530) (i32.const 0) (i32.const 7)))
    (func (export "copy") (memory.copy (i32.const 0) (i32.const 65530) (i32.const 7)))
    (func (export "init") (memory.init $d (i32.const 0) (i32.const 1) (i32.const 3)))
    (func (export "table.get") (drop (table.get $t (i32.const 3))))
    (func (export "table.set") (table.set $t (i32.const 3) (ref.null func)))
    (func (export "table.init") (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 2)))
    (func (export "table.fill") (table.fill $t (i32.const 1) (ref.null func) (i32.const 3)))
    (func (export "table.copy") (table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 3)))
    (func (export "extern init") (table.init $x $none (i32.const 1) (i32.const 0) (i32.const 2)))
    (func (export "call past") (call_indirect $t (type $void) (i32.const 3)))
    (func (export "call null") (call_indirect $t (type $void) (i32.const 2)))
    (func (export "call other") (call_indirect $t (type $void) (i32.const 1)))
    (func (export "overflow") (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))
    (func (export "zero") (drop (i64.rem_u (i64.const 1) (i64.const 0))))
    (func (export "nan") (drop (i32.trunc_f64_s (f64.const nan))))
    (func (export "too big") (drop (i64.trunc_f32_u (f32.const 1e30)))))"#;

const KINDS: &[(&str, TrapKind)] = &[
    ("unreachable", TrapKind::Unreachable),
    ("load", TrapKind::MemoryOutOfBounds),
    ("store far", TrapKind::MemoryOutOfBounds),
    ("fill", TrapKind::MemoryOutOfBounds),
    ("copy", TrapKind::MemoryOutOfBounds),
    ("init", TrapKind::MemoryOutOfBounds),
    ("table.get", TrapKind::TableOutOfBounds),
    ("table.set", TrapKind::TableOutOfBounds),
    ("table.init", TrapKind::TableOutOfBounds),
    ("table.fill", TrapKind::TableOutOfBounds),
    ("table.copy", TrapKind::TableOutOfBounds),
    ("extern init", TrapKind::TableOutOfBounds),
    ("call past", TrapKind::TableOutOfBounds),
    ("call null", TrapKind::IndirectCallToNull),
    ("call other", TrapKind::BadSignature),
    ("overflow", TrapKind::IntegerOverflow),
    ("zero", TrapKind::IntegerDivisionByZero),
    ("nan", TrapKind::InvalidConversionToInteger),
    ("too big", TrapKind::IntegerOverflow),
];

#[test]
fn every_kind_has_its_name_and_the_store_survives() {
    for mode in MODES {
        let mut guest = Guest::new(TRAPS, mode);
        for (name, kind) in KINDS {
            let stop = guest.call(name, &[]).expect_err("it traps");
            assert!(guest.consumed > 0, "{name}");
            let Stop::Trap(Trap { kind: found, frames }) = stop else { panic!("{name}: {stop}") };
            assert_eq!((found, frames.len()), (*kind, 0), "{name}: Wasmi has no frames");
        }
    }
}

#[test]
fn segments_that_do_not_fit_are_traps_of_instantiation() {
    for mode in MODES {
        for (wat, kind) in [
            ("(module (memory 1) (data (i32.const 65535) \"ab\"))", TrapKind::MemoryOutOfBounds),
            ("(module (table 1 funcref) (func $f) (elem (i32.const 1) $f))", TrapKind::TableOutOfBounds),
        ] {
            match Guest::try_with(wat, mode, Default::default(), &Imports::new()) {
                Err(InstantiateError::Trap(trap)) => assert_eq!(trap.kind, kind),
                other => panic!("{wat}: {:?}", other.err()),
            }
        }
    }
}

#[test]
fn the_start_function_waits_to_be_called_and_may_trap() {
    let wat = r#"(module (global $g (export "g") (mut i32) (i32.const 1))
        (func $s (global.set $g (i32.const 2)) (unreachable)) (start $s)
        (func (export "get") (result i32) (global.get $g)))"#;
    for mode in MODES {
        let mut guest = Guest::new(wat, mode);
        assert_eq!(guest.call("get", &[]).expect("it returns"), [Value::I32(1)]);
        let start = guest.store.start(guest.instance).expect("there is one");
        let mut budget = cofferdam_engine::CallBudget::of_fuel(1000);
        let stop = guest.store.call(start, &[], &mut [], &mut budget);
        assert!(matches!(stop, Err(Stop::Trap(Trap { kind: TrapKind::Unreachable, .. }))));
        assert_eq!(guest.call("get", &[]).expect("it returns"), [Value::I32(2)]);
        assert!(guest.store.export(guest.instance, cofferdam_prepare::names::START).is_none());
    }
}

#[test]
fn tables_of_external_references_are_initialised_and_their_segments_dropped() {
    let wat = r#"(module (table $x (export "x") 4 externref)
        (elem $none externref (ref.null extern) (ref.null extern))
        (func (export "set") (param externref) (table.fill $x (i32.const 0) (local.get 0) (i32.const 4)))
        (func (export "init") (param i32) (table.init $x $none (i32.const 1) (i32.const 0) (local.get 0)))
        (func (export "drop") (elem.drop $none))
        (func (export "nulls") (result i32)
            (i32.add (i32.add (ref.is_null (table.get $x (i32.const 0))) (ref.is_null (table.get $x (i32.const 1))))
                     (i32.add (ref.is_null (table.get $x (i32.const 2))) (ref.is_null (table.get $x (i32.const 3)))))))"#;
    for mode in MODES {
        let mut guest = Guest::new(wat, mode);
        guest.call("set", &[Value::ExternRef(Some(9))]).expect("it returns");
        guest.call("init", &i32s(&[2])).expect("the segment has two");
        assert_eq!(guest.call("nulls", &[]).expect("it returns"), i32s(&[2]));
        guest.call("init", &i32s(&[3])).expect_err("and not three");
        guest.call("drop", &[]).expect("it returns");
        guest.call("init", &i32s(&[0])).expect("nothing of nothing");
        guest.call("init", &i32s(&[1])).expect_err("it was dropped");
    }
}
