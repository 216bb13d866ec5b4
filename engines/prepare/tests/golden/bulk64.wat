;; 64-bit lengths are cut before they are priced, so that no price wraps around; a copy between a narrow and
;; a wide memory has a narrow length; small pages cost in proportion.
(module
  (memory $wide i64 1)
  (memory $narrow 1)
  (memory $bytes 1 (pagesize 1))
  (table $wide i64 1 funcref)
  (func
    (memory.fill $wide (i64.const 0) (i32.const 1) (i64.const -1))
    (memory.copy $wide $narrow (i64.const 0) (i32.const 0) (i32.const 1))
    (drop (memory.grow $wide (i64.const 1)))
    (drop (memory.grow $bytes (i32.const 1)))
    (table.fill $wide (i64.const 0) (ref.null func) (i64.const 1))))
