;; Tries: to do as much work as it can for as few operators as it can: bulk operations over all of 10 MiB in an
;; endless loop, one operator each.
;; Must happen: Stopped(fuel) after a bounded number of bytes, because they are priced by length;
;; Stopped(deadline) when the time is the smaller limit.
;; Exports: run_fill, run_copy, run_copy_overlapping: () -> ().
(module
  (memory (export "memory") 160 160)
  (func (export "run_fill")
    (loop $again
      (memory.fill (i32.const 0) (i32.const 0x5A) (i32.const 10485760))
      (br $again)))
  (func (export "run_copy")
    (loop $again
      (memory.copy (i32.const 5242880) (i32.const 0) (i32.const 5242880))
      (br $again)))
  (func (export "run_copy_overlapping")
    (loop $again
      (memory.copy (i32.const 1) (i32.const 0) (i32.const 10485759))
      (br $again))))
