//! How honest the price list is: nanoseconds per unit of fuel of every kind of operator, bulk size and
//! host call, against the median. The aim is at most 10 times the median, cache misses aside.
//! `cargo bench --bench fuel_honesty [-- ENGINE]`

#[path = "support/host_functions.rs"]
mod host_functions;
mod support;

use std::sync::Arc;

use cofferdam::policy::{Fuel, Grants, Limits, MemoryBytes, SecurityPolicy};
use cofferdam::{Engine, FuncType, GuestState, HostFunc, Imports, Proposal, Sandbox, ValType, Value, engines};

/// Operators in a row, so that the loop around them hardly counts.
const UNROLLED: usize = 64;
const ROUNDS: usize = 7;

struct Kernel {
    name: String,
    module: String,
    iterations: i32,
}

/// `body` is repeated; it works on locals of all types and must leave the operand stack as it was.
fn kernel(name: &str, iterations: i32, body: &str) -> Kernel {
    let module = format!(
        r#"(module
          (import "env" "host" (func $host (param i32 i32) (result i32)))
          (memory 300) (table $t 10000 funcref) (elem (i32.const 0) func $leaf)
          (data $d "0123456789abcdef")
          (global $g (mut i32) (i32.const 1))
          (type $leaf (func (param i32) (result i32)))
          (func $leaf (type $leaf) (local.get 0))
          (func (export "run") (param $n i32)
            (local $a i32) (local $b i32) (local $c i64) (local $d i64) (local $e f32) (local $f f32)
            (local $g f64) (local $h f64) (local $v v128)
            (local.set $a (i32.const 123456789)) (local.set $b (i32.const 7))
            (local.set $c (i64.const 1234567890123456789)) (local.set $d (i64.const 7))
            (local.set $e (f32.const 1.5)) (local.set $f (f32.const 1.0000001))
            (local.set $g (f64.const 1.5)) (local.set $h (f64.const 1.0000001))
            (loop $l {}
              (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#,
        body.repeat(UNROLLED)
    );
    Kernel { name: name.to_owned(), module, iterations }
}

fn kernels() -> Vec<Kernel> {
    let mut all = Vec::new();
    for (ty, a, b, ops) in [
        ("i32", "$a", "$b", "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr"),
        ("i64", "$c", "$d", "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr"),
        ("f32", "$e", "$f", "add sub mul div min max copysign"),
        ("f64", "$g", "$h", "add sub mul div min max copysign"),
    ] {
        for op in ops.split(' ') {
            // A fresh dividend each time, so that a quotient of zero does not make division cheap.
            let divides = op.starts_with("div") || op.starts_with("rem");
            let refill = if divides && ty.starts_with('i') {
                format!("({ty}.or (local.get {a}) ({ty}.const 0x7f000000))")
            } else {
                format!("(local.get {a})")
            };
            all.push(kernel(
                &format!("{ty}.{op}"),
                2_000,
                &format!("(local.set {a} ({ty}.{op} {refill} (local.get {b})))"),
            ));
        }
    }
    for (ty, a, ops) in [
        ("i32", "$a", "clz ctz popcnt extend8_s extend16_s"),
        ("i64", "$c", "clz ctz popcnt extend8_s extend32_s"),
        ("f32", "$e", "abs neg ceil floor trunc nearest sqrt"),
        ("f64", "$g", "abs neg ceil floor trunc nearest sqrt"),
    ] {
        for op in ops.split(' ') {
            all.push(kernel(&format!("{ty}.{op}"), 2_000, &format!("(local.set {a} ({ty}.{op} (local.get {a})))")));
        }
    }
    for (name, body) in [
        ("i32.eqz", "(local.set $a (i32.eqz (local.get $a)))"),
        ("i64.lt_s", "(local.set $a (i64.lt_s (local.get $c) (i64.extend_i32_s (local.get $a))))"),
        ("f64.lt", "(local.set $a (f64.lt (local.get $g) (f64.convert_i32_s (local.get $a))))"),
        ("i64.extend+wrap", "(local.set $c (i64.extend_i32_u (i32.wrap_i64 (local.get $c))))"),
        ("i32.trunc_sat_f64_s", "(local.set $g (f64.convert_i32_s (i32.trunc_sat_f64_s (local.get $g))))"),
        ("i64.trunc_f64_u", "(local.set $g (f64.convert_i64_u (i64.trunc_f64_u (f64.const 3))))"),
        ("f32.demote", "(local.set $g (f64.promote_f32 (f32.demote_f64 (local.get $g))))"),
        ("reinterpret", "(local.set $g (f64.reinterpret_i64 (i64.reinterpret_f64 (local.get $g))))"),
        ("select", "(local.set $a (select (local.get $b) (local.get $a) (local.get $a)))"),
        ("global.get+set", "(global.set $g (i32.add (global.get $g) (i32.const 1)))"),
        ("i32.load", "(local.set $a (i32.load offset=64 (i32.and (local.get $a) (i32.const 1020))))"),
        ("i64.load8_s", "(local.set $c (i64.load8_s offset=64 (i32.and (local.get $a) (i32.const 1020))))"),
        ("i32.store", "(i32.store offset=64 (i32.const 8) (local.get $a))"),
        ("f64.store", "(f64.store offset=64 (i32.const 8) (local.get $g))"),
        ("memory.size", "(local.set $a (memory.size))"),
        ("if/else", "(if (local.get $a) (then (local.set $a (i32.const 0))) (else (local.set $a (i32.const 1))))"),
        ("block+br", "(block (br 0))"),
        ("br_table", "(block $x (block $y (block $z (br_table $x $y $z (local.get $b)))))"),
        ("call", "(local.set $a (call $leaf (local.get $a)))"),
        ("call_indirect", "(local.set $a (call_indirect (type $leaf) (local.get $a) (i32.const 0)))"),
        ("call host", "(local.set $a (call $host (local.get $a) (local.get $b)))"),
        ("ref.func+is_null", "(local.set $a (ref.is_null (ref.func $leaf)))"),
        ("table.get", "(drop (table.get $t (i32.const 0)))"),
        ("table.set", "(table.set $t (i32.const 1) (ref.null func))"),
        ("i32x4.add", "(local.set $v (i32x4.add (local.get $v) (local.get $v)))"),
        ("i64x2.mul", "(local.set $v (i64x2.mul (local.get $v) (local.get $v)))"),
        ("f64x2.sqrt", "(local.set $v (f64x2.sqrt (local.get $v)))"),
        ("f64x2.div", "(local.set $v (f64x2.div (local.get $v) (local.get $v)))"),
        ("i8x16.swizzle", "(local.set $v (i8x16.swizzle (local.get $v) (local.get $v)))"),
        ("i8x16.popcnt", "(local.set $v (i8x16.popcnt (local.get $v)))"),
        ("i8x16.shl", "(local.set $v (i8x16.shl (local.get $v) (local.get $b)))"),
        ("i64x2.trunc-like", "(local.set $v (i32x4.trunc_sat_f64x2_u_zero (local.get $v)))"),
    ] {
        all.push(kernel(name, 2_000, body));
    }
    for bytes in [0, 1, 64, 1_024, 65_536, 1 << 20, 8 << 20] {
        let iterations = (20_000_000 / (bytes + 20_000)).clamp(1, 500);
        for (name, body) in [
            ("memory.fill", format!("(memory.fill (i32.const 0) (i32.const 1) (i32.const {bytes}))")),
            ("memory.copy", format!("(memory.copy (i32.const 0) (i32.const 9000000) (i32.const {bytes}))")),
        ] {
            all.push(kernel(&format!("{name} {bytes}"), iterations, &body));
        }
    }
    all.push(kernel("memory.init 16", 200, "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 16))"));
    all.push(kernel("memory.grow 0", 200, "(drop (memory.grow (i32.const 0)))"));
    all.push(kernel("memory.grow 1", 4, "(drop (memory.grow (i32.const 1)))"));
    for elements in [0, 1, 100, 5_000] {
        all.push(kernel(
            &format!("table.fill {elements}"),
            20,
            &format!("(table.fill $t (i32.const 0) (ref.null func) (i32.const {elements}))"),
        ));
        all.push(kernel(
            &format!("table.copy {elements}"),
            20,
            &format!("(table.copy (i32.const 0) (i32.const 5000) (i32.const {elements}))"),
        ));
    }
    all.push(kernel("table.grow 1", 4, "(drop (table.grow $t (ref.null func) (i32.const 1)))"));
    all
}

/// Nanoseconds per unit of fuel.
fn measure(sandbox: &Sandbox, kernel: &Kernel) -> Result<f64, String> {
    let module = sandbox.load(kernel.module.as_bytes()).map_err(|e| e.to_string())?;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        // A guest of its own each round: growth would otherwise add up.
        let mut guest = sandbox.guest(&module, GuestState::default()).map_err(|e| e.to_string())?;
        let report = guest.call("run", &[Value::I32(kernel.iterations)]);
        if report.outcome.values().is_none() {
            return Err(report.outcome.to_string());
        }
        best = best.min(report.receipt.wall.as_nanos() as f64 / report.receipt.fuel as f64);
    }
    Ok(best)
}

fn run(engine: &Arc<dyn Engine>) {
    let mut imports = Imports::new();
    let ty = FuncType::new([ValType::I32, ValType::I32], [ValType::I32]);
    imports.host(
        "env",
        "host",
        HostFunc::new(ty, |_, _, results| {
            results[0] = Value::I32(1);
            Ok(())
        }),
    );
    let limits = Limits { memory: MemoryBytes::mib(128), fuel: Fuel::UNLIMITED, timeout: None, ..Limits::tool() };
    let policy = SecurityPolicy::standard().allow(Proposal::Simd).limits(limits).grants(Grants::none().module("env"));
    let sandbox = Sandbox::builder(engine.clone()).policy(policy).host(&imports).build().expect("it can be enforced");
    let mut rows = Vec::new();
    for kernel in kernels() {
        match measure(&sandbox, &kernel) {
            Ok(ns) => rows.push((kernel.name, ns)),
            Err(why) => println!("{}: not measured: {why}", kernel.name),
        }
    }
    rows.sort_by(|a, b| a.1.total_cmp(&b.1));
    let median = support::quantile(&rows.iter().map(|r| r.1).collect::<Vec<_>>(), 0.5);
    println!("{}: nanoseconds per fuel; the median is {median:.3}", engine.descriptor().id);
    for (name, ns) in &rows {
        let ratio = ns / median;
        let mark = if ratio > 10.0 { "  <- over 10 times the median" } else { "" };
        println!("  {name:<22} {ns:>9.3}  {ratio:>7.2}{mark}");
    }
    println!("{}: functions of agents; the aim is one nanosecond, half or twice at most", engine.descriptor().id);
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("it starts");
    for row in tokio.block_on(host_functions::measure(engine)) {
        let mark = match row.why {
            _ if (0.5..=2.0).contains(&row.ns) => String::new(),
            "" => "  <- off".to_owned(),
            why => format!("  ({why})"),
        };
        println!("  {:<28} {:>9.3}  {:>7.2}{mark}", row.name, row.ns, row.ns / median);
    }
}

fn main() {
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    for engine in engines::all() {
        if wanted.as_deref().is_none_or(|w| w == engine.descriptor().id) {
            run(&engine);
        }
    }
}
