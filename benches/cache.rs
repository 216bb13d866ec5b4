//! What loading from the disk cache costs, against compiling the same module in the same run.
//! `cargo bench --bench cache`

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam::cache::{DiskCache, DiskCacheConfig};
use cofferdam::policy::SecurityPolicy;
use cofferdam::sandbox::{ResourceConfig, Resources};
use cofferdam::{Engine, Sandbox, engines};

const LOADS: usize = 15;

/// A module of about `bytes` bytes, of functions as compilers make them: locals, loops, memory, calls.
fn module(bytes: usize) -> Vec<u8> {
    let mut text = String::from("(module (memory 1)\n");
    let mut functions = 0;
    // One of these takes about 190 bytes.
    while functions * 190 < bytes {
        let f = functions;
        let callee = if f == 0 { "local.get 0" } else { &*format!("(call $f{} (local.get $b))", f - 1) };
        write!(
            text,
            "(func $f{f} (param $a i32) (result i32) (local $b i32) (local $c i64) (local $d i32)
              (loop $l
                (local.set $b (i32.add (i32.mul (local.get $a) (i32.const {f})) (i32.load offset=16 (local.get $d))))
                (i32.store offset={f} (local.get $d) (i32.xor (local.get $b) (i32.shr_u (local.get $a) (i32.const 7))))
                (local.set $c (i64.add (local.get $c) (i64.extend_i32_u (local.get $b))))
                (i64.store offset=64 (local.get $d) (i64.rotl (local.get $c) (i64.const 9)))
                (if (i32.lt_u (local.get $b) (i32.const 77))
                  (then (local.set $a (i32.sub (local.get $a) (i32.load8_u offset=3 (local.get $b)))))
                  (else (local.set $d (i32.and (i32.add (local.get $d) (i32.const 8)) (i32.const 1023)))))
                (br_if $l (i32.gt_s (local.tee $a (i32.sub (local.get $a) (i32.const 1))) (i32.const 0))))
              (i32.add (i32.wrap_i64 (local.get $c)) {callee}))\n"
        )
        .expect("a string takes it");
        functions += 1;
    }
    write!(text, "(export \"run\" (func $f{})))", functions - 1).expect("a string takes it");
    wat::parse_str(&text).expect("the text is right")
}

fn measure(engine: &Arc<dyn Engine>, module: &[u8]) {
    let home = tempfile::tempdir().expect("a directory can be made");
    let load = || -> Duration {
        // As a new process would do it.
        let disk = DiskCache::open(&DiskCacheConfig::new(home.path().join("cache"))).expect("the cache opens");
        let resources = ResourceConfig { disk_cache: Some(Arc::new(disk)), ..ResourceConfig::default() };
        let builder = Sandbox::builder(engine.clone()).policy(SecurityPolicy::standard());
        let sandbox = builder.resources(Resources::new(&resources)).build().expect("it can be enforced");
        let began = Instant::now();
        sandbox.load(module).expect("the module is right");
        began.elapsed()
    };
    let compile = load();
    let mut loads: Vec<_> = (0..LOADS).map(|_| load()).collect();
    loads.sort();
    println!(
        "{:<18} {:>9.2} MB  compile and store {compile:>8.1?}  load: best {:>8.1?}, median {:>8.1?}  compile ÷ load {:>6.0}",
        engine.descriptor().id,
        module.len() as f64 / 1e6,
        loads[0],
        loads[LOADS / 2],
        compile.as_secs_f64() / loads[LOADS / 2].as_secs_f64(),
    );
}

fn main() {
    for bytes in [20_000, 200_000, 2_000_000] {
        let module = module(bytes);
        engines::all().iter().for_each(|engine| measure(engine, &module));
    }
}
