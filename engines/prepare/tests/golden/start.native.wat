;; native fuel
;; defined function 0: entry 1, stack weight 80
(module
  (type (;0;) (func))
  (type (;1;) (func (param i64)))
  (import "cofferdam:meter" "tick" (func (;0;) (type 1)))
  (import "cofferdam:meter" "fuel" (global (;0;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;1;) (mut i32)))
  (global (;2;) (mut i32) i32.const 0)
  (export "cofferdam:start" (func 1))
  (func (;1;) (type 0)
    (local i32)
    nop
    i32.const 1
    global.set 2
  )
)

