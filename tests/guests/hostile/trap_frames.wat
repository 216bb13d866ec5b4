;; Tries: nothing; it traps inside named functions, for the call stack.
;; Must happen: Trapped(unreachable). Frames, innermost first: run: `inner`, `middle`, `outer`, `run`.
;; run_indirect: `inner`, `run_indirect`. run_deep: 200 times `recurse`, cut to the frames that are kept,
;; innermost kept. Function indices and offsets are those of this module as it was before anything was added to
;; it: `inner` is function 1, after the import. `middle` loops and calls the host first, so that offsets in the
;; module that really runs differ.
;; Exports: run, run_indirect, run_deep: () -> (); run_later: () -> i32, traps with integer_division_by_zero in
;; `divide`, called by `run_later`, in the second of two identical calls.
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
  (memory (export "memory") 1)
  (table 1 1 funcref)
  (elem (i32.const 0) $inner)
  (func $inner (unreachable))
  (func $middle (param $n i32) (result i32)
    (loop $again
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (i32.gt_s (local.get $n) (i32.const 0))))
    (drop (call $sched_yield))
    (call $inner)
    (i32.add (local.get $n) (i32.const 1)))
  (func $outer (drop (call $middle (i32.const 10))))
  (func $run (export "run") (export "_start") (call $outer))
  (func $run_indirect (export "run_indirect") (call_indirect (i32.const 0)))
  (func $recurse (param i32)
    (if (i32.eqz (local.get 0)) (then (unreachable)))
    (call $recurse (i32.sub (local.get 0) (i32.const 1))))
  (func $run_deep (export "run_deep") (call $recurse (i32.const 199)))
  (func $divide (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func $run_later (export "run_later") (result i32)
    (i32.add
      (call $divide (i32.const 1) (i32.const 1))
      (call $divide (i32.const 1) (i32.const 0)))))
