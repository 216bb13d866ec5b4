;; Tries: to reach anything outside its preopened directory, in every way that a path can be written.
;; Setup: a directory P with `secret` ("SECRET\n"), `victim` (a file), `victim_dir` (empty) and `box`. P/box is
;; descriptor 3, read-write: `file` ("hello\n"), `dir/nested` (a file), and the symbolic links `link_out` ->
;; `..`, `link_secret` -> `../secret`, `link_abs` -> `/etc`, `link_loop` -> `link_loop`, `link_in` -> `file`,
;; `link_dangling` -> `../created`.
;; Must happen: every ok_* answers 0; everything else answers a non-zero errno. Afterwards P holds the same
;; names with the same contents as before, P/box holds no hard link to anything outside (`stolen` does not exist
;; or is not one), and a symbolic link that the guest could make leads nowhere for the guest. It makes no
;; difference in which order, or how often, they are called. A host that refuses symlinks, hard links or renames
;; altogether is right, too.
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
  ;; 64: descriptor; 72: second descriptor; 256: a filestat; 512: what readlink gives
  (data (i32.const 1024) "file")
  (data (i32.const 1028) "dir/nested")
  (data (i32.const 1038) "./dir/./nested")
  (data (i32.const 1052) "dir/../file")
  (data (i32.const 1063) "link_in")
  (data (i32.const 1070) "dir")
  (data (i32.const 1073) "..")
  (data (i32.const 1075) "../")
  (data (i32.const 1078) "../secret")
  (data (i32.const 1087) "dir/../../secret")
  (data (i32.const 1103) "../box/file")
  (data (i32.const 1114) "missing/../../secret")
  (data (i32.const 1134) "./../secret")
  (data (i32.const 1145) "dir//..//..//secret")
  (data (i32.const 1164)
    "../../../../../../../../../../../../../../../../../../../../../../../../../../../../../../../../"
    "../../../../../../../../etc/passwd")
  (data (i32.const 1294) "/etc/passwd")
  (data (i32.const 1305) "//etc/passwd")
  (data (i32.const 1317) "/")
  (data (i32.const 1318) "/proc/self/root/etc/passwd")
  (data (i32.const 1344) "link_out")
  (data (i32.const 1352) "link_out/")
  (data (i32.const 1361) "link_out/secret")
  (data (i32.const 1376) "link_out/box/file")
  (data (i32.const 1393) "link_secret")
  (data (i32.const 1404) "link_secret/")
  (data (i32.const 1416) "link_abs")
  (data (i32.const 1424) "link_abs/passwd")
  (data (i32.const 1439) "link_loop")
  (data (i32.const 1448) "link_loop/file")
  (data (i32.const 1462) "")
  (data (i32.const 1462) "file/")
  (data (i32.const 1467) "file/.")
  (data (i32.const 1473) "file/../secret")
  (data (i32.const 1487) "file\00")
  (data (i32.const 1492) "file\00/../../secret")
  (data (i32.const 1510) "\00")
  (data (i32.const 1511) "..\5csecret")
  (data (i32.const 1520)
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaaaaaaaaa")
  (data (i32.const 1820)
    "dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/."
    "./dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir"
    "/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../d"
    "ir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/.."
    "/dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/"
    "../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../di"
    "r/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../"
    "dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/."
    "./dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir"
    "/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../d"
    "ir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../dir/../../sec"
    "ret")
  (data (i32.const 2879) "../../secret")
  (data (i32.const 2891) "secret")
  (data (i32.const 2897) "link_out/box/link_in")
  (data (i32.const 2917) "/proc/self/exe")
  (data (i32.const 2931) "../created")
  (data (i32.const 2941) "/tmp/cofferdam-created")
  (data (i32.const 2963) "link_out/created")
  (data (i32.const 2979) "link_dangling")
  (data (i32.const 2992) "../victim")
  (data (i32.const 3001) "link_out/victim")
  (data (i32.const 3016) "../victim_dir")
  (data (i32.const 3029) "link_out/victim_dir")
  (data (i32.const 3048) ".")
  (data (i32.const 3049) "../box")
  (data (i32.const 3055) "stolen")
  (data (i32.const 3061) "dir/inner")
  (data (i32.const 3070) "/etc")
  (data (i32.const 3074) "evil_abs")
  (data (i32.const 3082) "evil_abs/passwd")
  (data (i32.const 3097) "evil_parent")
  (data (i32.const 3108) "dir/up")
  (data (i32.const 3114) "dir/up/../secret")
  ;; An earlier step of an attempt: whether it failed, with its errno kept at 1020.
  (func $failed (param $errno i32) (result i32)
    (i32.store (i32.const 1020) (local.get $errno))
    (local.get $errno))
  ;; Opens a path under descriptor 3, following links; the descriptor goes to 64.
  (func $open (param $path i32) (param $len i32) (param $oflags i32) (param $rights i64) (result i32)
    (call $path_open (i32.const 3) (i32.const 1) (local.get $path) (local.get $len) (local.get $oflags)
      (local.get $rights) (local.get $rights) (i32.const 0) (i32.const 64)))

  ;; controls: these stay inside
  (func (export "ok_file") (result i32) ;; "file"
    (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206026)))
  (func (export "ok_nested") (result i32) ;; "dir/nested"
    (call $open (i32.const 1028) (i32.const 10) (i32.const 0) (i64.const 0x206026)))
  (func (export "ok_dot") (result i32) ;; "./dir/./nested"
    (call $open (i32.const 1038) (i32.const 14) (i32.const 0) (i64.const 0x206026)))
  (func (export "ok_dotdot_inside") (result i32) ;; "dir/../file"
    (call $open (i32.const 1052) (i32.const 11) (i32.const 0) (i64.const 0x206026)))
  (func (export "ok_link_in") (result i32) ;; "link_in"
    (call $open (i32.const 1063) (i32.const 7) (i32.const 0) (i64.const 0x206026)))
  (func (export "ok_dir") (result i32) ;; "dir"
    (call $open (i32.const 1070) (i32.const 3) (i32.const 2) (i64.const 0x206026)))
  (func (export "ok_stat") (result i32) ;; "file"
    (call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 1024) (i32.const 4) (i32.const 256)))

  ;; reading: parents and absolute paths
  (func (export "open_parent") (result i32) ;; ".."
    (call $open (i32.const 1073) (i32.const 2) (i32.const 2) (i64.const 0x206026)))
  (func (export "open_parent_slash") (result i32) ;; "../"
    (call $open (i32.const 1075) (i32.const 3) (i32.const 2) (i64.const 0x206026)))
  (func (export "open_parent_file") (result i32) ;; "../secret"
    (call $open (i32.const 1078) (i32.const 9) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_dotdot_deep") (result i32) ;; "dir/../../secret"
    (call $open (i32.const 1087) (i32.const 16) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_dotdot_back_in") (result i32) ;; "../box/file"
    (call $open (i32.const 1103) (i32.const 11) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_dotdot_missing") (result i32) ;; "missing/../../secret"
    (call $open (i32.const 1114) (i32.const 20) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_dot_dotdot") (result i32) ;; "./../secret"
    (call $open (i32.const 1134) (i32.const 11) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_slashes_dotdot") (result i32) ;; "dir//..//..//secret"
    (call $open (i32.const 1145) (i32.const 19) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_many_dotdot") (result i32)
    (call $open (i32.const 1164) (i32.const 130) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_absolute") (result i32) ;; "/etc/passwd"
    (call $open (i32.const 1294) (i32.const 11) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_absolute_double") (result i32) ;; "//etc/passwd"
    (call $open (i32.const 1305) (i32.const 12) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_root") (result i32) ;; "/"
    (call $open (i32.const 1317) (i32.const 1) (i32.const 2) (i64.const 0x206026)))
  (func (export "open_proc_self") (result i32) ;; "/proc/self/root/etc/passwd"
    (call $open (i32.const 1318) (i32.const 26) (i32.const 0) (i64.const 0x206026)))

  ;; reading: symbolic links
  (func (export "open_link_out") (result i32) ;; "link_out"
    (call $open (i32.const 1344) (i32.const 8) (i32.const 2) (i64.const 0x206026)))
  (func (export "open_link_out_slash") (result i32) ;; "link_out/"
    (call $open (i32.const 1352) (i32.const 9) (i32.const 2) (i64.const 0x206026)))
  (func (export "open_link_out_secret") (result i32) ;; "link_out/secret"
    (call $open (i32.const 1361) (i32.const 15) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_link_out_box_file") (result i32) ;; "link_out/box/file"
    (call $open (i32.const 1376) (i32.const 17) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_link_out_no_follow") (result i32) ;; "link_out/secret"
    (call $path_open (i32.const 3) (i32.const 0) (i32.const 1361) (i32.const 15) (i32.const 0)
      (i64.const 0x206026) (i64.const 0x206026) (i32.const 0) (i32.const 64)))
  (func (export "open_link_secret") (result i32) ;; "link_secret"
    (call $open (i32.const 1393) (i32.const 11) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_link_secret_no_follow") (result i32) ;; "link_secret"
    (call $path_open (i32.const 3) (i32.const 0) (i32.const 1393) (i32.const 11) (i32.const 0)
      (i64.const 0x206026) (i64.const 0x206026) (i32.const 0) (i32.const 64)))
  (func (export "open_link_secret_slash") (result i32) ;; "link_secret/"
    (call $open (i32.const 1404) (i32.const 12) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_link_abs") (result i32) ;; "link_abs"
    (call $open (i32.const 1416) (i32.const 8) (i32.const 2) (i64.const 0x206026)))
  (func (export "open_link_abs_passwd") (result i32) ;; "link_abs/passwd"
    (call $open (i32.const 1424) (i32.const 15) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_link_loop") (result i32) ;; "link_loop"
    (call $open (i32.const 1439) (i32.const 9) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_link_loop_inside") (result i32) ;; "link_loop/file"
    (call $open (i32.const 1448) (i32.const 14) (i32.const 0) (i64.const 0x206026)))

  ;; reading: names that are no names
  (func (export "open_empty") (result i32) ;; ""
    (call $open (i32.const 1462) (i32.const 0) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_trailing_slash") (result i32) ;; "file/"
    (call $open (i32.const 1462) (i32.const 5) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_trailing_dot") (result i32) ;; "file/."
    (call $open (i32.const 1467) (i32.const 6) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_trailing_dotdot") (result i32) ;; "file/../secret"
    (call $open (i32.const 1473) (i32.const 14) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_nul") (result i32) ;; "file\00"
    (call $open (i32.const 1487) (i32.const 5) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_nul_escape") (result i32) ;; "file\00/../../secret"
    (call $open (i32.const 1492) (i32.const 18) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_only_nul") (result i32) ;; "\00"
    (call $open (i32.const 1510) (i32.const 1) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_backslash") (result i32) ;; "..\5csecret"
    (call $open (i32.const 1511) (i32.const 9) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_long_name") (result i32)
    (call $open (i32.const 1520) (i32.const 300) (i32.const 0) (i64.const 0x206026)))
  (func (export "open_long_path") (result i32)
    (call $open (i32.const 1820) (i32.const 1059) (i32.const 0) (i64.const 0x206026)))

  ;; reading: through other descriptors
  (func (export "open_dirfd_parent") (result i32) ;; "dir", "../../secret"
    (if (call $failed (call $open (i32.const 1070) (i32.const 3) (i32.const 2) (i64.const 0x206026)))
      (then (return (i32.load (i32.const 1020)))))
    (call $path_open (i32.load (i32.const 64)) (i32.const 1) (i32.const 2879) (i32.const 12) (i32.const 0)
      (i64.const 0x206026) (i64.const 0x206026) (i32.const 0) (i32.const 72)))
  (func (export "open_dirfd_above") (result i32) ;; "dir", ".."
    (if (call $failed (call $open (i32.const 1070) (i32.const 3) (i32.const 2) (i64.const 0x206026)))
      (then (return (i32.load (i32.const 1020)))))
    (call $path_open (i32.load (i32.const 64)) (i32.const 1) (i32.const 1073) (i32.const 2) (i32.const 2)
      (i64.const 0x206026) (i64.const 0x206026) (i32.const 0) (i32.const 72)))
  (func (export "open_dirfd_file") (result i32) ;; "file", "../secret"
    (if (call $failed (call $open (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x206026)))
      (then (return (i32.load (i32.const 1020)))))
    (call $path_open (i32.load (i32.const 64)) (i32.const 1) (i32.const 1078) (i32.const 9) (i32.const 0)
      (i64.const 0x206026) (i64.const 0x206026) (i32.const 0) (i32.const 72)))
  (func (export "open_dirfd_stdout") (result i32) ;; "file"
    (call $path_open (i32.const 1) (i32.const 1) (i32.const 1024) (i32.const 4) (i32.const 0)
      (i64.const 0x206026) (i64.const 0x206026) (i32.const 0) (i32.const 64)))
  (func (export "open_dirfd_none") (result i32) ;; "file"
    (call $path_open (i32.const 99) (i32.const 1) (i32.const 1024) (i32.const 4) (i32.const 0)
      (i64.const 0x206026) (i64.const 0x206026) (i32.const 0) (i32.const 64)))
  (func (export "open_dirfd_next") (result i32) ;; "secret": no second directory was given
    (call $path_open (i32.const 4) (i32.const 1) (i32.const 2891) (i32.const 6) (i32.const 0)
      (i64.const 0x206026) (i64.const 0x206026) (i32.const 0) (i32.const 64)))

  ;; looking
  (func (export "stat_parent") (result i32) ;; ".."
    (call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 1073) (i32.const 2) (i32.const 256)))
  (func (export "stat_parent_file") (result i32) ;; "../secret"
    (call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 1078) (i32.const 9) (i32.const 256)))
  (func (export "stat_absolute") (result i32) ;; "/etc/passwd"
    (call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 1294) (i32.const 11) (i32.const 256)))
  (func (export "stat_link_secret") (result i32) ;; "link_secret"
    (call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 1393) (i32.const 11) (i32.const 256)))
  (func (export "stat_link_out_secret") (result i32) ;; "link_out/secret"
    (call $path_filestat_get (i32.const 3) (i32.const 0) (i32.const 1361) (i32.const 15) (i32.const 256)))
  (func (export "readlink_parent") (result i32) ;; "link_out/box/link_in"
    (call $path_readlink (i32.const 3) (i32.const 2897) (i32.const 20) (i32.const 512) (i32.const 256)
      (i32.const 72)))
  (func (export "readlink_proc") (result i32) ;; "/proc/self/exe"
    (call $path_readlink (i32.const 3) (i32.const 2917) (i32.const 14) (i32.const 512) (i32.const 256)
      (i32.const 72)))

  ;; creating and writing
  (func (export "create_parent") (result i32) ;; "../created"
    (call $open (i32.const 2931) (i32.const 10) (i32.const 1) (i64.const 0x206066)))
  (func (export "create_absolute") (result i32) ;; "/tmp/cofferdam-created"
    (call $open (i32.const 2941) (i32.const 22) (i32.const 1) (i64.const 0x206066)))
  (func (export "create_link_out") (result i32) ;; "link_out/created"
    (call $open (i32.const 2963) (i32.const 16) (i32.const 1) (i64.const 0x206066)))
  (func (export "create_link_dangling") (result i32) ;; "link_dangling"
    (call $open (i32.const 2979) (i32.const 13) (i32.const 1) (i64.const 0x206066)))
  (func (export "create_link_dangling_exclusive") (result i32) ;; "link_dangling"
    (call $open (i32.const 2979) (i32.const 13) (i32.const 5) (i64.const 0x206066)))
  (func (export "truncate_parent") (result i32) ;; "../victim"
    (call $open (i32.const 2992) (i32.const 9) (i32.const 8) (i64.const 0x206066)))
  (func (export "truncate_link_out") (result i32) ;; "link_out/victim"
    (call $open (i32.const 3001) (i32.const 15) (i32.const 8) (i64.const 0x206066)))
  (func (export "append_parent") (result i32) ;; "../victim"
    (call $path_open (i32.const 3) (i32.const 1) (i32.const 2992) (i32.const 9) (i32.const 0)
      (i64.const 0x206066) (i64.const 0x206066) (i32.const 1) (i32.const 64)))
  (func (export "mkdir_parent") (result i32) ;; "../created"
    (call $path_create_directory (i32.const 3) (i32.const 2931) (i32.const 10)))
  (func (export "mkdir_absolute") (result i32) ;; "/tmp/cofferdam-created"
    (call $path_create_directory (i32.const 3) (i32.const 2941) (i32.const 22)))
  (func (export "mkdir_link_out") (result i32) ;; "link_out/created"
    (call $path_create_directory (i32.const 3) (i32.const 2963) (i32.const 16)))
  (func (export "mkdir_dangling") (result i32) ;; "link_dangling"
    (call $path_create_directory (i32.const 3) (i32.const 2979) (i32.const 13)))
  (func (export "times_parent") (result i32) ;; "../victim"
    (call $path_filestat_set_times (i32.const 3) (i32.const 1) (i32.const 2992) (i32.const 9) (i64.const 0)
      (i64.const 0) (i32.const 5)))
  (func (export "times_link_out") (result i32) ;; "link_out/victim"
    (call $path_filestat_set_times (i32.const 3) (i32.const 1) (i32.const 3001) (i32.const 15) (i64.const 0)
      (i64.const 0) (i32.const 5)))
  (func (export "times_link_secret") (result i32) ;; "link_secret"
    (call $path_filestat_set_times (i32.const 3) (i32.const 1) (i32.const 1393) (i32.const 11) (i64.const 0)
      (i64.const 0) (i32.const 5)))

  ;; removing
  (func (export "unlink_parent") (result i32) ;; "../victim"
    (call $path_unlink_file (i32.const 3) (i32.const 2992) (i32.const 9)))
  (func (export "unlink_link_out") (result i32) ;; "link_out/victim"
    (call $path_unlink_file (i32.const 3) (i32.const 3001) (i32.const 15)))
  (func (export "unlink_trailing_slash") (result i32) ;; "file/"
    (call $path_unlink_file (i32.const 3) (i32.const 1462) (i32.const 5)))
  (func (export "unlink_directory") (result i32) ;; "dir"
    (call $path_unlink_file (i32.const 3) (i32.const 1070) (i32.const 3)))
  (func (export "rmdir_parent") (result i32) ;; "../victim_dir"
    (call $path_remove_directory (i32.const 3) (i32.const 3016) (i32.const 13)))
  (func (export "rmdir_link_out") (result i32) ;; "link_out/victim_dir"
    (call $path_remove_directory (i32.const 3) (i32.const 3029) (i32.const 19)))
  (func (export "rmdir_self") (result i32) ;; "."
    (call $path_remove_directory (i32.const 3) (i32.const 3048) (i32.const 1)))
  (func (export "rmdir_box") (result i32) ;; "../box"
    (call $path_remove_directory (i32.const 3) (i32.const 3049) (i32.const 6)))
  (func (export "rmdir_link") (result i32) ;; "link_out"
    (call $path_remove_directory (i32.const 3) (i32.const 1344) (i32.const 8)))

  ;; renaming
  (func (export "rename_out") (result i32) ;; "file", "../created"
    (call $path_rename (i32.const 3) (i32.const 1024) (i32.const 4) (i32.const 3) (i32.const 2931)
      (i32.const 10)))
  (func (export "rename_out_absolute") (result i32) ;; "file", "/tmp/cofferdam-created"
    (call $path_rename (i32.const 3) (i32.const 1024) (i32.const 4) (i32.const 3) (i32.const 2941)
      (i32.const 22)))
  (func (export "rename_out_link") (result i32) ;; "file", "link_out/created"
    (call $path_rename (i32.const 3) (i32.const 1024) (i32.const 4) (i32.const 3) (i32.const 2963)
      (i32.const 16)))
  (func (export "rename_over") (result i32) ;; "file", "../victim"
    (call $path_rename (i32.const 3) (i32.const 1024) (i32.const 4) (i32.const 3) (i32.const 2992)
      (i32.const 9)))
  (func (export "rename_in") (result i32) ;; "../secret", "stolen"
    (call $path_rename (i32.const 3) (i32.const 1078) (i32.const 9) (i32.const 3) (i32.const 3055)
      (i32.const 6)))
  (func (export "rename_in_link") (result i32) ;; "link_out/secret", "stolen"
    (call $path_rename (i32.const 3) (i32.const 1361) (i32.const 15) (i32.const 3) (i32.const 3055)
      (i32.const 6)))
  (func (export "rename_dir_out") (result i32) ;; "dir", "../created"
    (call $path_rename (i32.const 3) (i32.const 1070) (i32.const 3) (i32.const 3) (i32.const 2931)
      (i32.const 10)))
  (func (export "rename_dir_into_itself") (result i32) ;; "dir", "dir/inner"
    (call $path_rename (i32.const 3) (i32.const 1070) (i32.const 3) (i32.const 3) (i32.const 3061)
      (i32.const 9)))

  ;; hard links
  (func (export "link_in") (result i32) ;; "../secret", "stolen"
    (call $path_link (i32.const 3) (i32.const 0) (i32.const 1078) (i32.const 9) (i32.const 3) (i32.const 3055)
      (i32.const 6)))
  (func (export "link_in_absolute") (result i32) ;; "/etc/passwd", "stolen"
    (call $path_link (i32.const 3) (i32.const 0) (i32.const 1294) (i32.const 11) (i32.const 3)
      (i32.const 3055) (i32.const 6)))
  (func (export "link_in_link_out") (result i32) ;; "link_out/secret", "stolen"
    (call $path_link (i32.const 3) (i32.const 0) (i32.const 1361) (i32.const 15) (i32.const 3)
      (i32.const 3055) (i32.const 6)))
  (func (export "link_in_follow") (result i32) ;; "link_secret", "stolen"
    (call $path_link (i32.const 3) (i32.const 1) (i32.const 1393) (i32.const 11) (i32.const 3)
      (i32.const 3055) (i32.const 6)))
  (func (export "link_out") (result i32) ;; "file", "../created"
    (call $path_link (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 3) (i32.const 2931)
      (i32.const 10)))
  (func (export "link_out_link") (result i32) ;; "file", "link_out/created"
    (call $path_link (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 3) (i32.const 2963)
      (i32.const 16)))

  ;; symbolic links: making one may succeed, using it must not
  (func (export "symlink_absolute") (result i32) ;; "/etc", "evil_abs", "evil_abs/passwd"
    (if (call $failed (call $path_symlink (i32.const 3070) (i32.const 4) (i32.const 3) (i32.const 3074)
      (i32.const 8)))
      (then (return (i32.load (i32.const 1020)))))
    (call $open (i32.const 3082) (i32.const 15) (i32.const 0) (i64.const 0x206026)))
  (func (export "symlink_parent") (result i32) ;; "../secret", "evil_parent"
    (if (call $failed (call $path_symlink (i32.const 1078) (i32.const 9) (i32.const 3) (i32.const 3097)
      (i32.const 11)))
      (then (return (i32.load (i32.const 1020)))))
    (call $open (i32.const 3097) (i32.const 11) (i32.const 0) (i64.const 0x206026)))
  (func (export "symlink_self_dir") (result i32) ;; "..", "dir/up", "dir/up/../secret"
    (if (call $failed (call $path_symlink (i32.const 1073) (i32.const 2) (i32.const 3) (i32.const 3108)
      (i32.const 6)))
      (then (return (i32.load (i32.const 1020)))))
    (call $open (i32.const 3114) (i32.const 16) (i32.const 0) (i64.const 0x206026)))
  (func (export "symlink_outside") (result i32) ;; "file", "../created"
    (call $path_symlink (i32.const 1024) (i32.const 4) (i32.const 3) (i32.const 2931) (i32.const 10)))
  (func (export "symlink_through_link") (result i32) ;; "file", "link_out/created"
    (call $path_symlink (i32.const 1024) (i32.const 4) (i32.const 3) (i32.const 2963) (i32.const 16))))
