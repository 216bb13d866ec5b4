;; Tries: the same from its start function, which runs before `__tool_schema` does.
;; Must happen: no tool is made of it; stopped by fuel or deadline.
(module (memory (export "memory") 1)
  (func $start (loop $ever (br $ever)))
  (start $start)
  (func (export "__tool_schema") (result i32 i32) (i32.const 0) (i32.const 0))
  (func (export "__tool_execute") (param i32 i32) (result i32 i32) (i32.const 0) (i32.const 0)))
