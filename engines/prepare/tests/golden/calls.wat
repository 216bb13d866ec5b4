;; A segment ends at each call. The stack counter is written before it, the copy of the fuel counter is read
;; anew after it, unless nothing is charged any more. Segments that may reach the host are checked.
(module
  (import "env" "host" (func $host (param i32)))
  (type $t (func (param i32 i32 i32) (result i32)))
  (table 1 funcref)
  (func $inner (result i32)
    i32.const 1)
  (func $guest
    call $inner
    call $inner
    i32.add
    drop
    call $inner
    drop)
  (func $reaches_host
    i32.const 1
    call $host)
  (func $indirect (result i32)
    i32.const 1
    i32.const 2
    i32.const 3
    i32.const 0
    call_indirect (type $t))
  (func $in_a_branch (param i32)
    local.get 0
    if
      call $guest
    end
    local.get 0
    drop))
