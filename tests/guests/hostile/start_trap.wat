;; Tries: to fail while it is being made: its start function traps.
;; Must happen: Trapped(unreachable) with the frames `fail_at_start` and `start`; `run` is never reached.
;; Exports: run: () -> i32 (7).
(module
  (func $fail_at_start (unreachable))
  (func $start (call $fail_at_start))
  (func (export "run") (result i32) (i32.const 7))
  (start $start))
