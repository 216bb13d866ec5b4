;; A function that calls nothing: stack check, one charge with the entry price (1, and 2 for 17 locals),
;; and no write of the stack counter.
(module
  (func (export "f") (param i32) (result i32) (local i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 i64 i64 i64 i64 i64 i64)
    local.get 0
    i32.const 7
    i32.div_u))
