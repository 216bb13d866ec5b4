;; Tries: to end with exit codes of every size, and from deep inside.
;; Must happen: Completed with that exit code, and no value; the code reported is the guest's whole u32, the
;; process exits with it where that is possible (the command's table says what happens past 255). Nothing after
;; the call runs: each export would trap on `unreachable` otherwise.
;; Exports: exit_0, exit_1, exit_3, exit_255, exit_256, exit_70000, exit_max (2^32 - 1), exit_nested (3, through
;; three frames), exit_in_loop (3): () -> ().
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func $exit (param i32) (call $proc_exit (local.get 0)) (unreachable))
  (func $inner (call $exit (i32.const 3)) (unreachable))
  (func $outer (call $inner) (unreachable))
  (func (export "exit_0") (call $exit (i32.const 0)))
  (func (export "exit_1") (call $exit (i32.const 1)))
  (func (export "exit_3") (call $exit (i32.const 3)))
  (func (export "exit_255") (call $exit (i32.const 255)))
  (func (export "exit_256") (call $exit (i32.const 256)))
  (func (export "exit_70000") (call $exit (i32.const 70000)))
  (func (export "exit_max") (call $exit (i32.const -1)))
  (func (export "exit_nested") (call $outer))
  (func (export "exit_in_loop") (loop $again (call $exit (i32.const 3)) (br $again))))
