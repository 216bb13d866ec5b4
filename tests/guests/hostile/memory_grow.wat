;; Tries: to take all memory there is, page by page and in large steps.
;; Must happen: Completed; the result is how many pages it holds at the end, never more than the cap allows (160
;; pages for 10 MiB). Every refused growth gives the guest -1 and is counted. Peak bytes = pages × 64 KiB.
;; Exports: run: () -> i32, one page at a time; run_steps: () -> i32, in steps that double while they succeed
;; and halve when not; grow: (i32) -> i32, one memory.grow, -1 or the old size; pages: () -> i32; touch_all: ()
;; -> i32, grows as run does and writes to every page, so that the host must find real memory for it.
(module
  (memory (export "memory") 1)
  (func $fill_up (export "run") (result i32)
    (loop $again
      (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (memory.size))
  (func (export "run_steps") (result i32) (local $step i32)
    (local.set $step (i32.const 1))
    (loop $again
      (if (i32.ne (memory.grow (local.get $step)) (i32.const -1))
        (then (local.set $step (i32.shl (local.get $step) (i32.const 1))))
        (else (local.set $step (i32.shr_u (local.get $step) (i32.const 1)))))
      (br_if $again (local.get $step)))
    (memory.size))
  (func (export "grow") (param i32) (result i32)
    (memory.grow (local.get 0)))
  (func (export "pages") (result i32)
    (memory.size))
  (func (export "touch_all") (result i32) (local $page i32)
    (drop (call $fill_up))
    (loop $again
      (i32.store8 (i32.shl (local.get $page) (i32.const 16)) (i32.const 1))
      (local.set $page (i32.add (local.get $page) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $page) (memory.size))))
    (memory.size)))
