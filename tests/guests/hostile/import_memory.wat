;; Tries: to import a memory of 4 GiB that the host would have to make.
;; Must happen: refused as an unknown import; no memory is made.
;; Exports: run: () -> (), never called.
(module
  (import "env" "shared" (memory 65536))
  (func (export "run") (export "_start")))
