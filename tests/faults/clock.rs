//! A clock on the wall that jumps by half a century at each look. Deadlines, timers, drains and rates of fuel go by
//! another clock, which does not; guests and logs are told what the wall says, and nobody falls over it.

use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use cofferdam::agent::{AgentConfig, AgentName, FuelRate, RequestError, Runtime};
use cofferdam::audit::{AuditLog, AuditLogConfig, AuditSink as _};
use cofferdam::cache::{DiskCache, DiskCacheConfig};
use cofferdam::host::agent::MODULE;
use cofferdam::host::wasi::WasiConfig;
use cofferdam::policy::{Fuel, Grants, Limits};
use cofferdam::sandbox::{ResourceConfig, Resources};
use cofferdam::{CallOptions, GuestState, Sandbox, SecurityPolicy, Value};
use std::sync::Arc;

use crate::{Neighbour, cells, child, sandbox};

/// Tells the time, and sets a timer that adds one to what `rung` gives.
const CLOCK: &[u8] = br#"(module
  (import "cofferdam_v1" "get_time" (func $now (result i64)))
  (import "cofferdam_v1" "set_timer" (func $set (param i32 i64) (result i32)))
  (import "cofferdam_v1" "output_write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 1) (global $rung (mut i64) (i64.const 0))
  (func $give (param i64) (i64.store (i32.const 8) (local.get 0)) (drop (call $write (i32.const 8) (i32.const 8))))
  (func (export "init") (result i32) (call $set (i32.const 5) (i64.const 1)))
  (func (export "on_timer") (param i64) (global.set $rung (i64.add (global.get $rung) (i64.const 1))))
  (func (export "rung") (call $give (global.get $rung)))
  (func (export "now") (call $give (call $now)))
  (func (export "handle_message") (loop (br 0))))"#;

const WASI: &[u8] = br#"(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "time") (param $clock i32) (result i64)
    (if (call $get (local.get $clock) (i64.const 1) (i32.const 0)) (then unreachable))
    (i64.load (i32.const 0)))
  ;; Sleeps for two milliseconds by the real-time clock.
  (func (export "sleep") (result i32)
    (i64.store (i32.const 40) (i64.const 0)) (i32.store8 (i32.const 40) (i32.const 0))
    (i64.store (i32.const 56) (i64.const 2000000))
    (call $poll (i32.const 32) (i32.const 128) (i32.const 1) (i32.const 200)))
  (func (export "spin") (loop (br 0))))"#;

fn number(bytes: &[u8]) -> i64 {
    i64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

#[test]
fn a_clock_that_jumps_moves_no_deadline_and_ends_nobody() {
    if child::told().is_some() {
        jumping();
        return child::done();
    }
    let dir = tempfile::tempdir().expect("there is room");
    let shim = dir.path().join("clock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/clock.c");
    // The linker that Rust needs comes with it.
    let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).status();
    if !made.is_ok_and(|made| made.success()) {
        println!("skipped: there is no `cc` that makes the clock jump");
        return;
    }
    let test = "clock::a_clock_that_jumps_moves_no_deadline_and_ends_nobody";
    child::succeeds(child::command(test, "all").env("LD_PRELOAD", &shim));
}

fn jumping() {
    let looks: Vec<_> = (0..2).map(|_| SystemTime::now()).collect();
    let jump = Duration::from_secs(1 << 31);
    let apart = looks[0].duration_since(looks[1]).or_else(|_| looks[1].duration_since(looks[0]));
    assert!(apart.is_ok_and(|apart| apart > jump), "the clock does not jump: {looks:?}");
    assert!(looks.iter().any(|look| *look < SystemTime::UNIX_EPOCH));

    let dir = tempfile::tempdir().expect("there is room");
    for (engine, mode) in cells() {
        let mut neighbour = Neighbour::new(&engine, mode);
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        let sandbox = sandbox(&engine, mode, limits.clone());
        let module = sandbox.load(WASI).expect("it is good");
        let wasi = || GuestState::with_wasi(WasiConfig::default().build().expect("it is good"));
        let mut guest = sandbox.guest(&module, wasi()).expect("it fits");
        let mut time = |clock: i32| match guest.call("time", &[Value::I32(clock)]).into_result().expect("it returns")[..]
        {
            [Value::I64(time)] => time,
            _ => panic!("a time is a number"),
        };
        // What the wall says; before 1970 is shown as 1970. The other one only goes forward.
        let wall = [time(0), time(0)];
        assert!(wall.contains(&0) && wall.iter().any(|time| *time > 3_000_000_000 * 1_000_000_000), "{wall:?}");
        let steady = [time(1), time(1), time(1)];
        assert!(steady.is_sorted() && steady[0] > 0, "{steady:?}");
        let mut guest = sandbox.guest(&module, wasi()).expect("it fits");
        assert_eq!(guest.call("sleep", &[]).into_result().expect("it returns"), [Value::I32(0)]);
        let began = Instant::now();
        let options = CallOptions::default().timeout(Duration::from_millis(20));
        let ended = guest.call_with("spin", &[], &options);
        assert_eq!(ended.outcome.reason(), Some("deadline"));
        assert!(began.elapsed() >= Duration::from_millis(20) && began.elapsed() < Duration::from_secs(60));
        neighbour.goes_on();

        let disk = DiskCache::open(&DiskCacheConfig::new(dir.path().join("cache"))).unwrap_or_else(|e| panic!("{e}"));
        let resources = Resources::new(&ResourceConfig { disk_cache: Some(Arc::new(disk)), ..Default::default() });
        let policy = SecurityPolicy::standard().fuel_mode(mode);
        let cached = Sandbox::builder(engine.clone()).policy(policy.clone()).resources(resources).build();
        cached.expect("it can be enforced").load(crate::NEIGHBOUR).expect("it is good");

        let tokio =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("it starts");
        let name = format!("audit{}-{mode}", engine.descriptor().id);
        let log = Arc::new(AuditLog::open(dir.path().join(&name), &AuditLogConfig::default()).expect("it opens"));
        tokio.block_on(async {
            let runtime = Runtime::builder().engine(engine.clone()).audit(log.clone()).build().expect("it is given");
            let policy = policy.grants(Grants::none().module(MODULE)).limits(limits);
            let rate = FuelRate { per_second: 1_000_000_000, burst: 1_000 };
            let drain = Duration::from_millis(50);
            let config = AgentConfig { policy, fuel_rate: Some(rate), drain, ..AgentConfig::default() };
            let id =
                runtime.deploy(AgentName::new("clock").expect("it is one"), CLOCK, config).await.expect("it is good");
            runtime.start(id).await.expect("it starts");
            let mut told = [0; 2];
            for time in &mut told {
                *time = number(&runtime.execute(id, "now", b"").await.expect("it returns"));
            }
            assert!(told.iter().all(|time| *time >= 0), "{told:?}");
            for _ in 0..6_000 {
                if number(&runtime.execute(id, "rung", b"").await.expect("it returns")) == 1 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(number(&runtime.execute(id, "rung", b"").await.expect("it returns")), 1, "its timer rang, once");
            let to = "clock".parse().expect("it is an address");
            runtime.send(&to, b"x").await.expect("there is room");
            while runtime.info(id).expect("it is there").usage.messages_in == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let late = runtime.request(&to, b"x", Duration::from_millis(20)).await;
            assert!(matches!(late, Err(RequestError::TimedOut)), "{late:?}");
            // It is in an endless loop, and is cut off when its drain is over.
            let drained = tokio::time::timeout(Duration::from_secs(60), runtime.stop(id)).await.expect("in time");
            assert_eq!(drained.expect("it runs").cut_off, 1);
            runtime.shutdown(Duration::from_secs(60)).await.expect("in time");
            assert_eq!((runtime.held(), runtime.resources().reserved_memory().get()), ((0, 0), 0));
        });
        log.flush().expect("it is written");
        let lines = std::fs::read_to_string(dir.path().join(&name)).expect("it is there");
        let kinds: Vec<_> =
            lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("it is JSON")).collect();
        assert!(kinds.len() >= 4 && kinds.iter().all(|event| event["at"].is_string()), "{lines}");
    }
}
