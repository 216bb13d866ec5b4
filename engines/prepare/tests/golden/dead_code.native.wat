;; native fuel
;; defined function 0: entry 1, stack weight 96
;; defined function 1: entry 1, stack weight 80
(module
  (type (;0;) (func (result i32)))
  (type (;1;) (func))
  (type (;2;) (func (param i64)))
  (import "cofferdam:meter" "tick" (func (;0;) (type 2)))
  (import "cofferdam:meter" "fuel" (global (;0;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;1;) (mut i32)))
  (func (;1;) (type 0) (result i32)
    (local i32)
    nop
    i32.const 1
    return
    i32.const 2
    i32.const 3
    i32.add
  )
  (func (;2;) (type 1)
    (local i32)
    nop
    block ;; label = @1
      br 0 (;@1;)
      i32.const 1
      drop
      loop ;; label = @2
        i32.const 2
        drop
      end
    end
    unreachable
    i32.const 3
    if ;; label = @1
    else
    end
  )
)

