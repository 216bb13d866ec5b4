;; Tries: to get hold of the meter: it imports the stack counter and refills it.
;; Must happen: refused at the gate, naming the reserved name; nothing is compiled.
;; Exports: run: () -> (), never called.
(module
  (import "cofferdam:meter" "stack" (global $stack (mut i32)))
  (func (export "run") (export "_start")
    (global.set $stack (i32.const 0x7FFFFFFF))))
