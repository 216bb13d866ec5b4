;; native fuel
;; defined function 0: entry 1, stack weight 144
(module
  (type (;0;) (func))
  (type (;1;) (func (param i64)))
  (type (;2;) (func (param i64 i32 i64)))
  (import "cofferdam:meter" "tick" (func (;0;) (type 1)))
  (import "cofferdam:meter" "fuel" (global (;0;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;1;) (mut i32)))
  (table (;0;) i64 1 funcref)
  (memory (;0;) i64 1)
  (memory (;1;) 1)
  (memory (;2;) 1 (pagesize 0x1))
  (func (;1;) (type 0)
    (local i32 i32 i64)
    global.get 1
    i32.const 144
    i32.sub
    local.tee 0
    i32.const 0
    i32.lt_s
    if ;; label = @1
      i64.const -1
      call 0
      unreachable
    end
    i64.const 0
    i32.const 1
    i64.const -1
    local.set 2
    global.get 0
    local.get 2
    i64.const 1099511627776
    local.get 2
    i64.const 1099511627776
    i64.lt_u
    select
    i64.const 3
    i64.shr_u
    i64.lt_u
    if ;; label = @1
      local.get 2
      i64.const 1099511627776
      local.get 2
      i64.const 1099511627776
      i64.lt_u
      select
      i64.const 3
      i64.shr_u
      call 0
    end
    global.get 0
    local.get 2
    i64.const 1099511627776
    local.get 2
    i64.const 1099511627776
    i64.lt_u
    select
    i64.const 3
    i64.shr_u
    i64.sub
    global.set 0
    local.get 2
    call 2
    i64.const 0
    i32.const 0
    i32.const 1
    local.set 1
    global.get 0
    local.get 1
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.lt_u
    if ;; label = @1
      local.get 1
      i64.extend_i32_u
      i64.const 3
      i64.shr_u
      call 0
    end
    global.get 0
    local.get 1
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    global.set 0
    local.get 1
    memory.copy 0 1
    i64.const 1
    local.set 2
    global.get 0
    local.get 2
    i64.const 1099511627776
    local.get 2
    i64.const 1099511627776
    i64.lt_u
    select
    i64.const 10
    i64.shl
    i64.lt_u
    if ;; label = @1
      local.get 2
      i64.const 1099511627776
      local.get 2
      i64.const 1099511627776
      i64.lt_u
      select
      i64.const 10
      i64.shl
      call 0
    end
    global.get 0
    local.get 2
    i64.const 1099511627776
    local.get 2
    i64.const 1099511627776
    i64.lt_u
    select
    i64.const 10
    i64.shl
    i64.sub
    global.set 0
    local.get 2
    memory.grow
    drop
    i32.const 1
    local.set 1
    global.get 0
    local.get 1
    i64.extend_i32_u
    i64.const 6
    i64.shr_u
    i64.lt_u
    if ;; label = @1
      local.get 1
      i64.extend_i32_u
      i64.const 6
      i64.shr_u
      call 0
    end
    global.get 0
    local.get 1
    i64.extend_i32_u
    i64.const 6
    i64.shr_u
    i64.sub
    global.set 0
    local.get 1
    memory.grow 2
    drop
    i64.const 0
    ref.null func
    i64.const 1
    local.set 2
    global.get 0
    local.get 2
    i64.const 1099511627776
    local.get 2
    i64.const 1099511627776
    i64.lt_u
    select
    i64.lt_u
    if ;; label = @1
      local.get 2
      i64.const 1099511627776
      local.get 2
      i64.const 1099511627776
      i64.lt_u
      select
      call 0
    end
    global.get 0
    local.get 2
    i64.const 1099511627776
    local.get 2
    i64.const 1099511627776
    i64.lt_u
    select
    i64.sub
    global.set 0
    local.get 2
    table.fill 0
  )
  (func (;2;) (type 2) (param i64 i32 i64)
    (local i64)
    local.get 2
    i64.const 262144
    i64.gt_u
    if ;; label = @1
      local.get 0
      local.get 2
      i64.add
      local.get 0
      i64.ge_u
      if ;; label = @2
        local.get 0
        local.get 2
        i64.add
        local.get 1
        i64.const 0
        memory.fill
        loop ;; label = @3
          local.get 0
          local.get 1
          i64.const 262144
          memory.fill
          local.get 0
          i64.const 262144
          i64.add
          local.set 0
          local.get 2
          i64.const 262144
          i64.sub
          local.set 2
          i64.const 0
          call 0
          local.get 2
          i64.const 262144
          i64.gt_u
          br_if 0 (;@3;)
        end
      end
    end
    local.get 0
    local.get 1
    local.get 2
    memory.fill
  )
)

