(module
  (type $number (func (result i32)))
  (table $t 4 funcref)
  (elem declare func $secret)
  (func $secret (result i32)
    i32.const 1)
  (func $nop)
  (func $leave (param i64) (result i64) (local i64 i64 i64 i64 i64 i64 i64 i64)
    (local.set 1 (local.get 0))
    (local.set 2 (local.get 0))
    (local.set 3 (local.get 0))
    (local.set 4 (local.get 0))
    (local.set 5 (local.get 0))
    (local.set 6 (local.get 0))
    (local.set 7 (local.get 0))
    (local.set 8 (local.get 0))
    call $nop
    (i64.add (local.get 1) (local.get 8)))
  (func $forge (param $always i32) (result funcref) (local $f funcref)
    local.get $f
    i32.const 5
    block (param i32) (result i32)
      local.get $always
      br_if 0
      ref.func $secret
      local.set $f
    end
    drop)
  (func (export "is-null") (result i32)
    (drop (call $leave (i64.const 2)))
    (ref.is_null (call $forge (i32.const 1))))
  (func (export "call") (result i32)
    (drop (call $leave (i64.const 2)))
    (table.set $t (i32.const 0) (call $forge (i32.const 1)))
    (call_indirect $t (type $number) (i32.const 0))))
