;; native fuel
;; defined function 0: entry 1, stack weight 80
(module
  (type (;0;) (func (param i64)))
  (type (;1;) (func))
  (type (;2;) (func (result i32)))
  (type (;3;) (func (param i64)))
  (import "env" "f" (func (;0;) (type 0)))
  (import "env" "g" (global (;0;) i32))
  (import "env" "m" (memory (;0;) 1))
  (import "env" "t" (tag (;0;) (type 1)))
  (import "cofferdam:meter" "tick" (func (;1;) (type 3)))
  (import "cofferdam:meter" "fuel" (global (;1;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;2;) (mut i32)))
  (table (;0;) 10 funcref)
  (global (;3;) (mut i32) global.get 0)
  (global (;4;) funcref ref.func 2)
  (export "own" (func 2))
  (export "f" (func 0))
  (export "global" (global 3))
  (elem (;0;) (table 0) (global.get 0) func 0 2)
  (elem (;1;) declare funcref (ref.func 2) (ref.null func))
  (func (;2;) (type 2) (result i32)
    (local i32)
    nop
    ref.func 2
    drop
    global.get 3
    global.set 3
    global.get 0
  )
  (data (;0;) (global.get 0) "data")
)

