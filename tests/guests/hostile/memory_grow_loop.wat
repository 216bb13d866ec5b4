;; Tries: to keep the host busy with growth that fails: memory.grow of 65,535 pages in an endless loop.
;; Must happen: Stopped(fuel) or Stopped(deadline); refusals are counted and cost the host no memory.
;; Exports: run: () -> ().
(module
  (memory (export "memory") 1)
  (func (export "run") (export "_start")
    (loop $again
      (drop (memory.grow (i32.const 65535)))
      (br $again))))
