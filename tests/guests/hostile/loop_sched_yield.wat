;; Tries: to keep the CPU forever while most of its time passes in a host call, where injected code does not
;; run.
;; Must happen: Stopped(fuel), Stopped(host_calls) or Stopped(deadline), whichever limit is the smallest.
;; Exports: run: () -> ().
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (export "_start")
    (loop $again
      (drop (call $sched_yield))
      (br $again))))
