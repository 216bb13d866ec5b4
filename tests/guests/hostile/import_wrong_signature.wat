;; Tries: to import a function that exists, with another signature.
;; Must happen: refused, naming the import, its signature and the one that the module wants.
;; Exports: run: () -> (), never called.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param i64 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "run") (export "_start")))
