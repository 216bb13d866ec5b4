;; The tick comes last among the imported functions and the counters last among the imported globals;
;; everything that names a later one follows. Names and other custom sections go.
(module $name
  (import "env" "f" (func $f (param i64)))
  (import "env" "g" (global $g i32))
  (import "env" "m" (memory 1))
  (import "env" "t" (tag $t))
  (table $table 10 funcref)
  (global $own (mut i32) (global.get $g))
  (global $ref funcref (ref.func $own))
  (elem (table $table) (global.get $g) func $f $own)
  (elem declare funcref (ref.func $own) (ref.null func))
  (data (global.get $g) "data")
  (func $own (export "own") (result i32)
    ref.func $own
    drop
    global.get $own
    global.set $own
    global.get $g)
  (export "f" (func $f))
  (export "global" (global $own))
  (@custom "note" "text"))
