;; Tries: to sleep past its deadline in poll_oneoff.
;; Must happen: Stopped(deadline) at the deadline, not an hour later; with a virtual clock the sleep may take no
;; time at all, and `run` then returns 0. `run_loop` sleeps for one millisecond, endlessly: Stopped(deadline),
;; or Stopped(fuel) or Stopped(host_calls) when these are smaller. `short`: sleeps 10 ms and returns 0.
;; Exports: run: () -> i32, relative, monotonic clock; run_absolute: () -> i32, until the end of time (2^63 ns)
;; on the realtime clock; run_max: () -> i32, relative 2^64 - 1 ns; run_loop: () -> (); short: () -> i32.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; A subscription at 0 (48 bytes): userdata, tag 0 = clock at 8, clock id at 16, timeout at 24, precision at 32,
  ;; flags at 40 (1 = absolute). The event goes to 64, their number to 128.
  (func $sleep (param $clock i32) (param $timeout i64) (param $flags i32) (result i32)
    (i64.store (i32.const 0) (i64.const 42))
    (i32.store8 (i32.const 8) (i32.const 0))
    (i32.store (i32.const 16) (local.get $clock))
    (i64.store (i32.const 24) (local.get $timeout))
    (i64.store (i32.const 32) (i64.const 0))
    (i32.store16 (i32.const 40) (local.get $flags))
    (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
  (func (export "run") (result i32)
    (call $sleep (i32.const 1) (i64.const 3600000000000) (i32.const 0)))
  (func (export "run_absolute") (result i32)
    (call $sleep (i32.const 0) (i64.const 0x7FFFFFFFFFFFFFFF) (i32.const 1)))
  (func (export "run_max") (result i32)
    (call $sleep (i32.const 1) (i64.const -1) (i32.const 0)))
  (func (export "run_loop")
    (loop $again
      (drop (call $sleep (i32.const 1) (i64.const 1000000) (i32.const 0)))
      (br $again)))
  (func (export "short") (result i32)
    (call $sleep (i32.const 1) (i64.const 10000000) (i32.const 0))))
