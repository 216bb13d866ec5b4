//! Typed calls, typed host functions, and errors that say whose fault it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cofferdam::host::wasi::WasiConfig;
use cofferdam::policy::{Fuel, Grants, Limits, SecurityPolicy};
use cofferdam::sandbox::{CallErrorKind, CallRefusal};
use cofferdam::{CallOptions, GuestState, HostError, HostFunc, Imports, Limit, Outcome, Sandbox, TrapKind};

use crate::matrix::matrix;
use crate::{guest, sandbox};

const SHAPES: &str = r#"(module
  (func (export "nothing"))
  (func (export "one") (param i32) (result i64) (i64.extend_i32_s (local.get 0)))
  (func (export "swap") (param i32 f64) (result f64 i32) (local.get 1) (local.get 0))
  (func (export "eight") (param i32 i64 f32 f64 i32 i64 f32 f64) (result f64 f32 i64 i32 f64 f32 i64 i32)
    (local.get 7) (local.get 6) (local.get 5) (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0))
  (func (export "vector") (param v128) (result v128) (i8x16.add (local.get 0) (local.get 0)))
  (func (export "boom") unreachable)
  (func (export "spin") (loop (br 0))))"#;

#[test]
fn values_of_every_type_go_in_and_come_out() {
    for (engine, mode) in matrix() {
        let mut guest = guest(&sandbox(&engine, mode, Limits::agent()), SHAPES);
        let nothing = guest.typed::<(), ()>("nothing").expect("it fits");
        let one = guest.typed::<i32, i64>("one").expect("it fits");
        let swap = guest.typed::<(u32, f64), (f64, u32)>("swap").expect("it fits");
        type Eight = (u32, u64, f32, f64, i32, i64, f32, f64);
        type Thgie = (f64, f32, i64, i32, f64, f32, u64, u32);
        let eight = guest.typed::<Eight, Thgie>("eight").expect("it fits");
        let vector = guest.typed::<(u128,), u128>("vector").expect("it fits");

        nothing.call(&mut guest, ()).expect("it returns");
        assert_eq!(one.call(&mut guest, -7).expect("it returns"), -7);
        assert_eq!(swap.call(&mut guest, (u32::MAX, 0.5)).expect("it returns"), (0.5, u32::MAX));
        let given = eight.call(&mut guest, (u32::MAX, u64::MAX, 1.5, 2.5, -3, -4, 5.5, 6.5)).expect("it returns");
        assert_eq!(given, (6.5, 5.5, -4, -3, 2.5, 1.5, u64::MAX, u32::MAX));
        let bytes = u128::from_le_bytes(std::array::from_fn(|i| i as u8));
        let doubled = u128::from_le_bytes(std::array::from_fn(|i| 2 * i as u8));
        assert_eq!(vector.call(&mut guest, (bytes,)).expect("it returns"), doubled);

        let (_, receipt) = swap.call_with(&mut guest, (1, 1.0), &CallOptions::default()).expect("it returns");
        let untyped = guest.call("swap", &[1i32.into(), 1.0f64.into()]);
        assert_eq!((receipt.fuel, receipt.fuel_mode), (untyped.receipt.fuel, mode), "typed calls are charged alike");
    }
}

#[test]
fn signatures_are_compared_once_and_both_are_named() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, Limits::agent());
        let mut first = guest(&sandbox, SHAPES);
        let wrong = first.typed::<(i32, i32), f64>("swap").expect_err("it is another type").to_string();
        assert_eq!(wrong, "function `swap` is (i32, f64) -> (f64, i32), not (i32, i32) -> (f64)");
        let missing = first.typed::<(), ()>("sawp").expect_err("there is none");
        assert!(matches!(&missing, CallRefusal::MissingExport { name, .. } if name == "sawp"), "{missing}");

        // A function of one guest is not one of another, even of the same module.
        let one = first.typed::<i32, i64>("one").expect("it fits");
        let mut second = guest(&sandbox, SHAPES);
        let error = one.call(&mut second, 1).expect_err("it is the other one's");
        assert_eq!(error.kind(), CallErrorKind::Refused, "{error}");
        assert_eq!(error.to_string(), "function `one` belongs to another guest; look it up in this one");
        assert!(!second.is_poisoned() && one.call(&mut first, 1).is_ok());
    }
}

#[test]
fn an_error_says_whose_fault_it_was_and_what_it_cost() {
    for (engine, mode) in matrix() {
        let limits = Limits { fuel: Fuel::new(5_000), ..Limits::agent() };
        let sandbox = sandbox(&engine, mode, limits);
        let mut trapping = guest(&sandbox, SHAPES);
        let boom = trapping.typed::<(), ()>("boom").expect("it fits");
        let error = boom.call(&mut trapping, ()).expect_err("it traps");
        assert_eq!((error.kind(), error.trap().map(|t| t.kind)), (CallErrorKind::Guest, Some(TrapKind::Unreachable)));
        let after = boom.call(&mut trapping, ()).expect_err("it is over");
        assert!(matches!(after.outcome(), Outcome::Refused(CallRefusal::Poisoned)), "{after}");

        let mut spinning = guest(&sandbox, SHAPES);
        let spin = spinning.typed::<(), ()>("spin").expect("it fits");
        let (error, options) = (spin.call(&mut spinning, ()).expect_err("it is stopped"), CallOptions::default());
        assert_eq!((error.kind(), error.limit()), (CallErrorKind::Limit, Some(Limit::Fuel)));
        assert_eq!(error.receipt().fuel, 5_000, "{mode}");
        assert_eq!(error.to_string(), "fuel budget spent (raise it with `Limits::fuel`)");
        let mut spinning = guest(&sandbox, SHAPES);
        let spin = spinning.typed::<(), ()>("spin").expect("it fits");
        let error = spin.call_with(&mut spinning, (), &options.fuel(Fuel::new(77))).expect_err("it is stopped");
        assert_eq!(error.receipt().fuel, 77);

        let refused = guest(&sandbox, SHAPES).call("one", &[]).into_result().expect_err("an argument is missing");
        assert_eq!(refused.kind(), CallErrorKind::Refused);
        let values = guest(&sandbox, SHAPES).call("one", &[3i32.into()]).into_result().expect("it returns");
        assert_eq!(values, [3i64.into()]);
    }
}

#[test]
fn a_guest_that_exits_returned_only_if_nothing_was_expected() {
    let text = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "leave") (param i32) (call $exit (local.get 0)))
      (func (export "never") (result i32) (call $exit (i32.const 0)) unreachable))"#;
    for (engine, mode) in matrix() {
        let policy = SecurityPolicy::standard().fuel_mode(mode).grants(Grants::wasi());
        let sandbox = Sandbox::builder(engine).policy(policy).build().expect("it can be enforced");
        let module = sandbox.load(text.as_bytes()).expect("it is good");
        let new = || {
            let wasi = WasiConfig::default().build().expect("nothing is wrong with it");
            sandbox.guest(&module, GuestState::with_wasi(wasi)).expect("it fits")
        };
        for code in [0u32, 3] {
            let mut guest = new();
            let left = guest.typed::<u32, ()>("leave").expect("it fits").call(&mut guest, code);
            let codes = left.map_err(|e| (e.kind(), e.exit_code(), e.to_string()));
            let said = format!("the guest ended itself with exit code {code}");
            assert_eq!(codes, if code == 0 { Ok(()) } else { Err((CallErrorKind::Exit, Some(code), said)) });
            assert!(guest.is_poisoned());
        }
        let mut guest = new();
        let error = guest.typed::<(), i32>("never").expect("it fits").call(&mut guest, ()).expect_err("no value came");
        assert_eq!((error.kind(), error.exit_code()), (CallErrorKind::Exit, Some(0)));
    }
}

#[test]
fn typed_host_functions_see_the_guest_and_end_it() {
    let text = r#"(module
      (import "env" "add" (func $add (param i32 i64) (result i64)))
      (import "env" "split" (func $split (param i64) (result i32 i32)))
      (import "env" "sum" (func $sum (param i32 i32) (result i32)))
      (import "env" "later" (func $later (param f64) (result f64)))
      (import "env" "fail" (func $fail))
      (memory (export "memory") 1) (data (i32.const 8) "\01\02\03\04")
      (func (export "add") (param i32 i64) (result i64) (call $add (local.get 0) (local.get 1)))
      (func (export "split") (param i64) (result i32 i32) (call $split (local.get 0)))
      (func (export "sum") (param i32 i32) (result i32) (call $sum (local.get 0) (local.get 1)))
      (func (export "later") (param f64) (result f64) (call $later (local.get 0)))
      (func (export "fail") (call $fail)))"#;
    for (engine, mode) in matrix() {
        let calls = Arc::new(AtomicU64::new(0));
        let counted = calls.clone();
        let mut imports = Imports::new();
        imports.host(
            "env",
            "add",
            HostFunc::typed(move |_, (a, b): (u32, u64)| {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok(u64::from(a) + b)
            }),
        );
        imports.host("env", "split", HostFunc::typed(|_, v: u64| Ok(((v >> 32) as u32, v as u32))));
        let sum = HostFunc::typed(|caller, (ptr, len): (u32, u32)| {
            Ok(caller.bytes(ptr, len)?.iter().map(|b| u32::from(*b)).sum::<u32>())
        });
        imports.host("env", "sum", sum);
        imports.host("env", "later", HostFunc::typed_async(|_, v: f64| Ok(async move { Ok(v * 2.0) })));
        imports.host("env", "fail", HostFunc::typed(|_, ()| Err::<(), _>(HostError::failed("no such luck"))));

        let policy = SecurityPolicy::standard().fuel_mode(mode).grants(Grants::none().module("env"));
        let sandbox = Sandbox::builder(engine).policy(policy).host(&imports).build().expect("it can be enforced");
        let mut guest = guest(&sandbox, text);
        let add = guest.typed::<(u32, u64), u64>("add").expect("it fits");
        assert_eq!(add.call(&mut guest, (u32::MAX, 1)).expect("it returns"), 1 << 32);
        let split = guest.typed::<u64, (u32, u32)>("split").expect("it fits");
        assert_eq!(split.call(&mut guest, 7 << 32 | 9).expect("it returns"), (7, 9));
        let later = guest.typed::<f64, f64>("later").expect("it fits");
        assert_eq!(later.call(&mut guest, 1.25).expect("it returns"), 2.5);
        let sum = guest.typed::<(u32, u32), u32>("sum").expect("it fits");
        assert_eq!(sum.call(&mut guest, (8, 4)).expect("it returns"), 10);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let wild = sum.call(&mut guest, (u32::MAX, 2)).expect_err("it is out of bounds");
        assert_eq!(wild.trap().map(|t| t.kind), Some(TrapKind::MemoryOutOfBounds));
        let mut guest = sandbox.guest(guest.module(), GuestState::default()).expect("it fits");
        let failed = guest.call("fail", &[]).into_result().expect_err("it fails");
        assert_eq!(
            (failed.kind(), failed.to_string()),
            (CallErrorKind::Host, "a host function failed: no such luck".into())
        );
    }
}
