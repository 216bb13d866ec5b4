//! Host functions: entered with every signature, ended in every way.

use std::sync::Arc;

use cofferdam_engine::{
    AccessError, CallBudget, CompileError, Engine, FuelMode, HostError, HostFunc, Imports, InstantiateError, Limit,
    Stop, StoreLimits, TrapKind, ValType, Value,
};

use crate::common::{Guest, MODES, PLENTY, host, i32s, ty};

/// A module that imports `h.f` of some signature and exports it under its own function `run`.
fn pass_through(params: &[ValType], results: &[ValType]) -> String {
    let list = |word: &str, types: &[ValType]| types.iter().map(|t| format!("({word} {t})")).collect::<String>();
    let signature = format!("{} {}", list("param", params), list("result", results));
    let args = (0..params.len()).map(|i| format!("(local.get {i})")).collect::<String>();
    format!(
        r#"(module (import "h" "f" (func $f {signature})) (export "direct" (func $f))
            (func (export "run") {signature} (call $f {args})))"#
    )
}

fn sample(ty: ValType, i: u64) -> Value {
    match ty {
        ValType::I32 => Value::I32(i as i32 - 1000),
        ValType::I64 => Value::I64(-(i as i64) << 33),
        ValType::F32 => Value::F32(0x7fa0_0001 + i as u32),
        ValType::F64 => Value::F64(0xfff4_0000_0000_0001 + i),
        ValType::V128 => Value::V128(u128::from(i) << 70 | 5),
        ValType::FuncRef => Value::FuncRef(None),
        ValType::ExternRef => Value::ExternRef(Some(i)),
    }
}

/// Calls a host function of this signature both through a guest and directly, and checks what it saw.
fn crosses(params: &[ValType], results: &[ValType]) {
    let args: Vec<_> = params.iter().zip(1..).map(|(t, i)| sample(*t, i)).collect();
    let given: Vec<_> = results.iter().zip(100..).map(|(t, i)| sample(*t, i)).collect();
    let (expected, returned) = (args.clone(), given.clone());
    let func = HostFunc::new(ty(params, results), move |_, args, results| {
        assert_eq!(args, expected);
        results.copy_from_slice(&returned);
        Ok(())
    });
    let mut guest =
        Guest::with(&pass_through(params, results), FuelMode::Portable, StoreLimits::default(), &host([("f", func)]));
    for export in ["run", "direct"] {
        let back = guest.call(export, &args).unwrap_or_else(|e| panic!("{params:?} {results:?} {export}: {e}"));
        assert_eq!(back, given, "{params:?} {export}");
    }
}

#[test]
fn every_integer_signature_of_the_direct_entries_crosses() {
    use ValType::{I32, I64};
    for count in 0..=4 {
        for bits in 0..1 << count {
            let params: Vec<_> = (0..count).map(|i| if bits >> i & 1 == 0 { I32 } else { I64 }).collect();
            for results in [&[][..], &[I32], &[I64]] {
                crosses(&params, results);
            }
        }
    }
}

#[test]
fn all_other_signatures_cross_too() {
    use ValType::{ExternRef, F32, F64, FuncRef, I32, I64, V128};
    crosses(&[F32], &[F64]);
    for count in 5..=11 {
        crosses(&vec![I32; count], &[I64]);
        crosses(&[I32, I64, I64].into_iter().cycle().take(count).collect::<Vec<_>>(), &[I32]);
    }
    crosses(&[I32, I32, I32, I32, I32, I64, I64, I32, I32], &[I32]);
    crosses(&[FuncRef, ExternRef, F64], &[ExternRef]);
    crosses(&[I64; 300], &[F32]);
    if takes_several_results() {
        crosses(&[V128, FuncRef, ExternRef, F64], &[V128, ExternRef, FuncRef]);
        crosses(&[], &[I32, I64, F32, F64]);
        crosses(&[I64; 300], &[I32; 300]);
    }
    crosses(&[F64; 20], &[]);
}

/// Singlepass does not compile imports with several results.
fn takes_several_results() -> bool {
    crate::wasmer().descriptor().compiler != "singlepass"
}

#[test]
fn imports_that_cannot_be_compiled_are_refused_by_name() {
    let wat = r#"(module (import "h" "none" (func)) (import "h" "two" (func (result i32 i32))))"#;
    for mode in MODES {
        let refused = crate::wasmer().compile(&crate::common::prepared(wat, mode)).err();
        match refused {
            None => assert!(takes_several_results()),
            Some(CompileError::Limit { what, .. }) => {
                assert!(!takes_several_results() && what.contains("\"two\" has several results"), "{what}");
            }
            Some(other) => panic!("{other}"),
        }
    }
}

const RUN: &str = r#"(module (import "h" "f" (func $f (param i32))) (memory (export "memory") 1)
    (func (export "run") (param i32) (call $f (local.get 0)))
    (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0))))"#;

fn ending(mode: FuelMode, end: impl Fn() -> HostError + Send + Sync + 'static) -> (Guest, Stop) {
    let func = HostFunc::new(ty(&[ValType::I32], &[]), move |_, _, _| Err(end()));
    let mut guest = Guest::with(RUN, mode, StoreLimits::default(), &host([("f", func)]));
    let stop = guest.call("run", &i32s(&[0])).expect_err("it does not return");
    assert_eq!(guest.call("load", &i32s(&[0])).expect("the store survives"), i32s(&[0]));
    (guest, stop)
}

#[test]
fn errors_end_the_call_as_what_they_are() {
    for mode in MODES {
        let (_, stop) = ending(mode, || HostError::failed("no such thing"));
        assert!(matches!(&stop, Stop::Host(why) if **why == *"no such thing"), "{stop}");
        let (_, stop) = ending(mode, || HostError::Exit(42));
        assert!(matches!(stop, Stop::Exit(42)), "{stop}");
        let (_, stop) = ending(mode, || HostError::Limit(Limit::Output));
        let Stop::Limit { limit: Limit::Output, frames } = stop else { panic!("{stop}") };
        assert_eq!(frames.len(), 1, "the function that called");
        let (_, stop) = ending(mode, || HostError::Trap(TrapKind::MemoryOutOfBounds));
        let Stop::Trap(trap) = stop else { panic!("{stop}") };
        assert_eq!((trap.kind, trap.frames[0].name.as_deref()), (TrapKind::MemoryOutOfBounds, Some("run")));
        let (_, stop) = ending(mode, || panic!("as the test wants it"));
        assert!(matches!(stop, Stop::Host(_)), "{stop}");
    }
}

#[test]
fn results_of_another_type_are_the_hosts_fault() {
    for (params, results) in [(&[][..], &[ValType::I32][..]), (&[ValType::F32], &[ValType::F32])] {
        let func = HostFunc::new(ty(params, results), |_, _, results| {
            results[0] = Value::I64(1);
            Ok(())
        });
        let wat = pass_through(params, results);
        let mut guest = Guest::with(&wat, FuelMode::Portable, StoreLimits::default(), &host([("f", func)]));
        let args: Vec<_> = params.iter().map(|t| Value::default_of(*t)).collect();
        let stop = guest.call("run", &args).expect_err("the result is wrong");
        assert!(matches!(stop, Stop::Host(_)), "{stop}");
    }
}

#[test]
fn host_functions_see_the_calling_guests_memory_and_state() {
    let func = HostFunc::new(ty(&[ValType::I32], &[]), |caller, args, _| {
        let at = args[0].i32().unwrap_or(0).cast_unsigned();
        assert_eq!(caller.memory_size(), 65_536);
        caller.bytes_mut(at, 3)?.copy_from_slice(b"abc");
        *caller.state::<u64>()? += 1;
        Ok(())
    });
    let mut store = cofferdam_wasmer_store(7);
    let imports = host([("f", func)]);
    let instance = store.instantiate(&*crate::common::compiled(RUN, FuelMode::Portable), &imports).expect("it links");
    let mut guest = Guest { store, instance, consumed: 0 };
    guest.call("run", &i32s(&[65_533])).expect("the last three bytes");
    assert_eq!(guest.call("load", &i32s(&[65_535])).expect("it is there"), i32s(&[i32::from(b'c')]));
    let stop = guest.call("run", &i32s(&[65_534])).expect_err("one too far");
    assert!(matches!(stop, Stop::Trap(t) if t.kind == TrapKind::MemoryOutOfBounds));
    assert_eq!(guest.store.state().downcast_ref::<u64>(), Some(&8));
    assert_eq!(guest.store.usage().host_calls, 2);
}

fn cofferdam_wasmer_store(state: u64) -> Box<dyn cofferdam_engine::Store> {
    use cofferdam_engine::Engine;
    crate::wasmer().store(&StoreLimits::default(), Box::new(state)).expect("a store can be made")
}

#[test]
fn memory_that_grew_is_seen_whole() {
    let wat = r#"(module (import "h" "f" (func $f)) (memory (export "memory") 1)
        (func (export "run") (call $f) (drop (memory.grow (i32.const 3))) (call $f)))"#;
    let sizes = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let seen = sizes.clone();
    let func = HostFunc::new(ty(&[], &[]), move |caller, _, _| {
        seen.lock().push(caller.memory_size());
        Ok(())
    });
    let mut guest = Guest::with(wat, FuelMode::Portable, StoreLimits::default(), &host([("f", func)]));
    guest.call("run", &[]).expect("it returns");
    assert_eq!(*sizes.lock(), [65_536, 4 * 65_536]);
}

#[test]
fn host_calls_are_capped() {
    let wat = r#"(module (import "h" "f" (func $f)) (func (export "run") (loop (call $f) (br 0))))"#;
    for mode in MODES {
        let func = HostFunc::new(ty(&[], &[]), |_, _, _| Ok(()));
        let limits = StoreLimits { host_calls: 1000, ..StoreLimits::default() };
        let mut guest = Guest::with(wat, mode, limits, &host([("f", func)]));
        let stop = guest.fueled("run", &[], PLENTY).expect_err("the cap ends it");
        assert!(matches!(stop, Stop::Limit { limit: Limit::HostCalls, .. }), "{stop}");
    }
}

#[test]
fn imports_that_are_missing_or_other_are_named() {
    let wat = r#"(module (import "h" "f" (func (param i32))) (import "h" "m" (memory 1)))"#;
    let try_with = |imports: &Imports| Guest::try_with(wat, FuelMode::Portable, StoreLimits::default(), imports).err();
    let missing = try_with(&Imports::new());
    assert!(
        matches!(&missing, Some(InstantiateError::MissingImport { module, name, kind: "function" })
        if (&**module, &**name) == ("h", "f")),
        "{missing:?}"
    );
    let other = try_with(&host([("f", HostFunc::new(ty(&[ValType::I64], &[]), |_, _, _| Ok(())))]));
    assert!(matches!(&other, Some(InstantiateError::ImportType { name, .. }) if name == "f"), "{other:?}");
    let func = |ty| HostFunc::new(ty, |_, _, _| Ok(()));
    let memory = try_with(&host([("f", func(ty(&[ValType::I32], &[]))), ("m", func(ty(&[], &[])))]));
    assert!(matches!(&memory, Some(InstantiateError::ImportType { name, .. }) if name == "m"), "{memory:?}");
}

#[test]
fn arguments_are_checked_before_anything_runs() {
    let mut guest = Guest::with(
        RUN,
        FuelMode::Portable,
        StoreLimits::default(),
        &host([("f", HostFunc::new(ty(&[ValType::I32], &[]), |_, _, _| Ok(())))]),
    );
    for args in [vec![], vec![Value::I64(1)], i32s(&[1, 2])] {
        let stop = guest.call("run", &args).expect_err("these are no arguments for it");
        assert!(matches!(stop, Stop::BadArguments { .. }), "{stop}");
        assert_eq!(guest.consumed, 0);
    }
    // A handle of another store.
    let mut other = Guest::new("(module (func (export \"g\")))", FuelMode::Portable);
    let foreign = other.func("g");
    let stop = guest.store.call(foreign, &[], &mut [], &mut cofferdam_engine::CallBudget::of_fuel(1));
    assert!(matches!(stop, Err(Stop::Engine(_))));
}

#[test]
fn a_host_function_as_a_value_can_be_called_by_the_guest() {
    let wat = r#"(module (table (export "t") 2 funcref) (type $t (func (param i32) (result i32)))
        (func (export "run") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (i32.const 1))))"#;
    let mut guest = Guest::new(wat, FuelMode::Portable);
    let double = HostFunc::new(ty(&[ValType::I32], &[ValType::I32]), |_, args, results| {
        results[0] = Value::I32(args[0].i32().unwrap_or(0) * 2);
        Ok(())
    });
    let double = guest.store.new_func(Arc::new(double)).expect("a common signature");
    let Some(cofferdam_engine::Extern::Table(table)) = guest.store.export(guest.instance, "t") else {
        panic!("a table")
    };
    guest.store.table_set(table, 1, Value::FuncRef(Some(double))).expect("it fits");
    assert_eq!(guest.store.table_get(table, 1), Ok(Value::FuncRef(Some(double))));
    assert_eq!(guest.call("run", &i32s(&[21])).expect("it returns"), i32s(&[42]));
    let odd = HostFunc::new(ty(&[ValType::F32; 3], &[ValType::V128]), |_, _, _| Ok(()));
    assert_eq!(guest.store.new_func(Arc::new(odd)), Err(AccessError::Unsupported));
}

#[test]
fn the_host_calls_a_host_function_by_its_handle() {
    let mut guest = Guest::new("(module)", FuelMode::Portable);
    let double = HostFunc::new(ty(&[ValType::I32], &[ValType::I32]), |_, args, results| {
        let given = args[0].i32().unwrap_or(0);
        results[0] = Value::I32(given * 2);
        if given < 0 { Err(HostError::failed("less than nothing")) } else { Ok(()) }
    });
    let double = guest.store.new_func(Arc::new(double)).expect("a common signature");
    let mut results = i32s(&[0]);
    let mut call = |given: i32| {
        let mut budget = CallBudget::of_fuel(1_000);
        let ended = guest.store.call(double, &i32s(&[given]), &mut results, &mut budget);
        ended.map(|()| results.clone())
    };
    assert_eq!(call(21).expect("it returns"), i32s(&[42]));
    let stop = call(-1).expect_err("it fails");
    assert!(matches!(stop, Stop::Host(_)), "{stop}");
    assert_eq!(call(4).expect("and the store goes on"), i32s(&[8]));
}
