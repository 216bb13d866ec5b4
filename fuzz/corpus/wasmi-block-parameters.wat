(module
  (func (export "if") (param i32 i32) (result i32 i32)
    local.get 1
    i32.const 9
    local.get 0
    if (param i32) (result i32)
      i32.const 5
      local.set 1
    end)
  (func (export "block") (param i32) (result i32 i32) (local i32)
    local.get 1
    i32.const 5
    block (param i32) (result i32)
      local.get 0
      br_if 0
      i32.const 9
      local.set 1
    end)
  (func (export "loop") (param i32) (result i32) (local i32)
    i32.const 40
    local.get 1
    i32.const 1
    loop (param i32) (result i32)
      local.tee 1
      i32.const 1
      local.get 0
      i32.const 1
      i32.add
      local.tee 0
      i32.const 3
      i32.lt_u
      br_if 0
      drop
    end
    drop
    i32.add))
