;; Tries: bulk operations on tables: over lengths that do not exist, and in endless loops.
;; Must happen: fill_all, copy_all, init_all: Stopped(fuel) when the budget is below the price of the length,
;; Trapped(table_out_of_bounds) otherwise. run_fill, run_copy: Stopped(fuel) or Stopped(deadline). run_grow: the
;; same, each growth refused once the cap is reached.
;; Exports: those named above: () -> ().
(module
  (table $t 4096 funcref)
  (elem $e func $nothing)
  (func $nothing)
  (func (export "fill_all")
    (table.fill $t (i32.const 0) (ref.null func) (i32.const -1)))
  (func (export "copy_all")
    (table.copy $t $t (i32.const 0) (i32.const 1) (i32.const -1)))
  (func (export "init_all")
    (table.init $t $e (i32.const 0) (i32.const 0) (i32.const -1)))
  (func (export "run_fill")
    (loop $again
      (table.fill $t (i32.const 0) (ref.func $nothing) (i32.const 4096))
      (br $again)))
  (func (export "run_copy")
    (loop $again
      (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 4095))
      (br $again)))
  (func (export "run_grow")
    (loop $again
      (drop (table.grow $t (ref.null func) (i32.const 4096)))
      (br $again))))
