;; Tries: to use a host function that nobody provides, where the policy lets such modules link.
;; Must happen: refused by default. With unknown imports set to trap: run_quiet completes, run traps at the
;; call, naming the import. With them set to default: run returns 0, because missing functions return zeros.
;; Exports: run: () -> i32, calls it; run_quiet: () -> i32 (7), does not.
(module
  (import "env" "missing" (func $missing (param i32 i64 f32 f64) (result i32)))
  (func (export "run") (result i32)
    (call $missing (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4)))
  (func (export "run_quiet") (result i32) (i32.const 7)))
