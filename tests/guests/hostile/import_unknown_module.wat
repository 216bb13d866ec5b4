;; Tries: to import from a module that nobody provides.
;; Must happen: refused before anything is compiled, naming module and name as an unknown import. With unknown
;; imports set to trap or default it instantiates and `run` completes.
;; Exports: run: () -> (), never called.
(module
  (import "env" "launch_missiles" (func (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (export "_start")))
