(module
  (type (func (param v128) (result f64 funcref)))
  (memory 4 6)
  (func (export "2") (type 0) (local f64 i32 i64 i64 i32)
    i32.const 0
    block (result v128)
      f64.const 0
      i32.const 0
      i32.const 0
      v128.load32_splat offset=119878 align=2
      v128.store8_lane offset=254063 9
      v128.const i32x4 0 0 0 0
      drop
      drop
      i64.const 0
      unreachable
    end
    i32.const 0
    unreachable
    drop))
