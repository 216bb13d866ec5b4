;; portable fuel
(module
  (type (;0;) (func (param i64)))
  (import "cofferdam:meter" "tick" (func (;0;) (type 0)))
  (import "cofferdam:meter" "fuel" (global (;0;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;1;) (mut i32)))
)

