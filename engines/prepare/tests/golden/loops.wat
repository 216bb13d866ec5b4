;; Every loop header is checked, also one whose first segment is empty: otherwise the outer loop of the last
;; function could run for ever.
(module
  (func (param i32)
    loop $l
      local.get 0
      i32.const 1
      i32.sub
      local.tee 0
      br_if $l
    end)
  (func
    loop $outer
      loop $inner
        br $outer
      end
    end)
  (func
    loop $l
      block $caught
        try_table (catch_all $caught)
        end
      end
      br $l
    end))
