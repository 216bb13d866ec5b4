;; Tries: to end itself while it is being made.
;; Must happen: Completed with exit code 5; `run` is never reached.
;; Exports: run: () -> i32 (7).
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func $start (call $proc_exit (i32.const 5)))
  (func (export "run") (result i32) (i32.const 7))
  (start $start))
