//! Values of every type through the border, unchanged.

use cofferdam_engine::{Extern, FuelMode, Proposal, Stop, Value};

use crate::common::{Guest, MODES, i32s, runs};

const ECHO: &str = r#"(module
    (table $f 2 funcref) (table $x (export "x") 2 externref)
    (global $gf (export "gf") (mut funcref) (ref.null func)) (global $gx (export "gx") (mut externref) (ref.null extern))
    (global $gv (export "gv") (mut v128) (v128.const i64x2 1 2))
    (type $i (func (result i32)))
    (func $one (export "one") (result i32) (i32.const 1))
    (func (export "v128") (param v128) (result v128) (i32x4.add (local.get 0) (global.get $gv)))
    (func (export "f32") (param f32) (result f32) (local.get 0))
    (func (export "f64") (param f64) (result f64) (local.get 0))
    (func (export "i64") (param i64) (result i64) (local.get 0))
    (func (export "extern") (param externref) (result externref)
        (table.set $x (i32.const 1) (local.get 0)) (table.get $x (i32.const 1)))
    (func (export "func") (param funcref) (result funcref)
        (table.set $f (i32.const 1) (local.get 0)) (table.get $f (i32.const 1)))
    (func (export "call") (param funcref) (result i32)
        (table.set $f (i32.const 0) (local.get 0)) (call_indirect $f (type $i) (i32.const 0)))
    (func (export "own") (result funcref) (ref.func $one))
    (func (export "two") (param funcref externref) (result externref funcref) (local.get 1) (local.get 0)))"#;

/// The same without what is about vectors, if the engine has none.
fn echo() -> String {
    let kept = |line: &&str| runs(Proposal::Simd) || !line.contains("v128");
    ECHO.lines().filter(kept).collect()
}

#[test]
fn numbers_keep_every_bit() {
    for mode in MODES {
        let mut guest = Guest::new(&echo(), mode);
        for value in [Value::F32(0x7fa0_1234), Value::F32(0xffff_ffff), Value::F32(0x8000_0000)] {
            assert_eq!(guest.call("f32", &[value]).expect("it returns"), [value]);
        }
        for value in [Value::F64(0x7ff4_0000_0000_0001), Value::F64(u64::MAX), Value::F64(1 << 63)] {
            assert_eq!(guest.call("f64", &[value]).expect("it returns"), [value]);
        }
        for value in [Value::I64(i64::MIN), Value::I64(-1), Value::I64(i64::MAX)] {
            assert_eq!(guest.call("i64", &[value]).expect("it returns"), [value]);
        }
        if !runs(Proposal::Simd) {
            continue;
        }
        let minus_ones = lanes([-1; 4]);
        // Added to lanes of 1, 0, 2, 0.
        assert_eq!(guest.call("v128", &[minus_ones]).expect("it returns"), [lanes([0, -1, 1, -1])]);
    }
}

fn lanes(lanes: [i32; 4]) -> Value {
    Value::V128(lanes.iter().rev().fold(0, |all, lane| all << 32 | u128::from(lane.cast_unsigned())))
}

#[test]
fn references_come_back_as_the_same_handles() {
    for mode in MODES {
        let mut guest = Guest::new(&echo(), mode);
        let one = guest.func("one");
        let references = [
            Value::ExternRef(None),
            Value::ExternRef(Some(0)),
            Value::ExternRef(Some(u64::MAX - 1)),
            Value::ExternRef(Some(77)),
        ];
        for value in references {
            assert_eq!(guest.call("extern", &[value]).expect("it returns"), [value]);
        }
        for value in [Value::FuncRef(None), Value::FuncRef(Some(one))] {
            assert_eq!(guest.call("func", &[value]).expect("it returns"), [value]);
        }
        assert_eq!(guest.call("call", &[Value::FuncRef(Some(one))]).expect("it returns"), i32s(&[1]));
        guest.call("call", &[Value::FuncRef(None)]).expect_err("null");
        assert_eq!(guest.call("own", &[]).expect("it returns"), [Value::FuncRef(Some(one))]);
        let (f, x) = (Value::FuncRef(Some(one)), Value::ExternRef(Some(5)));
        assert_eq!(guest.call("two", &[f, x]).expect("it returns"), [x, f]);
    }
}

#[test]
fn a_guest_that_hands_out_references_does_not_fill_the_host() {
    let mut guest = Guest::new(&echo(), FuelMode::Portable);
    let first = guest.call("own", &[]).expect("it returns");
    for _ in 0..10_000 {
        assert_eq!(guest.call("own", &[]).expect("it returns"), first);
    }
}

#[test]
fn references_of_other_stores_are_refused() {
    let mut guest = Guest::new(&echo(), FuelMode::Portable);
    let mut other = Guest::new(&echo(), FuelMode::Portable);
    let foreign = Value::FuncRef(Some(other.func("one")));
    assert!(matches!(guest.call("func", &[foreign]), Err(Stop::BadArguments { .. })));
    // The one number that has no slot.
    assert!(matches!(guest.call("extern", &[Value::ExternRef(Some(u64::MAX))]), Err(Stop::BadArguments { .. })));
}

#[test]
fn globals_and_tables_hold_references_and_vectors() {
    let mut guest = Guest::new(&echo(), FuelMode::Portable);
    let one = Value::FuncRef(Some(guest.func("one")));
    let mut global = |name: &str| match guest.store.export(guest.instance, name) {
        Some(Extern::Global(g)) => g,
        other => panic!("{other:?}"),
    };
    let mut held = vec![(global("gf"), one), (global("gx"), Value::ExternRef(Some(3)))];
    if runs(Proposal::Simd) {
        held.push((global("gv"), Value::V128(1 << 127)));
    }
    for (at, value) in held {
        guest.store.global_set(at, value).expect("it is mutable");
        assert_eq!(guest.store.global_get(at), Ok(value));
    }
    let Some(Extern::Table(x)) = guest.store.export(guest.instance, "x") else { panic!("a table") };
    guest.store.table_set(x, 0, Value::ExternRef(Some(8))).expect("it fits");
    assert_eq!(guest.store.table_get(x, 0), Ok(Value::ExternRef(Some(8))));
    assert_eq!(guest.store.table_get(x, 1), Ok(Value::ExternRef(None)));
    assert_eq!(guest.store.table_get(x, 2), Err(cofferdam_engine::AccessError::OutOfBounds));
    assert_eq!(guest.store.table_set(x, 0, one), Err(cofferdam_engine::AccessError::WrongType));
    assert_eq!(guest.store.table_size(x), Ok(2));
}

#[test]
fn memories_are_read_and_written_within_their_bounds() {
    let mut guest = Guest::new(r#"(module (memory (export "m") 1) (data (i32.const 3) "abc"))"#, FuelMode::Portable);
    let Some(Extern::Memory(m)) = guest.store.export(guest.instance, "m") else { panic!("a memory") };
    let mut three = [0; 3];
    guest.store.memory_read(m, 3, &mut three).expect("inside");
    assert_eq!(&three, b"abc");
    guest.store.memory_write(m, 65_533, b"xyz").expect("the last three bytes");
    let outside = Err(cofferdam_engine::AccessError::OutOfBounds);
    assert_eq!(guest.store.memory_write(m, 65_534, b"uvw"), outside);
    assert_eq!(guest.store.memory_read(m, u64::MAX, &mut three), outside);
    guest.store.memory_read(m, 65_533, &mut three).expect("inside");
    assert_eq!(&three, b"xyz", "a write that does not fit writes nothing");
}
