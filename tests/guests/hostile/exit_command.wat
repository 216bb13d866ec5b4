;; Tries: nothing; the smallest WASI command that fails.
;; Must happen: `_start` is called without being named: Completed with exit code 7.
;; Exports: _start: () -> ().
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $proc_exit (i32.const 7))))
