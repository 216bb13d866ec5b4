;; Tries: to get hold of the meter: it imports another name under the reserved prefix.
;; Must happen: refused at the gate, naming the reserved name; nothing is compiled.
;; Exports: run: () -> (), never called.
(module
  (import "cofferdam:anything" "else" (func))
  (func (export "run") (export "_start")))
