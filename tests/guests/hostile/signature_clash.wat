;; Tries: to call a function with arguments of the wrong types: two function types whose CRC32, taken over their
;; lengths, results and parameters as one engine takes it, is the same (0x87E08DED).
;; Must happen: refused where an engine tells types apart by that hash, as a clash of signatures naming both
;; types and the engine; on an engine that compares whole types Trapped(bad_signature).
;; Never: a completed call, a panic.
;; Exports: run: () -> ().
(module
  (type $integers (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (type $mixed (func (param
    f32 f32 f32 i32 i32 i64 i64 i32 f32 f32 i32 i64 i64 f64 f64 f64 i32)))
  (table 1 1 funcref)
  (elem (i32.const 0) $take_integers)
  (func $take_integers (type $integers))
  (func (export "run") (export "_start")
    (call_indirect (type $mixed)
      (f32.const 0) (f32.const 0) (f32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i64.const 0)
      (i32.const 0) (f32.const 0) (f32.const 0) (i32.const 0) (i64.const 0) (i64.const 0) (f64.const 0)
      (f64.const 0) (f64.const 0) (i32.const 0)
      (i32.const 0))))
