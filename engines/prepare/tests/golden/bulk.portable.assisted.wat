;; portable fuel
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
    (local i32 i32 i64)
    global.get 1
    i32.const 128
    i32.sub
    local.tee 0
    i32.const 0
    i32.lt_s
    if ;; label = @1
      i64.const -1
      call 0
      unreachable
    end
    global.get 0
    i64.const 678
    i64.sub
    local.tee 2
    global.set 0
    local.get 2
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 2
    end
    i32.const 0
    i32.const 1
    i32.const 100
    local.set 1
    local.get 2
    local.get 1
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    local.tee 2
    global.set 0
    local.get 2
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 2
    end
    local.get 1
    memory.fill
    i32.const 0
    i32.const 1
    i32.const 200
    local.set 1
    local.get 2
    local.get 1
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    local.tee 2
    global.set 0
    local.get 2
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 2
    end
    local.get 1
    memory.copy
    i32.const 0
    i32.const 1
    i32.const 2
    local.set 1
    local.get 2
    local.get 1
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    local.tee 2
    global.set 0
    local.get 2
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 2
    end
    local.get 1
    memory.init 0
    i32.const 3
    local.set 1
    local.get 2
    local.get 1
    i64.extend_i32_u
    i64.const 10
    i64.shl
    i64.sub
    local.tee 2
    global.set 0
    local.get 2
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 2
    end
    local.get 1
    memory.grow
    drop
    i32.const 0
    i32.const 0
    i32.const 1
    local.set 1
    local.get 2
    local.get 1
    i64.extend_i32_u
    i64.sub
    local.tee 2
    global.set 0
    local.get 2
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 2
    end
    local.get 1
    table.init 0
    i32.const 0
    i32.const 0
    i32.const 1
    local.set 1
    local.get 2
    local.get 1
    i64.extend_i32_u
    i64.sub
    local.tee 2
    global.set 0
    local.get 2
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 2
    end
    local.get 1
    table.copy
    i32.const 0
    ref.null func
    i32.const 1
    local.set 1
    local.get 2
    local.get 1
    i64.extend_i32_u
    i64.sub
    local.tee 2
    global.set 0
    local.get 2
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 2
    end
    local.get 1
    table.fill 0
    ref.null func
    i32.const 4
    local.set 1
    local.get 2
    local.get 1
    i64.extend_i32_u
    i64.sub
    local.tee 2
    global.set 0
    local.get 2
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 2
    end
    local.get 1
    table.grow 0
    drop
  )
  (data (;0;) "abc")
)

