//! Structured programs, valid by construction: blocks that take and leave several values with others lying below,
//! locals that are set while they lie on the operand stack, branches that go both ways, loops and calls that end.
//! `wasm-smith` makes more kinds of modules; what these reach, it reaches too seldom to notice.

mod body;
mod operators;
mod values;

use cofferdam_engine::{FeatureSet, Proposal};
use wasm_encoder::{
    CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, Elements, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, GlobalSection, GlobalType, HeapType, Ieee32, Ieee64, ImportSection,
    Instruction, MemArg, MemorySection, MemoryType, Module, RefType, TableSection, TableType, TypeSection, ValType,
};

use crate::random::Random;
use body::Body;

use Instruction as I;

/// What all bodies of a program know of one another.
struct Plan {
    features: FeatureSet,
    /// Parameters and results.
    types: Vec<(Vec<ValType>, Vec<ValType>)>,
    /// Types of imported functions.
    imported: Vec<u32>,
    /// Types of the functions that have a body, but for those that are exported.
    functions: Vec<u32>,
    globals: Vec<ValType>,
    memories: u32,
    tables: Vec<RefType>,
    /// A few operators may trap.
    traps: bool,
    /// A `br_table` may carry several values past others to one height.
    carries: bool,
}

impl Plan {
    /// The global that counts calls down.
    const CALLS: u32 = 0;
    /// The global that everything computed is mixed into.
    const HASH: u32 = 1;
    /// Elements that every table has.
    const ELEMENTS: u64 = 8;
    /// Where the exported functions leave the hash.
    const HASH_AT: i32 = 16;

    fn new(random: &mut Random, features: FeatureSet) -> Self {
        let mut plan = Self {
            features,
            types: Vec::new(),
            imported: Vec::new(),
            functions: Vec::new(),
            globals: vec![ValType::I32, ValType::I64],
            memories: 1,
            tables: vec![RefType::FUNCREF],
            traps: random.one_in(3),
            carries: random.one_in(8),
        };
        if plan.has(Proposal::ReferenceTypes) {
            plan.tables.extend([RefType::FUNCREF, RefType::EXTERNREF]);
        }
        if plan.has(Proposal::MultiMemory) && random.one_in(2) {
            plan.memories = 2;
        }
        for _ in 0..3 + random.below(4) {
            plan.globals.push(plan.any_type(random));
        }
        // Few types, so that many functions have the same.
        let several = if plan.has(Proposal::MultiValue) { 4 } else { 2 };
        let mut types = Vec::new();
        for _ in 0..2 + random.below(4) {
            let mut some = |most| (0..random.below(most)).map(|_| plan.any_type(random)).collect::<Vec<_>>();
            let (params, results) = (some(5), some(several));
            types.push(plan.ty(&params, &results));
        }
        let functions = 2 + random.below(7);
        plan.functions = (0..functions).map(|_| random.pick(&types)).collect();
        if random.one_in(4) {
            let ty = plan.ty(&[ValType::I32, ValType::I64], &[ValType::I64]);
            plan.imported.push(ty);
        }
        plan
    }

    fn has(&self, proposal: Proposal) -> bool {
        self.features.has(proposal)
    }

    /// The number of a type, which is made if there is none.
    fn ty(&mut self, params: &[ValType], results: &[ValType]) -> u32 {
        let found = self.types.iter().position(|(p, r)| p == params && r == results);
        let at = found.unwrap_or_else(|| {
            self.types.push((params.to_vec(), results.to_vec()));
            self.types.len() - 1
        });
        at as u32
    }

    /// Functions that bodies call.
    fn callable(&self) -> u32 {
        (self.imported.len() + self.functions.len()) as u32
    }

    fn type_of(&self, function: u32) -> u32 {
        let at = function as usize;
        self.imported.get(at).copied().unwrap_or_else(|| self.functions[at - self.imported.len()])
    }

    fn any_type(&self, random: &mut Random) -> ValType {
        if self.has(Proposal::ReferenceTypes) && random.one_in(8) {
            return ValType::Ref(if random.one_in(3) { RefType::EXTERNREF } else { RefType::FUNCREF });
        }
        self.any_number(random)
    }

    fn any_number(&self, random: &mut Random) -> ValType {
        match random.below(12) {
            0..5 => ValType::I32,
            8 if self.has(Proposal::Floats) => ValType::F32,
            9 if self.has(Proposal::Floats) => ValType::F64,
            10 | 11 if self.has(Proposal::Simd) => ValType::V128,
            _ => ValType::I64,
        }
    }

    /// Globals of `ty` that programs read and write.
    fn globals_of(&self, ty: ValType) -> Vec<u32> {
        (2..self.globals.len() as u32).filter(|at| self.globals[*at as usize] == ty).collect()
    }
}

/// A program that uses nothing but `features`. Each of its functions is exported behind one that calls it several
/// times, and a last one tells the hash of all that was computed.
#[must_use]
pub fn program(random: &mut Random, features: FeatureSet) -> Vec<u8> {
    let mut plan = Plan::new(random, features);
    let mut code = CodeSection::new();
    for at in 0..plan.functions.len() {
        let (params, results) = plan.types[plan.functions[at] as usize].clone();
        let mut body = Body::new(random, &mut plan, &params, &results);
        body.write();
        code.function(&function(&body.locals[params.len()..], &body.code));
    }
    for at in 0..plan.functions.len() {
        let (locals, ops) = caller(random, &mut plan, at);
        code.function(&function(&locals, &ops));
    }
    let hash = plan.ty(&[], &[ValType::I64]);
    code.function(&function(&[], &[I::GlobalGet(Plan::HASH)]));
    assemble(random, &plan, hash, &code)
}

fn function(locals: &[ValType], code: &[I<'static>]) -> Function {
    let mut function = Function::new_with_locals_types(locals.iter().copied());
    for op in code {
        function.instruction(op);
    }
    function.instruction(&I::End);
    function
}

/// Locals and code of the exported function that calls function `at`: with constants, then with what it was given.
fn caller(random: &mut Random, plan: &mut Plan, at: usize) -> (Vec<ValType>, Vec<I<'static>>) {
    let (params, results) = plan.types[plan.functions[at] as usize].clone();
    let target = (plan.imported.len() + at) as u32;
    let rounds = 1 + random.below(3);
    let calls = random.pick(&[2, 6, 12]);
    let mut body = Body::new(random, plan, &params, &results);
    for _ in 0..rounds {
        body.code.extend([I::I32Const(calls), I::GlobalSet(Plan::CALLS)]);
        params.iter().for_each(|ty| body.constant(*ty));
        body.apply(I::Call(target), params.len(), &results);
        results.iter().for_each(|_| body.hash());
    }
    body.code.extend([I::I32Const(calls), I::GlobalSet(Plan::CALLS)]);
    body.code.extend((0..params.len() as u32).map(I::LocalGet));
    body.code.push(I::Call(target));
    let memarg = MemArg { offset: 0, align: 3, memory_index: 0 };
    body.code.extend([I::I32Const(Plan::HASH_AT), I::GlobalGet(Plan::HASH), I::I64Store(memarg)]);
    (body.locals.split_off(params.len()), body.code)
}

fn zero(ty: ValType) -> ConstExpr {
    match ty {
        ValType::I32 => ConstExpr::i32_const(5),
        ValType::I64 => ConstExpr::i64_const(-5),
        ValType::F32 => ConstExpr::f32_const(Ieee32::from(5.0)),
        ValType::F64 => ConstExpr::f64_const(Ieee64::from(-5.0)),
        ValType::V128 => ConstExpr::v128_const(5 << 70 | 5),
        ValType::Ref(ty) => ConstExpr::ref_null(if ty == RefType::FUNCREF { HeapType::FUNC } else { HeapType::EXTERN }),
    }
}

fn assemble(random: &mut Random, plan: &Plan, hash: u32, code: &CodeSection) -> Vec<u8> {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    for (params, results) in &plan.types {
        types.ty().function(params.iter().copied(), results.iter().copied());
    }
    module.section(&types);
    if !plan.imported.is_empty() {
        let mut imports = ImportSection::new();
        for (at, ty) in plan.imported.iter().enumerate() {
            imports.import("host", &format!("f{}", at as u64 + random.below(20)), EntityType::Function(*ty));
        }
        module.section(&imports);
    }
    let mut functions = FunctionSection::new();
    for ty in plan.functions.iter().chain(&plan.functions).chain([&hash]) {
        functions.function(*ty);
    }
    module.section(&functions);
    let mut tables = TableSection::new();
    let elements = plan.functions.len() as u64 + Plan::ELEMENTS;
    for (at, element_type) in plan.tables.iter().enumerate() {
        let minimum = if at == 0 { elements } else { Plan::ELEMENTS };
        let maximum = random.one_in(2).then_some(minimum + 20);
        tables.table(TableType { element_type: *element_type, table64: false, minimum, maximum, shared: false });
    }
    module.section(&tables);
    let mut memories = MemorySection::new();
    for _ in 0..plan.memories {
        let maximum = random.one_in(2).then_some(3);
        memories.memory(MemoryType { minimum: 1, maximum, memory64: false, shared: false, page_size_log2: None });
    }
    module.section(&memories);
    let mut globals = GlobalSection::new();
    for ty in &plan.globals {
        globals.global(GlobalType { val_type: *ty, mutable: true, shared: false }, &zero(*ty));
    }
    module.section(&globals);
    module.section(&exports(plan));
    let mut segments = ElementSection::new();
    let all: Vec<u32> = (0..plan.functions.len()).map(|at| (plan.imported.len() + at) as u32).collect();
    segments.active(None, &ConstExpr::i32_const(0), Elements::Functions((&all).into()));
    if plan.has(Proposal::BulkMemory) && plan.has(Proposal::ReferenceTypes) {
        segments.passive(Elements::Functions((&all).into()));
    }
    module.section(&segments);
    if plan.has(Proposal::BulkMemory) {
        module.section(&DataCountSection { count: 2 });
    }
    module.section(code);
    let mut data = DataSection::new();
    let bytes = random.bytes(400);
    if plan.has(Proposal::BulkMemory) {
        data.passive(bytes.iter().copied());
    }
    data.active(0, &ConstExpr::i32_const(random.below(4_000) as i32), random.bytes(2_000));
    module.section(&data);
    module.finish()
}

fn exports(plan: &Plan) -> ExportSection {
    let mut exports = ExportSection::new();
    let (imported, count) = (plan.imported.len() as u32, plan.functions.len() as u32);
    for at in 0..=count {
        let name = if at < count { format!("run{at}") } else { "hash".to_owned() };
        exports.export(&name, ExportKind::Func, imported + count + at);
    }
    for at in 0..plan.memories {
        let name = if at == 0 { "memory".to_owned() } else { format!("memory{at}") };
        exports.export(&name, ExportKind::Memory, at);
    }
    for at in 0..plan.tables.len() as u32 {
        exports.export(&format!("table{at}"), ExportKind::Table, at);
    }
    if plan.has(Proposal::MutableGlobals) {
        for at in 0..plan.globals.len() as u32 {
            exports.export(&format!("global{at}"), ExportKind::Global, at);
        }
    }
    exports
}
