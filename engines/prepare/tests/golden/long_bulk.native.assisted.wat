;; native fuel
;; defined function 0: entry 1, stack weight 176
;; defined function 1: entry 1, stack weight 176
(module
  (type (;0;) (func (param i32 i32 i32)))
  (type (;1;) (func (param i64 i32 i32)))
  (type (;2;) (func (param i64)))
  (type (;3;) (func (param i32 i32 i32)))
  (type (;4;) (func (param i32 i32 i32)))
  (type (;5;) (func (param i32 i32 i32)))
  (type (;6;) (func (param i32 i32 i32)))
  (type (;7;) (func (param i64 i32 i32)))
  (import "cofferdam:meter" "tick" (func (;0;) (type 2)))
  (import "cofferdam:meter" "fuel" (global (;0;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;1;) (mut i32)))
  (memory (;0;) 1)
  (memory (;1;) 1)
  (memory (;2;) i64 1)
  (func (;1;) (type 0) (param i32 i32 i32)
    (local i32 i32)
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
    local.get 0
    local.get 1
    local.get 2
    local.set 4
    global.get 0
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.lt_u
    if ;; label = @1
      local.get 4
      i64.extend_i32_u
      i64.const 3
      i64.shr_u
      call 0
    end
    global.get 0
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    global.set 0
    local.get 4
    call 3
    local.get 0
    local.get 1
    local.get 2
    local.set 4
    global.get 0
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.lt_u
    if ;; label = @1
      local.get 4
      i64.extend_i32_u
      i64.const 3
      i64.shr_u
      call 0
    end
    global.get 0
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    global.set 0
    local.get 4
    call 4
    local.get 0
    local.get 1
    i32.const 262145
    local.set 4
    global.get 0
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.lt_u
    if ;; label = @1
      local.get 4
      i64.extend_i32_u
      i64.const 3
      i64.shr_u
      call 0
    end
    global.get 0
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    global.set 0
    local.get 4
    call 5
    local.get 0
    local.get 1
    local.get 2
    local.set 4
    global.get 0
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.lt_u
    if ;; label = @1
      local.get 4
      i64.extend_i32_u
      i64.const 3
      i64.shr_u
      call 0
    end
    global.get 0
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    global.set 0
    local.get 4
    call 6
    local.get 0
    local.get 1
    i32.const 262144
    local.set 4
    global.get 0
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.lt_u
    if ;; label = @1
      local.get 4
      i64.extend_i32_u
      i64.const 3
      i64.shr_u
      call 0
    end
    global.get 0
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    global.set 0
    local.get 4
    memory.fill
  )
  (func (;2;) (type 1) (param i64 i32 i32)
    (local i32 i32)
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
    local.get 0
    local.get 1
    local.get 2
    local.set 4
    global.get 0
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.lt_u
    if ;; label = @1
      local.get 4
      i64.extend_i32_u
      i64.const 3
      i64.shr_u
      call 0
    end
    global.get 0
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    global.set 0
    local.get 4
    call 7
    local.get 0
    local.get 1
    local.get 2
    local.set 4
    global.get 0
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.lt_u
    if ;; label = @1
      local.get 4
      i64.extend_i32_u
      i64.const 3
      i64.shr_u
      call 0
    end
    global.get 0
    local.get 4
    i64.extend_i32_u
    i64.const 3
    i64.shr_u
    i64.sub
    global.set 0
    local.get 4
    memory.copy 2 0
  )
  (func (;3;) (type 3) (param i32 i32 i32)
    (local i32)
    local.get 2
    i32.const 262144
    i32.gt_u
    if ;; label = @1
      local.get 0
      local.get 2
      i32.add
      local.get 0
      i32.ge_u
      if ;; label = @2
        local.get 0
        local.get 2
        i32.add
        local.get 1
        i32.const 0
        memory.fill
        loop ;; label = @3
          local.get 0
          local.get 1
          i32.const 262144
          memory.fill
          local.get 0
          i32.const 262144
          i32.add
          local.set 0
          local.get 2
          i32.const 262144
          i32.sub
          local.set 2
          i64.const 0
          call 0
          local.get 2
          i32.const 262144
          i32.gt_u
          br_if 0 (;@3;)
        end
      end
    end
    local.get 0
    local.get 1
    local.get 2
    memory.fill
  )
  (func (;4;) (type 4) (param i32 i32 i32)
    (local i32)
    local.get 2
    i32.const 262144
    i32.gt_u
    if ;; label = @1
      local.get 0
      local.get 2
      i32.add
      local.get 0
      i32.ge_u
      local.get 1
      local.get 2
      i32.add
      local.get 1
      i32.ge_u
      i32.and
      if ;; label = @2
        local.get 0
        local.get 2
        i32.add
        local.get 1
        local.get 2
        i32.add
        i32.const 0
        memory.copy
        local.get 0
        local.get 1
        i32.gt_u
        if ;; label = @3
          local.get 2
          i32.const 1
          i32.sub
          i32.const 262143
          i32.and
          i32.const 1
          i32.add
          local.set 3
          loop ;; label = @4
            local.get 2
            local.get 3
            i32.sub
            local.set 2
            local.get 0
            local.get 2
            i32.add
            local.get 1
            local.get 2
            i32.add
            local.get 3
            memory.copy
            i32.const 262144
            local.set 3
            i64.const 0
            call 0
            local.get 2
            i32.const 262144
            i32.gt_u
            br_if 0 (;@4;)
          end
        else
          loop ;; label = @4
            local.get 0
            local.get 1
            i32.const 262144
            memory.copy
            local.get 0
            i32.const 262144
            i32.add
            local.set 0
            local.get 1
            i32.const 262144
            i32.add
            local.set 1
            local.get 2
            i32.const 262144
            i32.sub
            local.set 2
            i64.const 0
            call 0
            local.get 2
            i32.const 262144
            i32.gt_u
            br_if 0 (;@4;)
          end
        end
      end
    end
    local.get 0
    local.get 1
    local.get 2
    memory.copy
  )
  (func (;5;) (type 5) (param i32 i32 i32)
    (local i32)
    local.get 2
    i32.const 262144
    i32.gt_u
    if ;; label = @1
      local.get 0
      local.get 2
      i32.add
      local.get 0
      i32.ge_u
      local.get 1
      local.get 2
      i32.add
      local.get 1
      i32.ge_u
      i32.and
      if ;; label = @2
        local.get 0
        local.get 2
        i32.add
        local.get 1
        local.get 2
        i32.add
        i32.const 0
        memory.copy 1 0
        local.get 0
        local.get 1
        i32.gt_u
        if ;; label = @3
          local.get 2
          i32.const 1
          i32.sub
          i32.const 262143
          i32.and
          i32.const 1
          i32.add
          local.set 3
          loop ;; label = @4
            local.get 2
            local.get 3
            i32.sub
            local.set 2
            local.get 0
            local.get 2
            i32.add
            local.get 1
            local.get 2
            i32.add
            local.get 3
            memory.copy 1 0
            i32.const 262144
            local.set 3
            i64.const 0
            call 0
            local.get 2
            i32.const 262144
            i32.gt_u
            br_if 0 (;@4;)
          end
        else
          loop ;; label = @4
            local.get 0
            local.get 1
            i32.const 262144
            memory.copy 1 0
            local.get 0
            i32.const 262144
            i32.add
            local.set 0
            local.get 1
            i32.const 262144
            i32.add
            local.set 1
            local.get 2
            i32.const 262144
            i32.sub
            local.set 2
            i64.const 0
            call 0
            local.get 2
            i32.const 262144
            i32.gt_u
            br_if 0 (;@4;)
          end
        end
      end
    end
    local.get 0
    local.get 1
    local.get 2
    memory.copy 1 0
  )
  (func (;6;) (type 6) (param i32 i32 i32)
    (local i32)
    local.get 2
    i32.const 262144
    i32.gt_u
    if ;; label = @1
      local.get 0
      local.get 2
      i32.add
      local.get 0
      i32.ge_u
      local.get 1
      local.get 2
      i32.add
      local.get 1
      i32.ge_u
      i32.and
      if ;; label = @2
        local.get 0
        local.get 2
        i32.add
        local.get 1
        local.get 2
        i32.add
        i32.const 0
        memory.init 0
        loop ;; label = @3
          local.get 0
          local.get 1
          i32.const 262144
          memory.init 0
          local.get 0
          i32.const 262144
          i32.add
          local.set 0
          local.get 1
          i32.const 262144
          i32.add
          local.set 1
          local.get 2
          i32.const 262144
          i32.sub
          local.set 2
          i64.const 0
          call 0
          local.get 2
          i32.const 262144
          i32.gt_u
          br_if 0 (;@3;)
        end
      end
    end
    local.get 0
    local.get 1
    local.get 2
    memory.init 0
  )
  (func (;7;) (type 7) (param i64 i32 i32)
    (local i32)
    local.get 2
    i32.const 262144
    i32.gt_u
    if ;; label = @1
      local.get 0
      local.get 2
      i64.extend_i32_u
      i64.add
      local.get 0
      i64.ge_u
      local.get 1
      local.get 2
      i32.add
      local.get 1
      i32.ge_u
      i32.and
      if ;; label = @2
        local.get 0
        local.get 2
        i64.extend_i32_u
        i64.add
        local.get 1
        local.get 2
        i32.add
        i32.const 0
        memory.init 2 0
        loop ;; label = @3
          local.get 0
          local.get 1
          i32.const 262144
          memory.init 2 0
          local.get 0
          i32.const 262144
          i64.extend_i32_u
          i64.add
          local.set 0
          local.get 1
          i32.const 262144
          i32.add
          local.set 1
          local.get 2
          i32.const 262144
          i32.sub
          local.set 2
          i64.const 0
          call 0
          local.get 2
          i32.const 262144
          i32.gt_u
          br_if 0 (;@3;)
        end
      end
    end
    local.get 0
    local.get 1
    local.get 2
    memory.init 2 0
  )
  (data (;0;) "data")
)

