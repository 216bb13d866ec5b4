;; native fuel
;; defined function 0: entry 1, stack weight 128
(module
  (type (;0;) (func))
  (type (;1;) (func (param i64)))
  (import "cofferdam:meter" "tick" (func (;0;) (type 1)))
  (import "cofferdam:meter" "fuel" (global (;0;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;1;) (mut i32)))
  (table (;0;) 1 funcref)
  (memory (;0;) 1)
  (elem (;0;) func 1)
  (func (;1;) (type 0)
    (local i32 i32)
    nop
    i32.const 0
    i32.const 1
    i32.const 100
    memory.fill
    nop
    i32.const 0
    i32.const 1
    i32.const 200
    memory.copy
    nop
    i32.const 0
    i32.const 1
    i32.const 2
    memory.init 0
    nop
    i32.const 3
    memory.grow
    nop
    drop
    i32.const 0
    i32.const 0
    i32.const 1
    table.init 0
    nop
    i32.const 0
    i32.const 0
    i32.const 1
    table.copy
    nop
    i32.const 0
    ref.null func
    i32.const 1
    table.fill 0
    nop
    ref.null func
    i32.const 4
    table.grow 0
    nop
    drop
  )
  (data (;0;) "abc")
)

