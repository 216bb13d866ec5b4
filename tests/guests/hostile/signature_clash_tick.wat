;; Tries: to clash with what the meter adds: a type whose CRC32, taken the same way, is that of `(i64) -> ()`
;; (0xA993D568), the type of the injected import. The guest itself has no `(i64) -> ()`.
;; Must happen: refused where an engine tells types apart by that hash, as a clash of signatures naming both
;; types and the engine; on an engine that compares whole types completed.
;; Never: a panic.
;; Exports: run: () -> ().
(module
  (func $clashing (export "clashing") (param
    i64 i32 i32 f32 i64 f64 f64 f32 f32 f32 i32 i32 i32 f64 i64 i32 i32))
  (func (export "run") (export "_start")
    (call $clashing
      (i64.const 0) (i32.const 0) (i32.const 0) (f32.const 0) (i64.const 0) (f64.const 0) (f64.const 0)
      (f32.const 0) (f32.const 0) (f32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (f64.const 0)
      (i64.const 0) (i32.const 0) (i32.const 0))))
