//! What 64 KiB reads and writes of a WASI program cost, against the same through host functions that do nothing
//! but move the bytes. `cargo bench --bench wasi_io`

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam::host::wasi::{Preopen, WasiConfig};
use cofferdam::policy::{Fuel, Grants, Limits, MemoryBytes, SecurityPolicy};
use cofferdam::{Engine, GuestState, HostError, HostFunc, Sandbox, engines};

const CALLS: u32 = 1_000;
const ROUNDS: usize = 9;

/// `wasi_*` work on descriptor 4, which `open` makes; `raw_*` on a file that the host holds. All begin at its start.
const MODULE: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pread" (func $read (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pwrite" (func $write (param i32 i32 i32 i64 i32) (result i32)))
  (import "raw" "read" (func $raw_read (param i32 i32 i64) (result i32)))
  (import "raw" "write" (func $raw_write (param i32 i32 i64) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 0) "\00\00\01\00\00\00\01\00file")
  (func (export "open") (result i32)
    (call $open (i32.const 3) (i32.const 0) (i32.const 8) (i32.const 4) (i32.const 1) (i64.const 0x42) (i64.const 0)
      (i32.const 0) (i32.const 16)))
  (func (export "wasi_write") (param $n i32) (loop $l
    (if (call $write (i32.const 4) (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 20)) (then unreachable))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "wasi_read") (param $n i32) (loop $l
    (if (call $read (i32.const 4) (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 20)) (then unreachable))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "raw_write") (param $n i32) (loop $l
    (if (i32.ne (call $raw_write (i32.const 65536) (i32.const 65536) (i64.const 0)) (i32.const 65536)) (then unreachable))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "raw_read") (param $n i32) (loop $l
    (if (i32.ne (call $raw_read (i32.const 65536) (i32.const 65536) (i64.const 0)) (i32.const 65536)) (then unreachable))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;

fn failed(error: impl std::fmt::Display) -> HostError {
    HostError::failed(error)
}

fn measure(engine: &Arc<dyn Engine>) {
    let home = tempfile::tempdir().expect("a directory can be made");
    let options = File::options().read(true).write(true).create(true).truncate(true).open(home.path().join("raw"));
    let file = Arc::new(options.expect("a file can be made"));
    let (reads, writes) = (file.clone(), file);
    let raw_read = HostFunc::typed(move |caller, (ptr, len, at): (u32, u32, u64)| {
        reads.read_at(caller.bytes_mut(ptr, len)?, at).map(|n| n as u32).map_err(failed)
    });
    let raw_write = HostFunc::typed(move |caller, (ptr, len, at): (u32, u32, u64)| {
        writes.write_at(caller.bytes(ptr, len)?, at).map(|n| n as u32).map_err(failed)
    });
    let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, disk: MemoryBytes::new(u64::MAX), ..Limits::tool() };
    let policy = SecurityPolicy::standard().limits(limits).grants(Grants::wasi().module("raw"));
    let builder = Sandbox::builder(engine.clone()).policy(policy);
    let sandbox = builder.func("raw", "read", raw_read).func("raw", "write", raw_write).build();
    let sandbox = sandbox.expect("it can be enforced");
    let module = sandbox.load(MODULE.as_bytes()).expect("the module is right");
    let wasi = WasiConfig { preopens: vec![Preopen::read_write(home.path(), "/")], ..WasiConfig::default() };
    let mut guest = sandbox.guest(&module, GuestState::with_wasi(wasi.build().expect("it opens"))).expect("it fits");
    assert_eq!(guest.typed::<(), u32>("open").expect("exported").call(&mut guest, ()).expect("it runs"), 0);
    let mut time = |export: &str| -> Duration {
        let func = guest.typed::<u32, ()>(export).expect("exported");
        let began = Instant::now();
        func.call(&mut guest, CALLS).expect("it runs");
        began.elapsed()
    };
    for way in ["write", "read"] {
        // By turns, so that what else the machine does hits both.
        let rounds = (0..ROUNDS).map(|_| (time(&format!("wasi_{way}")), time(&format!("raw_{way}"))));
        let (ours, raw): (Vec<_>, Vec<_>) = rounds.unzip();
        let (ours, raw) = (ours.into_iter().min().unwrap_or_default(), raw.into_iter().min().unwrap_or_default());
        println!(
            "{:<18} {way:<5} of 64 KiB: wasi {:>8.2?}, raw {:>8.2?} a call; ratio {:.2}",
            engine.descriptor().id,
            ours / CALLS,
            raw / CALLS,
            ours.as_secs_f64() / raw.as_secs_f64()
        );
    }
}

fn main() {
    engines::all().iter().for_each(measure);
}
