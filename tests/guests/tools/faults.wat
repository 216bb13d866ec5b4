;; Tries: every other way to give no answer. Which one is decided by the length of the arguments: 2 traps,
;; 3 exits with code 0, 4 exits with code 5, 5 gives no UTF-8, 6 gives half an object, 7 calls itself for ever,
;; 8 loops for ever, 9 grows its memory for ever and answers with an empty text.
;; Must happen: trapped; failed; failed; failed; failed; Stopped(stack); Stopped(fuel); failed.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 1024) "true")
  (data (i32.const 1032) "{\"a\":\ff}")
  (func (export "__tool_schema") (result i32 i32) (i32.const 1040) (i32.const 2))
  (data (i32.const 1040) "{}")
  (func (export "alloc") (param i32) (result i32) (i32.const 2048))
  (func $deeper (param i32) (result i32) (i32.add (i32.const 1) (call $deeper (local.get 0))))
  (func (export "__tool_execute") (param $ptr i32) (param $len i32) (result i32 i32)
    (block $grow (block $loop (block $deep (block $half (block $utf8 (block $five (block $zero (block $trap
      (br_table $trap $trap $trap $zero $five $utf8 $half $deep $loop $grow (local.get $len)))
      (unreachable))
      (call $exit (i32.const 0)))
      (call $exit (i32.const 5)))
      (return (i32.const 1032) (i32.const 7)))
      (return (i32.const 1032) (i32.const 5)))
      (drop (call $deeper (i32.const 0))))
      (loop $ever (br $ever)))
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (i32.const 0) (i32.const 0)))
