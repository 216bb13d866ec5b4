;; Tries: to wait for a pipe that never closes: it reads standard input until its end.
;; Must happen: with an open, silent pipe Stopped(deadline), although the guest sits in a host call; with an
;; endless one Stopped(fuel) or Stopped(deadline). With input that ends: completed, the result is its length.
;; Exports: run: () -> i32, bytes read, or -1 when reading failed; one: () -> i32, one read of at most a byte.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  ;; at 0: one iovec of 64 KiB at 65536; at 8: one iovec of one byte at 65536; at 16: bytes read
  (data (i32.const 0) "\00\00\01\00\00\00\01\00" "\00\00\01\00\01\00\00\00")
  (func (export "run") (result i32) (local $total i32)
    (loop $again
      (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16))
        (then (return (i32.const -1))))
      (local.set $total (i32.add (local.get $total) (i32.load (i32.const 16))))
      (br_if $again (i32.load (i32.const 16))))
    (local.get $total))
  (func (export "one") (result i32)
    (if (result i32) (call $fd_read (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 16))
      (then (i32.const -1))
      (else (i32.load (i32.const 16))))))
