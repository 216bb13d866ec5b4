//! Bytes in and out, over the conventions that guests have and against the guests that abuse them.

use cofferdam::policy::{Fuel, Limits, MemoryBytes};
use cofferdam::sandbox::{BytesAbi, CallErrorKind, CallRefusal, Packed};
use cofferdam::{CallOptions, Guest, Limit, Outcome, TrapKind};

use crate::matrix::matrix;
use crate::{guest, sandbox};

/// Counts what is allocated and freed; gives its input with every byte one higher, in four ways.
const GOOD: &str = r#"(module
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 1024))
  (global $live (export "live") (mut i32) (i32.const 0))
  (func $alloc (export "alloc") (param $len i32) (result i32)
    (global.set $live (i32.add (global.get $live) (local.get $len)))
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $len))))
  (func $free (export "dealloc") (param i32) (param $len i32)
    (global.set $live (i32.sub (global.get $live) (local.get $len))))
  (func $up (param $to i32) (param $from i32) (param $len i32)
    (block $done (loop $again
      (br_if $done (i32.eqz (local.get $len)))
      (local.set $len (i32.sub (local.get $len) (i32.const 1)))
      (i32.store8 (i32.add (local.get $to) (local.get $len))
        (i32.add (i32.load8_u (i32.add (local.get $from) (local.get $len))) (i32.const 1)))
      (br $again))))
  (func $fresh (param $ptr i32) (param $len i32) (result i32) (local $to i32)
    (if (i32.eqz (local.get $len)) (then (return (i32.const 0))))
    (call $up (local.tee $to (call $alloc (local.get $len))) (local.get $ptr) (local.get $len))
    (local.get $to))
  (func $pack (param $high i32) (param $low i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get $high)) (i64.const 32)) (i64.extend_i32_u (local.get $low))))
  (func (export "packed") (param $ptr i32) (param $len i32) (result i64)
    (call $pack (call $fresh (local.get $ptr) (local.get $len)) (local.get $len)))
  (func (export "turned") (param $ptr i32) (param $len i32) (result i64)
    (call $pack (local.get $len) (call $fresh (local.get $ptr) (local.get $len))))
  (func (export "pair") (param $ptr i32) (param $len i32) (result i32 i32)
    (call $fresh (local.get $ptr) (local.get $len)) (local.get $len))
  (func (export "in_place") (param $ptr i32) (param $len i32) (result i32 i32)
    (call $up (local.get $ptr) (local.get $ptr) (local.get $len))
    (local.get $ptr) (local.get $len))
  (func (export "taken") (param $ptr i32) (param $len i32) (result i32 i32)
    (call $fresh (local.get $ptr) (local.get $len))
    (call $free (local.get $ptr) (select (local.get $len) (i32.const 1) (local.get $len)))
    (local.get $len))
  (func (export "none") (param i32 i32))
  (func (export "live_bytes") (result i32) (global.get $live))
  (func (export "other") (param i64) (result i64) (local.get 0)))"#;

fn live(guest: &mut Guest) -> i32 {
    guest.typed::<(), i32>("live_bytes").expect("it fits").call(guest, ()).expect("it returns")
}

#[test]
fn every_convention_carries_bytes_both_ways_and_frees_them() {
    for (engine, mode) in matrix() {
        let mut guest = guest(&sandbox(&engine, mode, Limits::agent()), GOOD);
        let usual = BytesAbi::default();
        let turned = usual.clone().packed(Packed::LengthHigh);
        for (name, abi) in [
            ("packed", usual.clone()),
            ("turned", turned),
            ("pair", usual.clone()),
            ("in_place", usual.clone()),
            ("taken", usual.clone().takes_input()),
            ("pair", usual.clone().allocator("alloc").free("dealloc").memory("memory")),
        ] {
            for (input, output) in [(&b"HAL"[..], &b"IBM"[..]), (&[0, 254, 127], &[1, 255, 128]), (b"", b"")] {
                let given = guest.call_bytes_with(name, input, &abi, &CallOptions::default());
                assert_eq!(given.unwrap_or_else(|e| panic!("{name}: {e}")), output, "{name}, {mode}");
                assert_eq!(live(&mut guest), 0, "{name}: what was allocated was freed, once");
            }
        }
        assert_eq!(guest.call_bytes("none", b"in").expect("it returns"), b"");
        let kept = guest.call_bytes_with("pair", b"abc", &usual.clone().never_free(), &CallOptions::default());
        assert_eq!((kept.expect("it returns"), live(&mut guest)), (b"bcd".to_vec(), 6));

        let at = guest.put_bytes(b"typed", &usual).expect("there is room");
        let packed = guest.typed::<(u32, u32), u64>("packed").expect("it fits");
        let given = packed.call(&mut guest, at).expect("it returns");
        assert_eq!(guest.memory("memory").expect("it is there").string(given >> 32, 5).as_deref(), Ok("uzqfe"));
        guest.free_bytes(at, &usual).expect("it returns");
        assert_eq!(live(&mut guest), 6 + 5, "the output is still there");
    }
}

#[test]
fn the_library_of_the_examples_checks_what_it_is_given() {
    let bytes = include_bytes!("../../examples/guests/mathlib.wasm");
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, Limits::agent());
        let module = sandbox.load(bytes).expect("it is good");
        let mut guest = sandbox.guest(&module, Default::default()).expect("it fits");
        let at = guest.put_bytes(b"123456789", &BytesAbi::default()).expect("there is room");
        let crc32 = guest.typed::<(u32, u32), u32>("crc32").expect("it fits");
        assert_eq!(crc32.call(&mut guest, at).expect("it returns"), 0xCBF4_3926);
        let refused = guest.call_bytes("crc32", b"").expect_err("it gives a number");
        assert_eq!(refused.to_string(), "function `crc32` is (i32, i32) -> (i32), not (i32, i32) -> (i64)");
    }
}

#[test]
fn what_is_refused_leaves_the_guest_as_it_was() {
    for (engine, mode) in matrix() {
        let limits = Limits { message: MemoryBytes::new(8), ..Limits::agent() };
        let mut guest = guest(&sandbox(&engine, mode, limits), GOOD);
        let usual = BytesAbi::default();
        assert_eq!(guest.call_bytes("pair", b"12345678").expect("it is as long as may be").len(), 8);
        for (name, input, abi, said) in [
            ("pair", 9, usual.clone(), "the message of 9 bytes is above the cap of 8 B; `Limits::message` raises it"),
            ("other", 1, usual.clone(), "function `other` is (i64) -> (i64), not (i32, i32) -> (i64)"),
            ("pear", 1, usual.clone(), "the module exports no function `pear`; it exports alloc, dealloc"),
            ("pair", 1, usual.clone().memory("mem"), "the module exports no memory `mem`"),
            ("pair", 1, usual.clone().allocator("new"), "the module exports no function `new`"),
            (
                "pair",
                1,
                usual.clone().allocator("pair"),
                "function `pair` is (i32, i32) -> (i32, i32), not (i32) -> (i32)",
            ),
            ("pair", 1, usual.clone().free("delete"), "the module exports no function `delete`"),
            ("pair", 1, usual.clone().free("alloc"), "function `alloc` is (i32) -> (i32), not (i32, i32) -> ()"),
        ] {
            let error = guest.call_bytes_with(name, &vec![0; input], &abi, &CallOptions::default());
            let error = error.expect_err("it is refused");
            assert_eq!((error.kind(), error.receipt().fuel), (CallErrorKind::Refused, 0), "{error}");
            assert!(error.to_string().starts_with(said), "{error}");
        }
        assert_eq!(guest.call_bytes("pair", b"ok").expect("it goes on"), b"pl");
    }
}

/// A guest whose allocator gives `room` and whose function gives `packed`.
fn liar(room: i32, packed: u64) -> String {
    format!(
        r#"(module (memory (export "memory") 1)
          (func (export "malloc") (param i32) (result i32) (i32.const {room}))
          (func (export "f") (param i32 i32) (result i64) (i64.const {packed})))"#
    )
}

#[test]
fn a_guest_that_lies_about_where_or_how_much_is_ended() {
    for (engine, mode) in matrix() {
        let limits = Limits { message: MemoryBytes::kib(128), ..Limits::agent() };
        let sandbox = sandbox(&engine, mode, limits);
        let cap = 128 << 10;
        let at = |ptr: u64, len: u64| ptr << 32 | len;
        for (room, packed, kind) in [
            (65_533, 0, Some(TrapKind::MemoryOutOfBounds)), // three bytes of room for four
            (-1, 0, Some(TrapKind::MemoryOutOfBounds)),
            (i32::MIN, 0, Some(TrapKind::MemoryOutOfBounds)),
            (16, at(65_535, 2), Some(TrapKind::MemoryOutOfBounds)),
            (16, at(0, 65_537), Some(TrapKind::MemoryOutOfBounds)),
            (16, at(u32::MAX.into(), 1), Some(TrapKind::MemoryOutOfBounds)),
            (16, at(u32::MAX.into(), cap), Some(TrapKind::MemoryOutOfBounds)), // pointer and length overflow
            (16, at(0, cap + 1), None),
            (16, at(0, u32::MAX.into()), None),
            (16, u64::MAX, None),
        ] {
            let mut guest = guest(&sandbox, &liar(room, packed));
            let error = guest.call_bytes("f", b"four").expect_err("it lies");
            match kind {
                Some(kind) => assert_eq!(error.trap().map(|t| t.kind), Some(kind), "{error}"),
                None => assert_eq!(error.limit(), Some(Limit::Message), "{error}"),
            }
            assert!(error.receipt().fuel > 0 && guest.is_poisoned(), "{error}");
        }
        let said = |room, packed| {
            guest(&sandbox, &liar(room, packed)).call_bytes("f", b"four").expect_err("it lies").to_string()
        };
        assert_eq!(
            said(16, at(65_535, 2)),
            "memory access out of bounds: `f` gives 2 bytes at 65535 and the memory has 65536"
        );
        assert_eq!(
            said(16, at(1, u32::MAX.into())),
            "message cap reached: `f` gives 4294967295 bytes and a message may have 128.0 KiB \
             (raise it with `Limits::message`)"
        );
        // No room is no lie: the guest says so and goes on.
        let mut full = guest(&sandbox, &liar(0, 0));
        let error = full.call_bytes("f", b"four").expect_err("there is no room");
        assert!(matches!(error.outcome(), Outcome::Refused(CallRefusal::NoRoom { len: 4, .. })), "{error}");
        assert!(!full.is_poisoned());
        // An answer that touches the edge is within.
        let mut edge = guest(&sandbox, &liar(16, at(65_534, 2)));
        assert_eq!(edge.call_bytes("f", b"four").expect("it is inside"), [0, 0]);
    }
}

#[test]
fn allocating_calling_and_freeing_share_one_budget() {
    let text = r#"(module (memory (export "memory") 1)
      (func $spin (param i32) (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
      (func (export "malloc") (param i32) (result i32) (call $spin (i32.const 100)) (i32.const 16))
      (func (export "free") (param i32) (call $spin (i32.const 100)))
      (func (export "f") (param i32 i32) (call $spin (i32.const 100))))"#;
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, Limits::agent());
        let spent = |fuel: u64| {
            let options = CallOptions::default().fuel(Fuel::new(fuel));
            guest(&sandbox, text).call_bytes_with("f", b"x", &BytesAbi::default(), &options)
        };
        assert!(spent(1_000_000).is_ok());
        for fuel in [100, 500, 900, 1_100] {
            let error = spent(fuel).expect_err("it is too little for all three");
            assert_eq!((error.limit(), error.receipt().fuel), (Some(Limit::Fuel), fuel), "{mode}");
        }
        assert!(spent(2_000).is_ok(), "{mode}");
    }
}
