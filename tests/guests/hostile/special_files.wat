;; Tries: to hang the host, or to get at more than files, by opening what is not a file: a FIFO that nobody
;; writes to (opening it for reading blocks), a device, a Unix socket, each by its name inside a preopened
;; directory.
;; Setup: descriptor 3 is a directory with `fifo`, `socket`, `device` (a character device, where the test may
;; make one), `file` ("hello\n"), and links to the first three named `link_fifo`, `link_socket`, `link_device`.
;; For open_null and open_zero, descriptor 3 is /dev.
;; Must happen: every open_* answers a non-zero errno, and at once: none waits for a writer, not even until the
;; deadline. read_*: opens and then reads a byte; the same. stat_*: 0 or a non-zero errno, at once. ok_file: 0.
;; Exports: those below: () -> i32, errno.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_get"
    (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; at 0: one iovec of 16 bytes at 128; 64: descriptor; 72: bytes read; 256: a filestat
  (data (i32.const 0) "\80\00\00\00\10\00\00\00")
  (data (i32.const 1024) "file")
  (data (i32.const 1028) "fifo")
  (data (i32.const 1032) "link_fifo")
  (data (i32.const 1041) "device")
  (data (i32.const 1047) "link_device")
  (data (i32.const 1058) "null")
  (data (i32.const 1062) "zero")
  (data (i32.const 1066) "socket")
  (data (i32.const 1072) "link_socket")
  ;; An earlier step of an attempt: whether it failed, with its errno kept at 1020.
  (func $failed (param $errno i32) (result i32)
    (i32.store (i32.const 1020) (local.get $errno))
    (local.get $errno))
  ;; Opens a path under descriptor 3, following links; the descriptor goes to 64.
  (func $open (param $path i32) (param $len i32) (param $oflags i32) (param $rights i64) (result i32)
    (call $path_open (i32.const 3) (i32.const 1) (local.get $path) (local.get $len) (local.get $oflags)
      (local.get $rights) (local.get $rights) (i32.const 0) (i32.const 64)))

  ;; control: an ordinary file in the same directory
  (func (export "ok_file") (result i32) ;; "file"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206026)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_read (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 72)))

  ;; a FIFO, for reading, for writing, for both, and without blocking
  (func (export "open_fifo") (result i32) ;; "fifo"
    (call $open (i32.const 1028) (i32.const 4) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_fifo_write") (result i32) ;; "fifo"
    (call $open (i32.const 1028) (i32.const 4) (i32.const 0) (i64.const 0x40)))
  (func (export "open_fifo_both") (result i32) ;; "fifo"
    (call $open (i32.const 1028) (i32.const 4) (i32.const 0) (i64.const 0x206066)))
  (func (export "open_fifo_nonblock") (result i32) ;; "fifo"
    (call $path_open (i32.const 3) (i32.const 1) (i32.const 1028) (i32.const 4) (i32.const 0)
      (i64.const 0x206026) (i64.const 0x206026) (i32.const 4) (i32.const 64)))
  (func (export "open_fifo_create") (result i32) ;; "fifo"
    (call $open (i32.const 1028) (i32.const 4) (i32.const 9) (i64.const 0x206066)))
  (func (export "open_link_fifo") (result i32) ;; "link_fifo"
    (call $open (i32.const 1032) (i32.const 9) (i32.const 0) (i64.const 0x206026)))
  (func (export "read_fifo") (result i32) ;; "fifo"
    (if (call $failed (call $open (i32.const 1028) (i32.const 4) (i32.const 0) (i64.const 0x206026)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_read (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 72)))
  (func (export "stat_fifo") (result i32) ;; "fifo"
    (call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 1028) (i32.const 4) (i32.const 256)))

  ;; a device
  (func (export "open_device") (result i32) ;; "device"
    (call $open (i32.const 1041) (i32.const 6) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_device_write") (result i32) ;; "device"
    (call $open (i32.const 1041) (i32.const 6) (i32.const 0) (i64.const 0x40)))
  (func (export "open_link_device") (result i32) ;; "link_device"
    (call $open (i32.const 1047) (i32.const 11) (i32.const 0) (i64.const 0x206026)))
  (func (export "read_device") (result i32) ;; "device"
    (if (call $failed (call $open (i32.const 1041) (i32.const 6) (i32.const 0) (i64.const 0x206026)))
      (then (return (i32.load (i32.const 1020)))))
    (call $fd_read (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 72)))
  (func (export "stat_device") (result i32) ;; "device"
    (call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 1041) (i32.const 6) (i32.const 256)))
  (func (export "open_null") (result i32) ;; "null"
    (call $open (i32.const 1058) (i32.const 4) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_zero") (result i32) ;; "zero"
    (call $open (i32.const 1062) (i32.const 4) (i32.const 0) (i64.const 0x206026)))

  ;; a socket
  (func (export "open_socket") (result i32) ;; "socket"
    (call $open (i32.const 1066) (i32.const 6) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_socket_write") (result i32) ;; "socket"
    (call $open (i32.const 1066) (i32.const 6) (i32.const 0) (i64.const 0x40)))
  (func (export "open_link_socket") (result i32) ;; "link_socket"
    (call $open (i32.const 1072) (i32.const 11) (i32.const 0) (i64.const 0x206026)))
  (func (export "stat_socket") (result i32) ;; "socket"
    (call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 1066) (i32.const 6) (i32.const 256))))
