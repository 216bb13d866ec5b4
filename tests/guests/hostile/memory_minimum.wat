;; Tries: to start with 4 GiB of memory.
;; Must happen: instantiation fails with reason `memory`, naming the need (4,294,967,296 bytes), the cap and the
;; flag; nothing is allocated. Where the policy's limit on the declared minimum is lower, the module is refused.
;; Exports: run: () -> (), never called.
(module
  (memory (export "memory") 65536)
  (func (export "run") (export "_start")))
