;; Tries: to get hold of the meter: it exports the name under which the start function waits.
;; Must happen: refused at the gate, naming the reserved name; nothing is compiled.
;; Exports: run: () -> (), never called.
(module
  (func (export "cofferdam:start"))
  (func (export "run") (export "_start")))
