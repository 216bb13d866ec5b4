;; Tries: to call host functions that read and write memory, having none to offer: its memory is not exported,
;; and under the name `memory` stands a global.
;; Must happen: each call answers a non-zero errno (21, fault), or the module is refused for it; never a host
;; fault.
;; Exports: run: () -> i32, errno of fd_write; random: () -> i32, errno of random_get.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory $hidden 1)
  (global (export "memory") i32 (i32.const 1))
  (func (export "run") (result i32)
    (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
  (func (export "random") (result i32)
    (call $random_get (i32.const 0) (i32.const 16))))
