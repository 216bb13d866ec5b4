;; Bulk operators are charged by the length on top of the stack, before they run.
(module
  (memory 1)
  (table 1 funcref)
  (data $d "abc")
  (elem $e func 0)
  (func $all
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 100))
    (memory.copy (i32.const 0) (i32.const 1) (i32.const 200))
    (memory.init $d (i32.const 0) (i32.const 1) (i32.const 2))
    (drop (memory.grow (i32.const 3)))
    (table.init $e (i32.const 0) (i32.const 0) (i32.const 1))
    (table.copy (i32.const 0) (i32.const 0) (i32.const 1))
    (table.fill (i32.const 0) (ref.null func) (i32.const 1))
    (drop (table.grow (ref.null func) (i32.const 4)))))
