;; Multiplies matrices of floats, some of whose elements become NaNs and infinities.
(module (memory (export "memory") 2) (global $last (export "last") (mut f64) (f64.const 0))
  (func $at (param $base i32) (param $i i32) (param $j i32) (result i32)
    (i32.add (local.get $base) (i32.mul (i32.const 8) (i32.add (i32.mul (local.get $i) (i32.const 16)) (local.get $j)))))
  (func (export "run") (param $n i32) (result f64) (local $i i32) (local $j i32) (local $k i32) (local $sum f64)
    (loop $i_next
      (local.set $j (i32.const 0))
      (loop $j_next
        (f64.store (call $at (i32.const 0) (local.get $i) (local.get $j))
          (f64.div (f64.convert_i32_s (i32.sub (local.get $i) (i32.const 3))) (f64.convert_i32_s (i32.sub (local.get $j) (i32.const 5)))))
        (f64.store (call $at (i32.const 4096) (local.get $i) (local.get $j))
          (f64.sqrt (f64.convert_i32_s (i32.sub (local.get $j) (local.get $i)))))
        (br_if $j_next (i32.lt_s (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 16))))
      (br_if $i_next (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 16))))
    (local.set $i (i32.const 0))
    (loop $i_next
      (local.set $j (i32.const 0))
      (loop $j_next
        (local.set $k (i32.const 0)) (local.set $sum (f64.const 0))
        (loop $k_next
          (local.set $sum (f64.add (local.get $sum) (f64.mul
            (f64.load (call $at (i32.const 0) (local.get $i) (local.get $k)))
            (f64.load (call $at (i32.const 4096) (local.get $k) (local.get $j))))))
          (br_if $k_next (i32.lt_s (local.tee $k (i32.add (local.get $k) (i32.const 1))) (i32.const 16))))
        (f64.store (call $at (i32.const 8192) (local.get $i) (local.get $j)) (local.get $sum))
        (f32.store (call $at (i32.const 16384) (local.get $i) (local.get $j)) (f32.demote_f64 (local.get $sum)))
        (global.set $last (f64.min (local.get $sum) (global.get $last)))
        (br_if $j_next (i32.lt_s (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 16))))
      (br_if $i_next (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 16))))
    (f64.load (i32.const 8200))))
