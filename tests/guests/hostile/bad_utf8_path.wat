;; Tries: paths that are not UTF-8: a lone continuation byte, an overlong slash and dot (which a careless
;; decoder turns into `../`), a surrogate, a code point past the last, a sequence cut off by the end, 0xFF.
;; Setup: descriptor 3 is a read-write directory with `file`.
;; Must happen: a non-zero errno each (25, ilseq, or 28, inval); nothing is created or changed; no panic in the
;; host, and nothing of it reaches a log unescaped. ok_utf8 creates `Grüße` and answers 0.
;; Exports: those below: () -> i32, errno.
(module
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
  (import "wasi_snapshot_preview1" "path_readlink"
    (func $path_readlink (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_remove_directory"
    (func $path_remove_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_rename"
    (func $path_rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink" (func $path_symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $path_unlink_file (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 1024) "Gr\c3\bc\c3\9fe")
  (data (i32.const 1031) "\80")
  (data (i32.const 1032) "..\c0\afsecret")
  (data (i32.const 1042) "\c0\ae\c0\ae/secret")
  (data (i32.const 1053) "a\ed\a0\80b")
  (data (i32.const 1058) "\f4\90\80\80")
  (data (i32.const 1062) "file\c3")
  (data (i32.const 1067) "\ff\fe")
  (data (i32.const 1069) "dir/\ff/file")
  (data (i32.const 1079) "bad\ff")
  (data (i32.const 1083) "new")
  (data (i32.const 1086) "file")
  ;; Opens a path under descriptor 3, following links; the descriptor goes to 64.
  (func $open (param $path i32) (param $len i32) (param $oflags i32) (param $rights i64) (result i32)
    (call $path_open (i32.const 3) (i32.const 1) (local.get $path) (local.get $len) (local.get $oflags)
      (local.get $rights) (local.get $rights) (i32.const 0) (i32.const 64)))

  ;; control: a path that is UTF-8
  (func (export "ok_utf8") (result i32) ;; "Gr\c3\bc\c3\9fe"
    (call $open (i32.const 1024) (i32.const 7) (i32.const 1) (i64.const 0x206066)))
  (func (export "open_lone_continuation") (result i32) ;; "\80"
    (call $open (i32.const 1031) (i32.const 1) (i32.const 1) (i64.const 0x206066)))
  (func (export "open_overlong_slash") (result i32) ;; "..\c0\afsecret"
    (call $open (i32.const 1032) (i32.const 10) (i32.const 1) (i64.const 0x206066)))
  (func (export "open_overlong_dots") (result i32) ;; "\c0\ae\c0\ae/secret"
    (call $open (i32.const 1042) (i32.const 11) (i32.const 1) (i64.const 0x206066)))
  (func (export "open_surrogate") (result i32) ;; "a\ed\a0\80b"
    (call $open (i32.const 1053) (i32.const 5) (i32.const 1) (i64.const 0x206066)))
  (func (export "open_past_the_last") (result i32) ;; "\f4\90\80\80"
    (call $open (i32.const 1058) (i32.const 4) (i32.const 1) (i64.const 0x206066)))
  (func (export "open_cut_off") (result i32) ;; "file\c3"
    (call $open (i32.const 1062) (i32.const 5) (i32.const 1) (i64.const 0x206066)))
  (func (export "open_all_ones") (result i32) ;; "\ff\fe"
    (call $open (i32.const 1067) (i32.const 2) (i32.const 1) (i64.const 0x206066)))
  (func (export "open_inside_good") (result i32) ;; "dir/\ff/file"
    (call $open (i32.const 1069) (i32.const 10) (i32.const 1) (i64.const 0x206066)))

  ;; the other calls that take a path
  (func (export "mkdir") (result i32) ;; "bad\ff"
    (call $path_create_directory (i32.const 3) (i32.const 1079) (i32.const 4)))
  (func (export "rmdir") (result i32) ;; "bad\ff"
    (call $path_remove_directory (i32.const 3) (i32.const 1079) (i32.const 4)))
  (func (export "unlink") (result i32) ;; "bad\ff"
    (call $path_unlink_file (i32.const 3) (i32.const 1079) (i32.const 4)))
  (func (export "stat") (result i32) ;; "bad\ff"
    (call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 1079) (i32.const 4) (i32.const 256)))
  (func (export "set_times") (result i32) ;; "bad\ff"
    (call $path_filestat_set_times (i32.const 3) (i32.const 1) (i32.const 1079) (i32.const 4) (i64.const 0)
      (i64.const 0) (i32.const 5)))
  (func (export "readlink") (result i32) ;; "bad\ff"
    (call $path_readlink (i32.const 3) (i32.const 1079) (i32.const 4) (i32.const 512) (i32.const 256)
      (i32.const 72)))
  (func (export "rename_from") (result i32) ;; "bad\ff", "new"
    (call $path_rename (i32.const 3) (i32.const 1079) (i32.const 4) (i32.const 3) (i32.const 1083)
      (i32.const 3)))
  (func (export "rename_to") (result i32) ;; "file", "bad\ff"
    (call $path_rename (i32.const 3) (i32.const 1086) (i32.const 4) (i32.const 3) (i32.const 1079)
      (i32.const 4)))
  (func (export "link_from") (result i32) ;; "bad\ff", "new"
    (call $path_link (i32.const 3) (i32.const 0) (i32.const 1079) (i32.const 4) (i32.const 3) (i32.const 1083)
      (i32.const 3)))
  (func (export "link_to") (result i32) ;; "file", "bad\ff"
    (call $path_link (i32.const 3) (i32.const 0) (i32.const 1086) (i32.const 4) (i32.const 3) (i32.const 1079)
      (i32.const 4)))
  (func (export "symlink_target") (result i32) ;; "bad\ff", "new"
    (call $path_symlink (i32.const 1079) (i32.const 4) (i32.const 3) (i32.const 1083) (i32.const 3)))
  (func (export "symlink_name") (result i32) ;; "file", "bad\ff"
    (call $path_symlink (i32.const 1086) (i32.const 4) (i32.const 3) (i32.const 1079) (i32.const 4))))
