;; Tries: to make the host do the work, by asking for 64 KiB of randomness in an endless loop.
;; Must happen: Stopped(fuel), Stopped(host_calls) or Stopped(deadline), whichever limit is the smallest. The
;; bytes are priced, so that fuel ends it after a bounded amount of the host's work.
;; Exports: run: () -> ().
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (export "_start")
    (loop $again
      (drop (call $random_get (i32.const 0) (i32.const 65536)))
      (br $again))))
