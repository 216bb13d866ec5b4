;; Tries: to start with a table of four thousand million elements.
;; Must happen: instantiation fails with reason `table_elements`, or the module is refused where the limit on
;; the declared minimum is lower; nothing is allocated.
;; Exports: run: () -> (), never called.
(module
  (table 0xFFFFFFFF funcref)
  (func (export "run") (export "_start")))
