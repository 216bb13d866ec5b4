//! Function types that Wasmer could not tell apart are refused wherever they would meet.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cofferdam_engine::{
    AccessError, CompileError, Engine, Extern, FuelMode, FuncType, HostFunc, Import, Imports, InstantiateError,
    StoreLimits, ValType,
};
use wasmer_types::{FunctionType, Type};

use crate::common::{compiled, prepared, store_with, ty};

const INTS_AND_FLOATS: [(ValType, Type); 4] =
    [(ValType::I32, Type::I32), (ValType::I64, Type::I64), (ValType::F32, Type::F32), (ValType::F64, Type::F64)];

/// Half of the parameters of the type that is searched for.
const HALF: u32 = 10;
/// How many halves are tried on each side: together 2^36 types for 2^32 hashes.
const TRIED: u32 = 1 << 18;

fn half(number: u32) -> impl Iterator<Item = (ValType, Type)> {
    (0..HALF).map(move |i| INTS_AND_FLOATS[(number >> (2 * i) & 3) as usize])
}

fn crc(number: u32, start: crc32fast::Hasher) -> crc32fast::Hasher {
    let mut hasher = start;
    hasher.update(&half(number).map(|(_, t)| t as u8).collect::<Vec<_>>());
    hasher
}

fn wasmer_hash(ty: &FuncType) -> u32 {
    let all = |types: &[ValType]| -> Vec<Type> {
        let wasmers = |t: &ValType| INTS_AND_FLOATS.iter().find(|(ours, _)| ours == t).expect("a number").1;
        types.iter().map(wasmers).collect()
    };
    FunctionType::new(all(ty.params()), all(ty.results())).signature_hash()
}

/// A type with 20 parameters whose hash is `target`: met in the middle, because a CRC of two halves is a
/// sum of what each contributes.
fn with_hash(target: u32) -> FuncType {
    let mut header = crc32fast::Hasher::new();
    header.update(&0usize.to_le_bytes());
    header.update(&(2 * HALF as usize).to_le_bytes());
    let mut firsts = HashMap::new();
    for number in 0..TRIED {
        firsts.insert(crc(number, header.clone()).finalize(), number);
    }
    // What a first half contributes to the whole, by the second half's length.
    let moved: HashMap<u32, u32> = firsts
        .iter()
        .map(|(crc_of_first, number)| {
            let mut whole = crc32fast::Hasher::new_with_initial_len(*crc_of_first, u64::from(HALF) + 16);
            let zero = crc32fast::Hasher::new_with_initial_len(0, u64::from(HALF));
            whole.combine(&zero);
            (whole.finalize(), *number)
        })
        .collect();
    let found = (0..TRIED).find_map(|second| {
        let contributes = crc(second, crc32fast::Hasher::new()).finalize();
        Some((*moved.get(&(target ^ contributes))?, second))
    });
    let (first, second) = found.expect("one in 2^36 has this hash");
    let params: Vec<_> = half(first).chain(half(second)).map(|(t, _)| t).collect();
    let ty = FuncType::new(params, []);
    assert_eq!(wasmer_hash(&ty), target, "the search is right");
    ty
}

/// Two different types with one hash.
static CLASH: LazyLock<(FuncType, FuncType)> = LazyLock::new(|| {
    let first = ty(&[ValType::I32, ValType::I64], &[ValType::F32]);
    let second = with_hash(wasmer_hash(&first));
    assert_ne!(first, second);
    (first, second)
});

fn wat_type(ty: &FuncType) -> String {
    let list = |word: &str, types: &[ValType]| types.iter().map(|t| format!(" ({word} {t})")).collect::<String>();
    format!("{}{}", list("param", ty.params()), list("result", ty.results()))
}

fn compile_error(wat: &str, mode: FuelMode) -> Option<CompileError> {
    crate::wasmer().compile(&prepared(wat, mode)).err()
}

#[test]
fn two_types_of_one_module() {
    let (first, second) = &*CLASH;
    // Imported from the host, and called through a table: what would panic, or pass for each other.
    let wat = format!(
        r#"(module (import "h" "f" (func{})) (type $t (func{})) (table 1 funcref)
            (func (export "run"){} (call_indirect (type $t) {} (i32.const 0))))"#,
        wat_type(first),
        wat_type(second),
        wat_type(second),
        (0..second.params().len()).map(|i| format!("(local.get {i})")).collect::<String>(),
    );
    for mode in crate::common::MODES {
        let refused = compile_error(&wat, mode);
        let Some(CompileError::SignatureClash(clash)) = refused else { panic!("{refused:?}") };
        assert_eq!(clash.engine, crate::wasmer().descriptor().id);
        assert!([&clash.first, &clash.second].contains(&&first.to_string()), "{clash}");
    }
}

#[test]
fn a_type_against_the_ticks() {
    let tick = ty(&[ValType::I64], &[]);
    let wat = format!("(module (func (export \"f\"){}))", wat_type(&with_hash(wasmer_hash(&tick))));
    assert!(matches!(compile_error(&wat, FuelMode::Portable), Some(CompileError::SignatureClash(_))));
}

#[test]
fn two_linked_modules() {
    let (first, second) = &*CLASH;
    let module = |ty: &FuncType| {
        let body = if ty.results().is_empty() { "" } else { "(f32.const 0)" };
        compiled(&format!("(module (func (export \"f\"){} {body}))", wat_type(ty)), FuelMode::Portable)
    };
    let mut store = store_with(StoreLimits::default());
    store.instantiate(&*module(first), &Imports::new()).expect("alone it is fine");
    store.instantiate(&*module(first), &Imports::new()).expect("with itself too");
    let refused = store.instantiate(&*module(second), &Imports::new());
    assert!(matches!(refused, Err(InstantiateError::SignatureClash(_))), "{refused:?}");
    assert_eq!(store.usage().instances, 2);
    store_with(StoreLimits::default()).instantiate(&*module(second), &Imports::new()).expect("alone it is fine");
}

#[test]
fn a_host_function_against_a_module() {
    let (first, second) = &*CLASH;
    let mut store = store_with(StoreLimits::default());
    let wat = format!("(module (func (export \"f\"){}))", wat_type(second));
    store.instantiate(&*compiled(&wat, FuelMode::Portable), &Imports::new()).expect("alone it is fine");
    // Offered under the name of an import of another type: an error of types, before any clash.
    let host = Arc::new(HostFunc::new(ty(&[ValType::I32, ValType::I64], &[ValType::I32]), |_, _, _| Ok(())));
    let direct = store.new_func(host.clone()).expect("no clash");
    assert_eq!(store.func_type(direct).as_ref(), Some(host.ty()));
    let clashing = Arc::new(HostFunc::new(with_hash_direct(first, second), |_, _, _| Ok(())));
    assert_eq!(store.new_func(clashing), Err(AccessError::Unsupported));
    let mut imports = Imports::new();
    imports.define("o", "f", Import::Extern(Extern::Func(direct)));
    let wat = r#"(module (import "o" "f" (func (param i32 i64) (result i32))))"#;
    store.instantiate(&*compiled(wat, FuelMode::Portable), &imports).expect("the same type");
}

/// Of two types with one hash, the one that is not in the store.
fn with_hash_direct(first: &FuncType, second: &FuncType) -> FuncType {
    assert_eq!(wasmer_hash(first), wasmer_hash(second));
    first.clone()
}
