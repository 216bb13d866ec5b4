;; native fuel
;; defined function 0: entry 1, stack weight 80
;; defined function 1: entry 1, stack weight 112
;; defined function 2: entry 1, stack weight 96
;; defined function 3: entry 1, stack weight 176
;; defined function 4: entry 1, stack weight 96
(module
  (type (;0;) (func (param i32 i32 i32) (result i32)))
  (type (;1;) (func (param i32)))
  (type (;2;) (func (result i32)))
  (type (;3;) (func))
  (type (;4;) (func (param i64)))
  (import "env" "host" (func (;0;) (type 1)))
  (import "cofferdam:meter" "tick" (func (;1;) (type 4)))
  (import "cofferdam:meter" "fuel" (global (;0;) (mut i64)))
  (import "cofferdam:meter" "stack" (global (;1;) (mut i32)))
  (table (;0;) 1 funcref)
  (func (;2;) (type 2) (result i32)
    (local i32)
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
    i32.const 1
  )
  (func (;3;) (type 3)
    (local i32)
    global.get 1
    i32.const 112
    i32.sub
    local.tee 0
    i32.const 0
    i32.lt_s
    if ;; label = @1
      i64.const -1
      call 1
      unreachable
    end
    local.get 0
    global.set 1
    call 2
    local.get 0
    global.set 1
    call 2
    i32.add
    drop
    local.get 0
    global.set 1
    call 2
    drop
  )
  (func (;4;) (type 3)
    (local i32)
    global.get 1
    i32.const 96
    i32.sub
    local.tee 0
    i32.const 0
    i32.lt_s
    if ;; label = @1
      i64.const -1
      call 1
      unreachable
    end
    i32.const 1
    local.get 0
    global.set 1
    call 0
  )
  (func (;5;) (type 2) (result i32)
    (local i32)
    global.get 1
    i32.const 176
    i32.sub
    local.tee 0
    i32.const 0
    i32.lt_s
    if ;; label = @1
      i64.const -1
      call 1
      unreachable
    end
    i32.const 1
    i32.const 2
    i32.const 3
    i32.const 0
    local.get 0
    global.set 1
    call_indirect (type 0)
  )
  (func (;6;) (type 1) (param i32)
    (local i32)
    global.get 1
    i32.const 96
    i32.sub
    local.tee 1
    i32.const 0
    i32.lt_s
    if ;; label = @1
      i64.const -1
      call 1
      unreachable
    end
    local.get 0
    if ;; label = @1
      local.get 1
      global.set 1
      call 3
    end
    local.get 0
    drop
  )
)

