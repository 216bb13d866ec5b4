;; Calls through a table that it rewrites, grows and fills.
(module (type $t (func (param i32) (result i32))) (table $t (export "table") 4 40 funcref) (elem (i32.const 0) $inc $dec $twice)
  (memory (export "memory") 1) (global $n (export "n") (mut i64) (i64.const 0))
  (func $inc (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $dec (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)))
  (func $twice (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "run") (param $n i32) (result i32) (local $x i32)
    (loop $l
      (if (i32.eqz (i32.rem_u (local.get $n) (i32.const 7))) (then
        (drop (table.grow $t (ref.func $dec) (i32.const 2)))
        (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 2))))
      (if (i32.eqz (i32.rem_u (local.get $n) (i32.const 11))) (then
        (table.fill $t (i32.const 0) (ref.func $twice) (i32.const 1))))
      (local.set $x (call_indirect $t (type $t) (local.get $x) (i32.rem_u (local.get $n) (i32.const 3))))
      (global.set $n (i64.add (global.get $n) (i64.extend_i32_s (local.get $x))))
      (i32.store (i32.mul (local.get $n) (i32.const 4)) (local.get $x))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $x)))
