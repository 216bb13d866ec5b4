//! The gate: every proposal refused by name and place, and let through with its flag.

use cofferdam_prepare::{FeatureSet, Gate, ModuleLimits, Proposal, Refusal, ValidModule, recognise, validate};
use wasmparser::{Parser, Payload};

struct Row {
    proposal: Proposal,
    /// What else it cannot do without.
    with: &'static [Proposal],
    text: &'static str,
    /// Index and name of the function, and how the operator that uses the proposal is printed; nothing for
    /// uses outside functions.
    place: Option<(u32, Option<&'static str>, &'static str)>,
}

const fn outside(proposal: Proposal, with: &'static [Proposal], text: &'static str) -> Row {
    Row { proposal, with, text, place: None }
}

const fn inside(proposal: Proposal, with: &'static [Proposal], operator: &'static str, text: &'static str) -> Row {
    Row { proposal, with, text, place: Some((1, Some("named"), operator)) }
}

use Proposal as P;

const ROWS: &[Row] = &[
    outside(P::MutableGlobals, &[], r#"(module (import "a" "b" (global (mut i32))))"#),
    outside(P::MutableGlobals, &[], r#"(module (global (export "g") (mut i32) (i32.const 0)))"#),
    inside(P::SignExtension, &[], "I32Extend8S", "i32.const 0 i32.extend8_s drop"),
    inside(P::SaturatingFloatToInt, &[P::Floats], "I32TruncSatF32S", "f32.const 0 i32.trunc_sat_f32_s drop"),
    outside(P::MultiValue, &[], "(module (type (func (result i32 i32))))"),
    inside(P::MultiValue, &[], "Block { blockty: FuncType(1) }", "i32.const 0 block (param i32) drop end"),
    inside(P::BulkMemory, &[], "MemoryFill", "i32.const 0 i32.const 0 i32.const 0 memory.fill"),
    inside(P::BulkMemory, &[], "MemoryCopy", "i32.const 0 i32.const 0 i32.const 0 memory.copy"),
    outside(P::BulkMemory, &[], r#"(module (memory 1) (data "passive"))"#),
    outside(P::BulkMemory, &[], "(module (func) (elem func 0))"),
    inside(P::ReferenceTypes, &[], "RefNull", "ref.null func drop"),
    inside(P::ReferenceTypes, &[], "TableSize", "table.size 0 drop"),
    outside(P::ReferenceTypes, &[], "(module (type (func (param externref))))"),
    outside(P::ReferenceTypes, &[], "(module (table 1 funcref) (table 1 funcref))"),
    outside(P::ReferenceTypes, &[], "(module (table 1 externref))"),
    outside(P::ExtendedConst, &[], "(module (global i32 (i32.add (i32.const 1) (i32.const 2))))"),
    outside(P::ExtendedConst, &[], "(module (memory 1) (data (i32.mul (i32.const 1) (i32.const 2)) \"\"))"),
    inside(P::Simd, &[], "V128Const", "v128.const i64x2 0 0 drop"),
    outside(P::Simd, &[], "(module (type (func (param v128))))"),
    inside(
        P::RelaxedSimd,
        &[P::Simd],
        "I8x16RelaxedSwizzle",
        "v128.const i64x2 0 0 v128.const i64x2 0 0 i8x16.relaxed_swizzle drop",
    ),
    inside(P::TailCalls, &[], "ReturnCall", "return_call 1"),
    outside(P::MultiMemory, &[], "(module (memory 1) (memory 1))"),
    outside(P::Memory64, &[], "(module (memory i64 1))"),
    outside(P::Memory64, &[], "(module (table i64 1 funcref))"),
    inside(P::LegacyExceptions, &[], "Try ", "try catch_all end"),
    inside(P::Exceptions, &[], "TryTable", "try_table end"),
    outside(P::Exceptions, &[], "(module (tag))"),
    outside(P::Exceptions, &[P::ReferenceTypes], "(module (type (func (param exnref))))"),
    outside(P::Threads, &[], "(module (memory 1 1 shared))"),
    inside(P::Threads, &[], "AtomicFence", "atomic.fence"),
    inside(P::FunctionReferences, &[P::ReferenceTypes], "RefAsNonNull", "ref.null func ref.as_non_null drop"),
    outside(P::FunctionReferences, &[P::ReferenceTypes], "(module (type (func (param (ref func)))))"),
    outside(P::Gc, &[], "(module (type (struct)))"),
    inside(P::Gc, &[], "RefI31", "i32.const 0 ref.i31 drop"),
    inside(P::WideArithmetic, &[], "I64MulWideS", "i64.const 0 i64.const 0 i64.mul_wide_s drop drop"),
    outside(P::CustomPageSizes, &[], "(module (memory 1 (pagesize 1)))"),
    inside(P::Floats, &[], "F32Const", "f32.const 0 drop"),
    outside(P::Floats, &[], "(module (type (func (result f64))))"),
];

impl Row {
    fn module(&self) -> String {
        match self.place {
            None => self.text.to_owned(),
            // Function 1, behind an import, is called `named`.
            Some(_) => {
                format!(r#"(module (import "a" "b" (func)) (memory 1) (table 1 funcref) (func $named {}))"#, self.text)
            }
        }
    }
}

fn all() -> FeatureSet {
    Proposal::ALL.iter().copied().collect()
}

fn gated(text: &str, features: FeatureSet) -> Result<ValidModule, Refusal> {
    let limits = ModuleLimits::default();
    let module = recognise(text.as_bytes(), &limits).unwrap_or_else(|e| panic!("{text}: {e}"));
    validate(module, &Gate { features, level: "test".into(), limits })
}

/// Offset of the first operator that prints like `operator`.
fn offset_of(text: &str, operator: &str) -> u64 {
    let module = recognise(text.as_bytes(), &ModuleLimits::default()).expect("text");
    for payload in Parser::new(0).parse_all(module.bytes()) {
        let Payload::CodeSectionEntry(body) = payload.expect("a payload") else { continue };
        for found in body.get_operators_reader().expect("operators").into_iter_with_offsets() {
            let (found, offset) = found.expect("an operator");
            if format!("{found:?} ").starts_with(operator) {
                return offset;
            }
        }
    }
    panic!("no {operator} in {text}")
}

#[test]
fn every_proposal_is_refused_by_name_and_place() {
    for row in ROWS {
        let text = row.module();
        let refusal = gated(&text, all().without(row.proposal)).expect_err(&text);
        let (function, offset) = match &refusal {
            Refusal::Proposal { proposal, function, offset, level } => {
                assert_eq!((*proposal, &**level), (row.proposal, "test"), "{text}: {refusal}");
                (function, offset)
            }
            // No flag would help, so none is named.
            Refusal::Unsupported { function, offset, .. }
                if matches!(row.proposal, P::Gc | P::LegacyExceptions) || text.contains("shared") =>
            {
                assert!(!refusal.to_string().contains("--feature"), "{refusal}");
                (function, offset)
            }
            other => panic!("{text}: {other}"),
        };
        match row.place {
            None => assert_eq!(*function, None, "{text}"),
            Some((index, name, operator)) => {
                let function = function.as_ref().unwrap_or_else(|| panic!("{text}: {refusal}"));
                assert_eq!((function.index, function.name.as_deref()), (index, name), "{text}");
                assert_eq!(*offset, offset_of(&text, operator), "{text}: {refusal}");
            }
        }
        let message = refusal.to_string();
        let flag = format!("--feature {}", row.proposal);
        let named = format!("{offset:#x}");
        if matches!(refusal, Refusal::Unsupported { .. }) {
            assert!(message.contains(&named), "{message}");
            continue;
        }
        for part in [row.proposal.name(), &flag, "`test`", &named] {
            assert!(message.contains(part), "`{message}` should contain `{part}`");
        }
    }
}

#[test]
fn every_proposal_passes_with_its_flag_and_is_listed_as_used() {
    for row in ROWS {
        let text = row.module();
        let needed: FeatureSet = row.with.iter().copied().chain([row.proposal]).collect();
        let module = gated(&text, needed).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert!(needed.minus(module.used()).is_empty(), "{text} uses {:?}", module.used());
        assert!(module.used().minus(needed).is_empty(), "{text} uses {:?}", module.used());
        assert_eq!(module.allowed(), needed);
    }
}

#[test]
fn no_proposal_is_without_a_row() {
    for proposal in Proposal::ALL {
        assert!(ROWS.iter().any(|row| row.proposal == *proposal), "{proposal}");
    }
}

#[test]
fn a_refusal_says_which_level_would_do() {
    let message = |features, text: &str| gated(text, features).expect_err(text).to_string();
    let passive = r#"(module (memory 1) (data "passive"))"#;
    assert!(message(FeatureSet::STRICT, passive).contains("or policy level `standard` and above"));
    let simd = "(module (type (func (param v128))))";
    assert!(message(FeatureSet::STANDARD, simd).contains("or policy level `relaxed` and above"));
    let threads = "(module (func atomic.fence))";
    assert!(message(FeatureSet::RELAXED, threads).ends_with("allow it with `--feature threads`"));
    let shared = "(module (memory 1 1 shared))";
    assert!(message(FeatureSet::RELAXED, shared).ends_with("no policy can allow it"));
}

#[test]
fn proposals_without_a_flag_are_refused_by_name() {
    let text = "(module (memory 1) (func i32.const 0 i32.const 0 memory.discard))";
    let refusal = gated(text, all()).expect_err(text);
    assert!(matches!(refusal, Refusal::Unsupported { what: "memory-control", .. }), "{refusal}");
    assert!(refusal.to_string().contains("function 0"), "{refusal}");
}

#[test]
fn rules_that_a_proposal_only_relaxes_are_explained_too() {
    // An index of a table or memory written in more bytes than needed was malformed before the proposal
    // that gave it a meaning. The parser then only says what it expected.
    let overlong_memory_size = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\
        \x0a\x08\x01\x06\0\x3f\x80\0\x1a\x0b";
    let check = |features| {
        let limits = ModuleLimits::default();
        let module = recognise(overlong_memory_size, &limits).expect("a binary");
        validate(module, &Gate { features, level: "test".into(), limits })
    };
    check(all()).expect("valid with several memories");
    let refusal = check(all().without(P::MultiMemory)).expect_err("not without");
    assert!(matches!(refusal, Refusal::Proposal { proposal: P::MultiMemory, .. }), "{refusal}");
}

#[test]
fn what_is_wrong_under_every_policy_is_invalid() {
    for (text, word) in [
        ("(module (func (result i32)))", "type mismatch"),
        ("(module (func i32.add drop))", "type mismatch"),
        ("(module (func call 7))", "unknown function"),
        ("(module (export \"a\" (func 0)))", "unknown function"),
        ("(module (memory 2 1))", "minimum must not be greater"),
    ] {
        let refusal = gated(text, all()).expect_err(text);
        assert!(matches!(refusal, Refusal::Invalid { .. }), "{text}: {refusal}");
        assert!(refusal.to_string().contains(word), "{refusal} should contain {word}");
    }
    let refusal = gated("(module (func nop) (func $bad i32.add drop))", all()).expect_err("invalid");
    assert!(refusal.to_string().contains("in function 1 `bad`"), "{refusal}");
}

#[test]
fn names_in_messages_are_capped_and_escaped() {
    let name = format!("\\u{{1b}}[2J{}", "n".repeat(1000));
    let text = format!(r#"(module (func $"{name}" i32.const 0 i32.extend8_s drop))"#);
    let message = gated(&text, FeatureSet::MVP).expect_err("refused").to_string();
    assert!(message.contains("\\u{1b}[2Jnnn") && message.len() < 500, "{message}");
}

#[test]
fn imports_and_exports_are_listed() {
    let module = gated(
        r#"(module
            (import "env" "f" (func (param i32 i64) (result externref)))
            (import "env" "m" (memory 2 3))
            (import "env" "t" (table 4 funcref))
            (import "env" "g" (global (mut f64)))
            (func (export "run") (param exnref))
            (export "m" (memory 0)))"#,
        all(),
    )
    .expect("valid");
    let list: Vec<String> = module.imports().iter().map(|i| format!("{}.{} {:?}", i.module, i.name, i.ty)).collect();
    assert_eq!(list[0], "env.f Func(Some((i32, i64) -> (externref)))");
    assert!(list[1].starts_with("env.m Memory(") && list[1].contains("minimum: 2, maximum: Some(3)"));
    assert!(list[2].contains("element: Some(FuncRef), minimum: 4"));
    assert!(list[3].contains("value: Some(F64), mutable: true"));
    let list: Vec<String> = module.exports().iter().map(|e| format!("{} {:?}", e.name, e.ty)).collect();
    assert_eq!(list[0], "run Func(None)", "exceptions cannot cross the border");
    assert!(list[1].starts_with("m Memory("));
}
