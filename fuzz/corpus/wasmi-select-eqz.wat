(module (func (export "f") (param f32) (local i32 i32 i32)
  i32.const 0
  i32.const 1
  i32.const 0
  local.get 3
  i32.eqz
  select
  i32.rem_u
  unreachable))
