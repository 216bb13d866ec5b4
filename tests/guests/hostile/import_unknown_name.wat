;; Tries: to import a function that the WASI module does not have.
;; Must happen: refused before anything is compiled, naming module and name as an unknown import. With unknown
;; imports set to trap or default it instantiates and `run` completes.
;; Exports: run: () -> (), never called.
(module
  (import "wasi_snapshot_preview1" "proc_spawn" (func (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (export "_start")))
