;; Tries: together with signature_clash_linked_b, the same over two modules in one store: this one exports a
;; table that holds a function over integers.
;; Must happen: alone it completes. Linked with the other: refused where an engine tells types apart by that
;; hash, as a clash of signatures naming both types and the engine; on an engine that compares whole types
;; Trapped(bad_signature) in b's `run`.
;; Exports: table: one function of 17 i32; run: () -> ().
(module
  (table (export "table") 1 1 funcref)
  (elem (i32.const 0) $take_integers)
  (func $take_integers (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32))
  (func (export "run") (export "_start")))
