;; Tries: values that no specification knows, and numbers at the edge of what there is.
;; Setup: descriptor 3 is a read-write directory with `file` ("hello\n"); 0 has no input.
;; Must happen: bad_*: a non-zero errno (28, inval, unless a comment says otherwise; 52, nosys, where the host
;; does not implement the call). any_*: any errno, 0 included, and no harm: no panic, no trap, nothing of that
;; size allocated, and a file grows by no more than the guest wrote. ok_*: 0.
;; Exports: those below: () -> i32, errno.
(module
  (import "wasi_snapshot_preview1" "clock_res_get" (func $clock_res_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_advise" (func $fd_advise (param i32 i64 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_allocate" (func $fd_allocate (param i32 i64 i64) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_set_flags"
    (func $fd_fdstat_set_flags (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_set_size"
    (func $fd_filestat_set_size (param i32 i64) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pread" (func $fd_pread (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_dir_name"
    (func $fd_prestat_dir_name (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pwrite" (func $fd_pwrite (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir" (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_set_times"
    (func $path_filestat_set_times (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_readlink"
    (func $path_readlink (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_raise" (func $proc_raise (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
  (memory (export "memory") 1)
  ;; at 0: one iovec of 4 bytes at 128; 8: one of no bytes; 64: descriptor; 72: results; 256: stats
  (data (i32.const 0) "\80\00\00\00\04\00\00\00" "\80\00\00\00\00\00\00\00")
  (data (i32.const 1024) "file")
  (data (i32.const 1028) "link_in")
  ;; An earlier step of an attempt: whether it failed, with its errno kept at 1020.
  (func $failed (param $errno i32) (result i32)
    (i32.store (i32.const 1020) (local.get $errno))
    (local.get $errno))
  ;; Opens a path under descriptor 3, following links; the descriptor goes to 64.
  (func $open (param $path i32) (param $len i32) (param $oflags i32) (param $rights i64) (result i32)
    (call $path_open (i32.const 3) (i32.const 1) (local.get $path) (local.get $len) (local.get $oflags)
      (local.get $rights) (local.get $rights) (i32.const 0) (i32.const 64)))

  ;; clocks
  (func (export "ok_clock_realtime") (result i32)
    (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 72)))
  (func (export "ok_clock_monotonic") (result i32)
    (call $clock_time_get (i32.const 1) (i64.const 0xFFFFFFFFFFFFFFFF) (i32.const 72)))
  (func (export "bad_clock_time_get") (result i32)
    (call $clock_time_get (i32.const 99) (i64.const 0) (i32.const 72)))
  (func (export "bad_clock_time_get_negative") (result i32)
    (call $clock_time_get (i32.const 0xFFFFFFFF) (i64.const 0) (i32.const 72)))
  (func (export "bad_clock_res_get") (result i32) (call $clock_res_get (i32.const 99) (i32.const 72)))
  (func (export "any_clock_process_cpu") (result i32)
    (call $clock_time_get (i32.const 2) (i64.const 0) (i32.const 72)))

  ;; seeking
  (func (export "ok_seek_past_end") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_seek (i32.load (i32.const 64)) (i64.const 0x10000000000) (i32.const 0) (i32.const 72)))
  (func (export "bad_seek_whence") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_seek (i32.load (i32.const 64)) (i64.const 0) (i32.const 99) (i32.const 72)))
  (func (export "bad_seek_negative") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_seek (i32.load (i32.const 64)) (i64.const 0xFFFFFFFFFFFFFFFF) (i32.const 0) (i32.const 72)))
  (func (export "bad_seek_before_start") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_seek (i32.load (i32.const 64)) (i64.const 0x8000000000000000) (i32.const 1) (i32.const 72)))
  (func (export "any_seek_overflow") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_seek (i32.load (i32.const 64)) (i64.const 0x7FFFFFFFFFFFFFFF) (i32.const 2) (i32.const 72)))
  (func (export "bad_write_at_far_end") (result i32) ;; "file": 22 (fbig) or 28
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
      (then (return (i32.load (i32.const 1020)))))
    (if (call $failed (call $fd_seek (i32.load (i32.const 64)) (i64.const 0x7FFFFFFFFFFFFFFE) (i32.const 0)
      (i32.const 72)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_write (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 72)))
  (func (export "any_read_at_far_end") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
      (then (return (i32.load (i32.const 1020)))))
    (if (call $failed (call $fd_seek (i32.load (i32.const 64)) (i64.const 0x7FFFFFFFFFFFFFFE) (i32.const 0)
      (i32.const 72)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_read (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 72)))
  (func (export "any_pread_far") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_pread (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i64.const 0xFFFFFFFFFFFFFFFF)
      (i32.const 72)))
  (func (export "bad_pwrite_far") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_pwrite (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i64.const 0xFFFFFFFFFFFFFFFF)
      (i32.const 72)))

  ;; sizes
  (func (export "bad_allocate_far") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_allocate (i32.load (i32.const 64)) (i64.const 0x7FFFFFFFFFFFFFFF) (i64.const 0x7FFFFFFFFFFFFFFF)))
  (func (export "bad_set_size_far") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_filestat_set_size (i32.load (i32.const 64)) (i64.const 0xFFFFFFFFFFFFFFFF)))
  (func (export "any_advise_far") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_advise (i32.load (i32.const 64)) (i64.const 0xFFFFFFFFFFFFFFFF) (i64.const 0xFFFFFFFFFFFFFFFF)
      (i32.const 0)))
  (func (export "any_advise_unknown") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_advise (i32.load (i32.const 64)) (i64.const 0) (i64.const 1) (i32.const 99)))

  ;; flags
  (func (export "any_open_unknown_flags") (result i32) ;; "file"
    (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 65520)
      (i64.const 0x206026) (i64.const 0x206026) (i32.const 0) (i32.const 64)))
  (func (export "any_open_unknown_fdflags") (result i32) ;; "file"
    (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 0)
      (i64.const 0x206026) (i64.const 0x206026) (i32.const 65504) (i32.const 64)))
  (func (export "any_open_unknown_lookup") (result i32) ;; "file"
    (call $path_open (i32.const 3) (i32.const 0xFFFFFFFE) (i32.const 1024) (i32.const 4) (i32.const 0)
      (i64.const 0x206026) (i64.const 0x206026) (i32.const 0) (i32.const 64)))
  (func (export "any_open_all_rights") (result i32) ;; "file"
    (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 0)
      (i64.const 0xFFFFFFFFFFFFFFFF) (i64.const 0xFFFFFFFFFFFFFFFF) (i32.const 0) (i32.const 64)))
  (func (export "any_open_no_rights") (result i32) ;; "file"
    (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0)
      (i64.const 0) (i32.const 0) (i32.const 64)))
  (func (export "bad_open_directory_truncate") (result i32) ;; "file": any non-zero errno
    (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 10)
      (i64.const 0x206066) (i64.const 0x206066) (i32.const 0) (i32.const 64)))
  (func (export "bad_open_exclusive") (result i32) ;; "file": 20 (exist)
    (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 5)
      (i64.const 0x206066) (i64.const 0x206066) (i32.const 0) (i32.const 64)))
  (func (export "any_set_flags") (result i32) (call $fd_fdstat_set_flags (i32.const 1) (i32.const 65535)))
  (func (export "bad_set_times_both") (result i32) ;; "file": "now" and "then" at once
    (call $path_filestat_set_times (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i64.const 0)
      (i64.const 0) (i32.const 15)))
  (func (export "any_set_times_far") (result i32) ;; "file"
    (call $path_filestat_set_times (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4)
      (i64.const 0xFFFFFFFFFFFFFFFF) (i64.const 0xFFFFFFFFFFFFFFFF) (i32.const 5)))

  ;; lists
  (func (export "ok_write_nothing") (result i32)
    (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 72)))
  (func (export "any_write_no_iovs") (result i32)
    (call $fd_write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 72)))
  (func (export "any_read_no_iovs") (result i32)
    (call $fd_read (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 72)))
  (func (export "any_readdir_no_room") (result i32)
    (call $fd_readdir (i32.const 3) (i32.const 512) (i32.const 0) (i64.const 0) (i32.const 72)))
  (func (export "any_readdir_small") (result i32)
    (call $fd_readdir (i32.const 3) (i32.const 512) (i32.const 5) (i64.const 0) (i32.const 72)))
  (func (export "any_readdir_far_cookie") (result i32)
    (call $fd_readdir (i32.const 3) (i32.const 512) (i32.const 1024) (i64.const 0xFFFFFFFFFFFFFFFF)
      (i32.const 72)))
  (func (export "bad_prestat_dir_name_small") (result i32) ;; 37 (nametoolong), or 0 for an empty name
    (call $fd_prestat_dir_name (i32.const 3) (i32.const 256) (i32.const 0)))
  (func (export "any_readlink_no_room") (result i32) ;; "link_in"
    (call $path_readlink (i32.const 3) (i32.const 1028) (i32.const 7) (i32.const 512) (i32.const 0)
      (i32.const 72)))
  (func (export "bad_readlink_file") (result i32) ;; "file"
    (call $path_readlink (i32.const 3) (i32.const 1024) (i32.const 4) (i32.const 512) (i32.const 64)
      (i32.const 72)))

  ;; processes
  (func (export "any_raise_unknown") (result i32) (call $proc_raise (i32.const 99)))
  (func (export "bad_raise_abort") (result i32) ;; 52 (nosys): no signal ever reaches the host
    (call $proc_raise (i32.const 6)))
  (func (export "ok_yield") (result i32) (call $sched_yield)))
