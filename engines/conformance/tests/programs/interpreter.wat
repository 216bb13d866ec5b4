;; A small machine: reads operators from a data segment, keeps a stack in memory, and calls the host.
(module (import "h" "log" (func $log (param i32))) (memory (export "memory") 1)
  (global $sp (export "sp") (mut i32) (i32.const 1024))
  ;; push n, then: 1 dup, 2 push 1, 3 sub, 4 log, 5 jump back if not zero, 6 mul by 3, 0 halt
  (data (i32.const 0) "\01\02\03\04\01\05\00")
  (func $push (param i32) (i32.store (global.get $sp) (local.get 0)) (global.set $sp (i32.add (global.get $sp) (i32.const 4))))
  (func $pop (result i32) (global.set $sp (i32.sub (global.get $sp) (i32.const 4))) (i32.load (global.get $sp)))
  (func (export "run") (param $n i32) (result i32) (local $pc i32) (local $t i32)
    (call $push (local.get $n))
    (loop $step
      (block $jump (block $log_it (block $sub (block $one (block $dup (block $halt
        (br_table $halt $dup $one $sub $log_it $jump $halt (i32.load8_u (local.get $pc))))
        (return (call $pop)))
        (local.set $t (call $pop)) (call $push (local.get $t)) (call $push (local.get $t))
        (local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $step))
        (call $push (i32.const 1)) (local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $step))
        (local.set $t (call $pop)) (call $push (i32.sub (call $pop) (local.get $t)))
        (local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $step))
        (local.set $t (call $pop)) (call $log (local.get $t)) (call $push (local.get $t))
        (local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $step))
      (if (call $pop) (then (local.set $pc (i32.const 0))) (else (local.set $pc (i32.add (local.get $pc) (i32.const 1)))))
      (br $step))
    (i32.const -1)))
