;; native fuel
;; defined function 0: entry 1, stack weight 176
;; defined function 1: entry 1, stack weight 176
(module
  (type (;0;) (func (param i32 i32 i32)))
  (type (;1;) (func (param i64 i32 i32)))
  (type (;2;) (func (param i64)))
  (import "cofferdam:meter" "tick" (func (;0;) (type 2)))
  (import "cofferdam:meter" "fuel" (global (;0;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;1;) (mut i32)))
  (memory (;0;) 1)
  (memory (;1;) 1)
  (memory (;2;) i64 1)
  (func (;1;) (type 0) (param i32 i32 i32)
    (local i32 i32)
    nop
    local.get 0
    local.get 1
    local.get 2
    memory.fill
    nop
    local.get 0
    local.get 1
    local.get 2
    memory.copy
    nop
    local.get 0
    local.get 1
    i32.const 262145
    memory.copy 1 0
    nop
    local.get 0
    local.get 1
    local.get 2
    memory.init 0
    nop
    local.get 0
    local.get 1
    i32.const 262144
    memory.fill
    nop
  )
  (func (;2;) (type 1) (param i64 i32 i32)
    (local i32 i32)
    nop
    local.get 0
    local.get 1
    local.get 2
    memory.init 2 0
    nop
    local.get 0
    local.get 1
    local.get 2
    memory.copy 2 0
    nop
  )
  (data (;0;) "data")
)

