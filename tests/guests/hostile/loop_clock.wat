;; Tries: to wait for a moment that never comes, by asking the clock in a loop.
;; Must happen: Stopped(fuel), Stopped(host_calls) or Stopped(deadline), whichever limit is the smallest; with a
;; virtual clock too.
;; Exports: run: () -> (), over the monotonic clock; run_realtime: () -> ().
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func $wait (param $clock i32)
    (loop $again
      (drop (call $clock_time_get (local.get $clock) (i64.const 1) (i32.const 0)))
      (br_if $again (i64.ne (i64.load (i32.const 0)) (i64.const -1)))))
  (func (export "run") (export "_start") (call $wait (i32.const 1)))
  (func (export "run_realtime") (call $wait (i32.const 0))))
