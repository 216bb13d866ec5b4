;; Tries: together with signature_clash_linked_a, whose table it imports as "a" "table": it calls through it
;; with a type whose CRC32 is that of the function there.
;; Must happen: see signature_clash_linked_a; alone it is refused for its unknown import.
;; Exports: run: () -> ().
(module
  (import "a" "table" (table 1 1 funcref))
  (type $mixed (func (param
    f32 f32 f32 i32 i32 i64 i64 i32 f32 f32 i32 i64 i64 f64 f64 f64 i32)))
  (func (export "run") (export "_start")
    (call_indirect (type $mixed)
      (f32.const 0) (f32.const 0) (f32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i64.const 0)
      (i32.const 0) (f32.const 0) (f32.const 0) (i32.const 0) (i64.const 0) (i64.const 0) (f64.const 0)
      (f64.const 0) (f64.const 0) (i32.const 0)
      (i32.const 0))))
