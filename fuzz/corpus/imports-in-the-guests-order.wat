(module (import "" "" (memory 0 1)) (import "" "" (table 0 funcref)) (import "" "" (func)))
