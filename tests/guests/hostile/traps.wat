;; Tries: every fault that the machine itself finds, one per export.
;; Must happen: Trapped with the reason in the comment at each export, the same on every engine and in both fuel
;; modes; the next call, on a fresh instance, works (`ok` returns 7).
;; Exports: ok: () -> i32; all others () -> ().
(module
  (type $nothing (func))
  (type $to_i32 (func (result i32)))
  (memory (export "memory") 1 1)
  (table $t 4 4 funcref)
  (table $refs 2 2 externref)
  (elem (i32.const 0) $seven)
  (elem $passive func $seven)
  (data $bytes "0123")
  (func $seven (type $to_i32) (i32.const 7))
  (func (export "ok") (result i32) (call_indirect $t (type $to_i32) (i32.const 0)))

  ;; unreachable
  (func (export "unreachable") (unreachable))

  ;; integer_division_by_zero
  (func (export "div_s_zero") (drop (i32.div_s (i32.const 1) (i32.const 0))))
  (func (export "div_u_zero") (drop (i32.div_u (i32.const 1) (i32.const 0))))
  (func (export "rem_s_zero") (drop (i32.rem_s (i32.const 1) (i32.const 0))))
  (func (export "rem_u_zero") (drop (i32.rem_u (i32.const 1) (i32.const 0))))
  (func (export "div_s_zero_64") (drop (i64.div_s (i64.const 1) (i64.const 0))))
  (func (export "rem_u_zero_64") (drop (i64.rem_u (i64.const 1) (i64.const 0))))

  ;; integer_overflow
  (func (export "div_s_overflow") (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))
  (func (export "div_s_overflow_64") (drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1))))
  (func (export "trunc_too_large") (drop (i32.trunc_f64_s (f64.const 1e30))))
  (func (export "trunc_too_small") (drop (i64.trunc_f32_s (f32.const -1e30))))
  (func (export "trunc_negative_unsigned") (drop (i32.trunc_f32_u (f32.const -1))))
  (func (export "trunc_infinity") (drop (i64.trunc_f64_u (f64.const inf))))

  ;; invalid_conversion_to_integer
  (func (export "trunc_nan") (drop (i32.trunc_f32_s (f32.const nan))))
  (func (export "trunc_nan_64") (drop (i64.trunc_f64_u (f64.const nan:0x4000000000001))))

  ;; memory_out_of_bounds
  (func (export "load_past_end") (drop (i32.load (i32.const 65536))))
  (func (export "load_across_end") (drop (i32.load (i32.const 65533))))
  (func (export "load_negative") (drop (i32.load8_u (i32.const -1))))
  (func (export "load_far_offset") (drop (i32.load8_u offset=4294967295 (i32.const 0))))
  (func (export "load_offset_wraps") (drop (i32.load8_u offset=4294967295 (i32.const 1))))
  (func (export "store_past_end") (i32.store8 (i32.const 65536) (i32.const 1)))
  (func (export "store_across_end") (i64.store (i32.const 65529) (i64.const 1)))
  (func (export "fill_past_end") (memory.fill (i32.const 65535) (i32.const 1) (i32.const 2)))
  (func (export "copy_past_end") (memory.copy (i32.const 0) (i32.const 65535) (i32.const 2)))
  (func (export "init_past_segment") (memory.init $bytes (i32.const 0) (i32.const 3) (i32.const 2)))
  (func (export "init_past_end") (memory.init $bytes (i32.const 65535) (i32.const 0) (i32.const 2)))
  (func (export "init_dropped") (data.drop $bytes) (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 1)))

  ;; table_out_of_bounds
  (func (export "call_past_end") (call_indirect $t (type $nothing) (i32.const 4)))
  (func (export "call_negative") (call_indirect $t (type $nothing) (i32.const -1)))
  (func (export "table_get_past_end") (drop (table.get $refs (i32.const 2))))
  (func (export "table_set_past_end") (table.set $refs (i32.const 2) (ref.null extern)))
  (func (export "table_fill_past_end") (table.fill $refs (i32.const 1) (ref.null extern) (i32.const 2)))
  (func (export "table_copy_past_end") (table.copy $t $t (i32.const 0) (i32.const 3) (i32.const 2)))
  (func (export "table_init_past_segment") (table.init $t $passive (i32.const 0) (i32.const 1) (i32.const 1)))
  (func (export "table_init_dropped")
    (elem.drop $passive)
    (table.init $t $passive (i32.const 0) (i32.const 0) (i32.const 1)))

  ;; indirect_call_to_null
  (func (export "call_null") (call_indirect $t (type $nothing) (i32.const 1)))

  ;; bad_signature
  (func (export "call_wrong_type") (call_indirect $t (type $nothing) (i32.const 0))))
