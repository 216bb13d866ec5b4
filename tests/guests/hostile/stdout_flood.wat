;; Tries: to flood the host: 64 KiB of `x` to standard output (or error) for as long as the host lets it.
;; Must happen: captured: Stopped(output) at the cap, with exactly as many bytes kept as the cap says; streamed:
;; Stopped(output), Stopped(fuel) or Stopped(deadline), whichever limit is the smallest, also when nobody reads
;; the other end of the pipe. A failing write (errno) does not end the loop either.
;; Exports: run: () -> (), standard output; run_stderr: () -> (); run_lines: () -> (), lines of one byte each.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  ;; at 0: one iovec of 64 KiB at 65536; at 8: one iovec "\n" of one byte at 24; at 16: bytes written
  (data (i32.const 0) "\00\00\01\00\00\00\01\00" "\18\00\00\00\01\00\00\00" "\00\00\00\00\00\00\00\00" "\n")
  (func $fill (local $at i32)
    (local.set $at (i32.const 65536))
    (loop $again
      (i64.store (local.get $at) (i64.const 0x7878787878787878))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $again (i32.lt_u (local.get $at) (i32.const 131072)))))
  (func $flood (param $fd i32) (param $iovec i32)
    (call $fill)
    (loop $again
      (drop (call $fd_write (local.get $fd) (local.get $iovec) (i32.const 1) (i32.const 16)))
      (br $again)))
  (func (export "run") (export "_start") (call $flood (i32.const 1) (i32.const 0)))
  (func (export "run_stderr") (call $flood (i32.const 2) (i32.const 0)))
  (func (export "run_lines") (call $flood (i32.const 1) (i32.const 8))))
