;; native fuel
;; defined function 0: entry 1, stack weight 144
(module
  (type (;0;) (func))
  (type (;1;) (func (param i64)))
  (import "cofferdam:meter" "tick" (func (;0;) (type 1)))
  (import "cofferdam:meter" "fuel" (global (;0;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;1;) (mut i32)))
  (table (;0;) i64 1 funcref)
  (memory (;0;) i64 1)
  (memory (;1;) 1)
  (memory (;2;) 1 (pagesize 0x1))
  (func (;1;) (type 0)
    (local i32 i32 i64)
    nop
    i64.const 0
    i32.const 1
    i64.const -1
    memory.fill
    nop
    i64.const 0
    i32.const 0
    i32.const 1
    memory.copy 0 1
    nop
    i64.const 1
    memory.grow
    nop
    drop
    i32.const 1
    memory.grow 2
    nop
    drop
    i64.const 0
    ref.null func
    i64.const 1
    table.fill 0
    nop
  )
)

