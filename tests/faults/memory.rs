//! Address space that runs out: what guests ask for is refused by name, whatever it is for.

use std::sync::Arc;

use cofferdam::host::wasi::{Output, WasiConfig};
use cofferdam::policy::{Limits, MemoryBytes};
use cofferdam::sandbox::{CallErrorKind, GuestError, LoadError};
use cofferdam::{Engine, FuelMode, GuestState, Sandbox, Value, engines};

use crate::child::{self, Squeezed};
use crate::{Neighbour, cells, roomy, sandbox};

/// Asks for half a gibibyte of memory, and as many bytes of table, from the first moment and later.
const MEMORY: &[u8] = br#"(module (memory (export "memory") 8192) (func (export "go") (result i32) (memory.size)))"#;
const GROWS: &[u8] = br#"(module (memory (export "memory") 1)
  (func (export "go") (result i32) (memory.grow (i32.const 8191))))"#;
const TABLE: &[u8] = br#"(module (memory (export "memory") 1) (table $t 40000000 funcref)
  (func (export "go") (result i32) (table.size $t)))"#;
const TABLE_GROWS: &[u8] = br#"(module (memory (export "memory") 1) (table $t 10 funcref) (table $e 10 externref)
  (func (export "go") (result i32)
    (i32.and (table.grow $t (ref.null func) (i32.const 30000000)) (table.grow $e (ref.null extern) (i32.const 30000000)))))"#;

/// What became of a guest: the number that it gave, or the words for why there was none.
fn outcome(sandbox: &Sandbox, module: &[u8], export: &str) -> Result<i32, String> {
    // It was loaded before there was little room.
    let module = sandbox.load(module).map_err(|e| format!("loading: {e}"))?;
    let mut guest = match sandbox.guest(&module, GuestState::default()) {
        Ok(guest) => guest,
        Err(error @ (GuestError::Instantiate(_) | GuestError::Engine(_))) => return Err(error.to_string()),
        Err(error) => panic!("{error}"),
    };
    match guest.call(export, &[]).into_result() {
        Ok(given) => match given[..] {
            [Value::I32(n)] => Ok(n),
            _ => panic!("{given:?}"),
        },
        Err(error) => {
            assert!(matches!(error.kind(), CallErrorKind::Engine | CallErrorKind::Host), "{error}");
            Err(error.to_string())
        }
    }
}

fn squeezed(engine: &Arc<dyn Engine>, mode: FuelMode) {
    let mut neighbour = Neighbour::new(engine, mode);
    let sandbox = sandbox(engine, mode, roomy());
    let asks = [
        ("memory", MEMORY, 8192),
        ("growth", GROWS, 1),
        ("table", TABLE, 40_000_000),
        ("table growth", TABLE_GROWS, 10),
    ];
    for (_, module, _) in asks {
        sandbox.load(module).unwrap_or_else(|e| panic!("{e}"));
    }
    for mib in [24, 64, 96] {
        for (what, module, _) in asks {
            let squeezed = Squeezed::to(mib << 20);
            let ended = outcome(&sandbox, module, "go");
            drop(squeezed);
            println!("{} {mode} {mib} MiB, {what}: {ended:?}", engine.descriptor().id);
            match (what, ended) {
                ("growth" | "table growth", Ok(n)) => assert_eq!(n, -1, "{what}"),
                (_, Ok(n)) => panic!("{what}: {n}"),
                (_, Err(words)) => assert!(words.len() > 10, "{what}: {words}"),
            }
            neighbour.goes_on();
            assert_eq!(sandbox.resources().reserved_memory().get(), 0, "{what}");
        }
    }
    // With room again, all of it is there.
    for (what, module, right) in asks {
        assert_eq!(outcome(&sandbox, module, "go"), Ok(right), "{what}");
        neighbour.goes_on();
    }
}

#[test]
fn what_guests_ask_for_is_refused_by_name_when_the_machine_has_no_room() {
    if let Some(name) = child::told() {
        let engine = engines::by_name(&name).expect("it is in this build");
        for (engine, mode) in cells().into_iter().filter(|(e, _)| e.descriptor().id == engine.descriptor().id) {
            squeezed(&engine, mode);
        }
        return child::done();
    }
    for name in engines::names() {
        let test = "memory::what_guests_ask_for_is_refused_by_name_when_the_machine_has_no_room";
        print!("{}", child::succeeds(&mut child::command(test, name)));
    }
}

/// Gives 100 MiB, more than an arena of the allocator has set aside, as the answer to whatever it is asked, and writes as much to standard output.
const GIVES: &[u8] = br#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2048)
  (func (export "alloc") (param i32) (result i32) (i32.const 64))
  (func (export "give") (param i32 i32) (result i32 i32) (i32.const 0) (i32.const 104857600))
  ;; Gives the errno that it is told, or 0 when all of it is written.
  (func (export "write") (result i32) (local $errno i32)
    (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 104857600))
    (loop $again
      (local.set $errno (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (i32.store (i32.const 4) (i32.sub (i32.load (i32.const 4)) (i32.load (i32.const 8))))
      (br_if $again (i32.and (i32.eqz (local.get $errno)) (i32.ne (i32.load (i32.const 4)) (i32.const 0)))))
    (local.get $errno)))"#;

#[test]
fn what_guests_give_is_refused_by_name_when_the_host_has_no_room_to_keep_it() {
    if child::told().is_none() {
        let test = "memory::what_guests_give_is_refused_by_name_when_the_host_has_no_room_to_keep_it";
        child::succeeds(&mut child::command(test, "all"));
        return;
    }
    for (engine, mode) in cells() {
        let mut neighbour = Neighbour::new(&engine, mode);
        let sandbox =
            sandbox(&engine, mode, Limits { message: MemoryBytes::mib(128), output: MemoryBytes::mib(256), ..roomy() });
        let module = sandbox.load(GIVES).expect("it is good");
        let guest = || {
            let mut wasi = WasiConfig { stdout: Output::Capture, ..WasiConfig::default() };
            wasi.limits.output_bytes = 256 << 20;
            let wasi = wasi.build().expect("it is good");
            let mut guest = sandbox.guest(&module, GuestState::with_wasi(wasi)).expect("it fits");
            // What is made at the first call is made.
            guest.call_bytes("give", b"").map(|given| assert_eq!(given.len(), 100 << 20)).expect("there is room");
            guest
        };
        let mut asked = guest();
        let squeezed = Squeezed::to(32 << 20);
        let given = asked.call_bytes("give", b"").map(|given| given.len());
        drop(squeezed);
        let error = given.expect_err("there is no room");
        assert_eq!(error.kind(), CallErrorKind::Host, "{error}");
        assert!(error.to_string().contains("the host has no memory left for 104857600 bytes"), "{error}");

        // A program is told, and goes on.
        drop(asked);
        let mut asked = guest();
        let squeezed = Squeezed::to(32 << 20);
        let errno = asked.call("write", &[]).into_result();
        drop(squeezed);
        assert_eq!(errno.expect("it goes on"), [Value::I32(48)], "ENOMEM");
        assert_eq!(asked.call("write", &[]).into_result().expect("it goes on"), [Value::I32(0)]);
        drop(asked);
        neighbour.goes_on();
        assert_eq!(sandbox.resources().reserved_memory().get(), 0);
    }
    child::done();
}

/// What the small things need that are not of a guest's size: the heads of tables, the lists of a compiler, the signal
/// stack of a new thread. No program in Rust outlives their lack, and nor does Cofferdam: the process ends with the words
/// of the allocator. How much room that is depends on the module; this is enough for the one here.
const ENOUGH_MIB: u64 = 512;

#[test]
fn compiling_without_room_ends_by_name_or_ends_the_process_and_never_in_anything_else() {
    let test = "memory::compiling_without_room_ends_by_name_or_ends_the_process_and_never_in_anything_else";
    if let Some(what) = child::told() {
        let (name, mib) = what.split_once(' ').expect("an engine and a height");
        let mib: u64 = mib.parse().expect("it is a number");
        let engine = engines::by_name(name).expect("it is in this build");
        let mut neighbour = Neighbour::new(&engine, FuelMode::Portable);
        let sandbox = sandbox(&engine, FuelMode::Portable, roomy());
        // Three thousand functions: compiling them takes some tens of mebibytes.
        let body = "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 31)) (i32.load offset=64 (local.get 0))))"
            .repeat(30);
        let functions = format!("(func (param i32) (result i32) {body} (local.get 0))").repeat(3_000);
        let module = wat::parse_str(format!("(module (memory 1) {functions})")).expect("it is good");
        let squeezed = Squeezed::to(mib << 20);
        let loaded = sandbox.load(&module).map(drop);
        drop(squeezed);
        neighbour.goes_on();
        match loaded {
            Ok(()) => println!("loaded"),
            Err(LoadError::Compile(error)) => println!("named: {error}"),
            Err(error) => panic!("{error}"),
        }
        return child::done();
    }
    for name in engines::names() {
        for mib in [0, 2, 8, 64, ENOUGH_MIB] {
            let output = child::command(test, &format!("{name} {mib}")).output().expect("it can be run");
            let (said, error) = (child::text(&output.stdout), child::text(&output.stderr));
            let words = ["memory allocation of ", "failed to allocate an alternative stack"];
            let aborted = words.iter().any(|words| error.contains(words));
            let line = said.lines().find_map(|line| Some(&line[line.find("loaded").or(line.find("named: "))?..]));
            let line = line.map_or_else(|| child::how(&output), str::to_owned);
            println!("{name} {mib} MiB: {line}");
            if mib == ENOUGH_MIB {
                assert!(output.status.success() && said.contains("loaded"), "{name}: {said}{error}");
            }
            assert!(output.status.success() || aborted, "{name} {mib} MiB: {} {said}{error}", child::how(&output));
        }
    }
}
