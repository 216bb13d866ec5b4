;; native fuel
;; defined function 0: entry 1, stack weight 112
;; defined function 1: entry 1, stack weight 64
;; defined function 2: entry 1, stack weight 64
(module
  (type (;0;) (func (param i32)))
  (type (;1;) (func))
  (type (;2;) (func (param i64)))
  (import "cofferdam:meter" "tick" (func (;0;) (type 2)))
  (import "cofferdam:meter" "fuel" (global (;0;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;1;) (mut i32)))
  (func (;1;) (type 0) (param i32)
    (local i32)
    nop
    loop ;; label = @1
      local.get 0
      i32.const 1
      i32.sub
      local.tee 0
      br_if 0 (;@1;)
    end
  )
  (func (;2;) (type 1)
    (local i32)
    nop
    loop ;; label = @1
      loop ;; label = @2
        br 1 (;@1;)
      end
    end
  )
  (func (;3;) (type 1)
    (local i32)
    nop
    loop ;; label = @1
      block ;; label = @2
        try_table (catch_all 0 (;@2;)) ;; label = @3
        end
      end
      br 0 (;@1;)
    end
  )
)

