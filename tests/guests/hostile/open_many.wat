;; Tries: to use up the host's file descriptors by opening the same file again and again without closing it.
;; Must happen: Completed: the result is how many it got before path_open failed, at most the runtime's cap on
;; open files of a guest, or 100,000 when nothing stops it (which is wrong). The last errno is not 0. All are
;; closed when the guest is dropped, and other guests can still open files meanwhile.
;; Needs a directory as descriptor 3 with `file` in it. A guest that may not open `file` at all gets 0.
;; Exports: run: () -> i32, files opened; errno: () -> i32, the last errno.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "file")
  (func (export "run") (result i32) (local $count i32) (local $errno i32)
    (loop $again
      (local.set $errno (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 0)
        (i64.const 0x26) (i64.const 0) (i32.const 0) (i32.const 16)))
      (i32.store (i32.const 24) (local.get $errno))
      (if (i32.eqz (local.get $errno))
        (then (local.set $count (i32.add (local.get $count) (i32.const 1)))))
      (br_if $again
        (i32.and (i32.eqz (local.get $errno)) (i32.lt_u (local.get $count) (i32.const 100000)))))
    (local.get $count))
  (func (export "errno") (result i32) (i32.load (i32.const 24))))
