;; portable fuel
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
    (local i32 i64)
    global.get 2
    i32.const 80
    i32.sub
    local.tee 0
    i32.const 0
    i32.lt_s
    if ;; label = @1
      i64.const -1
      call 1
      unreachable
    end
    global.get 1
    i64.const 7
    i64.sub
    local.tee 1
    global.set 1
    local.get 1
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 1
      global.get 1
      local.set 1
    end
    ref.func 2
    drop
    global.get 3
    global.set 3
    global.get 0
  )
  (data (;0;) (global.get 0) "data")
)

