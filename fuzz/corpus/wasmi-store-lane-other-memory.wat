(module (memory (export "m") 2) (memory (export "n") 1)
  (func (export "f") (param v128)
    i32.const 4
    local.get 0
    v128.store16_lane 1 offset=8 5))
