//! What a prepared module says of itself, which names are kept, and what is refused however wide the gate.

use cofferdam_prepare::{
    FeatureSet, FuelMode, Gate, Layout, MAX_NAME_BYTES, ModuleHash, ModuleLimits, PrepareOptions, PreparedModule,
    Proposal, Refusal, names, prepare, recognise, validate,
};
use wasm_encoder::{CodeSection, CustomSection, ExportKind, ExportSection, Function, FunctionSection, NameMap};
use wasm_encoder::{Module, NameSection, TypeSection};

const MODES: [FuelMode; 2] = [FuelMode::Portable, FuelMode::Native];

fn pipeline(input: &[u8], mode: FuelMode) -> Result<PreparedModule, Refusal> {
    let features: FeatureSet = Proposal::ALL.iter().copied().collect();
    let gate = Gate { features, level: "test".into(), limits: ModuleLimits::default() };
    let module = validate(recognise(input, &gate.limits)?, &gate)?;
    prepare(module, &PrepareOptions { mode, canonical_nans: false })
}

fn refusal(text: &str, mode: FuelMode) -> Refusal {
    pipeline(text.as_bytes(), mode).expect_err(text)
}

#[test]
fn reserved_names_are_refused_in_both_modes() {
    let rows = [
        (r#"(module (import "cofferdam:meter" "fuel" (global (mut i64))))"#, "import", "cofferdam:meter.fuel"),
        (r#"(module (import "cofferdam:other" "x" (func)))"#, "import", "cofferdam:other.x"),
        (r#"(module (import "wasmer_metering_x" "y" (func)))"#, "import", "wasmer_metering_x.y"),
        (r#"(module (func (export "cofferdam:start")))"#, "export", "cofferdam:start"),
        (
            r#"(module (global (export "wasmer_metering_remaining_points") i64 (i64.const 0)))"#,
            "export",
            "wasmer_metering_remaining_points",
        ),
    ];
    for (text, kind, name) in rows {
        for mode in MODES {
            assert_eq!(refusal(text, mode), Refusal::ReservedName { kind, name: name.into() }, "{mode}");
        }
        assert!(refusal(text, FuelMode::Portable).to_string().contains("reserved"));
    }
    for text in [r#"(module (func (export "cofferdam")))"#, r#"(module (import "env" "cofferdam:x" (func)))"#] {
        pipeline(text.as_bytes(), FuelMode::Portable).unwrap_or_else(|e| panic!("{text}: {e}"));
    }
}

#[test]
fn what_no_limit_could_bound_is_refused_by_name() {
    let rows = [
        ("(module (memory 1 1 shared))", "a shared memory"),
        (r#"(module (import "a" "b" (memory 1 1 shared)))"#, "a shared memory"),
        ("(module (type (struct)))", "garbage-collected types"),
        ("(module (func $f try catch_all end))", "the withdrawn form of exceptions"),
    ];
    for (text, named) in rows {
        for mode in MODES {
            let refusal = refusal(text, mode);
            assert!(matches!(&refusal, Refusal::Unsupported { what, .. } if *what == named), "{text}: {refusal}");
        }
    }
    let message = refusal("(module (func $f try catch_all end))", FuelMode::Portable).to_string();
    assert!(message.contains("in function 0 `f`"), "{message}");
    pipeline(b"(module (memory 1) (func atomic.fence))", FuelMode::Portable).expect("atomics alone do no harm");
}

#[test]
fn a_prepared_module_tells_what_the_guest_has_and_hides_what_was_added() {
    let text = r#"(module
        (import "env" "f" (func (param i32)))
        (import "env" "g" (global i64))
        (import "env" "h" (func))
        (func $init)
        (func (export "run") (result f64) f64.const 0)
        (start $init))"#;
    for mode in MODES {
        let module = pipeline(text.as_bytes(), mode).expect("valid");
        let binary = recognise(text.as_bytes(), &ModuleLimits::default()).expect("text");
        assert_eq!(module.hash(), ModuleHash::of(binary.bytes()));
        assert_eq!(module.original_len(), binary.bytes().len());
        assert_eq!(module.mode(), mode);
        assert_eq!(module.layout(), Layout { tick: 2, fuel: 1, stack: 2, imported_functions: 2 });
        assert!(module.has_start());
        let imports: Vec<_> = module.imports().iter().map(|i| &*i.name).collect();
        assert_eq!(imports, ["f", "g", "h"]);
        assert_eq!(module.exports().len(), 1);
        assert!(module.export("run").is_some() && module.export(names::START).is_none());
        let mut signatures: Vec<_> = module.signatures().iter().map(ToString::to_string).collect();
        signatures.sort();
        assert_eq!(signatures, ["() -> ()", "() -> (f64)", "(i32) -> ()"]);
        assert_eq!(module.function_plans().len(), 2);
        assert_eq!(module.used(), FeatureSet::MVP);
    }
    assert!(!pipeline(b"(module)", FuelMode::Native).expect("valid").has_start());
}

/// A module of four functions that do nothing, the second and third exported, with these custom sections.
fn named(sections: &[CustomSection<'_>]) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let (mut functions, mut code, mut exports) = (FunctionSection::new(), CodeSection::new(), ExportSection::new());
    for _ in 0..4 {
        functions.function(0);
        let mut body = Function::new([]);
        body.instructions().end();
        code.function(&body);
    }
    exports.export("exported_1", ExportKind::Func, 1).export("exported_2", ExportKind::Func, 2);
    exports.export("again_2", ExportKind::Func, 2);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&exports).section(&code);
    sections.iter().for_each(|section| _ = module.section(section));
    module.finish()
}

fn name_section(names: &[(u32, &str)]) -> Vec<u8> {
    let mut map = NameMap::new();
    names.iter().for_each(|(index, name)| map.append(*index, name));
    let mut section = NameSection::new();
    section.functions(&map);
    let mut bytes = Vec::new();
    wasm_encoder::Encode::encode(&section, &mut bytes);
    // What is encoded is the whole section; what is wanted is the part behind its size and name.
    let start = bytes.windows(5).position(|window| window == b"\x04name").expect("its name") + 5;
    bytes.split_off(start)
}

fn names_of(sections: &[CustomSection<'_>]) -> Vec<Option<String>> {
    let module = pipeline(&named(sections), FuelMode::Portable).expect("valid");
    (0..5).map(|function| module.code_map().name(function).map(|name| name.to_string())).collect()
}

fn section(data: &[u8]) -> CustomSection<'_> {
    CustomSection { name: "name".into(), data: data.into() }
}

#[test]
fn functions_are_called_by_the_name_section_or_else_by_their_first_export() {
    let some = |name: &str| Some(name.to_owned());
    let good = name_section(&[(0, "zero"), (1, "one"), (9, "nowhere")]);
    assert_eq!(names_of(&[section(&good)]), [some("zero"), some("one"), some("exported_2"), None, None]);
    assert_eq!(names_of(&[]), [None, some("exported_1"), some("exported_2"), None, None]);
    let twice = name_section(&[(0, "first"), (0, "second")]);
    assert_eq!(names_of(&[section(&twice)])[0], some("first"));
}

#[test]
fn long_names_are_cut_and_broken_sections_ignored() {
    let long = format!("{}é", "n".repeat(MAX_NAME_BYTES - 1));
    let cut = names_of(&[section(&name_section(&[(0, &long)]))])[0].clone().expect("a name");
    assert_eq!(cut, "n".repeat(MAX_NAME_BYTES - 1), "never in the middle of a character");

    let good = name_section(&[(0, "zero"), (3, "three")]);
    let exported = [None, Some("exported_1".to_owned()), Some("exported_2".to_owned()), None, None];
    assert_eq!(names_of(&[section(b"\xff\xff\xff")]), exported);
    for len in 0..good.len() {
        let names = names_of(&[section(&good[..len])]);
        assert_eq!(names[1..3], exported[1..3], "cut to {len} bytes");
    }
}

#[test]
fn a_module_comes_out_of_an_artefact_as_it_went_in() {
    use cofferdam_prepare::{ArtefactKey, VerifiedArtefact};
    let text = r#"(module (import "env" "log" (func $log (param i32 i64) (result f64)))
        (memory (export "memory") 1 2) (table 3 funcref) (global (export "g") (mut i32) (i32.const 7))
        (data (i32.const 8) "data") (start $start)
        (func $start (memory.fill (i32.const 0) (i32.const 0) (i32.const 9)))
        (func $work (export "work") (param i32) (loop (br_if 0 (local.get 0)))))"#;
    let key = ArtefactKey::new([3; 32]);
    for mode in MODES {
        let module = pipeline(text.as_bytes(), mode).expect("it is right");
        let sealed = VerifiedArtefact::seal_module(&key, b"context", &module, b"code").expect("it can be written");
        let artefact = VerifiedArtefact::open(&key, sealed).expect("it was just sealed");
        assert_eq!((artefact.context(), artefact.payload()), (&b"context"[..], &b"code"[..]));
        let back = artefact.module().expect("it is in there");
        let places = |m: &PreparedModule| {
            let at = |f, offset: u32| m.code_map().place(f, Some(offset));
            (0..4).flat_map(|f| (0..600).map(move |o| at(f, o))).collect::<Vec<_>>()
        };
        assert_eq!(back.bytes(), module.bytes());
        assert_eq!((back.hash(), back.original_len(), back.mode()), (module.hash(), module.original_len(), mode));
        assert_eq!((back.allowed(), back.used()), (module.allowed(), module.used()));
        assert_eq!((back.imports(), back.exports()), (module.imports(), module.exports()));
        assert_eq!((back.signatures(), back.has_start(), back.layout()), (module.signatures(), true, module.layout()));
        assert_eq!(back.function_plans(), module.function_plans());
        assert_eq!(back.spaces(), module.spaces());
        assert_eq!(places(&back), places(&module));
        assert!(places(&back).iter().flatten().any(|p| p.name.as_deref() == Some("work") && p.offset.is_some()));
    }
    let plain = VerifiedArtefact::open(&key, VerifiedArtefact::seal(&key, b"", b"code")).expect("it was just sealed");
    assert!(plain.module().is_none(), "there is none in it");
}
