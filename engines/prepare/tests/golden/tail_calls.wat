;; A tail call gives this activation's stack units back first.
(module
  (import "env" "host" (func $host))
  (type $t (func))
  (table 1 funcref)
  (func $f
    return_call $f)
  (func $g
    return_call $host)
  (func $h
    i32.const 0
    return_call_indirect (type $t)))
