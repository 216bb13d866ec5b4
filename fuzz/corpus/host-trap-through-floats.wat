(module (import "h" "id_f64" (func (param f64) (result f64)))
  (func (export "f64") (param f64) (result f64)
    local.get 0
    call 0))
