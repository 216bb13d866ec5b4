//! Traps of every kind, with frames in the guest's own terms.

use cofferdam_engine::{Engine, Imports, InstantiateError, Place, Stop, Trap, TrapKind, Value};

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
fn every_kind_has_its_name_and_place_and_the_store_survives() {
    let places = MODES.map(|mode| {
        let mut guest = Guest::new(TRAPS, mode);
        KINDS.iter().map(|(name, kind)| traps_at(&mut guest, name, *kind)).collect::<Vec<_>>()
    });
    assert_eq!(places[0], places[1], "the same places in both modes");
}

fn traps_at(guest: &mut Guest, name: &str, kind: TrapKind) -> Place {
    let stop = guest.call(name, &[]).expect_err("it traps");
    assert!(guest.consumed > 0, "{name}");
    let Stop::Trap(Trap { kind: found, frames }) = stop else { panic!("{name}: {stop}") };
    assert_eq!(found, kind, "{name}");
    assert_eq!(frames.len(), 1, "{name}: {frames:?}");
    assert_eq!(frames[0].name.as_deref(), Some(name));
    frames[0].clone()
}

/// Where `needle` stands in the binary form of `wat`.
fn offset_of(wat: &str, needle: &[u8]) -> u32 {
    let module = wat::parse_str(wat).expect("the test's text is right");
    let found: Vec<_> = (0..module.len()).filter(|at| module[*at..].starts_with(needle)).collect();
    assert_eq!(found.len(), 1, "the needle is there once");
    found[0] as u32
}

#[test]
fn frames_show_the_original_functions_and_offsets() {
    let wat = r#"(module (import "h" "unused" (func)) (memory 1)
        (func $inner (param i32) (result i32)
            (drop (i32.const 77777)) (i32.load offset=8 align=1 (local.get 0)))
        (func $middle (param i32) (result i32) (local i64)
            (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
            (i32.const 1234567) (i32.add (call $inner (local.get 0))))
        (func (export "run") (param i32) (result i32)
            (loop (br_if 0 (i32.const 0)))
            (call $middle (local.get 0)) (i32.add (i32.const 7654321))))"#;
    // `i32.load align=1 offset=8`; `call $inner; i32.add`; `call $middle; i32.const 7654321`.
    let load = offset_of(wat, &[0x28, 0x00, 0x08]);
    let call_inner = offset_of(wat, &[0x10, 0x01, 0x6a]);
    let call_middle = offset_of(wat, &[0x10, 0x02, 0x41]);
    let unused = cofferdam_engine::HostFunc::new(crate::common::ty(&[], &[]), |_, _, _| Ok(()));
    let imports = crate::common::host([("unused", unused)]);
    let exact = crate::wasmer().descriptor().compiler != "singlepass";
    for mode in MODES {
        let mut guest = Guest::with(wat, mode, Default::default(), &imports);
        let Err(Stop::Trap(trap)) = guest.call("run", &i32s(&[-1])) else { panic!("out of bounds") };
        let place = |function, name: &str, offset| Place { function, name: Some(name.into()), offset: Some(offset) };
        // Where Singlepass itself compares addresses, it does not say which operator it was for.
        let inner = if exact { place(1, "inner", load) } else { Place { offset: None, ..place(1, "inner", 0) } };
        let expected = [inner, place(2, "middle", call_inner), place(3, "run", call_middle)];
        assert_eq!(trap.frames, expected, "{mode}");
    }
}

#[test]
fn deep_traces_are_cut() {
    let wat = r#"(module (func $f (export "run") (param i32)
        (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))) (else (unreachable)))))"#;
    for mode in MODES {
        let mut guest = Guest::new(wat, mode);
        let Err(Stop::Trap(trap)) = guest.call("run", &i32s(&[1000])) else { panic!("it traps at the bottom") };
        assert_eq!(trap.frames.len(), Trap::MAX_FRAMES);
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
