;; portable fuel
;; defined function 0: entry 1, stack weight 64
;; defined function 1: entry 1, stack weight 64
;; defined function 2: entry 1, stack weight 80
(module
  (type (;0;) (func))
  (type (;1;) (func (param i64)))
  (import "env" "host" (func (;0;) (type 0)))
  (import "cofferdam:meter" "tick" (func (;1;) (type 1)))
  (import "cofferdam:meter" "fuel" (global (;0;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;1;) (mut i32)))
  (table (;0;) 1 funcref)
  (func (;2;) (type 0)
    (local i32 i64)
    global.get 1
    i32.const 64
    i32.sub
    local.tee 0
    i32.const 0
    i32.lt_s
    if ;; label = @1
      i64.const -1
      call 1
      unreachable
    end
    global.get 0
    i64.const 2
    i64.sub
    local.tee 1
    global.set 0
    local.get 1
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 1
      global.get 0
      local.set 1
    end
    local.get 0
    i32.const 64
    i32.add
    global.set 1
    return_call 2
  )
  (func (;3;) (type 0)
    (local i32 i64)
    global.get 1
    i32.const 64
    i32.sub
    local.tee 0
    i32.const 0
    i32.lt_s
    if ;; label = @1
      i64.const -1
      call 1
      unreachable
    end
    global.get 0
    i64.const 2
    i64.sub
    local.tee 1
    global.set 0
    local.get 1
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 1
      global.get 0
      local.set 1
    end
    local.get 0
    i32.const 64
    i32.add
    global.set 1
    return_call 0
  )
  (func (;4;) (type 0)
    (local i32 i64)
    global.get 1
    i32.const 80
    i32.sub
    local.tee 0
    i32.const 0
    i32.lt_s
    if ;; label = @1
      i64.const -1
      call 1
      unreachable
    end
    global.get 0
    i64.const 6
    i64.sub
    local.tee 1
    global.set 0
    local.get 1
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 1
      global.get 0
      local.set 1
    end
    i32.const 0
    local.get 0
    i32.const 80
    i32.add
    global.set 1
    return_call_indirect (type 0)
  )
)

