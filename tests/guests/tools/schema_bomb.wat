;; Tries: to keep whoever compares arguments with its schema busy for ever: eight levels of references, each
;; followed eight times, hold sixteen million steps in less than two kilobytes.
;; Must happen: no tool is made of it; the schema is refused for its cost.
(module (memory (export "memory") 1)
  (data (i32.const 0) "{\"$ref\":\"#/$defs/0\",\"$defs\":{")
  (data (i32.const 8192) "\"N\":{\"allOf\":[")
  (data (i32.const 8256) "{\"$ref\":\"#/$defs/N\"}")
  (func $copy (param $to i32) (param $from i32) (param $len i32) (result i32)
    (memory.copy (local.get $to) (local.get $from) (local.get $len))
    (i32.add (local.get $to) (local.get $len)))
  (func (export "__tool_schema") (result i32 i32) (local $at i32) (local $level i32) (local $n i32)
    (local.set $at (i32.const 29))
    (loop $levels
      (i32.store8 (i32.const 8193) (i32.add (i32.const 48) (local.get $level)))
      (local.set $at (call $copy (local.get $at) (i32.const 8192) (i32.const 14)))
      (i32.store8 (i32.const 8273) (i32.add (i32.const 49) (local.get $level)))
      (local.set $n (i32.const 8))
      (loop $refs
        (local.set $at (call $copy (local.get $at) (i32.const 8256) (i32.const 20)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (if (local.get $n) (then
          (i32.store8 (local.get $at) (i32.const 44))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $refs))))
      (i32.store (local.get $at) (i32.const 0x2c7d5d)) ;; `]},`
      (local.set $at (i32.add (local.get $at) (i32.const 3)))
      (local.set $level (i32.add (local.get $level) (i32.const 1)))
      (br_if $levels (i32.lt_u (local.get $level) (i32.const 8))))
    (i64.store (local.get $at) (i64.const 0x7d7d7d7b3a223822)) ;; `"8":{}}}`
    (i32.const 0) (i32.add (local.get $at) (i32.const 8)))
  (func (export "__tool_execute") (param i32 i32) (result i32 i32) (i32.const 0) (i32.const 2)))
