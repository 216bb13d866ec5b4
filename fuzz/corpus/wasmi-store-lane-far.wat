(module (memory (export "m") 4)
  (func (export "f") (param v128)
    i32.const 0
    local.get 0
    v128.store8_lane offset=254063 9))
