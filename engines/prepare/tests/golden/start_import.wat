;; A start function may be imported.
(module
  (import "env" "init" (func $init))
  (start $init))
