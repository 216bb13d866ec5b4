;; Passes a text on and adds a letter of its own, until the text has twelve; then it says so in its log.
;; Its configuration is the letter, and after it the name of the next one.
(module
  (import "cofferdam_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "send_message" (func $send (param i32 i32 i32 i32) (result i64)))
  (import "cofferdam_v1" "log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $config (mut i32) (i32.const 0))

  (func (export "init")
    (global.set $config (call $input_read (i32.const 0) (i32.const 65) (i32.const 0))))

  (func (export "handle_message") (result i32) (local $len i32)
    (local.set $len (call $input_read (i32.const 128) (i32.const 64) (i32.const 0)))
    (i32.store8 offset=128 (local.get $len) (i32.load8_u (i32.const 0)))
    (local.set $len (i32.add (local.get $len) (i32.const 1)))
    (if (i32.ge_u (local.get $len) (i32.const 12))
      (then (return (call $log (i32.const 2) (i32.const 128) (local.get $len)))))
    ;; A negative status says that it could not be sent.
    (i32.wrap_i64 (call $send
      (i32.const 1) (i32.sub (global.get $config) (i32.const 1))
      (i32.const 128) (local.get $len)))))
