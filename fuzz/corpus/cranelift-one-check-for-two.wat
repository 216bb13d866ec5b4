(module (table (export "t") 4 externref)
  (func (export "set") (param i32 externref)
    local.get 0
    local.get 1
    table.set 0
    local.get 0
    local.get 1
    table.set 0))
