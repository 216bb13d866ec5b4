;; Tries: bulk operations over lengths that do not exist: 4 GiB less one byte in a memory of one page.
;; Must happen: the length is priced before the operation looks at it, so Stopped(fuel) with consumed = budget
;; when the budget is below the price; with more fuel than that, Trapped(memory_out_of_bounds). No byte changes:
;; `canary` still returns 0x0A0B0C0D in a fresh call where the instance may be called again, and by reading the
;; memory otherwise.
;; Exports: fill_all, fill_from_end, copy_all, copy_overflow, init_all, init_dropped: () -> (), each traps;
;; fill_nothing_at_end: () -> (), completes (length 0 at the end is legal); fill_nothing_past_end: () -> (),
;; traps; canary: () -> i32.
(module
  (memory (export "memory") 1)
  (data (i32.const 0) "\0d\0c\0b\0a")
  (data $passive "passive data")
  (func (export "fill_all")
    (memory.fill (i32.const 0) (i32.const 0xFF) (i32.const -1)))
  (func (export "fill_from_end")
    (memory.fill (i32.const 65535) (i32.const 0xFF) (i32.const -1)))
  (func (export "copy_all")
    (memory.copy (i32.const 0) (i32.const 4) (i32.const -1)))
  (func (export "copy_overflow")
    (memory.copy (i32.const -8) (i32.const -16) (i32.const 32)))
  (func (export "init_all")
    (memory.init $passive (i32.const 0) (i32.const 0) (i32.const -1)))
  (func (export "init_dropped")
    (data.drop $passive)
    (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 1)))
  (func (export "fill_nothing_at_end")
    (memory.fill (i32.const 65536) (i32.const 0xFF) (i32.const 0)))
  (func (export "fill_nothing_past_end")
    (memory.fill (i32.const 65537) (i32.const 0xFF) (i32.const 0)))
  (func (export "canary") (result i32)
    (i32.load (i32.const 0))))
