;; Sells to whoever bids most, for what the second has bid. `open` offers the lot that is its input to everybody on
;; the topic `lots`, and learns how many that are; each of them bids once, with a decimal number.
(module
  (import "cofferdam_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "send_message" (func $send (param i32 i32 i32 i32) (result i64)))
  (import "cofferdam_v1" "message_from" (func $from (param i32 i32) (result i32)))
  (import "cofferdam_v1" "log" (func $log (param i32 i32 i32) (result i32)))
  ;; 64: the bid at hand. 96: the highest, 128: the second, as they were written. 256: a lot. 512: a line.
  (memory (export "memory") 1)
  (data (i32.const 0) "#lots")
  (data (i32.const 16) " for ")
  (data (i32.const 512) "sold to ")
  (global $left (mut i32) (i32.const 0))
  (global $name_len (mut i32) (i32.const 0))
  (global $highest (mut i32) (i32.const 0))
  (global $highest_len (mut i32) (i32.const 0))
  (global $second (mut i32) (i32.const 0))
  (global $second_len (mut i32) (i32.const 0))

  (func (export "open") (result i32)
    (global.set $highest (i32.const 0))
    (global.set $second (i32.const 0))
    (global.set $left (i32.wrap_i64 (call $send (i32.const 0) (i32.const 5)
      (i32.const 256) (call $input_read (i32.const 256) (i32.const 256) (i32.const 0)))))
    (global.get $left))

  (func $number (param $len i32) (result i32) (local $at i32) (local $n i32)
    (loop $digit
      (if (i32.lt_u (local.get $at) (local.get $len)) (then
        (local.set $n (i32.add (i32.mul (local.get $n) (i32.const 10))
          (i32.sub (i32.load8_u offset=64 (local.get $at)) (i32.const 48))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $digit))))
    (local.get $n))

  (func (export "handle_message") (result i32) (local $len i32) (local $bid i32)
    (local.set $len (call $input_read (i32.const 64) (i32.const 9) (i32.const 0)))
    (local.set $bid (call $number (local.get $len)))
    (if (i32.gt_u (local.get $bid) (global.get $highest))
      (then
        (memory.copy (i32.const 128) (i32.const 96) (global.get $highest_len))
        (global.set $second (global.get $highest))
        (global.set $second_len (global.get $highest_len))
        (memory.copy (i32.const 96) (i32.const 64) (local.get $len))
        (global.set $highest (local.get $bid))
        (global.set $highest_len (local.get $len))
        (global.set $name_len (call $from (i32.const 520) (i32.const 64))))
      (else (if (i32.gt_u (local.get $bid) (global.get $second)) (then
        (memory.copy (i32.const 128) (i32.const 64) (local.get $len))
        (global.set $second (local.get $bid))
        (global.set $second_len (local.get $len))))))
    (global.set $left (i32.sub (global.get $left) (i32.const 1)))
    (if (global.get $left) (then (return (i32.const 0))))
    (call $sell))

  (func $sell (result i32) (local $end i32)
    (local.set $end (i32.add (i32.const 520) (global.get $name_len)))
    (memory.copy (local.get $end) (i32.const 16) (i32.const 5))
    (local.set $end (i32.add (local.get $end) (i32.const 5)))
    (memory.copy (local.get $end) (i32.const 128) (global.get $second_len))
    (local.set $end (i32.add (local.get $end) (global.get $second_len)))
    (drop (call $log (i32.const 2) (i32.const 512) (i32.sub (local.get $end) (i32.const 512))))
    (i32.wrap_i64 (call $send (i32.const 520) (global.get $name_len) (i32.const 128) (global.get $second_len)))))
