;; Tries: to run off the host's stack through calls that cannot be followed statically: two functions that call
;; each other through a table.
;; Must happen: Stopped(stack); with little fuel Stopped(fuel).
;; Exports: run: () -> ().
(module
  (type $f (func (param i32) (result i32)))
  (table 2 2 funcref)
  (elem (i32.const 0) $even $odd)
  (func $even (type $f)
    (i32.add (i32.const 1) (call_indirect (type $f) (i32.add (local.get 0) (i32.const 1)) (i32.const 1))))
  (func $odd (type $f)
    (i32.add (i32.const 1) (call_indirect (type $f) (i32.add (local.get 0) (i32.const 1)) (i32.const 0))))
  (func (export "run") (export "_start") (drop (call $even (i32.const 0)))))
