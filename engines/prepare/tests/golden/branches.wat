;; Segments end at branches and at labels that something branches to, and nowhere else.
(module
  (func (param i32) (result i32)
    block $untargeted
      local.get 0
      drop
    end
    block $out
      local.get 0
      br_if $out
      i32.const 1
      drop
    end
    local.get 0
    if (result i32)
      i32.const 2
    else
      i32.const 3
      i32.const 4
      i32.add
    end)
  (func (param i32)
    block $a
      block $b
        local.get 0
        br_table $a $b $a
      end
      i32.const 1
      drop
    end
    i32.const 2
    drop))
