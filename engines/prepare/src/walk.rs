//! Reads a module section by section for [`crate::validate()`]: limits first, then proposals and reserved
//! names, then the validator.

use std::collections::BTreeSet;
use std::sync::Arc;

use wasmparser::{
    CompositeInnerType, ConstExpr, DataKind, ElementItems, ElementKind, ExternalKind, FuncValidatorAllocations,
    FunctionBody, Payload, RecGroup, TableInit, TypeRef, ValidPayload, Validator,
};

use crate::features::Proposal;
use crate::metering::MemoryShape;
use crate::names::is_reserved;
use crate::proposals::Used;
use crate::refusal::{Refusal, capped};
use crate::types::{
    ExportType, ExternType, FuncType, GlobalType, ImportType, MemoryType, TableType, ValType, from_ref_type,
    from_value_type,
};
use crate::unsupported::check_supported;
use crate::validate::{Arity, Facts, Gate, Place, explain, function_ref};
use crate::work::{FunctionWork, IMPORT, type_work};

/// What a walk through a valid module found.
pub(crate) struct Found {
    pub used: Used,
    pub imports: Vec<ImportType>,
    pub exports: Vec<ExportType>,
    pub signatures: Vec<FuncType>,
    pub facts: Facts,
    pub memories: Vec<MemoryType>,
    pub tables: Vec<TableType>,
}

/// Things counted towards the module limits.
#[derive(Default)]
struct Counts {
    imports: u64,
    exports: u64,
    tags: u64,
    locals: u64,
    branch_targets: u64,
    element_items: u64,
    memory_bytes: u64,
    table_elements: u64,
    custom_sections: u64,
    data_segments: u64,
    element_segments: u64,
    code_bytes: u64,
    /// The most of what is capped for each function, `br_table` or name.
    locals_of_one: u64,
    function_bytes: u64,
    function_work: u64,
    nesting: u64,
    br_table_targets: u64,
    name_bytes: u64,
}

pub(crate) struct Walk<'a> {
    bytes: &'a [u8],
    gate: &'a Gate,
    validator: Validator,
    allocations: FuncValidatorAllocations,
    /// The function being read.
    pub function: Option<u32>,
    used: Used,
    counts: Counts,
    work: FunctionWork,
    facts: Facts,
    types: Vec<Option<FuncType>>,
    tables: Vec<TableType>,
    memories: Vec<MemoryType>,
    globals: Vec<GlobalType>,
    imports: Vec<ImportType>,
    exports: Vec<ExportType>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(bytes: &'a [u8], gate: &'a Gate, validator: Validator) -> Self {
        Self {
            bytes,
            gate,
            validator,
            allocations: FuncValidatorAllocations::default(),
            function: None,
            used: Used::default(),
            counts: Counts::default(),
            work: FunctionWork::default(),
            facts: Facts::default(),
            types: Vec::new(),
            tables: Vec::new(),
            memories: Vec::new(),
            globals: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
        }
    }

    pub(crate) fn finish(self) -> Found {
        let signatures: BTreeSet<FuncType> = self.types.into_iter().flatten().collect();
        Found {
            used: self.used,
            imports: self.imports,
            exports: self.exports,
            signatures: signatures.into_iter().collect(),
            facts: self.facts,
            memories: self.memories,
            tables: self.tables,
        }
    }

    /// What was read so far of everything that module limits cap, by the names of the limits.
    pub(crate) fn needs(&self, module_bytes: u64) -> Vec<(&'static str, u64)> {
        let counts = &self.counts;
        vec![
            ("module_bytes", module_bytes),
            ("types", self.types.len() as u64),
            ("functions", self.facts.functions.len() as u64),
            ("imports", counts.imports),
            ("exports", counts.exports),
            ("globals", self.globals.len() as u64),
            ("tables", self.tables.len() as u64),
            ("memories", self.memories.len() as u64),
            ("tags", counts.tags),
            ("locals", counts.locals_of_one),
            ("total_locals", counts.locals),
            ("function_bytes", counts.function_bytes),
            ("code_bytes", counts.code_bytes),
            ("compile_work", self.facts.work),
            ("function_work", counts.function_work),
            ("nesting", counts.nesting),
            ("br_table_targets", counts.br_table_targets),
            ("total_br_table_targets", counts.branch_targets),
            ("data_segments", counts.data_segments),
            ("element_segments", counts.element_segments),
            ("element_items", counts.element_items),
            ("memory_minimum_bytes", counts.memory_bytes),
            ("table_minimum", counts.table_elements),
            ("name_bytes", counts.name_bytes),
            ("custom_sections", counts.custom_sections),
        ]
    }

    /// Reads one part of the module.
    pub(crate) fn payload(&mut self, payload: &Payload<'_>) -> Result<(), Refusal> {
        self.function = None;
        match payload {
            Payload::TypeSection(s) => self.type_section(s)?,
            Payload::ImportSection(s) => self.import_section(s)?,
            Payload::FunctionSection(s) => self.function_section(s)?,
            Payload::TableSection(s) => self.table_section(s)?,
            Payload::MemorySection(s) => self.memory_section(s)?,
            Payload::TagSection(s) => {
                self.count_tags(u64::from(s.count()), s.range().start)?;
                self.note(Proposal::Exceptions, s.range().start)?;
            }
            Payload::GlobalSection(s) => self.global_section(s)?,
            Payload::ExportSection(s) => self.export_section(s)?,
            Payload::StartSection { func, .. } => self.facts.start = Some(*func),
            Payload::ElementSection(s) => self.element_section(s)?,
            Payload::DataCountSection { range, .. } => self.note(Proposal::BulkMemory, range.start)?,
            Payload::DataSection(s) => self.data_section(s)?,
            Payload::CodeSectionStart { size, range, .. } => {
                self.counts.code_bytes = u64::from(*size);
                self.gate.limits.code_bytes(u64::from(*size), range.start)?;
            }
            Payload::CodeSectionEntry(body) => return self.body(payload, body),
            Payload::CustomSection(custom) => {
                self.counts.custom_sections += 1;
                self.gate.limits.custom_sections(self.counts.custom_sections, custom.range().start)?;
            }
            _ => {}
        }
        let checked = self.validator.payload(payload);
        self.valid(checked).map(drop)
    }

    fn valid<T>(&self, result: wasmparser::Result<T>) -> Result<T, Refusal> {
        result.map_err(|error| explain(self.bytes, self.gate, self.function, &error))
    }

    /// Refuses the first use of a proposal that the gate does not allow, if there was one.
    fn check_used(&self) -> Result<(), Refusal> {
        if let Some((what, used)) = self.used.unknown() {
            let function = used.function.map(|index| function_ref(self.bytes, index));
            let why = "no engine here can run this proposal";
            return Err(Refusal::Unsupported { what, why, function, offset: used.offset });
        }
        let Some(proposal) = self.used.set().minus(self.gate.features).iter().next() else { return Ok(()) };
        // Who is told to allow a proposal should not be told next that none can be allowed.
        let place = |proposal| {
            let first = self.used.first(proposal)?;
            let function = first.function.map(|index| function_ref(self.bytes, index));
            Some(Place { offset: first.offset, function })
        };
        check_supported(place, self.facts.shared_memory)?;
        let used = self.used.first(proposal).unwrap_or_default();
        Err(Refusal::Proposal {
            proposal,
            function: used.function.map(|index| function_ref(self.bytes, index)),
            offset: used.offset,
            level: self.gate.level.clone(),
        })
    }

    fn add_work(&mut self, work: u64, offset: u64) -> Result<(), Refusal> {
        self.facts.work = self.facts.work.saturating_add(work);
        self.gate.limits.compile_work(self.facts.work, offset)
    }

    fn note(&mut self, proposal: Proposal, offset: u64) -> Result<(), Refusal> {
        self.used.at(offset, None).note(proposal);
        self.check_used()
    }

    fn type_section(&mut self, section: &wasmparser::TypeSectionReader<'_>) -> Result<(), Refusal> {
        let limits = &self.gate.limits;
        limits.types(u64::from(section.count()), section.range().start)?;
        for group in section.clone().into_iter_with_offsets() {
            let (offset, group) = self.valid(group)?;
            limits.types(self.types.len() as u64 + group.types().len() as u64, offset)?;
            let known = self.facts.types.len();
            self.rec_group(&group, offset);
            self.check_used()?;
            let work = self.facts.types.iter().skip(known).map(|ty| type_work(*ty)).sum();
            self.add_work(work, offset)?;
        }
        Ok(())
    }

    fn rec_group(&mut self, group: &RecGroup, offset: u64) {
        let used = self.used.at(offset, None);
        if group.is_explicit_rec_group() {
            used.note(Proposal::Gc);
        }
        for ty in group.types() {
            if !ty.is_final || ty.supertype_idx.is_some() {
                used.note(Proposal::Gc);
            }
            let composite = &ty.composite_type;
            let CompositeInnerType::Func(func) = &composite.inner else {
                used.note(Proposal::Gc);
                self.facts.types.push(Arity::default());
                self.types.push(None);
                continue;
            };
            func.params().iter().chain(func.results()).for_each(|ty| used.value_type(*ty));
            if func.results().len() > 1 {
                used.note(Proposal::MultiValue);
            }
            let count = |types: &[wasmparser::ValType]| u32::try_from(types.len()).unwrap_or(u32::MAX);
            self.facts.types.push(Arity { params: count(func.params()), results: count(func.results()) });
            let convert = |types: &[wasmparser::ValType]| -> Option<Arc<[ValType]>> {
                types.iter().map(|ty| from_value_type(*ty)).collect()
            };
            self.types.push(convert(func.params()).zip(convert(func.results())).map(|(p, r)| FuncType::new(p, r)));
        }
    }

    fn import_section(&mut self, section: &wasmparser::ImportSectionReader<'_>) -> Result<(), Refusal> {
        for import in section.clone().into_imports_with_offsets() {
            let (offset, import) = self.valid(import)?;
            self.counts.imports += 1;
            self.gate.limits.imports(self.counts.imports, offset)?;
            self.add_work(IMPORT, offset)?;
            for name in [import.module, import.name] {
                self.counts.name_bytes = self.counts.name_bytes.max(name.len() as u64);
                self.gate.limits.name_bytes(name.len() as u64, offset)?;
            }
            if is_reserved(import.module) {
                let name = format!("{}.{}", capped(import.module, 100), capped(import.name, 100));
                return Err(Refusal::ReservedName { kind: "import", name: name.into() });
            }
            let ty = self.import_type(import.ty, offset)?;
            self.check_used()?;
            self.imports.push(ImportType { module: import.module.into(), name: import.name.into(), ty });
        }
        Ok(())
    }

    fn import_type(&mut self, ty: TypeRef, offset: u64) -> Result<ExternType, Refusal> {
        Ok(match ty {
            TypeRef::Func(index) | TypeRef::FuncExact(index) => {
                self.facts.functions.push(index);
                self.gate.limits.functions(self.facts.functions.len() as u64, offset)?;
                self.facts.imported_functions += 1;
                ExternType::Func(self.types.get(index as usize).cloned().flatten())
            }
            TypeRef::Table(ty) => ExternType::Table(self.table(ty, offset)?),
            TypeRef::Memory(ty) => ExternType::Memory(self.memory(ty, offset)?),
            TypeRef::Global(ty) => {
                if ty.mutable {
                    self.note(Proposal::MutableGlobals, offset)?;
                }
                self.facts.imported_globals += 1;
                ExternType::Global(self.global(ty, offset)?)
            }
            TypeRef::Tag(_) => {
                self.count_tags(1, offset)?;
                self.note(Proposal::Exceptions, offset)?;
                ExternType::Tag
            }
        })
    }

    fn count_tags(&mut self, more: u64, offset: u64) -> Result<(), Refusal> {
        self.counts.tags += more;
        self.gate.limits.tags(self.counts.tags, offset)
    }

    fn function_section(&mut self, section: &wasmparser::FunctionSectionReader<'_>) -> Result<(), Refusal> {
        let all = self.facts.functions.len() as u64 + u64::from(section.count());
        self.gate.limits.functions(all, section.range().start)?;
        for ty in section.clone() {
            let ty = self.valid(ty)?;
            self.facts.functions.push(ty);
        }
        Ok(())
    }

    fn table_section(&mut self, section: &wasmparser::TableSectionReader<'_>) -> Result<(), Refusal> {
        for table in section.clone().into_iter_with_offsets() {
            let (offset, table) = self.valid(table)?;
            self.table(table.ty, offset)?;
            if let TableInit::Expr(expr) = &table.init {
                self.note(Proposal::FunctionReferences, offset)?;
                self.const_expr(expr)?;
            }
            self.check_used()?;
        }
        Ok(())
    }

    fn table(&mut self, ty: wasmparser::TableType, offset: u64) -> Result<TableType, Refusal> {
        let used = self.used.at(offset, None);
        // A table of `funcref` is part of the MVP.
        if ty.element_type != wasmparser::RefType::FUNCREF {
            used.ref_type(ty.element_type);
        }
        if ty.table64 {
            used.note(Proposal::Memory64);
        }
        if !self.tables.is_empty() {
            used.note(Proposal::ReferenceTypes);
        }
        let neutral = TableType {
            element: from_ref_type(ty.element_type),
            minimum: ty.initial,
            maximum: ty.maximum,
            table64: ty.table64,
        };
        self.counts.table_elements = self.counts.table_elements.saturating_add(ty.initial);
        self.gate.limits.tables(self.tables.len() as u64 + 1, offset)?;
        self.gate.limits.table_minimum(self.counts.table_elements, offset)?;
        self.tables.push(neutral);
        self.facts.spaces.tables.push(ty.table64);
        Ok(neutral)
    }

    fn memory_section(&mut self, section: &wasmparser::MemorySectionReader<'_>) -> Result<(), Refusal> {
        for memory in section.clone().into_iter_with_offsets() {
            let (offset, memory) = self.valid(memory)?;
            self.memory(memory, offset)?;
            self.check_used()?;
        }
        Ok(())
    }

    fn memory(&mut self, ty: wasmparser::MemoryType, offset: u64) -> Result<MemoryType, Refusal> {
        let used = self.used.at(offset, None);
        let notes = [
            (ty.memory64, Proposal::Memory64),
            (ty.shared, Proposal::Threads),
            (ty.page_size_log2.is_some(), Proposal::CustomPageSizes),
            (!self.memories.is_empty(), Proposal::MultiMemory),
        ];
        notes.into_iter().filter(|(uses, _)| *uses).for_each(|(_, proposal)| used.note(proposal));
        if ty.shared {
            self.facts.shared_memory.get_or_insert(offset);
        }
        // The validator refuses any other page size; until then it must not overflow a shift.
        let page_size_log2 = ty.page_size_log2.unwrap_or(16).min(16);
        let neutral = MemoryType {
            minimum: ty.initial,
            maximum: ty.maximum,
            shared: ty.shared,
            memory64: ty.memory64,
            page_size_log2,
        };
        self.counts.memory_bytes = self.counts.memory_bytes.saturating_add(neutral.minimum_bytes());
        self.gate.limits.memories(self.memories.len() as u64 + 1, offset)?;
        self.check_used()?;
        self.gate.limits.memory_minimum_bytes(self.counts.memory_bytes, offset)?;
        self.memories.push(neutral);
        let page_log2 = page_size_log2.to_le_bytes()[0];
        self.facts.spaces.memories.push(MemoryShape { wide: ty.memory64, page_log2 });
        Ok(neutral)
    }

    fn global_section(&mut self, section: &wasmparser::GlobalSectionReader<'_>) -> Result<(), Refusal> {
        let all = self.globals.len() as u64 + u64::from(section.count());
        self.gate.limits.globals(all, section.range().start)?;
        for global in section.clone().into_iter_with_offsets() {
            let (offset, global) = self.valid(global)?;
            self.global(global.ty, offset)?;
            self.const_expr(&global.init_expr)?;
        }
        Ok(())
    }

    fn global(&mut self, ty: wasmparser::GlobalType, offset: u64) -> Result<GlobalType, Refusal> {
        self.used.at(offset, None).value_type(ty.content_type);
        let neutral = GlobalType { value: from_value_type(ty.content_type), mutable: ty.mutable };
        self.gate.limits.globals(self.globals.len() as u64 + 1, offset)?;
        self.globals.push(neutral);
        self.check_used()?;
        Ok(neutral)
    }

    fn const_expr(&mut self, expr: &ConstExpr<'_>) -> Result<(), Refusal> {
        let mut reader = expr.get_operators_reader();
        while !reader.eof() {
            let (operator, offset) = self.valid(reader.read_with_offset())?;
            self.used.at(offset, None).const_operator(&operator);
            // From GC on, constant expressions may read globals of the module itself.
            if let wasmparser::Operator::GlobalGet { global_index } = operator
                && global_index >= self.facts.imported_globals
            {
                self.used.note(Proposal::Gc);
            }
            self.check_used()?;
        }
        Ok(())
    }

    fn export_section(&mut self, section: &wasmparser::ExportSectionReader<'_>) -> Result<(), Refusal> {
        self.counts.exports += u64::from(section.count());
        self.gate.limits.exports(self.counts.exports, section.range().start)?;
        for export in section.clone().into_iter_with_offsets() {
            let (offset, export) = self.valid(export)?;
            self.counts.name_bytes = self.counts.name_bytes.max(export.name.len() as u64);
            self.gate.limits.name_bytes(export.name.len() as u64, offset)?;
            if is_reserved(export.name) {
                return Err(Refusal::ReservedName { kind: "export", name: capped(export.name, 200).into() });
            }
            let index = export.index as usize;
            let ty = match export.kind {
                ExternalKind::Func | ExternalKind::FuncExact => {
                    let ty = self.facts.functions.get(index).and_then(|ty| self.types.get(*ty as usize));
                    Some(ExternType::Func(ty.cloned().flatten()))
                }
                ExternalKind::Table => self.tables.get(index).copied().map(ExternType::Table),
                ExternalKind::Memory => self.memories.get(index).copied().map(ExternType::Memory),
                ExternalKind::Global => self.globals.get(index).copied().map(ExternType::Global),
                ExternalKind::Tag => Some(ExternType::Tag),
            };
            if matches!(ty, Some(ExternType::Global(GlobalType { mutable: true, .. }))) {
                self.note(Proposal::MutableGlobals, offset)?;
            }
            // An index out of range is for the validator to refuse.
            self.exports.extend(ty.map(|ty| ExportType { name: export.name.into(), ty }));
        }
        Ok(())
    }

    fn element_section(&mut self, section: &wasmparser::ElementSectionReader<'_>) -> Result<(), Refusal> {
        self.counts.element_segments = u64::from(section.count());
        self.gate.limits.element_segments(u64::from(section.count()), section.range().start)?;
        for element in section.clone().into_iter_with_offsets() {
            let (offset, element) = self.valid(element)?;
            let items = match &element.items {
                ElementItems::Functions(items) => items.count(),
                ElementItems::Expressions(_, items) => items.count(),
            };
            self.counts.element_items += u64::from(items);
            self.gate.limits.element_items(self.counts.element_items, offset)?;
            match &element.kind {
                ElementKind::Active { offset_expr, .. } => self.const_expr(offset_expr)?,
                ElementKind::Passive | ElementKind::Declared => self.note(Proposal::BulkMemory, offset)?,
            }
            if let ElementItems::Expressions(ty, items) = &element.items {
                self.used.at(offset, None).ref_type(*ty);
                for item in items.clone() {
                    let item = self.valid(item)?;
                    self.const_expr(&item)?;
                }
            }
            self.check_used()?;
        }
        Ok(())
    }

    fn data_section(&mut self, section: &wasmparser::DataSectionReader<'_>) -> Result<(), Refusal> {
        self.counts.data_segments = u64::from(section.count());
        self.gate.limits.data_segments(u64::from(section.count()), section.range().start)?;
        for data in section.clone().into_iter_with_offsets() {
            let (offset, data) = self.valid(data)?;
            match &data.kind {
                DataKind::Active { offset_expr, .. } => self.const_expr(offset_expr)?,
                DataKind::Passive => self.note(Proposal::BulkMemory, offset)?,
            }
        }
        Ok(())
    }

    fn body(&mut self, payload: &Payload<'_>, body: &FunctionBody<'_>) -> Result<(), Refusal> {
        let limits = &self.gate.limits;
        let defined = u32::try_from(self.facts.operand_heights.len()).unwrap_or(u32::MAX);
        self.function = Some(self.facts.imported_functions.saturating_add(defined));
        let start = body.range().start;
        self.counts.function_bytes = self.counts.function_bytes.max(body.as_bytes().len() as u64);
        limits.function_bytes(body.as_bytes().len() as u64, start)?;

        let mut groups = self.valid(body.get_locals_reader())?;
        let params = u64::from(self.facts.defined_type(defined as usize).params);
        let mut locals = 0;
        for _ in 0..groups.get_count() {
            let offset = groups.original_position();
            let (count, ty) = self.valid(groups.read())?;
            locals += u64::from(count);
            limits.locals(params + locals, offset)?;
            limits.total_locals(self.counts.locals + locals, offset)?;
            self.used.at(offset, self.function).value_type(ty);
            self.check_used()?;
        }
        self.counts.locals += locals;
        self.counts.locals_of_one = self.counts.locals_of_one.max(params + locals);
        self.work.begin(params + locals);

        let checked = self.validator.payload(payload);
        let ValidPayload::Func(function, _) = self.valid(checked)? else { return Ok(()) };
        let mut validator = function.into_validator(std::mem::take(&mut self.allocations));
        self.valid(validator.read_locals(&mut body.get_binary_reader()))?;
        let mut reader = self.valid(body.get_operators_reader())?;
        let mut height = 0;
        let mut nesting = 0;
        while !reader.eof() {
            let (operator, offset) = self.valid(reader.read_with_offset())?;
            if let wasmparser::Operator::BrTable { targets } = &operator {
                self.counts.branch_targets += u64::from(targets.len());
                self.counts.br_table_targets = self.counts.br_table_targets.max(u64::from(targets.len()));
                limits.br_table_targets(u64::from(targets.len()), offset)?;
                limits.total_br_table_targets(self.counts.branch_targets, offset)?;
            }
            self.used.at(offset, self.function).operator(&operator);
            self.check_used()?;
            let reachable = validator.get_control_frame(0).is_some_and(|frame| !frame.unreachable);
            self.work.operator(&operator, reachable, &self.facts);
            self.valid(validator.op(offset, &operator))?;
            height = height.max(validator.operand_stack_height());
            nesting = nesting.max(validator.control_stack_height());
            limits.nesting(u64::from(validator.control_stack_height()), offset)?;
        }
        self.valid(reader.finish())?;
        let work = self.work.total(height);
        self.counts.nesting = self.counts.nesting.max(nesting.into());
        self.counts.function_work = self.counts.function_work.max(work);
        limits.function_work(work, start)?;
        self.add_work(work, start)?;
        self.allocations = validator.into_allocations();
        self.facts.operand_heights.push(height);
        Ok(())
    }
}
