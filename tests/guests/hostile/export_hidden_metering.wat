;; Tries: to get hold of the meter: it exports the global in which an engine's own meter keeps the points that
;; are left.
;; Must happen: refused at the gate, naming the reserved name; nothing is compiled.
;; Exports: run: () -> (), never called.
(module
  (global (export "wasmer_metering_remaining_points") (mut i64) (i64.const 0x7FFFFFFFFFFFFFFF))
  (func (export "run") (export "_start")))
