;; The start function becomes an export that the runtime calls, with budget and limits in force.
(module
  (global $g (mut i32) (i32.const 0))
  (func $init
    i32.const 1
    global.set $g)
  (start $init))
