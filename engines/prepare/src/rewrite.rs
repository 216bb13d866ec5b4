//! The last step: writes the module anew, with the tick and the counters imported, the start function moved
//! to an export, and (in portable mode) the code that counts. Custom sections are left out; what they say
//! about functions is in the code map.

use std::convert::Infallible;
use std::sync::Arc;

use wasm_encoder as encoder;
use wasm_encoder::reencode::{self, Reencode};
use wasmparser::{Parser, Payload};

use crate::body::{Inserted, narrow, rewrite_body};
use crate::code_map::CodeMap;
use crate::divide::Helpers;
use crate::function_names::function_names;
use crate::names;
use crate::prepared::{FuelMode, Inner, Layout, PreparedModule};
use crate::refusal::Refusal;
use crate::unsupported::check_supported;
use crate::validate::ValidModule;

/// How a module is prepared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PrepareOptions {
    /// Who counts fuel.
    pub mode: FuelMode,
    /// Whether the engine must make the bits of every computed NaN the same.
    pub canonical_nans: bool,
}

/// What an engine cannot do by itself, so that [`prepare_for`] writes it into the modules that are for it. None of
/// it changes what portable fuel counts, or any other outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Assist {
    /// In native mode the engine counts operators and nothing else: the stack budget, the lengths of bulk
    /// operators and functions with many locals are charged by inserted code. The engine counts the inserted
    /// operators too.
    pub native_charges: bool,
    /// The engine's `memory.fill`, `memory.copy` and `memory.init` cannot be ended on the way: long ones are
    /// done in parts, with ticks between.
    pub divided_bulk: bool,
    /// The engine makes one instruction of a branch and the `unreachable` that it leads to, and a trap then names the
    /// branch: something that does nothing stands before each `unreachable`.
    pub unreachable_apart: bool,
    /// The engine takes a comparison and the `select` that it decides for one, and then decides by another value: an
    /// operator that changes nothing stands between them.
    pub selects_apart: bool,
    /// The engine keeps too little of what lies below the parameters of a block, and the guest then reads what others
    /// left: an empty block stands before each block, loop and `if` that has parameters.
    pub parameters_apart: bool,
    /// The engine loses machine stack on the way past an `if` that has parameters and no `else`: an empty `else` is
    /// written.
    pub elses_written: bool,
    /// The engine loses its memory over `v128.store8_lane` and `v128.store16_lane`: they become two operators, one
    /// that takes the lane out and one that stores it. They are charged as one.
    pub lane_stores_in_two: bool,
}

impl Assist {
    /// No help.
    pub const NONE: Self = Self {
        native_charges: false,
        divided_bulk: false,
        unreachable_apart: false,
        selects_apart: false,
        parameters_apart: false,
        elses_written: false,
        lane_stores_in_two: false,
    };
}

/// Rewrites `module` so that every engine enforces the same limits on it.
///
/// # Errors
/// [`Refusal::Unsupported`] for what its policy allowed and no limit could be enforced on.
pub fn prepare(module: ValidModule, options: &PrepareOptions) -> Result<PreparedModule, Refusal> {
    prepare_for(module, options, Assist::default())
}

/// As [`prepare`], for an engine that needs `assist`.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_for(module: ValidModule, options: &PrepareOptions, assist: Assist) -> Result<PreparedModule, Refusal> {
    check_supported(|proposal| module.first_use(proposal), module.facts.shared_memory)?;
    let facts = &module.facts;
    let layout = Layout {
        tick: facts.imported_functions,
        fuel: facts.imported_globals,
        stack: facts.imported_globals + 1,
        imported_functions: facts.imported_functions,
    };
    let mut rewriter = Rewriter::new(&module, layout, options.mode, assist);
    for payload in Parser::new(0).parse_all(&module.bytes) {
        rewriter.section(payload.map_err(RewriteError::from)?)?;
    }
    let (bytes, mut code_map, plans) = rewriter.finish()?;
    code_map.names = function_names(&module.bytes, facts.functions.len());
    Ok(PreparedModule(Arc::new(Inner {
        bytes,
        hash: module.hash,
        original_len: module.bytes.len(),
        mode: options.mode,
        allowed: module.allowed,
        used: module.used,
        canonical_nans: options.canonical_nans,
        imports: module.imports,
        exports: module.exports,
        signatures: module.signatures,
        has_start: module.facts.start.is_some(),
        layout,
        code_map,
        spaces: module.facts.spaces.clone(),
        plans,
    })))
}

/// Rewriting reads again what was validated, so none of these is the guest's doing.
#[derive(Debug)]
pub(crate) enum RewriteError {
    Reencode(reencode::Error),
    OutOfRange(u64),
    /// A body grew past what engines take.
    BodyTooLarge {
        offset: u64,
        need: u64,
    },
}

impl From<reencode::Error> for RewriteError {
    fn from(error: reencode::Error) -> Self {
        Self::Reencode(error)
    }
}

impl From<wasmparser::Error> for RewriteError {
    fn from(error: wasmparser::Error) -> Self {
        Self::Reencode(reencode::Error::ParseError(error))
    }
}

impl From<RewriteError> for Refusal {
    fn from(error: RewriteError) -> Self {
        let (offset, message) = match error {
            RewriteError::Reencode(reencode::Error::ParseError(error)) => (error.offset(), error.message().to_owned()),
            RewriteError::Reencode(error) => (0, error.to_string()),
            RewriteError::BodyTooLarge { offset, need } => {
                let (limit, unit) = ("function_bytes", "bytes in one function with its metering");
                return Self::Limit { limit, unit, need, cap: crate::body::MOST_BODY_BYTES, offset };
            }
            RewriteError::OutOfRange(offset) => (offset, "offset out of range".to_owned()),
        };
        Self::Invalid { offset, function: None, message }
    }
}

/// Moves indices past what is added to the imports.
pub(crate) struct Renumber {
    tick: u32,
    fuel: u32,
}

impl Renumber {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self { tick: layout.tick, fuel: layout.fuel }
    }
}

impl Reencode for Renumber {
    type Error = Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        Ok(if index < self.tick { index } else { index + 1 })
    }

    fn global_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        Ok(if index < self.fuel { index } else { index + 2 })
    }
}

/// The sections of the new module. Each that is present in the old one, or gets something added, is kept
/// until all are known, because the added ones may be missing in the old.
struct Rewriter<'a> {
    module: &'a ValidModule,
    layout: Layout,
    mode: FuelMode,
    assist: Assist,
    renumber: Renumber,
    types: encoder::TypeSection,
    imports: encoder::ImportSection,
    functions: encoder::FunctionSection,
    tables: encoder::TableSection,
    memories: encoder::MemorySection,
    tags: encoder::TagSection,
    globals: encoder::GlobalSection,
    exports: encoder::ExportSection,
    elements: encoder::ElementSection,
    data_count: Option<encoder::DataCountSection>,
    code: encoder::CodeSection,
    data: encoder::DataSection,
    code_map: CodeMap,
    plans: Vec<crate::FunctionPlan>,
    helpers: Helpers,
}

impl<'a> Rewriter<'a> {
    fn new(module: &'a ValidModule, layout: Layout, mode: FuelMode, assist: Assist) -> Self {
        Self {
            module,
            layout,
            mode,
            assist,
            renumber: Renumber::new(&layout),
            types: encoder::TypeSection::new(),
            imports: encoder::ImportSection::new(),
            functions: encoder::FunctionSection::new(),
            tables: encoder::TableSection::new(),
            memories: encoder::MemorySection::new(),
            tags: encoder::TagSection::new(),
            globals: encoder::GlobalSection::new(),
            exports: encoder::ExportSection::new(),
            elements: encoder::ElementSection::new(),
            data_count: None,
            code: encoder::CodeSection::new(),
            data: encoder::DataSection::new(),
            code_map: CodeMap { imported_functions: layout.imported_functions, ..CodeMap::default() },
            plans: Vec::new(),
            // Behind the guest's own functions, which the tick has moved on by one.
            helpers: Helpers::new(assist.divided_bulk, module.facts.functions.len() as u32 + 1, layout.tick),
        }
    }

    fn section(&mut self, payload: Payload<'_>) -> Result<(), RewriteError> {
        let renumber = &mut self.renumber;
        match payload {
            Payload::TypeSection(s) => renumber.parse_type_section(&mut self.types, s)?,
            Payload::ImportSection(s) => renumber.parse_import_section(&mut self.imports, s)?,
            Payload::FunctionSection(s) => renumber.parse_function_section(&mut self.functions, s)?,
            Payload::TableSection(s) => renumber.parse_table_section(&mut self.tables, s)?,
            Payload::MemorySection(s) => renumber.parse_memory_section(&mut self.memories, s)?,
            Payload::TagSection(s) => renumber.parse_tag_section(&mut self.tags, s)?,
            Payload::GlobalSection(s) => renumber.parse_global_section(&mut self.globals, s)?,
            Payload::ExportSection(s) => renumber.parse_export_section(&mut self.exports, s)?,
            Payload::ElementSection(s) => renumber.parse_element_section(&mut self.elements, s)?,
            Payload::DataCountSection { count, .. } => {
                self.data_count = Some(encoder::DataCountSection { count });
            }
            Payload::DataSection(s) => renumber.parse_data_section(&mut self.data, s)?,
            Payload::CodeSectionEntry(body) => self.body(&body)?,
            // The start function is exported instead; custom sections are dropped; the rest says nothing.
            _ => {}
        }
        Ok(())
    }

    fn body(&mut self, body: &wasmparser::FunctionBody<'_>) -> Result<(), RewriteError> {
        let meter = match (self.mode, self.assist.native_charges) {
            (FuelMode::Portable, _) => Inserted::Meter,
            (FuelMode::Native, true) => Inserted::Charges,
            (FuelMode::Native, false) => Inserted::Nothing,
        };
        let defined = self.plans.len();
        let inserted = (meter, self.assist);
        let rewritten = rewrite_body(body, defined, &self.module.facts, &self.layout, inserted, &mut self.helpers)?;
        self.code.raw(&rewritten.bytes);
        let end = narrow(self.code.byte_len() as u64)?;
        let len = narrow(rewritten.bytes.len() as u64)?;
        self.code_map.bodies.push(rewritten.map.finish(end - len, len));
        self.plans.push(rewritten.plan);
        Ok(())
    }

    /// Adds what is ours and puts the sections together.
    fn finish(mut self) -> Result<(Vec<u8>, CodeMap, Vec<crate::FunctionPlan>), RewriteError> {
        let tick_type = narrow(self.module.facts.types.len() as u64)?;
        self.types.ty().function([encoder::ValType::I64], []);
        self.imports.import(names::MODULE, names::TICK, encoder::EntityType::Function(tick_type));
        let sections = (&mut self.types, &mut self.functions, &mut self.code);
        self.helpers.append(tick_type.saturating_add(1), sections);
        for (name, val_type) in [(names::FUEL, encoder::ValType::I64), (names::STACK, encoder::ValType::I32)] {
            let ty = encoder::GlobalType { val_type, mutable: true, shared: false };
            self.imports.import(names::MODULE, name, encoder::EntityType::Global(ty));
        }
        if let Some(start) = self.module.facts.start {
            let index = self.renumber.function_index(start)?;
            self.exports.export(names::START, encoder::ExportKind::Func, index);
        }

        let mut out = encoder::Module::new();
        out.section(&self.types).section(&self.imports);
        if !self.functions.is_empty() {
            out.section(&self.functions);
        }
        if !self.tables.is_empty() {
            out.section(&self.tables);
        }
        if !self.memories.is_empty() {
            out.section(&self.memories);
        }
        if !self.tags.is_empty() {
            out.section(&self.tags);
        }
        if !self.globals.is_empty() {
            out.section(&self.globals);
        }
        if !self.exports.is_empty() {
            out.section(&self.exports);
        }
        if !self.elements.is_empty() {
            out.section(&self.elements);
        }
        if let Some(count) = &self.data_count {
            out.section(count);
        }
        if !self.code.is_empty() {
            out.section(&self.code);
            // The section ends with the bodies, so they begin this far from the end.
            self.code_map.code_start = narrow(out.len().saturating_sub(self.code.byte_len()) as u64)?;
        }
        if !self.data.is_empty() {
            out.section(&self.data);
        }
        Ok((out.finish(), self.code_map, self.plans))
    }
}
