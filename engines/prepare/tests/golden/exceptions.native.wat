;; native fuel
;; defined function 0: entry 1, stack weight 80
;; defined function 1: entry 1, stack weight 80
;; defined function 2: entry 1, stack weight 64
(module
  (type (;0;) (func (param i32)))
  (type (;1;) (func))
  (type (;2;) (func (result i32)))
  (type (;3;) (func (param i64)))
  (import "cofferdam:meter" "tick" (func (;0;) (type 3)))
  (import "cofferdam:meter" "fuel" (global (;0;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;1;) (mut i32)))
  (tag (;0;) (type 0) (param i32))
  (func (;1;) (type 1)
    (local i32)
    nop
    i32.const 1
    throw 0
  )
  (func (;2;) (type 2) (result i32)
    (local i32)
    nop
    block (result i32) ;; label = @1
      try_table (catch 0 0 (;@1;)) ;; label = @2
        call 1
        nop
      end
      i32.const 0
    end
  )
  (func (;3;) (type 1)
    (local i32)
    nop
    loop ;; label = @1
      try_table (catch_all 0 (;@1;)) ;; label = @2
        call 1
        nop
      end
    end
  )
)

