;; Tries: to have the host read and parse a schema of 1 MiB, all of it there and good JSON (white space).
;; Must happen: no tool is made of it; the length is refused before anything is read.
(module (memory (export "memory") 17)
  (data (i32.const 1048574) "{}")
  (func (export "__tool_schema") (result i32 i32)
    (memory.fill (i32.const 0) (i32.const 32) (i32.const 1048574))
    (i32.const 0) (i32.const 1048576))
  (func (export "__tool_execute") (param i32 i32) (result i32 i32) (i32.const 0) (i32.const 2)))
