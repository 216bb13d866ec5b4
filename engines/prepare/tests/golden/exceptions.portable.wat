;; portable fuel
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
    (local i32 i64)
    global.get 1
    i32.const 80
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
    i64.const 514
    i64.sub
    local.tee 1
    global.set 0
    local.get 1
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 1
    end
    i32.const 1
    throw 0
  )
  (func (;2;) (type 2) (result i32)
    (local i32 i64)
    global.get 1
    i32.const 80
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
    i64.const 2
    i64.sub
    local.tee 1
    global.set 0
    local.get 1
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 1
    end
    block (result i32) ;; label = @1
      try_table (catch 0 0 (;@1;)) ;; label = @2
        local.get 0
        global.set 1
        call 1
        global.get 0
        i64.const 1
        i64.sub
        local.tee 1
        global.set 0
      end
      i32.const 0
    end
  )
  (func (;3;) (type 1)
    (local i32 i64)
    global.get 1
    i32.const 64
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
    i64.const 1
    i64.sub
    local.tee 1
    global.set 0
    local.get 1
    i64.const 0
    i64.lt_s
    if ;; label = @1
      i64.const 0
      call 0
      global.get 0
      local.set 1
    end
    loop ;; label = @1
      global.get 0
      i64.const 1
      i64.sub
      local.tee 1
      global.set 0
      local.get 1
      i64.const 0
      i64.lt_s
      if ;; label = @2
        i64.const 0
        call 0
        global.get 0
        local.set 1
      end
      try_table (catch_all 0 (;@1;)) ;; label = @2
        local.get 0
        global.set 1
        call 1
      end
    end
  )
)

