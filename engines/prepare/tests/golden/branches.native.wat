;; native fuel
;; defined function 0: entry 1, stack weight 112
;; defined function 1: entry 1, stack weight 96
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32)))
  (type (;2;) (func (param i64)))
  (import "cofferdam:meter" "tick" (func (;0;) (type 2)))
  (import "cofferdam:meter" "fuel" (global (;0;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;1;) (mut i32)))
  (func (;1;) (type 0) (param i32) (result i32)
    (local i32)
    nop
    block ;; label = @1
      local.get 0
      drop
    end
    block ;; label = @1
      local.get 0
      br_if 0 (;@1;)
      i32.const 1
      drop
    end
    local.get 0
    if (result i32) ;; label = @1
      i32.const 2
    else
      i32.const 3
      i32.const 4
      i32.add
    end
  )
  (func (;2;) (type 1) (param i32)
    (local i32)
    nop
    block ;; label = @1
      block ;; label = @2
        local.get 0
        br_table 1 (;@1;) 0 (;@2;) 1 (;@1;)
      end
      i32.const 1
      drop
    end
    i32.const 2
    drop
  )
)

