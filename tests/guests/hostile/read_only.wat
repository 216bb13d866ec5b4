;; Tries: to change a directory that was handed over for reading only.
;; Setup: descriptor 3 is a read-only directory with `file` ("hello\n"), `dir/nested` and `link_in` -> `file`.
;; Must happen: every ok_* answers 0; everything else answers a non-zero errno, and nothing in the directory
;; changes, times of change included.
;; Exports: those below: () -> i32, errno.
(module
  (import "wasi_snapshot_preview1" "fd_allocate" (func $fd_allocate (param i32 i64 i64) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_set_size"
    (func $fd_filestat_set_size (param i32 i64) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_set_times"
    (func $fd_filestat_set_times (param i32 i64 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pwrite" (func $fd_pwrite (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_create_directory"
    (func $path_create_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_get"
    (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_set_times"
    (func $path_filestat_set_times (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_link"
    (func $path_link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_remove_directory"
    (func $path_remove_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_rename"
    (func $path_rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink" (func $path_symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $path_unlink_file (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; at 0: one iovec of 4 bytes at 128, "evil"; 64: descriptor; 72: bytes written
  (data (i32.const 0) "\80\00\00\00\04\00\00\00")
  (data (i32.const 128) "evil")
  (data (i32.const 1024) "file")
  (data (i32.const 1028) "dir")
  (data (i32.const 1031) "dir/nested")
  (data (i32.const 1041) "created")
  (data (i32.const 1048) "nested")
  (data (i32.const 1054) "link_in")
  (data (i32.const 1061) "renamed")
  (data (i32.const 1068) "linked")
  ;; An earlier step of an attempt: whether it failed, with its errno kept at 1020.
  (func $failed (param $errno i32) (result i32)
    (i32.store (i32.const 1020) (local.get $errno))
    (local.get $errno))
  ;; Opens a path under descriptor 3, following links; the descriptor goes to 64.
  (func $open (param $path i32) (param $len i32) (param $oflags i32) (param $rights i64) (result i32)
    (call $path_open (i32.const 3) (i32.const 1) (local.get $path) (local.get $len) (local.get $oflags)
      (local.get $rights) (local.get $rights) (i32.const 0) (i32.const 64)))

  ;; controls: reading works
  (func (export "ok_open") (result i32) ;; "file"
    (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206026)))
  (func (export "ok_read") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206026)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_read (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 72)))
  (func (export "ok_dir") (result i32) ;; "dir"
    (call $open (i32.const 1028) (i32.const 3) (i32.const 2) (i64.const 0x206026)))
  (func (export "ok_stat") (result i32) ;; "dir/nested"
    (call $path_filestat_get (i32.const 3) (i32.const 0) (i32.const 1031) (i32.const 10) (i32.const 256)))

  ;; writing
  (func (export "open_write") (result i32) ;; "file"
    (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
  (func (export "open_write_only") (result i32) ;; "file"
    (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x40)))
  (func (export "open_append") (result i32) ;; "file"
    (call $path_open (i32.const 3) (i32.const 1) (i32.const 1024) (i32.const 4) (i32.const 0)
      (i64.const 0x206066) (i64.const 0x206066) (i32.const 1) (i32.const 64)))
  (func (export "open_create") (result i32) ;; "created"
    (call $open (i32.const 1041) (i32.const 7) (i32.const 1) (i64.const 0x206066)))
  (func (export "open_create_read") (result i32) ;; "created"
    (call $open (i32.const 1041) (i32.const 7) (i32.const 1) (i64.const 0x206026)))
  (func (export "open_create_exclusive") (result i32) ;; "created"
    (call $open (i32.const 1041) (i32.const 7) (i32.const 5) (i64.const 0x206066)))
  (func (export "open_truncate") (result i32) ;; "file"
    (call $open (i32.const 1024) (i32.const 4) (i32.const 8) (i64.const 0x206066)))
  (func (export "open_truncate_read") (result i32) ;; "file"
    (call $open (i32.const 1024) (i32.const 4) (i32.const 8) (i64.const 0x206026)))
  (func (export "open_nested_write") (result i32) ;; "dir", "nested"
    (if (call $failed (call $open (i32.const 1028) (i32.const 3) (i32.const 2) (i64.const 0x206026)))
      (then (return (i32.load (i32.const 1020)))))
    (call $path_open (i32.load (i32.const 64)) (i32.const 1) (i32.const 1048) (i32.const 6) (i32.const 0)
      (i64.const 0x206066) (i64.const 0x206066) (i32.const 0) (i32.const 72)))
  (func (export "write_read_descriptor") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206026)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_write (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 72)))
  (func (export "pwrite_read_descriptor") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206026)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_pwrite (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 72)))
  (func (export "write_directory") (result i32)
    (call $fd_write (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 72)))
  (func (export "resize") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206026)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_filestat_set_size (i32.load (i32.const 64)) (i64.const 0)))
  (func (export "allocate") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206026)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_allocate (i32.load (i32.const 64)) (i64.const 0) (i64.const 0x100000)))

  ;; names
  (func (export "mkdir") (result i32) ;; "created"
    (call $path_create_directory (i32.const 3) (i32.const 1041) (i32.const 7)))
  (func (export "rmdir") (result i32) ;; "dir"
    (call $path_remove_directory (i32.const 3) (i32.const 1028) (i32.const 3)))
  (func (export "unlink") (result i32) ;; "file"
    (call $path_unlink_file (i32.const 3) (i32.const 1024) (i32.const 4)))
  (func (export "unlink_link") (result i32) ;; "link_in"
    (call $path_unlink_file (i32.const 3) (i32.const 1054) (i32.const 7)))
  (func (export "rename") (result i32) ;; "file", "renamed"
    (call $path_rename (i32.const 3) (i32.const 1024) (i32.const 4) (i32.const 3) (i32.const 1061)
      (i32.const 7)))
  (func (export "link") (result i32) ;; "file", "linked"
    (call $path_link (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 3) (i32.const 1068)
      (i32.const 6)))
  (func (export "symlink") (result i32) ;; "file", "linked"
    (call $path_symlink (i32.const 1024) (i32.const 4) (i32.const 3) (i32.const 1068) (i32.const 6)))

  ;; times
  (func (export "times_path") (result i32) ;; "file"
    (call $path_filestat_set_times (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i64.const 0)
      (i64.const 0) (i32.const 5)))
  (func (export "times_path_now") (result i32) ;; "file"
    (call $path_filestat_set_times (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i64.const 0)
      (i64.const 0) (i32.const 10)))
  (func (export "times_descriptor") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206026)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_filestat_set_times (i32.load (i32.const 64)) (i64.const 0) (i64.const 0) (i32.const 5)))
  (func (export "times_directory") (result i32)
    (call $fd_filestat_set_times (i32.const 3) (i64.const 0) (i64.const 0) (i32.const 5))))
