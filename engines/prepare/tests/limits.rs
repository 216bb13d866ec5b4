//! Module limits: each refuses what is one above it, lets through what is just at it, and says so.

use cofferdam_prepare::{FeatureSet, Gate, ModuleLimits, Proposal, Refusal, recognise, validate};
use wasm_encoder::{BlockType, CodeSection, Function, FunctionSection, InstructionSink, Module, TypeSection, ValType};

fn gated(text: &str, limits: ModuleLimits) -> Result<(), Refusal> {
    let module = recognise(text.as_bytes(), &ModuleLimits::default()).unwrap_or_else(|e| panic!("{text}: {e}"));
    let features = Proposal::ALL.iter().copied().collect();
    validate(module, &Gate { features, level: "test".into(), limits }).map(drop)
}

/// Name of a limit, a module, and what the module needs of it.
const ROWS: &[(&str, &str, u64)] = &[
    ("module_bytes", "(module)", 8),
    ("types", "(module (type (func)) (type (func (param i32))))", 2),
    ("types", "(module (rec (type (func)) (type (func (param i32)))))", 2),
    ("functions", r#"(module (import "a" "b" (func)) (func) (func))"#, 3),
    ("functions", r#"(module (import "a" "b" (func)) (import "a" "b" (func)))"#, 2),
    ("imports", r#"(module (import "a" "b" (func)) (import "a" "m" (memory 1)))"#, 2),
    ("exports", r#"(module (func (export "a") (export "b")))"#, 2),
    ("globals", r#"(module (import "a" "b" (global i32)) (global i32 (i32.const 0)))"#, 2),
    ("globals", r#"(module (import "a" "b" (global i32)) (import "a" "b" (global i32)))"#, 2),
    ("tables", "(module (table 1 funcref) (table 1 funcref))", 2),
    ("memories", "(module (memory 0) (memory 0) (memory 0))", 3),
    ("tags", r#"(module (import "a" "b" (tag)) (tag))"#, 2),
    ("locals", "(module (func (local i32 i64 i64)))", 3),
    ("total_locals", "(module (func (local i32)) (func (local i32 i32)))", 3),
    ("function_bytes", "(module (func))", 2),
    ("code_bytes", "(module (func) (func))", 6),
    ("compile_work", "(module (func))", 174),
    ("function_work", "(module (func))", 149),
    ("nesting", "(module (func block block end end))", 3),
    ("br_table_targets", "(module (func i32.const 0 br_table 0 0 0))", 2),
    ("total_br_table_targets", "(module (func i32.const 0 br_table 0 0) (func i32.const 0 br_table 0 0))", 2),
    ("data_segments", r#"(module (data "a") (data "b"))"#, 2),
    ("element_segments", "(module (func) (elem func 0) (elem func 0))", 2),
    ("element_items", "(module (func) (elem func 0 0) (elem func 0))", 3),
    ("element_items", "(module (func) (elem funcref (ref.func 0) (ref.null func)))", 2),
    ("memory_minimum_bytes", "(module (memory 1) (memory 2))", 3 << 16),
    ("memory_minimum_bytes", r#"(module (import "a" "m" (memory 2)))"#, 2 << 16),
    ("table_minimum", "(module (table 3 funcref) (table 4 externref))", 7),
    ("name_bytes", r#"(module (import "abc" "b" (func)))"#, 3),
    ("name_bytes", r#"(module (import "a" "bcd" (func)))"#, 3),
    ("name_bytes", r#"(module (func (export "abcd")))"#, 4),
    ("custom_sections", r#"(module (@custom "a" "") (@custom "b" ""))"#, 2),
];

#[test]
fn each_limit_holds_at_its_edge() {
    for (limit, text, need) in ROWS {
        let mut limits = ModuleLimits::default();
        assert!(limits.set(limit, *need), "{limit}");
        gated(text, limits.clone()).unwrap_or_else(|e| panic!("{limit} at {need}: {e}"));
        assert!(limits.set(limit, need - 1));
        let refusal = gated(text, limits.clone()).expect_err(text);
        let Refusal::Limit { limit: named, need: needed, cap, .. } = refusal else { panic!("{text}: {refusal}") };
        assert_eq!((named, needed, cap), (*limit, *need, need - 1), "{text}");
        let message = refusal.to_string();
        for part in [format!("`{limit}`"), format!("at least {need} "), format!("cap is {}", need - 1)] {
            assert!(message.contains(&part), "`{message}` should contain `{part}`");
        }
    }
}

#[test]
fn no_limit_is_without_a_row() {
    for (limit, _) in ModuleLimits::ALL {
        let in_text = *limit == "text_bytes"; // tested where text is recognised
        assert!(in_text || ROWS.iter().any(|(name, ..)| name == limit), "{limit}");
    }
}

#[test]
fn limits_are_found_by_name() {
    let mut limits = ModuleLimits::default();
    assert_eq!(limits.get("types"), Some(limits.types));
    assert!(limits.set("types", 7));
    assert_eq!(limits, ModuleLimits { types: 7, ..ModuleLimits::default() });
    assert_eq!(limits.get("nonsense"), None);
    assert!(!limits.set("nonsense", 1));
}

#[test]
fn the_largest_functions_of_the_specification_pass_by_default() {
    let locals = |n| format!("(module (func (param i32) (local{})))", " v128".repeat(n));
    gated(&locals(49_995), ModuleLimits::default()).expect("four may be added to reach what every engine takes");
    gated(&locals(49_996), ModuleLimits::default()).expect_err("parameters count as locals");
    let wide = format!("(module (func (param{}) (result{}) unreachable))", " i64".repeat(1000), " i64".repeat(1000));
    gated(&wide, ModuleLimits::default()).expect("1,000 parameters and results too");
}

fn default_limit(bytes: &[u8]) -> &'static str {
    let limits = ModuleLimits::default();
    let gate = Gate { features: FeatureSet::RELAXED, level: "test".into(), limits };
    match recognise(bytes, &gate.limits).and_then(|module| validate(module, &gate)) {
        Err(Refusal::Limit { limit, .. }) => limit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn modules_of_too_many_parts_are_refused_by_default() {
    let text = |text: String| default_limit(text.as_bytes());
    assert_eq!(text(format!("(module {})", "(func)".repeat(100_000))), "functions");
    assert_eq!(text(format!("(module (func {}))", "block ".repeat(20_000) + &"end ".repeat(20_000))), "nesting");
    assert_eq!(text(format!("(module (func i32.const 0 br_table{} 0))", " 0".repeat(1_000_000))), "br_table_targets");
    let mut many = Functions::default();
    (0..100).for_each(|_| many.add(49_000, |_| {}));
    assert_eq!(default_limit(&many.module()), "total_locals");
}

/// Each of these keeps an optimising compiler busy for minutes, or fills gigabytes, from some kilobytes.
#[test]
fn compile_bombs_are_refused_by_default() {
    let one = |locals: u32, code: fn(&mut InstructionSink<'_>)| {
        let mut functions = Functions::default();
        functions.add(locals, code);
        default_limit(&functions.module())
    };
    fn set_all(code: &mut InstructionSink<'_>, locals: u32) {
        (0..locals).for_each(|local| {
            code.local_get(local).i32_const(1).i32_add().local_set(local);
        });
    }
    let nested_loops = one(1_000, |code| {
        (0..300).for_each(|_| _ = code.loop_(BlockType::Empty));
        set_all(code, 1_000);
        (0..300).for_each(|_| _ = code.local_get(0).br_if(0).end());
    });
    let nested_ifs = one(1_000, |code| {
        (0..300).for_each(|_| _ = code.local_get(0).if_(BlockType::Empty));
        set_all(code, 1_000);
        (0..300).for_each(|_| _ = code.end());
    });
    let many_alive = one(2_000, |code| {
        set_all(code, 2_000);
        (0..20_000).for_each(|_| _ = code.loop_(BlockType::Empty).local_get(0).br_if(0).end());
        set_all(code, 2_000);
    });
    let many_blocks = one(1, |code| {
        (0..200_000).for_each(|_| _ = code.local_get(0).if_(BlockType::Empty).end());
    });
    let deep_loops = one(1, |code| {
        (0..3_000).for_each(|_| _ = code.loop_(BlockType::Empty));
        (0..3_000).for_each(|_| _ = code.local_get(0).br_if(0).end());
    });
    assert_eq!([nested_loops, nested_ifs, many_alive, many_blocks, deep_loops], ["function_work"; 5]);

    let mut branches = Functions::default();
    (0..1_000).for_each(|_| {
        branches.add(1, |code| (0..2_000).for_each(|_| _ = code.local_get(0).if_(BlockType::Empty).end()));
    });
    assert_eq!(default_limit(&branches.module()), "compile_work");
}

/// A module of functions without parameters.
#[derive(Default)]
struct Functions {
    functions: FunctionSection,
    code: CodeSection,
}

impl Functions {
    fn add(&mut self, locals: u32, body: impl FnOnce(&mut InstructionSink<'_>)) {
        let mut function = Function::new([(locals, ValType::I32)]);
        body(&mut function.instructions());
        function.instructions().end();
        self.functions.function(0);
        self.code.function(&function);
    }

    fn module(&self) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut module = Module::new();
        module.section(&types).section(&self.functions).section(&self.code);
        module.finish()
    }
}

#[test]
fn counts_are_checked_before_the_items_are_read() {
    // A type section that claims four billion types and holds none.
    let bytes = b"\0asm\x01\0\0\0\x01\x05\xff\xff\xff\xff\x0f";
    let module = recognise(bytes, &ModuleLimits::default()).expect("a binary");
    let gate = Gate { features: FeatureSet::MVP, level: "test".into(), limits: ModuleLimits::default() };
    let refusal = validate(module, &gate).expect_err("too many");
    assert!(matches!(refusal, Refusal::Limit { limit: "types", need: 0xffff_ffff, .. }), "{refusal}");
}
