;; Does what the first byte of a message says, and remembers every message that it was given.
(module
  (import "cofferdam_v1" "input_len" (func $input_len (result i32)))
  (import "cofferdam_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "output_write" (func $output_write (param i32 i32) (result i32)))
  (import "cofferdam_v1" "send_message" (func $send_message (param i32 i32 i32 i32) (result i64)))
  (import "cofferdam_v1" "request" (func $request (param i32 i32 i32 i32 i32) (result i64)))
  (import "cofferdam_v1" "receive_message" (func $receive_message (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "message_from" (func $message_from (param i32 i32) (result i32)))
  (import "cofferdam_v1" "message_topic" (func $message_topic (param i32 i32) (result i32)))
  (import "cofferdam_v1" "message_kind" (func $message_kind (result i32)))
  (import "cofferdam_v1" "message_correlation" (func $message_correlation (result i64)))
  (import "cofferdam_v1" "reply" (func $reply (param i32 i32) (result i32)))
  (import "cofferdam_v1" "set_timer" (func $set_timer (param i32 i64) (result i32)))
  ;; Page 0: input. From 0x20000: what was heard. 0x1f000: results.
  (memory (export "memory") 8)
  (global $heard (mut i32) (i32.const 0x20000))
  (global $len (mut i32) (i32.const 0))

  (func $read
    (global.set $len (call $input_len))
    (drop (call $input_read (i32.const 0) (i32.const 0x19100) (i32.const 0))))
  (func $hear (param $kind i32) (param $ptr i32) (param $n i32)
    (if (i32.gt_u (i32.add (global.get $heard) (i32.add (local.get $n) (i32.const 2))) (i32.const 0x80000)) (then (return)))
    (i32.store8 (global.get $heard) (local.get $kind))
    (memory.copy (i32.add (global.get $heard) (i32.const 1)) (local.get $ptr) (local.get $n))
    (global.set $heard (i32.add (global.get $heard) (i32.add (local.get $n) (i32.const 1))))
    (i32.store8 (global.get $heard) (i32.const 10))
    (global.set $heard (i32.add (global.get $heard) (i32.const 1))))
  (func $give (param $n i64)
    (i64.store (i32.const 0x1f000) (local.get $n))
    (drop (call $output_write (i32.const 0x1f000) (i32.const 8))))

  ;; init: a configuration that begins with `n` fails, with `l` never ends, with `t` traps.
  (func (export "init") (result i32)
    (call $read)
    (if (i32.eqz (global.get $len)) (then (return (i32.const 0))))
    (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 0x6e)) (then (return (i32.const -7))))
    (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 0x6c)) (then (loop (br 0))))
    (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 0x74)) (then unreachable))
    (i32.const 0))
  (func (export "shutdown")
    (call $hear (i32.const 0x53) (i32.const 0) (i32.const 0)))
  (func (export "on_timer") (param $token i64)
    (i64.store (i32.const 0x1f100) (local.get $token))
    (call $hear (i32.const 0x54) (i32.const 0x1f100) (i32.const 1)))

  (func (export "handle_message") (result i32)
    (local $op i32) (local $n i32)
    (call $read)
    (call $hear (i32.add (i32.const 0x30) (call $message_kind)) (i32.const 0) (global.get $len))
    (if (i32.or (i32.eqz (global.get $len)) (call $message_kind)) (then (return (i32.const 0))))
    (local.set $op (i32.load8_u (i32.const 0)))
    ;; e: echo
    (if (i32.eq (local.get $op) (i32.const 0x65)) (then (drop (call $output_write (i32.const 0) (global.get $len)))))
    ;; r: reply, twice; the second is refused
    (if (i32.eq (local.get $op) (i32.const 0x72)) (then
      (drop (call $reply (i32.const 0) (global.get $len)))
      (call $hear (i32.const 0x52) (i32.const 0) (i32.eq (call $reply (i32.const 0) (i32.const 1)) (i32.const -8)))))
    ;; t: trap
    (if (i32.eq (local.get $op) (i32.const 0x74)) (then unreachable))
    ;; l: never ends
    (if (i32.eq (local.get $op) (i32.const 0x6c)) (then (loop (br 0))))
    ;; g: grows
    (if (i32.eq (local.get $op) (i32.const 0x67)) (then
      (call $hear (i32.const 0x47) (i32.const 0) (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))))
    ;; n: fails by its own account
    (if (i32.eq (local.get $op) (i32.const 0x6e)) (then (return (i32.const -3))))
    ;; w: waits for another message, and answers the first with it
    (if (i32.eq (local.get $op) (i32.const 0x77)) (then
      (local.set $n (call $receive_message (i32.const 0) (i32.const 0x10000) (i32.const 60000)))
      (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
      (call $hear (i32.const 0x57) (i32.const 0) (local.get $n))
      (drop (call $output_write (i32.const 0) (local.get $n)))))
    ;; f: who sent it, and by which topic
    (if (i32.eq (local.get $op) (i32.const 0x66)) (then
      (call $hear (i32.const 0x46) (i32.const 0x1f200) (call $message_from (i32.const 0x1f200) (i32.const 64)))
      (local.set $n (call $message_topic (i32.const 0x1f200) (i32.const 64)))
      (if (i32.ge_s (local.get $n) (i32.const 0)) (then (call $hear (i32.const 0x23) (i32.const 0x1f200) (local.get $n))))))
    ;; h: hands the rest on: h, length of a name, the name, the rest
    (if (i32.eq (local.get $op) (i32.const 0x68)) (then (drop (call $pass))))
    (i32.const 0))

  (func $pass (result i64)
    (local $to i32)
    (local.set $to (i32.load8_u (i32.const 1)))
    (call $send_message (i32.const 2) (local.get $to) (i32.add (i32.const 2) (local.get $to))
      (i32.sub (i32.sub (global.get $len) (i32.const 2)) (local.get $to))))

  ;; Input as for h; gives the result as 8 bytes.
  (func (export "send") (call $read) (call $give (call $pass)))
  ;; The same as a request with 2 s of patience.
  (func (export "ask") (local $to i32)
    (call $read)
    (local.set $to (i32.load8_u (i32.const 1)))
    (call $give (call $request (i32.const 2) (local.get $to) (i32.add (i32.const 2) (local.get $to))
      (i32.sub (i32.sub (global.get $len) (i32.const 2)) (local.get $to)) (i32.const 2000))))
  ;; Sends the same message until one is refused, and gives how many were taken, and why it ended.
  (func (export "flood") (local $n i64) (local $r i64)
    (call $read)
    (loop $again
      (local.set $r (call $pass))
      (if (i64.gt_s (local.get $r) (i64.const 0)) (then
        (local.set $n (i64.add (local.get $n) (i64.const 1)))
        (br_if $again (i64.lt_u (local.get $n) (i64.const 1000))))))
    (call $give (local.get $n))
    (call $give (local.get $r)))
  ;; A message whose length is said to be 4 GiB less one.
  (func (export "wild") (call $give (call $send_message (i32.const 0) (i32.const 1) (i32.const 0) (i32.const -1))))
  ;; Input: milliseconds (4 bytes), then a token (1 byte).
  (func (export "timer")
    (call $read)
    (call $give (i64.extend_i32_s (call $set_timer (i32.load (i32.const 0)) (i64.load8_u (i32.const 4))))))
  (func (export "early_reply") (call $give (i64.extend_i32_s (call $reply (i32.const 0) (i32.const 1)))))
  (func (export "heard")
    (drop (call $output_write (i32.const 0x20000) (i32.sub (global.get $heard) (i32.const 0x20000)))))
  (func (export "spin") (loop (br 0)))
  (func (export "fails") (result i32) (i32.const -9))
  (func (export "nothing"))
)
