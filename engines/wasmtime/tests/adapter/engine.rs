//! Compiling, artefacts, and what a host does with stores.

use std::sync::Arc;

use cofferdam_engine::{
    ArtefactKey, CompileError, CompiledModule, Engine, FeatureSet, FuelMode, Imports, LoadError, PreparedModule,
    Proposal, StoreLimits, Value, VerifiedArtefact,
};
use cofferdam_prepare::PrepareOptions;

use crate::common::{Guest, MODES, compiled, engine, i32s, prepared, prepared_with, store_with};

const FIB: &str = r#"(module (func $f (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
        (else (i32.add (call $f (i32.sub (local.get 0) (i32.const 1)))
                       (call $f (i32.sub (local.get 0) (i32.const 2))))))))"#;

fn saved(module: &dyn CompiledModule) -> VerifiedArtefact {
    let key = ArtefactKey::new([1; 32]);
    let bytes = module.serialize().expect("it can be saved");
    VerifiedArtefact::open(&key, VerifiedArtefact::seal(&key, b"", &bytes)).expect("it was just sealed")
}

fn guest_of(module: &Arc<dyn CompiledModule>) -> Guest {
    let mut store = store_with(StoreLimits::default());
    let instance = store.instantiate(&**module, &Imports::new()).expect("it can be instantiated");
    Guest { store, instance, consumed: 0 }
}

#[test]
fn an_artefact_runs_like_what_it_was_saved_from() {
    for mode in MODES {
        let prepared = prepared(FIB, mode);
        let engine = engine();
        let fresh = engine.compile(&prepared).expect("it compiles");
        let loaded = engine.load(&prepared, &saved(&*fresh)).expect("it loads");
        let ends = [&fresh, &loaded].map(|module| {
            let mut guest = guest_of(module);
            let results = guest.call("fib", &i32s(&[15])).expect("it returns");
            let stop = guest.fueled("fib", &i32s(&[15]), 100).expect_err("too little fuel");
            (results, guest.consumed, stop.to_string())
        });
        assert_eq!(ends[0], ends[1], "{mode}");
        assert_eq!(ends[0].0, i32s(&[610]));
        // And can be saved again.
        let again = engine.load(&prepared, &saved(&*loaded)).expect("it loads");
        assert_eq!(guest_of(&again).call("fib", &i32s(&[7])).expect("it returns"), i32s(&[13]));
        assert!(fresh.code_bytes() > 0 && fresh.code_bytes() == loaded.code_bytes());
    }
}

#[test]
fn traps_and_tables_survive_saving() {
    let wat = r#"(module (table (export "t") 2 2 funcref) (type $v (func))
        (func (export "null") (call_indirect (type $v) (i32.const 1)))
        (func (export "grow") (result i32) (table.grow (ref.null func) (i32.const 1))))"#;
    for mode in MODES {
        let prepared = prepared(wat, mode);
        let engine = engine();
        let loaded =
            engine.load(&prepared, &saved(&*engine.compile(&prepared).expect("it compiles"))).expect("it loads");
        let mut guest = guest_of(&loaded);
        assert_eq!(guest.call("grow", &[]).expect("it returns"), i32s(&[-1]), "its maximum is 2");
        let Err(cofferdam_engine::Stop::Trap(trap)) = guest.call("null", &[]) else { panic!("it is null") };
        assert_eq!(trap.frames[0].name.as_deref(), Some("null"));
    }
}

#[test]
fn foreign_artefacts_are_named_as_such() {
    let engine = engine();
    let own = prepared(FIB, FuelMode::Portable);
    let artefact = saved(&*engine.compile(&own).expect("it compiles"));
    let canonical = PrepareOptions { canonical_nans: true, ..PrepareOptions::default() };
    let others: [PreparedModule; 3] = [
        prepared("(module)", FuelMode::Portable),
        prepared(FIB, FuelMode::Native),
        prepared_with(FIB, canonical, FeatureSet::STANDARD),
    ];
    for other in others {
        assert!(matches!(engine.load(&other, &artefact), Err(LoadError::Foreign)), "{other:?}");
    }
    let key = ArtefactKey::new([1; 32]);
    for payload in [&b""[..], b"\x7fELF", &[0; 100]] {
        let sealed = VerifiedArtefact::seal(&key, b"", payload);
        let opened = VerifiedArtefact::open(&key, sealed).expect("it was just sealed");
        assert!(matches!(engine.load(&own, &opened), Err(LoadError::Foreign)));
    }
}

#[test]
fn proposals_it_lacks_are_refused_by_name() {
    let all: FeatureSet = Proposal::ALL.iter().copied().collect();
    let cases = [
        ("(module (tag) (func (throw 0)))", Proposal::Exceptions),
        ("(module (type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0))))", Proposal::FunctionReferences),
    ];
    for (wat, proposal) in cases {
        for mode in MODES {
            let prepared = prepared_with(wat, PrepareOptions { mode, ..PrepareOptions::default() }, all);
            match engine().compile(&prepared) {
                Err(CompileError::Unsupported { engine: "wasmtime", proposal: named }) => {
                    assert_eq!(named, proposal);
                }
                other => panic!("{wat}: {:?}", other.err()),
            }
        }
    }
}

#[test]
fn proposals_it_has_really_run() {
    let programs = [
        (
            Proposal::MutableGlobals,
            r#"(module (global (export "g") (mut i32) (i32.const 4)) (func (export "run") (result i32) (global.get 0)))"#,
            4,
        ),
        (Proposal::SignExtension, r#"(module (func (export "run") (result i32) (i32.extend8_s (i32.const 255))))"#, -1),
        (
            Proposal::SaturatingFloatToInt,
            r#"(module (func (export "run") (result i32) (i32.trunc_sat_f64_s (f64.const 1e30))))"#,
            i32::MAX,
        ),
        (
            Proposal::MultiValue,
            r#"(module (func $two (result i32 i32) (i32.const 5) (i32.const 3)) (func (export "run") (result i32) (i32.sub (call $two))))"#,
            2,
        ),
        (
            Proposal::ExtendedConst,
            r#"(module (global i32 (i32.add (i32.const 40) (i32.const 2))) (func (export "run") (result i32) (global.get 0)))"#,
            42,
        ),
        (
            Proposal::Simd,
            r#"(module (func (export "run") (result i32) (i32x4.extract_lane 2 (i32x4.mul (i32x4.splat (i32.const 6)) (i32x4.splat (i32.const 7))))))"#,
            42,
        ),
        (
            Proposal::RelaxedSimd,
            r#"(module (func (export "run") (result i32) (i32x4.extract_lane 0 (i32x4.relaxed_trunc_f32x4_s (f32x4.splat (f32.const 9))))))"#,
            9,
        ),
        (
            Proposal::MultiMemory,
            r#"(module (memory 1) (memory $b 1) (func (export "run") (result i32) (i32.store $b (i32.const 0) (i32.const 8)) (memory.copy 0 $b (i32.const 4) (i32.const 0) (i32.const 4)) (i32.load (i32.const 4))))"#,
            8,
        ),
        (
            Proposal::TailCalls,
            r#"(module (func $f (param i32 i32) (result i32) (if (i32.eqz (local.get 0)) (then (return (local.get 1)))) (return_call $f (i32.sub (local.get 0) (i32.const 1)) (i32.add (local.get 1) (i32.const 2)))) (func (export "run") (result i32) (call $f (i32.const 100000) (i32.const 1))))"#,
            200_001,
        ),
        (
            Proposal::Memory64,
            r#"(module (memory i64 1) (func (export "run") (result i32) (memory.fill (i64.const 5) (i32.const 3) (i64.const 9)) (i32.load8_u (i64.const 13))))"#,
            3,
        ),
        (
            Proposal::CustomPageSizes,
            r#"(module (memory 7 (pagesize 1)) (func (export "run") (result i32) (drop (memory.grow (i32.const 3))) (i32.store8 (i32.const 9) (i32.const 6)) (i32.add (memory.size) (i32.load8_u (i32.const 9)))))"#,
            16,
        ),
        (
            Proposal::WideArithmetic,
            r#"(module (func (export "run") (result i32) (drop (i64.mul_wide_u (i64.const -1) (i64.const 2))) (i32.wrap_i64)))"#,
            -2,
        ),
    ];
    for (proposal, wat, expected) in programs {
        for mode in MODES {
            let module = prepared(wat, mode);
            assert!(module.used().has(proposal), "{proposal} is what the program is about");
            let mut guest = Guest::new(wat, mode);
            assert_eq!(guest.call("run", &[]).expect("it returns"), i32s(&[expected]), "{proposal}, {mode}");
        }
    }
}

#[test]
fn nans_are_canonical_on_request() {
    let wat = r#"(module (func (export "f32") (param f32 f32) (result f32) (f32.add (local.get 0) (local.get 1)))
        (func (export "f64") (param f64) (result f64) (f64.sqrt (local.get 0)))
        (func (export "v128") (param v128) (result v128) (f32x4.mul (local.get 0) (local.get 0))))"#;
    let features = FeatureSet::STANDARD.with(Proposal::Simd);
    for mode in MODES {
        let module = prepared_with(wat, PrepareOptions { mode, canonical_nans: true }, features);
        let mut guest = guest_of(&engine().compile(&module).expect("it compiles"));
        let mut call = |name: &str, args: &[Value]| guest.call(name, args).expect("it returns")[0];
        assert_eq!(call("f32", &[Value::F32(0xffa1_2345), Value::F32(0)]), Value::F32(0x7fc0_0000));
        assert_eq!(call("f64", &[Value::F64((-1f64).to_bits())]), Value::F64(0x7ff8_0000_0000_0000));
        let lanes = u128::from_le_bytes([0x45, 0x23, 0xa1, 0xff].repeat(4).try_into().expect("16 bytes"));
        let canonical = u128::from_le_bytes([0, 0, 0xc0, 0x7f].repeat(4).try_into().expect("16 bytes"));
        assert_eq!(call("v128", &[Value::V128(lanes)]), Value::V128(canonical));
    }
}

#[test]
fn what_we_add_is_not_exported() {
    let wat = r#"(module (memory (export "memory") 1) (func $s) (start $s) (func (export "f")))"#;
    for mode in MODES {
        let mut guest = Guest::new(wat, mode);
        for hidden in [
            "wasmer_metering_remaining_points",
            "wasmer_metering_points_exhausted",
            cofferdam_prepare::names::START,
            cofferdam_prepare::names::FUEL,
            "",
        ] {
            assert!(guest.store.export(guest.instance, hidden).is_none(), "{hidden}");
        }
        assert!(guest.store.export(guest.instance, "f").is_some());
    }
}

#[test]
fn a_store_moves_between_threads() {
    let wat = r#"(module (memory (export "memory") 1) (global $n (mut i32) (i32.const 0))
        (func (export "next") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))
        (func (export "trap") (unreachable)))"#;
    for mode in MODES {
        let mut guest = Guest::new(wat, mode);
        for i in 1..20 {
            guest = std::thread::spawn(move || {
                assert_eq!(guest.call("next", &[]).expect("it returns"), i32s(&[i]));
                guest.call("trap", &[]).expect_err("it traps");
                guest
            })
            .join()
            .expect("the thread ends well");
        }
    }
}

#[test]
fn stores_on_many_threads_share_a_module() {
    let module = compiled(FIB, FuelMode::Portable);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in [10, 12, 14] {
                    let mut guest = guest_of(&module);
                    let expected = [55, 144, 377][(n as usize - 10) / 2];
                    assert_eq!(guest.call("fib", &i32s(&[n])).expect("it returns"), i32s(&[expected]));
                    guest.fueled("fib", &i32s(&[n]), 50).expect_err("too little fuel");
                }
            });
        }
    });
}

/// Memory maps of this process.
#[cfg(target_os = "linux")]
fn maps() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("Linux shows them").lines().count()
}

#[cfg(target_os = "linux")]
#[test]
fn machine_code_is_freed_with_its_module() {
    let cycle = || {
        let mut guest = guest_of(&compiled(FIB, FuelMode::Portable));
        guest.call("fib", &i32s(&[5])).expect("it returns");
    };
    cycle();
    let before = maps();
    (0..2_000).for_each(|_| cycle());
    // Other tests run beside this one, with threads and stores; leaking would add at least one map a cycle.
    assert!(maps() < before + 1_500, "{before} maps before, {} after", maps());
}

#[test]
fn modules_of_every_level_run_with_only_its_proposals_switched_on() {
    let wat = r#"(module (memory 1) (data (i32.const 0) "\05") (table 1 funcref) (elem (i32.const 0) $five)
        (type $t (func (result i32))) (global $g (mut i32) (i32.const 0)) (func $s (global.set $g (i32.const 2))) (start $s)
        (func $five (result i32) (i32.load8_u (i32.const 0)))
        (func (export "run") (result i32) (call_indirect (type $t) (i32.const 0))))"#;
    for features in [FeatureSet::NONE, FeatureSet::MVP, FeatureSet::STRICT, FeatureSet::STANDARD, FeatureSet::RELAXED] {
        for mode in MODES {
            let module = prepared_with(wat, PrepareOptions { mode, ..PrepareOptions::default() }, features);
            let module = engine().compile(&module).expect("it compiles");
            assert_eq!(guest_of(&module).call("run", &[]).expect("it returns"), i32s(&[5]), "{features:?}");
        }
    }
}
