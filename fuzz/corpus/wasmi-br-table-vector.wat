(module (func (export "f") (param i32) (result v128)
  block (result v128)
    f64.const 0
    i32.const 0
    v128.const i32x4 1 2 3 4
    local.get 0
    br_table 0 1 0
  end))
