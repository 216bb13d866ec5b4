;; Tries: to keep whoever loads it busy for ever: `__tool_schema` never returns.
;; Must happen: no tool is made of it; stopped by fuel or deadline, under limits of the schema's own.
(module (memory (export "memory") 1)
  (func (export "__tool_schema") (result i32 i32) (loop $ever (br $ever)) (unreachable))
  (func (export "__tool_execute") (param i32 i32) (result i32 i32) (i32.const 0) (i32.const 0)))
