;; Bids what its configuration says for every lot that is offered on a topic. What is sent to it by name it has won.
(module
  (import "cofferdam_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "send_message" (func $send (param i32 i32 i32 i32) (result i64)))
  (import "cofferdam_v1" "message_topic" (func $topic (param i32 i32) (result i32)))
  (import "cofferdam_v1" "log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "auctioneer")
  (data (i32.const 32) "it is mine for ")
  (global $bid (mut i32) (i32.const 0))

  (func (export "init")
    (global.set $bid (call $input_read (i32.const 16) (i32.const 16) (i32.const 0))))

  (func (export "handle_message") (result i32)
    (if (i32.ge_s (call $topic (i32.const 128) (i32.const 64)) (i32.const 0))
      (then (return (i32.wrap_i64
        (call $send (i32.const 0) (i32.const 10) (i32.const 16) (global.get $bid))))))
    (call $log (i32.const 2) (i32.const 32)
      (i32.add (i32.const 15) (call $input_read (i32.const 47) (i32.const 16) (i32.const 0))))))
