;; Tries: to run off the host's stack with the smallest frames there are.
;; Must happen: Stopped(stack) with the budget's default and enough fuel, at the same depth on every engine; the
;; host's own stack is never reached. With little fuel: Stopped(fuel).
;; Exports: run: () -> (), endless; depth: (i32) -> i32, that many frames deep and back, which completes for
;; 1,000; run_deep_wide: () -> (), endless, two calls at every level.
(module
  (func $endless (export "run") (export "_start")
    (call $endless)
    (call $endless))
  (func $depth (export "depth") (param $n i32) (result i32)
    (if (result i32) (local.get $n)
      (then (i32.add (i32.const 1) (call $depth (i32.sub (local.get $n) (i32.const 1)))))
      (else (i32.const 0))))
  (func $wide (param $n i64) (result i64)
    (i64.add
      (call $wide (i64.add (local.get $n) (i64.const 1)))
      (call $wide (i64.sub (local.get $n) (i64.const 1)))))
  (func (export "run_deep_wide")
    (drop (call $wide (i64.const 0)))))
