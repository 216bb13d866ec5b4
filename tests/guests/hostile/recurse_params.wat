;; Tries: to run off the host's stack through arguments: every call passes 100 i64 parameters, most of them on
;; the stack. (1,000 parameters are made by the test's generator; see README.md.)
;; Must happen: Stopped(stack); with little fuel Stopped(fuel).
;; Exports: run: () -> ().
(module
  (func $deeper
    (param
      i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64
      i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64
      i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64
      i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
    (result i64)
    (i64.add (i64.const 1) (call $deeper
      (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5) (local.get 6) (local.get 7)
      (local.get 8) (local.get 9) (local.get 10) (local.get 11) (local.get 12) (local.get 13) (local.get 14)
      (local.get 15) (local.get 16) (local.get 17) (local.get 18) (local.get 19) (local.get 20)
      (local.get 21) (local.get 22) (local.get 23) (local.get 24) (local.get 25) (local.get 26)
      (local.get 27) (local.get 28) (local.get 29) (local.get 30) (local.get 31) (local.get 32)
      (local.get 33) (local.get 34) (local.get 35) (local.get 36) (local.get 37) (local.get 38)
      (local.get 39) (local.get 40) (local.get 41) (local.get 42) (local.get 43) (local.get 44)
      (local.get 45) (local.get 46) (local.get 47) (local.get 48) (local.get 49) (local.get 50)
      (local.get 51) (local.get 52) (local.get 53) (local.get 54) (local.get 55) (local.get 56)
      (local.get 57) (local.get 58) (local.get 59) (local.get 60) (local.get 61) (local.get 62)
      (local.get 63) (local.get 64) (local.get 65) (local.get 66) (local.get 67) (local.get 68)
      (local.get 69) (local.get 70) (local.get 71) (local.get 72) (local.get 73) (local.get 74)
      (local.get 75) (local.get 76) (local.get 77) (local.get 78) (local.get 79) (local.get 80)
      (local.get 81) (local.get 82) (local.get 83) (local.get 84) (local.get 85) (local.get 86)
      (local.get 87) (local.get 88) (local.get 89) (local.get 90) (local.get 91) (local.get 92)
      (local.get 93) (local.get 94) (local.get 95) (local.get 96) (local.get 97) (local.get 98)
      (local.get 99) (i64.add (local.get 0) (i64.const 1)))))
  (func (export "run") (export "_start") (drop (call $deeper
    (i64.const 0) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6)
    (i64.const 7) (i64.const 8) (i64.const 9) (i64.const 10) (i64.const 11) (i64.const 12) (i64.const 13)
    (i64.const 14) (i64.const 15) (i64.const 16) (i64.const 17) (i64.const 18) (i64.const 19) (i64.const 20)
    (i64.const 21) (i64.const 22) (i64.const 23) (i64.const 24) (i64.const 25) (i64.const 26) (i64.const 27)
    (i64.const 28) (i64.const 29) (i64.const 30) (i64.const 31) (i64.const 32) (i64.const 33) (i64.const 34)
    (i64.const 35) (i64.const 36) (i64.const 37) (i64.const 38) (i64.const 39) (i64.const 40) (i64.const 41)
    (i64.const 42) (i64.const 43) (i64.const 44) (i64.const 45) (i64.const 46) (i64.const 47) (i64.const 48)
    (i64.const 49) (i64.const 50) (i64.const 51) (i64.const 52) (i64.const 53) (i64.const 54) (i64.const 55)
    (i64.const 56) (i64.const 57) (i64.const 58) (i64.const 59) (i64.const 60) (i64.const 61) (i64.const 62)
    (i64.const 63) (i64.const 64) (i64.const 65) (i64.const 66) (i64.const 67) (i64.const 68) (i64.const 69)
    (i64.const 70) (i64.const 71) (i64.const 72) (i64.const 73) (i64.const 74) (i64.const 75) (i64.const 76)
    (i64.const 77) (i64.const 78) (i64.const 79) (i64.const 80) (i64.const 81) (i64.const 82) (i64.const 83)
    (i64.const 84) (i64.const 85) (i64.const 86) (i64.const 87) (i64.const 88) (i64.const 89) (i64.const 90)
    (i64.const 91) (i64.const 92) (i64.const 93) (i64.const 94) (i64.const 95) (i64.const 96) (i64.const 97)
    (i64.const 98) (i64.const 99)))))
