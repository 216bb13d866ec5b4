;; Tries: to get hold of the meter: it imports the fuel counter and refills it.
;; Must happen: refused at the gate, naming the reserved name; nothing is compiled.
;; Exports: run: () -> (), never called.
(module
  (import "cofferdam:meter" "fuel" (global $fuel (mut i64)))
  (func (export "run") (export "_start")
    (global.set $fuel (i64.const 0x7FFFFFFFFFFFFFFF))))
