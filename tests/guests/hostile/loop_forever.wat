;; Tries: to keep the CPU forever. Each export is an endless loop of another shape, so that no shape escapes the
;; checks: the empty loop, a loop that stores, one that calls, two nested, and one closed by `br_table`.
;; Must happen: Stopped(fuel) when the budget is the smaller limit, Stopped(deadline) when the time is.
;; Exports: run, run_store, run_call, run_nested, run_br_table: () -> ().
(module
  (memory (export "memory") 1)
  (func $nothing)
  (func (export "run") (export "_start")
    (loop $again (br $again)))
  (func (export "run_store")
    (loop $again
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
      (br $again)))
  (func (export "run_call")
    (loop $again
      (call $nothing)
      (br $again)))
  (func (export "run_nested") (local $i i32)
    (loop $outer
      (local.set $i (i32.const 1000))
      (loop $inner
        (local.set $i (i32.sub (local.get $i) (i32.const 1)))
        (br_if $inner (local.get $i)))
      (br $outer)))
  (func (export "run_br_table") (local $i i32)
    (loop $a
      (loop $b
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_table $a $b $a (i32.and (local.get $i) (i32.const 3)))))))
