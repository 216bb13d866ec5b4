;; Tries: to exhaust the host through tables, which no memory cap counts.
;; Must happen: Completed; the result is how many elements there are at the end, never more than the cap on
;; table elements allows. Every refused growth gives -1. `run_two` shares the cap between two tables.
;; Exports: run: () -> i32, 1,000 elements at a time; run_one: () -> i32, in steps of one element (slow: fuel
;; may end it first); run_two: () -> i32, total over two tables; grow: (i32) -> i32, one table.grow.
(module
  (table $a 1 funcref)
  (table $b 1 externref)
  (func $full (param $step i32) (result i32)
    (loop $again
      (br_if $again (i32.ne (table.grow $a (ref.null func) (local.get $step)) (i32.const -1))))
    (table.size $a))
  (func (export "run") (result i32)
    (call $full (i32.const 1000)))
  (func (export "run_one") (result i32)
    (call $full (i32.const 1)))
  (func (export "run_two") (result i32)
    (drop (call $full (i32.const 1000)))
    (loop $again
      (br_if $again (i32.ne (table.grow $b (ref.null extern) (i32.const 1000)) (i32.const -1))))
    (i32.add (table.size $a) (table.size $b)))
  (func (export "grow") (param i32) (result i32)
    (table.grow $a (ref.null func) (local.get 0))))
