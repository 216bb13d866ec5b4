;; Tries: to import an older version of WASI, which this host does not have.
;; Must happen: refused as an unknown import (`wasi_unstable`); it is never silently taken for preview 1, whose
;; calls differ in layout.
;; Exports: run: () -> (), never called.
(module
  (import "wasi_unstable" "fd_filestat_get" (func (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (export "_start")))
