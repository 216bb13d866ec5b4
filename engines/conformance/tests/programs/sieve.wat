;; Counts primes below 100 n, with bulk operators and growth.
(module (memory (export "memory") 0 4)
  (func (export "run") (param $n i32) (result i32) (local $i i32) (local $j i32) (local $count i32)
    (local.set $n (i32.mul (local.get $n) (i32.const 100)))
    (drop (memory.grow (i32.const 1)))
    (memory.fill (i32.const 0) (i32.const 1) (local.get $n))
    (local.set $i (i32.const 2))
    (loop $outer
      (if (i32.load8_u (local.get $i)) (then
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (local.set $j (i32.mul (local.get $i) (local.get $i)))
        (block $done (loop $inner
          (br_if $done (i32.ge_u (local.get $j) (local.get $n)))
          (i32.store8 (local.get $j) (i32.const 0))
          (local.set $j (i32.add (local.get $j) (local.get $i)))
          (br $inner)))))
      (br_if $outer (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (memory.copy (local.get $n) (i32.const 0) (local.get $n))
    (local.get $count)))
