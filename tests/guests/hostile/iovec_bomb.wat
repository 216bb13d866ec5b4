;; Tries: to make the host gather 64 GiB in one call: 65,536 iovecs that all name the same mebibyte. (The memory
;; is 25 pages: one mebibyte of data and the list.)
;; Must happen: the host never allocates for the sum. `run` (fd_write to standard output) writes at most what
;; the output cap allows, or answers a non-zero errno, or ends with Stopped(output), Stopped(fuel) or
;; Stopped(deadline). `read` (fd_read of standard input into the same iovecs) reads at most what there is.
;; `overflow`: eight iovecs of 2 GiB - 1 at address 0 answer a non-zero errno, because each is out of bounds.
;; Exports: run, read, overflow: () -> i32, errno; written: () -> i32, bytes that the last call reported.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 25)
  (func $fill_list (param $len i32) (local $at i32)
    (local.set $at (i32.const 1048576))
    (loop $again
      (i32.store (local.get $at) (i32.const 0))
      (i32.store offset=4 (local.get $at) (local.get $len))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $again (i32.lt_u (local.get $at) (i32.const 1572864)))))
  (func (export "run") (result i32)
    (call $fill_list (i32.const 1048576))
    (call $fd_write (i32.const 1) (i32.const 1048576) (i32.const 65536) (i32.const 1600000)))
  (func (export "read") (result i32)
    (call $fill_list (i32.const 1048576))
    (call $fd_read (i32.const 0) (i32.const 1048576) (i32.const 65536) (i32.const 1600000)))
  (func (export "overflow") (result i32)
    (call $fill_list (i32.const 0x7FFFFFFF))
    (call $fd_write (i32.const 1) (i32.const 1048576) (i32.const 8) (i32.const 1600000)))
  (func (export "written") (result i32)
    (i32.load (i32.const 1600000))))
