;; Tries: to have the host write arguments outside of its memory: its allocator gives the last byte there is.
;; Must happen: failed: memory out of bounds; nothing is written.
(module (memory (export "memory") 1)
  (data (i32.const 1024) "{}")
  (func (export "__tool_schema") (result i32 i32) (i32.const 1024) (i32.const 2))
  (func (export "alloc") (param i32) (result i32) (i32.const 65535))
  (func (export "__tool_execute") (param i32 i32) (result i32 i32) (i32.const 1024) (i32.const 2)))
