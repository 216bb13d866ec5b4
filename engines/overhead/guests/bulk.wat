;; Kernel `bulk`: memory.fill and memory.copy, as memset and memcpy compile to. A round fills 64 KiB, copies 1,024
;; pieces of 0 to 2,047 bytes between two areas at pseudo-random places, and copies 64 KiB back. The result hangs on
;; a byte of every piece.
(module
  (memory (export "memory") 5)

  (func (export "k_bulk") (param $n i32) (result i32)
    (local $x i32) (local $sum i32) (local $left i32) (local $from i32) (local $to i32)
    (local.set $x (i32.const 0x9e3779b9))
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 0x50000))
    (loop $round
      (if (i32.eqz (local.get $n)) (then (return (local.get $sum))))
      (memory.fill (i32.const 0) (i32.and (local.get $x) (i32.const 255)) (i32.const 0x10000))
      (local.set $left (i32.const 1024))
      (loop $piece
        ;; xorshift32
        (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 13))))
        (local.set $x (i32.xor (local.get $x) (i32.shr_u (local.get $x) (i32.const 17))))
        (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 5))))
        (local.set $from (i32.and (i32.shr_u (local.get $x) (i32.const 3)) (i32.const 0xffff)))
        (local.set $to (i32.add (i32.const 0x20000) (i32.and (i32.shr_u (local.get $x) (i32.const 12)) (i32.const 0xffff))))
        (i32.store8 (local.get $from) (local.get $x))
        (memory.copy (local.get $to) (local.get $from) (i32.and (local.get $x) (i32.const 2047)))
        (local.set $sum
          (i32.add (i32.mul (local.get $sum) (i32.const 31)) (i32.load8_u (local.get $to))))
        (br_if $piece (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
      (memory.copy (i32.const 0) (i32.const 0x20000) (i32.const 0x10000))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $round))
    (unreachable)))
