;; Tries: to fail in the writing of its segments: a data segment that ends past its memory.
;; Must happen: instantiation fails as a trap, memory_out_of_bounds; `run` is never reached. (With bulk memory
;; off the module still validates; the fault is the same.)
;; Exports: run: () -> i32 (7).
(module
  (memory (export "memory") 1)
  (data (i32.const 65534) "four")
  (func (export "run") (result i32) (i32.const 7)))
