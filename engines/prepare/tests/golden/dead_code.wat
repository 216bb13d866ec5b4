;; What cannot be reached is not charged.
(module
  (func (result i32)
    i32.const 1
    return
    i32.const 2
    i32.const 3
    i32.add)
  (func
    block $b
      br $b
      i32.const 1
      drop
      loop
        i32.const 2
        drop
      end
    end
    unreachable
    i32.const 3
    if
    else
    end))
