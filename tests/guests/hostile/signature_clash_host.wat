;; Tries: to call a host function with arguments of the wrong types: a type whose CRC32, taken the same way, is
;; that of fd_write's (0x1E672C83), with fd_write itself in the table.
;; Must happen: refused where an engine tells types apart by that hash, as a clash of signatures naming both
;; types and the engine; on an engine that compares whole types Trapped(bad_signature).
;; Never: a completed call, a panic.
;; Exports: run: () -> i32.
(module
  (type $fd_write (func (param i32 i32 i32 i32) (result i32)))
  (type $forged (func (param
    i32 i32 i32 f32 i64 i64 f64 i64 f32 f64 i64 f32 f32 i64 i32 i64 i64)
    (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (type $fd_write)))
  (memory (export "memory") 1)
  (table 1 1 funcref)
  (elem (i32.const 0) $fd_write)
  (func (export "run") (result i32)
    (call_indirect (type $forged)
      (i32.const 0) (i32.const 0) (i32.const 0) (f32.const 0) (i64.const 0) (i64.const 0) (f64.const 0)
      (i64.const 0) (f32.const 0) (f64.const 0) (i64.const 0) (f32.const 0) (f32.const 0) (i64.const 0)
      (i32.const 0) (i64.const 0) (i64.const 0)
      (i32.const 0))))
