;; native fuel
;; defined function 0: entry 3, stack weight 368
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i64)))
  (import "cofferdam:meter" "tick" (func (;0;) (type 1)))
  (import "cofferdam:meter" "fuel" (global (;0;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;1;) (mut i32)))
  (export "f" (func 1))
  (func (;1;) (type 0) (param i32) (result i32)
    (local i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 i64 i64 i64 i64 i64 i64 i32)
    nop
    local.get 0
    i32.const 7
    i32.div_u
  )
)

