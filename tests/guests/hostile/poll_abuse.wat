;; Tries: poll_oneoff with lists that are too long, empty or wrong, and waiting for a pipe that never speaks.
;; Must happen: poll_none, poll_many, poll_overflow: a non-zero errno, without allocating for the count.
;; poll_bad_tag, poll_bad_clock: a non-zero errno, or 0 with the error in the event. run_stdin: when standard
;; input never gets data, Stopped(deadline); run_stdin_timeout: the same with a clock of 10 ms beside it:
;; returns 0 after about 10 ms. poll_thousand: 1,000 clocks of 1 ms: returns 0 or a non-zero errno, at once.
;; Exports: those named above: () -> i32, errno; events: () -> i32, events that the last call reported.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 3)
  (func $clock (param $at i32) (param $clock i32) (param $nanoseconds i64)
    (i32.store8 offset=8 (local.get $at) (i32.const 0))
    (i32.store offset=16 (local.get $at) (local.get $clock))
    (i64.store offset=24 (local.get $at) (local.get $nanoseconds)))
  (func $stdin (param $at i32)
    (i32.store8 offset=8 (local.get $at) (i32.const 1))
    (i32.store offset=16 (local.get $at) (i32.const 0)))
  (func (export "poll_none") (result i32)
    (call $poll_oneoff (i32.const 0) (i32.const 65536) (i32.const 0) (i32.const 196600)))
  (func (export "poll_many") (result i32)
    (call $poll_oneoff (i32.const 0) (i32.const 65536) (i32.const -1) (i32.const 196600)))
  (func (export "poll_overflow") (result i32)
    ;; 0x05555556 subscriptions of 48 bytes are 2^32 + 32 bytes: 32 in arithmetic of 32 bits
    (call $poll_oneoff (i32.const 0) (i32.const 65536) (i32.const 0x05555556) (i32.const 196600)))
  (func (export "poll_bad_tag") (result i32)
    (i32.store8 offset=8 (i32.const 0) (i32.const 99))
    (call $poll_oneoff (i32.const 0) (i32.const 65536) (i32.const 1) (i32.const 196600)))
  (func (export "poll_bad_clock") (result i32)
    (call $clock (i32.const 0) (i32.const 99) (i64.const 1))
    (call $poll_oneoff (i32.const 0) (i32.const 65536) (i32.const 1) (i32.const 196600)))
  (func (export "poll_thousand") (result i32) (local $i i32)
    (loop $again
      (call $clock (i32.mul (local.get $i) (i32.const 48)) (i32.const 1) (i64.const 1000000))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 1000))))
    (call $poll_oneoff (i32.const 0) (i32.const 65536) (i32.const 1000) (i32.const 196600)))
  (func (export "run_stdin") (result i32)
    (call $stdin (i32.const 0))
    (call $poll_oneoff (i32.const 0) (i32.const 65536) (i32.const 1) (i32.const 196600)))
  (func (export "run_stdin_timeout") (result i32)
    (call $stdin (i32.const 0))
    (call $clock (i32.const 48) (i32.const 1) (i64.const 10000000))
    (call $poll_oneoff (i32.const 0) (i32.const 65536) (i32.const 2) (i32.const 196600)))
  (func (export "events") (result i32)
    (i32.load (i32.const 196600))))
