;; portable fuel
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
    (local i32 i32 i64)
    global.get 1
    i32.const 176
    i32.sub
    local.tee 3
    i32.const 0
    i32.lt_s
    if ;; label = @1
      i64.const -1
      call 0
      unreachable
    end
    global.get 0
    i64.const 136
    i64.sub
    local.tee 5
    global.set 0
    local.get 5
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 5
    end
    local.get 0
    local.get 1
    local.get 2
    local.set 4
    local.get 5
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    local.tee 5
    global.set 0
    local.get 5
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 5
    end
    local.get 4
    memory.fill
    local.get 0
    local.get 1
    local.get 2
    local.set 4
    local.get 5
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    local.tee 5
    global.set 0
    local.get 5
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 5
    end
    local.get 4
    memory.copy
    local.get 0
    local.get 1
    i32.const 262145
    local.set 4
    local.get 5
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    local.tee 5
    global.set 0
    local.get 5
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 5
    end
    local.get 4
    memory.copy 1 0
    local.get 0
    local.get 1
    local.get 2
    local.set 4
    local.get 5
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    local.tee 5
    global.set 0
    local.get 5
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 5
    end
    local.get 4
    memory.init 0
    local.get 0
    local.get 1
    i32.const 262144
    local.set 4
    local.get 5
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    local.tee 5
    global.set 0
    local.get 5
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 5
    end
    local.get 4
    memory.fill
  )
  (func (;2;) (type 1) (param i64 i32 i32)
    (local i32 i32 i64)
    global.get 1
    i32.const 176
    i32.sub
    local.tee 3
    i32.const 0
    i32.lt_s
    if ;; label = @1
      i64.const -1
      call 0
      unreachable
    end
    global.get 0
    i64.const 55
    i64.sub
    local.tee 5
    global.set 0
    local.get 5
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 5
    end
    local.get 0
    local.get 1
    local.get 2
    local.set 4
    local.get 5
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    local.tee 5
    global.set 0
    local.get 5
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 5
    end
    local.get 4
    memory.init 2 0
    local.get 0
    local.get 1
    local.get 2
    local.set 4
    local.get 5
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    local.tee 5
    global.set 0
    local.get 5
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 5
    end
    local.get 4
    memory.copy 2 0
  )
  (data (;0;) "data")
)

