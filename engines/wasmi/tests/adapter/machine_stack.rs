//! What a guest executes leaves nothing on the machine's stack, or the interpreter is left in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cofferdam_engine::{CallBudget, FuelMode, HostFunc, Limit, Stop, StoreLimits, ValType};

use crate::common::{Guest, MODES, PLENTY, host, i32s, ty};

/// Operators of every family that Wasmi runs by code of its own, each between what it takes and a drop of what
/// it gives. `memory.grow` and `table.grow` are not here: they are known to leave something.
const OPERATORS: &[&str] = &[
    "(drop (i32.add (local.get 0) (i32.const 7)))",
    "(local.set $i (i64.mul (local.get $i) (i64.const 7)))",
    "(drop (i32.div_s (local.get 0) (i32.const 7))) (drop (i64.rem_u (local.get $i) (i64.const 3)))",
    "(drop (i32.clz (local.get 0))) (drop (i64.popcnt (local.get $i))) (drop (i32.rotl (local.get 0) (i32.const 3)))",
    "(drop (f64.add (f64.convert_i32_s (local.get 0)) (f64.const 0.5)))",
    "(drop (f32.sqrt (f32.convert_i32_u (local.get 0)))) (drop (f64.nearest (f64.const 2.5)))",
    "(drop (f64.min (f64.const nan) (f64.const 1))) (drop (f32.max (f32.const 2) (f32.const 1)))",
    "(drop (f32.copysign (f32.const 2) (f32.const -1))) (drop (f64.promote_f32 (f32.const 1)))",
    "(drop (i32.trunc_f64_s (f64.const 3.5))) (drop (i64.trunc_sat_f32_u (f32.const 1e30)))",
    "(drop (i32.extend8_s (local.get 0))) (drop (i64.extend_i32_u (local.get 0))) (drop (i32.wrap_i64 (local.get $i)))",
    "(drop (i32.load (i32.const 8))) (drop (i64.load32_u offset=4 (local.get $zero))) (drop (f64.load (i32.const 0)))",
    "(i32.store (i32.const 8) (local.get 0)) (i64.store8 offset=4 (local.get $zero) (local.get $i))",
    "(drop (i32.load $other (i32.const 8))) (i32.store16 $other (local.get $zero) (local.get 0))",
    "(global.set $g (i64.add (global.get $g) (i64.const 1)))",
    "(drop (select (local.get 0) (i32.const 1) (local.get $zero)))",
    "(drop (select (result funcref) (ref.null func) (ref.func $nothing) (local.get $zero)))",
    "(if (local.get $zero) (then (nop)) (else (local.set $i (i64.const 1))))",
    "(block (br_if 0 (i32.eqz (local.get $zero))) (local.set $i (i64.const 2)))",
    "(block (block (block (br_table 0 1 2 (i32.and (local.get 0) (i32.const 3))))))",
    "(block (result i32 i32) (block (result i32 i32) (i32.const 1) (i32.const 2)
        (br_table 0 1 (i32.and (local.get 0) (i32.const 1))))) (drop) (drop)",
    "(block (result i32 i64 f64) (block (result i32 i64 f64) (local.get 0) (local.get $i) (f64.const 2)
        (br_table 0 1 (i32.and (local.get 0) (i32.const 1))))) (drop) (drop) (drop)",
    "(call $nothing)",
    "(drop (call $many (local.get 0) (i64.const 2) (f32.const 3))) (drop) (drop)",
    "(call_indirect $t (type $void) (i32.const 0))",
    "(call $host)",
    "(call_indirect $t (type $void) (i32.const 1))",
    "(drop (call $takes (local.get 0) (i64.const 5)))",
    "(call $tail)",
    "(call $tail_indirect)",
    "(call $tail_host)",
    "(drop (memory.size)) (drop (memory.size $other))",
    "(memory.fill (i32.const 0) (i32.const 1) (i32.const 8))",
    "(memory.copy (i32.const 0) (i32.const 4) (i32.const 8)) (memory.copy $other 0 (i32.const 0) (i32.const 4) (i32.const 8))",
    "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 2))",
    "(data.drop $dropped)",
    "(drop (table.get $t (i32.const 1))) (drop (table.size $t))",
    "(table.set $t (i32.const 2) (ref.func $nothing))",
    "(table.fill $t (i32.const 2) (ref.null func) (i32.const 1))",
    "(table.copy $t $t (i32.const 2) (i32.const 3) (i32.const 1)) (table.copy $x $y (i32.const 0) (i32.const 0) (i32.const 1))",
    "(table.init $t $e (i32.const 2) (i32.const 0) (i32.const 1))",
    "(elem.drop $dropped_too)",
    "(drop (ref.is_null (ref.func $nothing))) (drop (ref.is_null (ref.null extern)))",
    "(drop (i64.add128 (local.get $i) (i64.const 1) (i64.const 2) (i64.const 3))) (drop)",
    "(drop (i64.mul_wide_s (local.get $i) (i64.const 3))) (drop)",
    "(local.set $v (i32x4.add (local.get $v) (v128.const i32x4 1 2 3 4)))",
    "(drop (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 (local.get $v) (local.get $v)))",
    "(drop (v128.load (i32.const 0))) (v128.store (i32.const 0) (local.get $v)) (drop (f64x2.sqrt (local.get $v)))",
    "(v128.store8_lane 3 (i32.const 0) (local.get $v)) (drop (v128.load16_lane 2 (i32.const 0) (local.get $v)))",
    "(drop (i32x4.extract_lane 1 (local.get $v))) (drop (v128.bitselect (local.get $v) (local.get $v) (local.get $v)))",
    "(drop (f32x4.relaxed_madd (local.get $v) (local.get $v) (local.get $v)))",
];

const ROUNDS: i32 = 4_000;

#[test]
fn no_operator_leaves_anything_on_the_machines_stack() {
    for mode in MODES {
        for operators in OPERATORS {
            let wat = format!(
                r#"(module (type $void (func)) (import "h" "host" (func $host)) (import "h" "mark" (func $mark))
                (import "h" "takes" (func $takes (param i32 i64) (result f64)))
                (memory 1) (memory $other 1) (data $d "ab") (data $dropped "ab")
                (table $t 4 funcref) (elem (table $t) (i32.const 0) func $nothing $host)
                (table $x 1 externref) (table $y 1 externref) (elem $e func $nothing) (elem $dropped_too func $nothing)
                (global $g (mut i64) (i64.const 0))
                (func $nothing)
                (func $many (param i32 i64 f32) (result i32 i64 f32) (local.get 0) (local.get 1) (local.get 2))
                (func $tail (return_call $nothing)) (func $tail_host (return_call $host))
                (func $tail_indirect (return_call_indirect $t (type $void) (i32.const 0)))
                (func (export "run") (param i32) (local $zero i32) (local $i i64) (local $v v128)
                    (call $mark)
                    (loop $again {operators}
                        (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
                    (call $mark)))"#
            );
            let marks = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
            let seen = marks.clone();
            let mark = HostFunc::new(ty(&[], &[]), move |_, _, _| {
                let here = 0u8;
                let here = std::ptr::from_ref(std::hint::black_box(&here)).addr();
                seen[0].store(seen[1].swap(here, Ordering::Relaxed), Ordering::Relaxed);
                Ok(())
            });
            let quiet = HostFunc::new(ty(&[], &[]), |_, _, _| Ok(()));
            let takes = HostFunc::new(ty(&[ValType::I32, ValType::I64], &[ValType::F64]), |_, _, _| Ok(()));
            let imports = host([("host", quiet), ("mark", mark), ("takes", takes)]);
            let mut guest = Guest::with(&wat, mode, StoreLimits::default(), &imports);
            // In one slice, so that nothing is resumed on the way.
            guest.fueled("run", &i32s(&[4]), PLENTY).expect("it returns");
            let few = marks[0].load(Ordering::Relaxed).abs_diff(marks[1].load(Ordering::Relaxed));
            guest.fueled("run", &i32s(&[ROUNDS / 100]), PLENTY).expect("it returns");
            let more = marks[0].load(Ordering::Relaxed).abs_diff(marks[1].load(Ordering::Relaxed));
            assert_eq!(few, more, "{mode}: {operators} takes machine stack each time");
        }
    }
}

const GROWS: &str = r#"(module (import "h" "costly" (func $costly)) (memory 1) (table 1 funcref)
    (func (export "memory") (loop (drop (memory.grow (i32.const 0))) (br 0)))
    (func (export "memory too far") (loop (drop (memory.grow (i32.const 70000))) (br 0)))
    (func (export "table") (loop (drop (table.grow (ref.null func) (i32.const 0))) (br 0)))
    (func (export "host pays") (loop (drop (memory.grow (i32.const 0))) (call $costly) (br 0)))
    (func (export "count") (param i32) (result i32) (local $n i32)
        (loop (drop (memory.grow (i32.const 0))) (local.set $n (i32.add (local.get $n) (i32.const 3)))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get $n)))"#;

fn grower(mode: FuelMode) -> Guest {
    // Takes more than a slice, so that the guest itself never has to tick.
    let costly = HostFunc::new(ty(&[], &[]), |caller, _, _| caller.charge(500_000));
    Guest::with(GROWS, mode, StoreLimits::default(), &host([("costly", costly)]))
}

#[test]
fn growing_in_a_loop_does_not_end_the_process() {
    for mode in MODES {
        for name in ["memory", "memory too far", "table", "host pays"] {
            // Little for a thread, and far from enough for all that is left behind.
            let run = move || {
                let mut budget = CallBudget::of_fuel(if name == "host pays" { 50_000 * 500_000 } else { 50_000_000 });
                budget.timeout = Some(Duration::from_secs(600));
                let stop = grower(mode).call_with(name, &[], &mut budget).expect_err("it never returns");
                assert!(matches!(stop, Stop::Limit { limit: Limit::Fuel, .. }), "{mode} {name}: {stop}");
            };
            let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run).expect("a thread");
            thread.join().expect("it ends well");
        }
    }
}

#[test]
fn a_call_that_left_the_interpreter_on_the_way_goes_on_where_it_was() {
    for mode in MODES {
        let mut guest = grower(mode);
        assert_eq!(guest.call("count", &i32s(&[10])).expect("it returns"), i32s(&[30]), "{mode}");
        let ten = guest.consumed;
        assert_eq!(guest.call("count", &i32s(&[50_010])).expect("it returns"), i32s(&[150_030]), "{mode}");
        let per_round = (guest.consumed - ten) / 50_000;
        assert_eq!(guest.consumed - ten, per_round * 50_000, "{mode}: every round costs the same");
    }
}
