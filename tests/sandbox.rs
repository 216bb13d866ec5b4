//! One guest on every engine in both fuel modes: answers, limits, state, host functions, waiting.
#![cfg(feature = "any-engine")]

#[path = "support/matrix.rs"]
mod matrix;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cofferdam::host::wasi::{Output, Stdin, WasiConfig};
use cofferdam::policy::{Determinism, Fuel, Grants, Level, Limits, MemoryBytes, SecurityPolicy};
use cofferdam::sandbox::{CallOptions, CallRefusal, ImportRefusal, LoadError, ResourceConfig, Resources};
use cofferdam::{
    CancelHandle, Engine, FuelMode, FuncType, Guest, GuestState, HostError, HostFunc, Imports, Limit, Outcome, Sandbox,
    TrapKind, ValType, Value,
};
use matrix::matrix;

const KERNEL: &str = r#"(module
  (memory (export "memory") 1)
  (global $calls (mut i32) (i32.const 0))
  (table funcref (elem $square $cube))
  (type $unary (func (param i32) (result i32)))
  (func $square (type $unary) (i32.mul (local.get 0) (local.get 0)))
  (func $cube (type $unary) (i32.mul (local.get 0) (call $square (local.get 0))))
  (func (export "work") (param $n i32) (result i32) (local $sum i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (block $done (loop $again
      (br_if $done (i32.eqz (local.get $n)))
      (if (i32.and (local.get $n) (i32.const 1))
        (then (local.set $sum (i32.add (local.get $sum) (call_indirect (type $unary) (local.get $n) (i32.const 0)))))
        (else (local.set $sum (i32.xor (local.get $sum) (call_indirect (type $unary) (local.get $n) (i32.const 1))))))
      (memory.fill (i32.const 0) (local.get $n) (i32.const 300))
      (i32.store (i32.const 16) (local.get $sum))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $again)))
    (i32.load (i32.const 16)))
  (func (export "calls") (result i32) (global.get $calls))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "boom") unreachable))"#;

fn sandbox(engine: &Arc<dyn Engine>, mode: FuelMode, limits: Limits) -> Sandbox {
    Sandbox::builder(engine.clone())
        .policy(SecurityPolicy::standard().fuel_mode(mode).limits(limits))
        .build()
        .expect("the engine can enforce the policy")
}

fn guest(sandbox: &Sandbox, module: &str) -> Guest {
    let module = sandbox.load(module.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    sandbox.guest(&module, GuestState::default()).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn fuel_is_the_same_number_every_time_and_on_every_engine_where_we_count() {
    let (mut portable, mut all) = (Vec::new(), Vec::new());
    for (engine, mode) in matrix() {
        let mut seen = Vec::new();
        let sandbox = sandbox(&engine, mode, Limits::agent());
        for _ in 0..3 {
            let report = guest(&sandbox, KERNEL).call("work", &[Value::I32(100)]);
            assert!(matches!(report.outcome, Outcome::Completed { .. }), "{mode}: {}", report.outcome);
            assert_eq!(report.receipt.fuel_mode, mode);
            seen.push((report.receipt.fuel, report.outcome.values().map(<[Value]>::to_vec)));
        }
        let name = engine.descriptor().id;
        assert!(seen[0].0 > 1_000 && seen.iter().all(|s| *s == seen[0]), "{name}, {mode}: {seen:?}");
        if mode == FuelMode::Portable {
            portable.push(seen[0].clone());
        }
        all.push(seen[0].1.clone());
    }
    assert!(portable.iter().all(|s| *s == portable[0]), "{portable:?}");
    assert!(all.iter().all(|results| *results == all[0]), "{all:?}");
}

#[test]
fn every_smaller_budget_is_spent_to_the_last_unit() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, Limits::agent());
        let module = sandbox.load(KERNEL.as_bytes()).expect("it is good");
        let call = |fuel| {
            let mut guest = sandbox.guest(&module, GuestState::default()).expect("it fits");
            let options = CallOptions { fuel: Some(Fuel::new(fuel)), ..CallOptions::default() };
            guest.call_with("work", &[Value::I32(3)], &options)
        };
        let total = call(1_000_000).receipt.fuel;
        for fuel in 0..total {
            let report = call(fuel);
            assert!(
                matches!(report.outcome, Outcome::Stopped { limit: Limit::Fuel, .. }) && report.receipt.fuel == fuel,
                "{mode} with {fuel} of {total}: {} after {}",
                report.outcome,
                report.receipt.fuel
            );
        }
        let exact = call(total);
        assert!(exact.outcome.values().is_some() && exact.receipt.fuel == total, "{mode}: {}", exact.outcome);
    }
}

#[test]
fn state_stays_between_calls_until_the_guest_is_stopped() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, Limits::agent());
        let mut guest = guest(&sandbox, KERNEL);
        for _ in 0..3 {
            guest.call("work", &[Value::I32(1)]);
        }
        assert_eq!(guest.call("calls", &[]).outcome.values(), Some(&[Value::I32(3)][..]));
        let trapped = guest.call("boom", &[]);
        assert_eq!(trapped.outcome.reason(), Some("unreachable"));
        let after = guest.call("calls", &[]);
        assert!(matches!(after.outcome, Outcome::Refused(CallRefusal::Poisoned)), "{}", after.outcome);
        // The next guest of the same module is untouched.
        let mut next = sandbox.guest(guest.module(), GuestState::default()).expect("it fits");
        assert_eq!(next.call("calls", &[]).outcome.values(), Some(&[Value::I32(0)][..]));
    }
}

#[test]
fn memory_stops_at_the_cap_and_is_counted_to_the_byte() {
    for (engine, mode) in matrix() {
        // Growth is priced by pages, and the last one below asks for all there could be.
        let limits = Limits { memory: MemoryBytes::kib(64 * 5), fuel: Fuel::UNLIMITED, ..Limits::agent() };
        let mut guest = guest(&sandbox(&engine, mode, limits), KERNEL);
        let mut grow = |pages: i32| guest.call("grow", &[Value::I32(pages)]).outcome.values().map(<[Value]>::to_vec);
        assert_eq!(grow(3), Some(vec![Value::I32(1)]));
        assert_eq!(grow(2), Some(vec![Value::I32(-1)]));
        assert_eq!(grow(1), Some(vec![Value::I32(4)]));
        assert_eq!(grow(1), Some(vec![Value::I32(-1)]));
        assert_eq!(grow(-1), Some(vec![Value::I32(-1)]));
        let usage = guest.usage();
        assert_eq!((usage.memory_bytes, usage.peak_memory_bytes), (5 * 65_536, 5 * 65_536), "{mode}");
        assert!(usage.refused_growths >= 2, "{usage:?}");
    }
}

#[test]
fn the_start_function_runs_first_and_under_the_budget() {
    let text = r#"(module (global $g (mut i32) (i32.const 1)) (func $start (global.set $g (i32.const 7))) (start $start)
        (func (export "get") (result i32) (global.get $g)))"#;
    let endless = "(module (func $start (loop (br 0))) (start $start) (func (export \"get\")))";
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, Limits::agent());
        let mut first = guest(&sandbox, text);
        assert_eq!(first.call("get", &[]).outcome.values(), Some(&[Value::I32(7)][..]));
        let report = guest(&sandbox, endless).call("get", &[]);
        assert!(matches!(report.outcome, Outcome::Stopped { limit: Limit::Fuel, .. }), "{}", report.outcome);
        assert_eq!(report.receipt.fuel, Limits::agent().fuel.get());
    }
}

fn echo(result: impl Fn(i32) -> Result<i32, HostError> + Send + Sync + 'static) -> Imports {
    let mut imports = Imports::new();
    let ty = FuncType::new([ValType::I32], [ValType::I32]);
    imports.host(
        "env",
        "echo",
        HostFunc::new(ty, move |_, params, results| {
            results[0] = Value::I32(result(params[0].i32().unwrap_or_default())?);
            Ok(())
        }),
    );
    imports
}

const CALLS_ECHO: &str = r#"(module (import "env" "echo" (func $echo (param i32) (result i32)))
    (func (export "go") (param i32) (result i32) (call $echo (local.get 0))))"#;

#[test]
fn host_functions_are_linked_only_if_granted_and_known() {
    for (engine, mode) in matrix() {
        let policy = SecurityPolicy::standard().fuel_mode(mode);
        let build = |policy| Sandbox::builder(engine.clone()).policy(policy).host(&echo(|n| Ok(n + 1))).build();
        let closed = build(policy.clone()).expect("it can be enforced");
        match closed.load(CALLS_ECHO.as_bytes()) {
            Err(LoadError::Imports(list)) => assert!(matches!(list[..], [ImportRefusal::NotGranted { .. }])),
            other => panic!("{other:?}"),
        }
        let open = build(policy.grants(Grants::none().import("env", "echo"))).expect("it can be enforced");
        assert_eq!(guest(&open, CALLS_ECHO).call("go", &[Value::I32(4)]).outcome.values(), Some(&[Value::I32(5)][..]));
        let unknown = CALLS_ECHO.replace("\"echo\"", "\"ecco\"");
        match open.load(unknown.as_bytes()) {
            Err(LoadError::Imports(list)) => assert!(matches!(list[..], [ImportRefusal::Unknown { .. }])),
            other => panic!("{other:?}"),
        }
        let wrong = CALLS_ECHO
            .replace("(param i32) (result i32)))\n", "(param i64) (result i32)))\n")
            .replace("(local.get 0)", "(i64.const 0)");
        match open.load(wrong.as_bytes()) {
            Err(LoadError::Imports(list)) => assert!(matches!(list[..], [ImportRefusal::Signature { .. }])),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_a_host_function_ends_with_is_told_apart() {
    type Row = (fn(i32) -> Result<i32, HostError>, &'static str, Option<&'static str>);
    let rows: [Row; 5] = [
        (|_| Err(HostError::failed("the disk is on fire")), "host_fault", Some("host_function")),
        (|_| Err(HostError::Trap(TrapKind::MemoryOutOfBounds)), "trapped", Some("memory_out_of_bounds")),
        (|_| Err(HostError::Limit(Limit::Message)), "stopped", Some("message")),
        (|n| Err(HostError::Exit(n as u32)), "completed", None),
        (|_| panic!("a bug in the host"), "host_fault", Some("host_function")),
    ];
    for (engine, mode) in matrix() {
        for (result, outcome, reason) in rows {
            let policy = SecurityPolicy::standard().fuel_mode(mode).grants(Grants::none().module("env"));
            let sandbox = Sandbox::builder(engine.clone()).policy(policy).host(&echo(result)).build();
            let report = guest(&sandbox.expect("it can be enforced"), CALLS_ECHO).call("go", &[Value::I32(3)]);
            assert_eq!((report.outcome.name(), report.outcome.reason()), (outcome, reason), "{mode}");
            if let Outcome::Completed { exit_code, .. } = report.outcome {
                assert_eq!(exit_code, Some(3));
            }
        }
    }
}

#[test]
fn a_cancelled_call_stops_and_an_uncancelled_one_goes_on() {
    let endless = "(module (func (export \"go\") (loop (br 0))))";
    for (engine, mode) in matrix() {
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        let mut guest = guest(&sandbox(&engine, mode, limits), endless);
        let cancel = CancelHandle::new();
        let options = CallOptions { cancel: Some(cancel.clone()), ..CallOptions::default() };
        let report = std::thread::scope(|scope| {
            let call = scope.spawn(|| guest.call_with("go", &[], &options));
            cancel.cancel();
            call.join().expect("it does not panic")
        });
        assert!(matches!(report.outcome, Outcome::Stopped { limit: Limit::Cancelled, .. }), "{}", report.outcome);
    }
}

/// An import that waits far longer than any test; it says when it begins, and when it is dropped.
fn sleeper(began: Arc<tokio::sync::Notify>, dropped: Arc<AtomicBool>) -> Imports {
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let mut imports = Imports::new();
    imports.host(
        "env",
        "sleep",
        HostFunc::asynchronous(FuncType::new([], []), move |_, _| {
            let flag = Flag(dropped.clone());
            let began = began.clone();
            Ok(Box::pin(async move {
                let _flag = flag;
                began.notify_one();
                tokio::time::sleep(Duration::from_secs(3_600)).await;
                Err(HostError::failed("nobody waits that long"))
            }))
        }),
    );
    imports
}

#[tokio::test(flavor = "multi_thread")]
async fn an_async_host_function_is_dropped_at_the_deadline_and_with_the_future() {
    let text = r#"(module (import "env" "sleep" (func $sleep)) (func (export "go") (call $sleep)))"#;
    for (engine, mode) in matrix() {
        let (began, dropped) = (Arc::new(tokio::sync::Notify::new()), Arc::new(AtomicBool::new(false)));
        let policy = SecurityPolicy::standard().fuel_mode(mode).grants(Grants::none().module("env"));
        let host = sleeper(began.clone(), dropped.clone());
        let sandbox = Sandbox::builder(engine.clone()).policy(policy).host(&host).build();
        let sandbox = sandbox.expect("it can be enforced");
        // On a busy machine it may be over before the host function is called.
        for timeout in [20, 1_000, 10_000].map(Duration::from_millis) {
            let options = CallOptions { timeout: Some(timeout), ..CallOptions::default() };
            let (guest_back, report) =
                guest(&sandbox, text).call_async("go".into(), vec![], options).await.expect("it is not busy");
            assert!(matches!(report.outcome, Outcome::Stopped { limit: Limit::Deadline, .. }), "{}", report.outcome);
            if tokio::time::timeout(Duration::ZERO, began.notified()).await.is_ok() {
                assert!(guest_back.is_poisoned());
                break;
            }
        }
        assert!(dropped.swap(false, Ordering::SeqCst));

        let options = CallOptions { timeout: Some(Duration::from_secs(600)), ..CallOptions::default() };
        tokio::select! {
            ended = guest(&sandbox, text).call_async("go".into(), vec![], options) => panic!("{}", ended.is_ok()),
            () = began.notified() => {}
        }
        // The future is gone; its guest ends by itself, soon, without anybody waiting for it.
        let gone = async {
            while !dropped.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), gone).await.expect("it is dropped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_calls_complete_among_endless_loops() {
    let endless = "(module (func (export \"go\") (loop (br 0))) (func (export \"small\") (result i32) (i32.const 1)))";
    for (engine, mode) in matrix() {
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        let sandbox = sandbox(&engine, mode, limits);
        let cancel = CancelHandle::new();
        let options = CallOptions { cancel: Some(cancel.clone()), ..CallOptions::default() };
        let loops: Vec<_> = (0..64)
            .map(|_| tokio::spawn(guest(&sandbox, endless).call_async("go".into(), vec![], options.clone())))
            .collect();
        for _ in 0..50 {
            let small = guest(&sandbox, endless).call_async("small".into(), vec![], CallOptions::default());
            let (_, report) = small.await.expect("it is not busy");
            assert_eq!(report.outcome.values(), Some(&[Value::I32(1)][..]));
        }
        assert!(loops.iter().all(|l| !l.is_finished()), "the loops are still there");
        cancel.cancel();
        for call in loops {
            let (_, report) = call.await.expect("no panic").expect("it was not busy");
            assert!(matches!(report.outcome, Outcome::Stopped { limit: Limit::Cancelled, .. }));
        }
    }
}

#[test]
fn guests_are_admitted_within_the_hosts_memory() {
    for (engine, mode) in matrix() {
        let config = ResourceConfig { memory: Some(MemoryBytes::mib(25)), ..ResourceConfig::default() };
        let policy = SecurityPolicy::new(Level::Standard).fuel_mode(mode);
        let sandbox = Sandbox::builder(engine).policy(policy).resources(Resources::new(&config)).build();
        let sandbox = sandbox.expect("it can be enforced");
        let module = sandbox.load(KERNEL.as_bytes()).expect("it is good");
        let admit = || sandbox.guest(&module, GuestState::default());
        let (first, _second) = (admit().expect("10 of 25"), admit().expect("20 of 25"));
        let refused = admit().map(drop).expect_err("30 of 25");
        assert!(refused.to_string().contains("25.0 MiB"), "{refused}");
        drop(first);
        admit().expect("20 of 25 again");
    }
}

#[test]
fn a_call_that_is_over_before_it_begins_runs_nothing() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, Limits::agent());
        let cancel = CancelHandle::new();
        cancel.cancel();
        let cancelled = CallOptions { cancel: Some(cancel), ..CallOptions::default() };
        let late = CallOptions { timeout: Some(Duration::ZERO), ..CallOptions::default() };
        for (options, reason) in [(cancelled, "cancelled"), (late, "deadline")] {
            let report = guest(&sandbox, KERNEL).call_with("calls", &[], &options);
            assert_eq!((report.outcome.reason(), report.receipt.fuel), (Some(reason), 0), "{mode}");
        }
    }
}

#[tokio::test]
async fn dropping_one_call_leaves_the_callers_other_calls_alone() {
    let endless = "(module (func (export \"go\") (loop (br 0))))";
    for (engine, mode) in matrix() {
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        let sandbox = sandbox(&engine, mode, limits);
        let all = CancelHandle::new();
        let options = CallOptions { cancel: Some(all.clone()), ..CallOptions::default() };
        let call = guest(&sandbox, endless).call_async("go".into(), vec![], options);
        assert!(tokio::time::timeout(Duration::from_millis(10), call).await.is_err());
        assert!(!all.is_cancelled(), "{mode}");
    }
}

#[test]
fn a_deterministic_policy_reaches_clocks_and_randomness_however_wasi_was_configured() {
    let roll = r#"(module
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "go") (result i64 i64)
        (drop (call $random (i32.const 0) (i32.const 8)))
        (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 8)))
        (i64.load (i32.const 0)) (i64.load (i32.const 8))))"#;
    let mut seen = Vec::new();
    for (engine, mode) in matrix() {
        for seed in [1, 1, 2] {
            let policy = SecurityPolicy::standard().fuel_mode(mode).grants(Grants::wasi());
            let policy = policy.determinism(Determinism::Full { seed });
            let sandbox = Sandbox::builder(engine.clone()).policy(policy).build().expect("it can be enforced");
            let module = sandbox.load(roll.as_bytes()).expect("it is good");
            // The default configuration: the host's clocks and randomness.
            let wasi = WasiConfig::default().build().expect("it is empty");
            let mut guest = sandbox.guest(&module, GuestState::with_wasi(wasi)).expect("it fits");
            seen.push((seed, guest.call("go", &[]).outcome.values().map(<[Value]>::to_vec)));
        }
    }
    for (seed, values) in &seen {
        assert!(values.is_some() && (*seed == 1) == (*values == seen[0].1), "{seen:?}");
    }
}

#[test]
fn a_host_function_that_turns_slow_is_noticed() {
    let endless = r#"(module (import "env" "echo" (func $echo (param i32) (result i32)))
        (func (export "go") (loop (drop (call $echo (i32.const 0))) (br 0))))"#;
    for (engine, mode) in matrix() {
        // Quick for a while, so that the clock is read seldom; then a hundred seconds' worth of calls.
        let calls = std::sync::atomic::AtomicU32::new(0);
        let host = echo(move |n| {
            if calls.fetch_add(1, Ordering::Relaxed) > 1_000 {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(calls.load(Ordering::Relaxed) < 20_000, "nobody looked at the clock");
            Ok(n)
        });
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: Some(Duration::from_millis(100)), ..Limits::agent() };
        let policy = SecurityPolicy::standard().fuel_mode(mode).limits(limits).grants(Grants::none().module("env"));
        let sandbox = Sandbox::builder(engine).policy(policy).host(&host).build().expect("it can be enforced");
        let report = guest(&sandbox, endless).call("go", &[]);
        assert!(
            matches!(report.outcome, Outcome::Stopped { limit: Limit::Deadline, .. }),
            "{mode}: {}",
            report.outcome
        );
    }
}

#[test]
fn a_host_function_that_makes_light_of_a_failed_charge_frees_nobody() {
    let endless = r#"(module (import "env" "spend" (func $spend)) (func (export "go") (call $spend) (loop (br 0))))"#;
    for (engine, mode) in matrix() {
        let mut imports = Imports::new();
        let spend = HostFunc::new(FuncType::new([], []), |caller, _, _| {
            let _ = caller.charge(u64::MAX);
            Ok(())
        });
        imports.host("env", "spend", spend);
        let policy = SecurityPolicy::standard().fuel_mode(mode).grants(Grants::none().module("env"));
        let sandbox = Sandbox::builder(engine).policy(policy).host(&imports).build().expect("it can be enforced");
        let report = guest(&sandbox, endless).call("go", &[]);
        assert!(matches!(report.outcome, Outcome::Stopped { limit: Limit::Fuel, .. }), "{mode}: {}", report.outcome);
    }
}

#[test]
fn a_host_function_may_call_another_guest() {
    for (engine, mode) in matrix() {
        // With one permit a second one could never be had.
        let resources = Resources::new(&ResourceConfig { run_permits: 1, ..ResourceConfig::default() });
        let build = |host: &Imports| {
            let policy = SecurityPolicy::standard().fuel_mode(mode).grants(Grants::none().module("env"));
            let builder = Sandbox::builder(engine.clone()).policy(policy).resources(resources.clone());
            builder.host(host).build().expect("it can be enforced")
        };
        let inner = guest(&build(&Imports::new()), KERNEL);
        let inner = parking_lot::Mutex::new(inner);
        let host = echo(move |_| match inner.lock().call("calls", &[]).outcome.values() {
            Some([Value::I32(n)]) => Ok(*n),
            _ => Err(HostError::failed("the other guest failed")),
        });
        let report = guest(&build(&host), CALLS_ECHO).call("go", &[Value::I32(1)]);
        assert_eq!(report.outcome.values(), Some(&[Value::I32(0)][..]), "{mode}: {}", report.outcome);
    }
}

#[test]
fn a_module_is_compiled_once_however_many_ask() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(&engine, mode, Limits::agent());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| sandbox.load(KERNEL.as_bytes()).map(drop).expect("it is good"));
            }
        });
        assert_eq!(sandbox.resources().cache().len(), 1);
        assert!(sandbox.resources().cache().bytes() > 0);
        // Text and binary of one module are one module.
        let binary = wat::parse_str(KERNEL).expect("it is good");
        sandbox.load(&binary).expect("it is good");
        assert_eq!(sandbox.resources().cache().len(), 1);
    }
}

/// Copies stdin to stdout until there is no more.
const CAT: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 3)
  (func (export "_start")
    (block $done (loop $again
      (i32.store (i32.const 0) (i32.const 65536))
      (i32.store (i32.const 4) (i32.const 65536))
      (br_if $done (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br_if $done (i32.eqz (i32.load (i32.const 8))))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (loop $more
        (br_if $done (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.load (i32.const 12))))
        (i32.store (i32.const 4) (i32.sub (i32.load (i32.const 4)) (i32.load (i32.const 12))))
        (br_if $more (i32.load (i32.const 4))))
      (br $again)))))"#;

fn cat(sandbox: &Sandbox, stdin: Stdin, stdout: Output) -> Guest {
    let module = sandbox.load(CAT.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    let wasi = WasiConfig { stdin, stdout, ..WasiConfig::default() }.build().expect("a good configuration");
    sandbox.guest(&module, GuestState::with_wasi(wasi)).unwrap_or_else(|e| panic!("{e}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_on_one_processor_feed_each_other_through_streams() {
    for (engine, mode) in matrix() {
        let resources = Resources::new(&ResourceConfig { run_permits: 1, ..ResourceConfig::default() });
        // Thousands of hand-overs between threads: how long they take is not what is looked at.
        let limits = Limits { timeout: None, ..Limits::tool() };
        let policy = SecurityPolicy::standard().fuel_mode(mode).limits(limits).grants(Grants::wasi());
        let sandbox = Sandbox::builder(engine).policy(policy).resources(resources).build().expect("it can enforce it");
        let (mut ours, theirs) = tokio::io::duplex(64);
        let (middle_in, middle_out) = tokio::io::duplex(100);
        let (end_in, mut end_out) = tokio::io::duplex(50);
        let first = cat(&sandbox, Stdin::stream(theirs), Output::stream(middle_in));
        let second = cat(&sandbox, Stdin::stream(middle_out), Output::stream(end_in));
        // The second waits for the first, and has given its turn away meanwhile.
        let options = CallOptions::default;
        let second = tokio::spawn(second.call_async("_start".into(), vec![], options()));
        let first = tokio::spawn(async move {
            let (guest, report) = first.call_async("_start".into(), vec![], options()).await.expect("it is not busy");
            drop(guest);
            report
        });
        let bytes = (0..100_000_u32).map(|i| (i % 251) as u8).collect::<Vec<_>>();
        let sent = bytes.clone();
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt as _;
            ours.write_all(&sent).await.expect("it is read");
        });
        let received = tokio::spawn(async move {
            use tokio::io::AsyncReadExt as _;
            let mut all = Vec::new();
            end_out.read_to_end(&mut all).await.expect("it is written");
            all
        });
        assert!(matches!(first.await.expect("no panic").outcome, Outcome::Completed { .. }));
        let (guest, report) = second.await.expect("no panic").expect("it is not busy");
        assert!(matches!(report.outcome, Outcome::Completed { .. }), "{:?}", report.outcome);
        drop(guest);
        assert!(received.await.expect("no panic") == bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_driven_on_the_callers_runtime() {
    /// Needs a runtime's timer, and says one byte three times.
    struct Ticking(u8, Option<std::pin::Pin<Box<tokio::time::Sleep>>>);
    impl tokio::io::AsyncRead for Ticking {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
            buf: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            if self.0 == 3 {
                return std::task::Poll::Ready(Ok(()));
            }
            let sleep = self.1.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_millis(1))));
            std::task::ready!(sleep.as_mut().poll(context));
            self.1 = None;
            self.0 += 1;
            buf.put_slice(b"!");
            std::task::Poll::Ready(Ok(()))
        }
    }
    for (engine, mode) in matrix() {
        let policy = SecurityPolicy::standard().fuel_mode(mode).limits(Limits::tool()).grants(Grants::wasi());
        let sandbox = Sandbox::builder(engine).policy(policy).build().expect("it can enforce it");
        let guest = cat(&sandbox, Stdin::stream(Ticking(0, None)), Output::Capture);
        let called = guest.call_async("_start".into(), vec![], CallOptions::default()).await;
        let (mut guest, report) = called.expect("it is not busy");
        assert!(matches!(report.outcome, Outcome::Completed { .. }), "{:?}", report.outcome);
        let state = guest.state().and_then(|state| state.wasi.as_ref());
        assert_eq!(state.expect("it is given").stdout_bytes(), b"!!!");
    }
}
