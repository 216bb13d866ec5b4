use std::time::Instant;
use cofferdam_engine::*;
use cofferdam_prepare::{Gate, PrepareOptions, prepare, recognise, validate};
use cofferdam_wasmer::WasmerEngine;
fn best(names: &[&str], n: usize, k: &mut [Box<dyn FnMut() + '_>]) -> Vec<f64> {
    let mut v = vec![f64::MAX; k.len()];
    for _ in 0..25 {
        for (i, f) in k.iter_mut().enumerate() {
            let t = Instant::now();
            for _ in 0..n { f() }
            v[i] = v[i].min(t.elapsed().as_secs_f64() * 1e9 / n as f64);
        }
    }
    for (n, t) in names.iter().zip(&v) { println!("{n:40} {t:10.1} ns  x{:.3}", t / v[0]); }
    v
}
const WAT: &str = r#"(module (import "h" "f" (func $f (param i32 i32) (result i32))) (memory (export "memory") 1) (data (i32.const 8) "hello world")
 (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
 (func (export "host") (param i32) (result i32) (local i32) (loop (local.set 1 (call $f (local.get 0) (local.get 1))) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 1)))"#;
fn main() {
    let gate = Gate::default();
    let prep = |mode| { let b = recognise(WAT.as_bytes(), &gate.limits).unwrap(); prepare(validate(b, &gate).unwrap(), &PrepareOptions { mode, ..Default::default() }).unwrap() };
    let engine = WasmerEngine::cranelift();
    let m = engine.compile(&prep(FuelMode::Portable)).unwrap();
    let mut imports = Imports::new();
    let i2 = FuncType::new([ValType::I32; 2], [ValType::I32]);
    imports.host("h", "f", HostFunc::new(i2, |_, a, r| { r[0] = Value::I32(a[0].i32().unwrap_or(0).wrapping_add(a[1].i32().unwrap_or(0))); Ok(()) }));
    let mut quick = Imports::new();
    let i2 = FuncType::new([ValType::I32; 2], [ValType::I32]);
    quick.host("h", "f", HostFunc::new(i2, |_, a, r| { r[0] = Value::I32(a[0].i32().unwrap_or(0).wrapping_add(a[1].i32().unwrap_or(0))); Ok(()) }).quick());

    // raw
    use wasmer as w;
    let raw_engine: w::Engine = w::sys::EngineBuilder::new(w::sys::Cranelift::default()).engine().into();
    let raw_mod = w::Module::new(&raw_engine, WAT).unwrap();
    struct Env { n: u64 }
    let mk_raw = || {
        let mut st = w::Store::new(raw_engine.clone());
        let env = w::FunctionEnv::new(&mut st, Env { n: 0 });
        let f = w::Function::new_typed_with_env(&mut st, &env, |mut e: w::FunctionEnvMut<Env>, a: i32, b: i32| -> i32 { e.data_mut().n += 1; a.wrapping_add(b) });
        let inst = w::Instance::new(&mut st, &raw_mod, &w::imports! {"h" => {"f" => f}}).unwrap();
        (st, inst)
    };
    let (mut rst, rinst) = mk_raw();
    let radd = rinst.exports.get_function("add").unwrap().clone();
    let rhost = rinst.exports.get_function("host").unwrap().clone();
    let radd_t: w::TypedFunction<(i32, i32), i32> = radd.typed(&rst).unwrap();

    let mk = |imports: &Imports| { let mut s = engine.store(&StoreLimits::default(), Box::new(())).unwrap(); let i = s.instantiate(&*m, imports).unwrap(); (s, i) };
    let (mut s, i) = mk(&imports);
    let f = |s: &mut Box<dyn Store>, i, n: &str| match s.export(i, n) { Some(Extern::Func(f)) => f, _ => panic!() };
    let add = f(&mut s, i, "add");
    let (mut sh, ih) = mk(&imports);
    let hostf = f(&mut sh, ih, "host");
    let (mut sq, iq) = mk(&quick);
    let hostq = f(&mut sq, iq, "host");
    let cell = std::cell::RefCell::new(rst);
    println!("-- call");
    best(&["raw dynamic", "ours", "raw typed"], 20000, &mut [
        Box::new(|| { radd.call(&mut *cell.borrow_mut(), &[w::Value::I32(1), w::Value::I32(2)]).unwrap(); }),
        Box::new(|| { let mut r = [Value::I32(0)]; s.call(add, &[Value::I32(1), Value::I32(2)], &mut r, &mut CallBudget::of_fuel(1000)).unwrap(); }),
        Box::new(|| { radd_t.call(&mut *cell.borrow_mut(), 1, 2).unwrap(); }),
    ]);
    println!("-- host call x1000");
    let n = 1000;
    best(&["raw typed with env", "ours", "ours quick", "ours timeout", "ours quick timeout"], 20, &mut [
        Box::new(|| { rhost.call(&mut *cell.borrow_mut(), &[w::Value::I32(n)]).unwrap(); }),
        { let sh = std::cell::RefCell::new(&mut sh); Box::new(move || { let mut r = [Value::I32(0)]; sh.borrow_mut().call(hostf, &[Value::I32(n)], &mut r, &mut CallBudget::of_fuel(1<<40)).unwrap(); }) },
        Box::new(|| { let mut r = [Value::I32(0)]; sq.call(hostq, &[Value::I32(n)], &mut r, &mut CallBudget::of_fuel(1<<40)).unwrap(); }),
    ]);
    let t = Some(std::time::Duration::from_secs(100));
    let (mut sh, ih) = mk(&imports);
    let hostf = f(&mut sh, ih, "host");
    let (mut sq, iq) = mk(&quick);
    let hostq = f(&mut sq, iq, "host");
    best(&["raw typed with env", "ours timeout", "ours quick timeout"], 20, &mut [
        Box::new(|| { rhost.call(&mut *cell.borrow_mut(), &[w::Value::I32(n)]).unwrap(); }),
        Box::new(|| { let mut r = [Value::I32(0)]; sh.call(hostf, &[Value::I32(n)], &mut r, &mut CallBudget{timeout: t, ..CallBudget::of_fuel(1<<40)}).unwrap(); }),
        Box::new(|| { let mut r = [Value::I32(0)]; sq.call(hostq, &[Value::I32(n)], &mut r, &mut CallBudget{timeout: t, ..CallBudget::of_fuel(1<<40)}).unwrap(); }),
    ]);
    println!("-- store+instance+first call");
    best(&["raw", "ours"], 300, &mut [
        Box::new(|| { let (mut st, inst) = mk_raw(); inst.exports.get_function("add").unwrap().call(&mut st, &[w::Value::I32(1), w::Value::I32(2)]).unwrap(); }),
        Box::new(|| { let (mut s, i) = mk(&imports); let add = f(&mut s, i, "add"); let mut r = [Value::I32(0)]; s.call(add, &[Value::I32(1), Value::I32(2)], &mut r, &mut CallBudget::of_fuel(1000)).unwrap(); }),
    ]);
    println!("-- compile");
    best(&["raw", "ours prepare+compile"], 10, &mut [
        Box::new(|| { let e: w::Engine = w::sys::EngineBuilder::new(w::sys::Cranelift::default()).engine().into(); let _ = w::Module::new(&e, WAT).unwrap(); }),
        Box::new(|| { engine.compile(&prep(FuelMode::Portable)).unwrap(); }),
    ]);
}
