;; Where an exception is caught, the copy of the fuel counter is stale: the thrower has counted on.
(module
  (tag $e (param i32))
  (func $thrower
    i32.const 1
    throw $e)
  (func $catcher (result i32)
    block $caught (result i32)
      try_table (catch $e $caught)
        call $thrower
      end
      i32.const 0
    end)
  (func $retries
    loop $again
      try_table (catch_all $again)
        call $thrower
      end
    end))
