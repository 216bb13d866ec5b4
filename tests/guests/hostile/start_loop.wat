;; Tries: to run forever before anybody has called it: its start function never returns.
;; Must happen: making the instance is fast; the start function then runs as a call of its own, under fuel and
;; deadline: Stopped(fuel) or Stopped(deadline). `run` is never reached.
;; Exports: run: () -> i32 (7).
(module
  (func $start
    (loop $again (br $again)))
  (func (export "run") (result i32) (i32.const 7))
  (start $start))
