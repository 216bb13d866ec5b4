;; Tries: to get hold of the meter: it exports a global of the counter's kind under the reserved prefix.
;; Must happen: refused at the gate, naming the reserved name; nothing is compiled.
;; Exports: run: () -> (), never called.
(module
  (global (export "cofferdam:fuel") (mut i64) (i64.const 0x7FFFFFFFFFFFFFFF))
  (func (export "run") (export "_start")))
