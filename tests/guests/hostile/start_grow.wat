;; Tries: to take memory and tables past their caps before it is called.
;; Must happen: Completed; `run` returns the pages held, never above the cap; the start function's growth is
;; under the same cap and is counted in the peak.
;; Exports: run: () -> i32, pages; elements: () -> i32, table elements.
(module
  (memory (export "memory") 1)
  (table $t 1 funcref)
  (func $start
    (loop $again
      (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (loop $again
      (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))))
  (func (export "run") (result i32) (memory.size))
  (func (export "elements") (result i32) (table.size $t))
  (start $start))
