//! Fuel: exact, repeatable, the same in both modes, and never exceeded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::common::{Guest, MODES, PLENTY, host, i32s, ty};
use cofferdam_engine::{CallBudget, CancelHandle, FuelMode, HostFunc, Limit, Scheduler, Stop, ValType, Value};

/// Programs that end, with what they are called with.
const PROGRAMS: &[(&str, &str, &[i32])] = &[
    (
        "add",
        r#"(module (func (export "run") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"#,
        &[2, 3],
    ),
    (
        "sum",
        r#"(module (func (export "run") (param $n i32) (result i32) (local $s i32)
            (loop $l (local.set $s (i32.add (local.get $s) (local.get $n)))
                (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $s)))"#,
        &[1000],
    ),
    (
        "fib",
        r#"(module (func $f (export "run") (param i32) (result i32)
            (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
                (else (i32.add (call $f (i32.sub (local.get 0) (i32.const 1)))
                               (call $f (i32.sub (local.get 0) (i32.const 2))))))))"#,
        &[12],
    ),
    (
        "br_table",
        r#"(module (func (export "run") (param i32) (result i32) (local $r i32)
            (loop $again
                (block $done (block $c (block $b (block $a
                    (br_table $a $b $c (i32.rem_u (local.get 0) (i32.const 4))))
                    (local.set $r (i32.add (local.get $r) (i32.const 1))) (br $done))
                    (local.set $r (i32.mul (local.get $r) (i32.const 3))))
                    (local.set $r (i32.xor (local.get $r) (i32.const 7))))
                (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (local.get $r)))"#,
        &[50],
    ),
    (
        "indirect and multi-value",
        r#"(module (type $t (func (param i32 i32) (result i32 i32)))
            (table 2 2 funcref) (elem (i32.const 0) $swap $both)
            (func $swap (type $t) (local.get 1) (local.get 0))
            (func $both (type $t) (i32.add (local.get 0) (local.get 1)) (i32.sub (local.get 0) (local.get 1)))
            (func (export "run") (param i32 i32) (result i32 i32) (local $n i32)
                (local.set $n (i32.const 9))
                (local.get 0) (local.get 1)
                (loop $l (param i32 i32) (result i32 i32)
                    (call_indirect (type $t) (i32.and (local.get $n) (i32.const 1)))
                    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#,
        &[3, 4],
    ),
    (
        "bulk",
        r#"(module (memory 1) (data $d "0123456789abcdef") (table 10 funcref) (elem $e func $f) (func $f)
            (func (export "run") (param i32) (result i32)
                (memory.fill (i32.const 0) (i32.const 7) (local.get 0))
                (memory.copy (i32.const 8) (i32.const 0) (local.get 0))
                (memory.init $d (i32.const 0) (i32.const 2) (i32.const 11))
                (data.drop $d)
                (table.fill (i32.const 0) (ref.null func) (i32.const 10))
                (table.init $e (i32.const 1) (i32.const 0) (i32.const 1))
                (table.copy (i32.const 2) (i32.const 0) (i32.const 3))
                (drop (table.grow (ref.null func) (i32.const 5)))
                (drop (memory.grow (i32.const 2)))
                (i32.load (i32.const 3))))"#,
        &[40_000],
    ),
    (
        "dead code and early returns",
        r#"(module (func $g (param i32) (result i32)
                (block $b (br_if $b (local.get 0)) (return (i32.const 5)) (drop (i32.div_u (i32.const 1) (i32.const 2))))
                (if (i32.eqz (local.get 0)) (then (unreachable)) (else (nop)))
                (block (br 0) (drop (i64.mul (i64.const 2) (i64.const 3))))
                (i32.const 6))
            (func (export "run") (param i32) (result i32)
                (i32.add (call $g (local.get 0)) (call $g (i32.const 0)))))"#,
        &[1],
    ),
    (
        "many locals",
        r#"(module (func $g (param i32) (result i32) (local i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 i64 f64 f32 f32 i32)
                (local.set 3 (local.get 0)) (local.get 3))
            (func (export "run") (param i32) (result i32) (call $g (call $g (local.get 0)))))"#,
        &[1],
    ),
];

/// What portable fuel says of [`PROGRAMS`], in order: the same numbers on every engine.
const PORTABLE: [u64; 8] = [4, 9_002, 4_646, 866, 160, 12_772, 18, 16];

#[test]
fn runs_repeat_and_portable_numbers_are_the_known_ones() {
    for ((name, wat, args), known) in PROGRAMS.iter().zip(PORTABLE) {
        let [portable, native] = MODES.map(|mode| {
            let ends = [(); 2].map(|()| {
                let mut guest = Guest::new(wat, mode);
                let results = guest.call("run", &i32s(args)).unwrap_or_else(|e| panic!("{name}, {mode}: {e}"));
                (results, guest.consumed)
            });
            assert_eq!(ends[0], ends[1], "{name}, {mode}");
            let [end, _] = ends;
            end
        });
        assert_eq!(portable.0, native.0, "{name}");
        assert_eq!(portable.1, known, "{name}");
        // Wasmtime also counts the operators that keep the stack budget and charge for lengths.
        assert!(native.1 > portable.1, "{name}: {} and {}", native.1, portable.1);
    }
}

#[test]
fn host_calls_cost_the_same_in_both_modes() {
    let wat = r#"(module (import "h" "f" (func $f (param i32) (result i32)))
        (func (export "none") (param i32) (result i32) (i32.const 8))
        (func (export "run") (param i32) (result i32) (i32.add (call $f (local.get 0)) (call $f (i32.const 1)))))"#;
    let [portable, native] = MODES.map(|mode| {
        [0, 7].map(|price| {
            let add_one = HostFunc::new(ty(&[ValType::I32], &[ValType::I32]), move |caller, args, results| {
                caller.charge(price)?;
                results[0] = Value::I32(args[0].i32().unwrap_or(0) + 1);
                Ok(())
            });
            let mut guest = Guest::with(wat, mode, Default::default(), &host([("f", add_one)]));
            assert_eq!(guest.call("run", &i32s(&[5])).expect("it returns"), i32s(&[8]));
            guest.consumed
        })
    });
    assert_eq!((portable[1] - portable[0], native[1] - native[0]), (14, 14));
    // Two calls at the list's price of a host call, and more for the operators around them.
    assert!(native[0] >= portable[0] && portable[0] > 80, "{portable:?} {native:?}");
}

#[test]
fn a_native_call_pays_large_host_charges_from_the_whole_budget() {
    let wat = r#"(module (import "h" "f" (func $f)) (func (export "run") (call $f) (call $f) (call $f)))"#;
    for mode in MODES {
        let dear = HostFunc::new(ty(&[], &[]), |caller, _, _| {
            let before = caller.fuel_left();
            caller.charge(100_000)?;
            assert_eq!(caller.fuel_left(), before - 100_000);
            Ok(())
        });
        let mut guest = Guest::with(wat, mode, Default::default(), &host([("f", dear)]));
        guest.call("run", &[]).expect("there is plenty");
        let needed = guest.consumed;
        assert!((300_000..301_000).contains(&needed), "{mode}: {needed}");
        guest.fueled("run", &[], needed).expect("exactly enough");
        let stop = guest.fueled("run", &[], needed - 1).expect_err("one too few");
        assert!(matches!(stop, Stop::Limit { limit: Limit::Fuel, .. }), "{mode}: {stop}");
        guest.fueled("run", &[], 250_000).expect_err("the third call cannot be paid");
        assert_eq!(guest.consumed, 250_000, "{mode}");
    }
}

#[test]
fn every_smaller_budget_stops_with_all_of_it_consumed() {
    for mode in MODES {
        for (name, wat, args) in &PROGRAMS[..5] {
            let args = i32s(&args.iter().map(|a| (*a).min(8)).collect::<Vec<_>>());
            let mut guest = Guest::new(wat, mode);
            guest.call("run", &args).expect("it returns");
            let needed = guest.consumed;
            for budget in 0..needed {
                let mut guest = Guest::new(wat, mode);
                let stop = guest.fueled("run", &args, budget).expect_err("the budget is too small");
                assert!(matches!(stop, Stop::Limit { limit: Limit::Fuel, .. }), "{name}, {mode}, {budget}: {stop}");
                assert_eq!(guest.consumed, budget, "{name}, {mode}");
            }
            let mut guest = Guest::new(wat, mode);
            guest.fueled("run", &args, needed).expect("exactly enough");
            assert_eq!(guest.consumed, needed);
        }
    }
}

const ENDLESS: &str = r#"(module (import "h" "f" (func $f))
    (func (export "loop") (loop (br 0)))
    (func (export "calls") (loop (call $f) (br 0)))
    (func (export "one") (result i32) (i32.const 1)))"#;

fn endless(mode: FuelMode) -> Guest {
    Guest::with(ENDLESS, mode, Default::default(), &host([("f", HostFunc::new(ty(&[], &[]), |_, _, _| Ok(())))]))
}

#[test]
fn a_deadline_ends_endless_loops_and_the_next_call_works() {
    for mode in MODES {
        for name in ["loop", "calls"] {
            let mut guest = endless(mode);
            let mut budget = CallBudget::of_fuel(u64::MAX);
            budget.timeout = Some(Duration::from_millis(20));
            let stop = guest.call_with(name, &[], &mut budget).expect_err("it never returns");
            assert!(matches!(stop, Stop::Limit { limit: Limit::Deadline, .. }), "{mode}, {name}: {stop}");
            // Wasmtime writes its count back at calls only, which an empty loop never makes.
            assert!(budget.consumed > 0 || (mode, name) == (FuelMode::Native, "loop"));
            assert_eq!(guest.call("one", &[]).expect("it returns"), i32s(&[1]));
        }
    }
}

#[test]
fn a_cancelled_call_ends() {
    for mode in MODES {
        let mut guest = endless(mode);
        let cancel = CancelHandle::new();
        let mut budget = CallBudget { cancel: Some(cancel.clone()), ..CallBudget::of_fuel(u64::MAX) };
        let (began, begins) = std::sync::mpsc::channel();
        struct Began(std::sync::mpsc::Sender<()>);
        impl Scheduler for Began {
            fn turn(&self) {
                let _ = self.0.send(());
            }
            fn away(&self, wait: &mut dyn FnMut()) {
                wait();
            }
        }
        budget.scheduler = Some(Arc::new(Began(began)));
        let stop = std::thread::scope(|scope| {
            scope.spawn(move || {
                // The guest has ticked, so it runs.
                begins.recv().expect("the guest ticks");
                cancel.cancel();
            });
            guest.call_with("loop", &[], &mut budget).expect_err("it never returns")
        });
        assert!(matches!(stop, Stop::Limit { limit: Limit::Cancelled, .. }), "{mode}: {stop}");
    }
}

#[test]
fn slices_do_not_change_what_is_consumed() {
    struct Turns(AtomicU64);
    impl Scheduler for Turns {
        fn turn(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn away(&self, wait: &mut dyn FnMut()) {
            wait();
        }
    }
    let (_, sum, _) = PROGRAMS[1];
    for mode in MODES {
        let consumed = [PLENTY, i64::MAX as u64].map(|fuel| {
            let turns = Arc::new(Turns(AtomicU64::new(0)));
            let mut budget = CallBudget { scheduler: Some(turns.clone()), ..CallBudget::of_fuel(fuel) };
            let mut guest = Guest::new(sum, mode);
            guest.call_with("run", &i32s(&[3_000_000]), &mut budget).expect("it returns");
            let turns = turns.0.load(Ordering::Relaxed);
            // Native turns come by the clock, and this may be over before.
            assert!(turns > 0 || mode == FuelMode::Native, "it took more than one slice");
            guest.consumed
        });
        assert_eq!(consumed[0], consumed[1]);
        let mut guest = Guest::new(sum, mode);
        guest.call("run", &i32s(&[1_000_000])).expect("it returns");
        let per_pass = (consumed[0] - guest.consumed) / 2_000_000;
        assert_eq!(consumed[0] - guest.consumed, per_pass * 2_000_000, "every pass costs the same");
    }
}

#[test]
fn a_panicking_scheduler_is_the_hosts_fault() {
    struct Broken;
    impl Scheduler for Broken {
        fn turn(&self) {
            panic!("as the test wants it");
        }
        fn away(&self, wait: &mut dyn FnMut()) {
            wait();
        }
    }
    for mode in MODES {
        let mut guest = endless(mode);
        let mut budget = CallBudget { scheduler: Some(Arc::new(Broken)), ..CallBudget::of_fuel(u64::MAX) };
        let stop = guest.call_with("loop", &[], &mut budget).expect_err("it never returns");
        assert!(matches!(stop, Stop::Host(_)), "{mode}: {stop}");
        assert_eq!(guest.call("one", &[]).expect("it returns"), i32s(&[1]));
    }
}
