;; Tries: to have the host build a value of millions from a few megabytes: `[0,0,0,…` with four million zeros.
;; Must happen: failed: an answer of too many values; the host does not build it.
(module (memory (export "memory") 130)
  (data (i32.const 1024) "{}")
  (func (export "__tool_schema") (result i32 i32) (i32.const 1024) (i32.const 2))
  (func (export "__tool_execute") (param i32 i32) (result i32 i32)
    (i32.store16 (i32.const 65536) (i32.const 0x2c30)) ;; `0,`
    (i32.store8 (i32.const 65535) (i32.const 91))
    (local.set 0 (i32.const 2))
    (loop $double
      (memory.copy (i32.add (i32.const 65536) (local.get 0)) (i32.const 65536) (local.get 0))
      (local.set 0 (i32.shl (local.get 0) (i32.const 1)))
      (br_if $double (i32.lt_u (local.get 0) (i32.const 8388608))))
    (i32.store16 (i32.add (i32.const 65536) (local.get 0)) (i32.const 0x5d30)) ;; `0]`
    (i32.const 65535) (i32.add (local.get 0) (i32.const 3))))
