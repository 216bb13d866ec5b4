;; Tries: to import a function that exists, as a memory.
;; Must happen: refused, naming the import and both kinds.
;; Exports: run: () -> (), never called.
(module
  (import "wasi_snapshot_preview1" "fd_write" (global (mut i32)))
  (memory (export "memory") 1)
  (func (export "run") (export "_start")))
