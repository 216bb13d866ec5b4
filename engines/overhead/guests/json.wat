;; Kernel `json`: a scanner that goes through text byte by byte, as parsers of text formats do. The text is 64 KiB of
;; four JSON objects in pseudo-random order, made at the first call. A round scans it: strings with escapes, numbers,
;; nesting, literals. The result hangs on every token.
(module
  (memory (export "memory") 2)
  ;; Four pieces of 64 bytes each.
  (data (i32.const 0x10000)
    "{\"id\":174,\"name\":\"a \\\"quoted\\\" name\",\"tags\":[\"x\",\"yy\"]},        "
    "{\"price\":19.95,\"open\":true,\"note\":null,\"path\":\"C:\\\\temp\"},      "
    "[[1,2,3],[40,50,60],[700,800,900],{\"deep\":[[[[0]]]]}],          "
    "{\"text\":\"forty-eight plain bytes without one escape..\"},        ")
  (global $made (mut i32) (i32.const 0))

  (func $make
    (local $at i32) (local $x i32) (local $piece i32) (local $byte i32)
    (local.set $x (i32.const 0x2545f491))
    (loop $next
      (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 13))))
      (local.set $x (i32.xor (local.get $x) (i32.shr_u (local.get $x) (i32.const 17))))
      (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 5))))
      (local.set $piece
        (i32.add (i32.const 0x10000) (i32.and (i32.shr_u (local.get $x) (i32.const 5)) (i32.const 0xc0))))
      (local.set $byte (i32.const 0))
      (loop $copy
        (i32.store8 (i32.add (local.get $at) (local.get $byte))
          (i32.load8_u (i32.add (local.get $piece) (local.get $byte))))
        (br_if $copy (i32.lt_u (local.tee $byte (i32.add (local.get $byte) (i32.const 1))) (i32.const 64))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 64))) (i32.const 0x10000))))
    (global.set $made (i32.const 1)))

  ;; What stands behind the string that begins at $at - 1; $hash is taken further by its bytes.
  (func $string (param $at i32) (param $hash i32) (result i32 i32)
    (local $c i32)
    (loop $next
      (local.set $c (i32.load8_u (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (if (i32.eq (local.get $c) (i32.const 34)) (then (return (local.get $at) (local.get $hash))))
      (if (i32.eq (local.get $c) (i32.const 92))
        (then
          (local.set $c (i32.load8_u (local.get $at)))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))))
      (local.set $hash (i32.xor (i32.mul (local.get $hash) (i32.const 16777619)) (local.get $c)))
      (br $next))
    (unreachable))

  (func $scan (param $hash i32) (result i32)
    (local $at i32) (local $c i32) (local $depth i32) (local $number i32)
    (loop $next
      (block $done
        (br_if $done (i32.ge_u (local.get $at) (i32.const 0x10000)))
        (local.set $c (i32.load8_u (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $next (i32.eq (local.get $c) (i32.const 32)))
        (if (i32.eq (local.get $c) (i32.const 34))
          (then
            (call $string (local.get $at) (local.get $hash))
            (local.set $hash)
            (local.set $at)
            (br $next)))
        ;; A number: its digits, with what a point in it separates taken as two.
        (if (i32.lt_u (i32.sub (local.get $c) (i32.const 48)) (i32.const 10))
          (then
            (local.set $number (i32.const 0))
            (loop $digit
              (local.set $number
                (i32.add (i32.mul (local.get $number) (i32.const 10)) (i32.sub (local.get $c) (i32.const 48))))
              (local.set $c (i32.load8_u (local.get $at)))
              (if (i32.lt_u (i32.sub (local.get $c) (i32.const 48)) (i32.const 10))
                (then
                  (local.set $at (i32.add (local.get $at) (i32.const 1)))
                  (br $digit))))
            (local.set $hash (i32.add (i32.rotl (local.get $hash) (i32.const 5)) (local.get $number)))
            (br $next)))
        ;; `[` and `{`, `]` and `}` differ in one bit each.
        (if (i32.eq (i32.or (local.get $c) (i32.const 32)) (i32.const 123))
          (then (local.set $depth (i32.add (local.get $depth) (i32.const 1))) (br $next)))
        (if (i32.eq (i32.or (local.get $c) (i32.const 32)) (i32.const 125))
          (then
            (local.set $depth (i32.sub (local.get $depth) (i32.const 1)))
            (if (i32.lt_s (local.get $depth) (i32.const 0)) (then (unreachable)))
            (br $next)))
        (local.set $hash
          (i32.xor (i32.mul (local.get $hash) (i32.const 31)) (i32.add (local.get $c) (local.get $depth))))
        (br $next)))
    ;; All that was opened was closed.
    (if (local.get $depth) (then (unreachable)))
    (local.get $hash))

  (func (export "k_json") (param $n i32) (result i32)
    (local $hash i32)
    (if (i32.eqz (global.get $made)) (then (call $make)))
    (loop $round
      (if (i32.eqz (local.get $n)) (then (return (local.get $hash))))
      (local.set $hash (call $scan (local.get $hash)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $round))
    (unreachable)))
