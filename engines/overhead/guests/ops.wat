;; What the operations are measured on: the smallest guest that can be called, can call its host, and can grow.
(module
  (import "env" "add" (func $host_add (param i32 i32) (result i32)))
  (memory (export "memory") 1)

  (func (export "add") (param i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1)))

  ;; Calls the host $n times: n + (n - 1) + … + 1, wrapping.
  (func (export "calls") (param $n i32) (result i32)
    (local $sum i32)
    (if (i32.eqz (local.get $n)) (then (return (i32.const 0))))
    (loop $next
      (local.set $sum (call $host_add (local.get $sum) (local.get $n)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; Grows the memory $n times by one page, and returns how many pages there are then. Traps if it may not.
  (func (export "grow") (param $n i32) (result i32)
    (loop $next
      (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (memory.size)))
