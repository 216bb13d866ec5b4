//! [`Compiled`]: machine code and what instantiation needs to know about it.

use std::any::Any;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use cofferdam_engine::frames::{HeavyFrame, MOST_BYTES_PER_UNIT, bytes_per_unit};
use cofferdam_engine::{CompiledModule, EngineFault, ImportType, PreparedModule};
use cofferdam_prepare::names;
use wasmtime::wasmparser::{BinaryReaderError, Parser, Payload};
use wasmtime::{ExternType, FuncType, Module};

use crate::artefact;
use crate::engines::Engines;
use crate::stacks::StackSize;

const DOING: &str = "reading compiled code";

/// What goes into one import of the rewritten module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The guest's own import of this number.
    Guest(usize),
    Tick,
    Fuel,
    Stack,
}

/// What the memories and tables that a module defines need at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub memory_bytes: u64,
    pub table_elements: u64,
}

impl Needs {
    /// Reads the declarations of `module`, which was validated.
    fn read(module: &[u8]) -> Result<Self, EngineFault> {
        let unreadable = |e: BinaryReaderError| EngineFault::new("reading the declarations of a prepared module", e);
        let mut all = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload.map_err(unreadable)? {
                Payload::TableSection(section) => {
                    for table in section {
                        let elements = table.map_err(unreadable)?.ty.initial;
                        all.table_elements = all.table_elements.saturating_add(elements);
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory.map_err(unreadable)?;
                        let page = 1u64.checked_shl(memory.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
                        all.memory_bytes = all.memory_bytes.saturating_add(memory.initial.saturating_mul(page));
                    }
                }
                // Both stand before code in every module.
                Payload::CodeSectionStart { .. } => break,
                _ => {}
            }
        }
        Ok(all)
    }
}

/// Machine code in one engine.
pub(crate) struct Loaded {
    pub module: Module,
    /// For each import, its type, if it is a function.
    pub functions: Vec<Option<FuncType>>,
}

impl Loaded {
    fn new(module: Module) -> Self {
        let function = |import: wasmtime::ImportType<'_>| match import.ty() {
            ExternType::Func(ty) => Some(ty),
            _ => None,
        };
        let functions = module.imports().map(function).collect();
        Self { module, functions }
    }
}

/// A module's machine code, with everything that was found out once for all its instances.
pub(crate) struct Compiled {
    engines: Engines,
    /// The code as each size of stack's engine runs it; the first is always there.
    modules: [OnceLock<Loaded>; StackSize::COUNT],
    pub prepared: PreparedModule,
    /// In the order that the engine numbers imports.
    pub imports: Vec<Slot>,
    /// Stack units of the heaviest function.
    heaviest: u32,
    /// Bytes of machine stack that a unit stands for, or why the module is refused.
    pub bytes_per_unit: Result<u32, HeavyFrame>,
    pub needs: Needs,
    names: HashSet<Box<str>>,
}

impl Compiled {
    /// # Safety
    /// `code` was made by this version of Wasmtime on this kind of processor, for `prepared`.
    pub unsafe fn new(engines: Engines, prepared: PreparedModule, code: &[u8]) -> Result<Self, EngineFault> {
        let engine = engines.running(prepared.mode(), StackSize::default())?;
        // SAFETY: the caller's promise.
        let module = unsafe { Module::deserialize(&engine, code) }.map_err(|e| EngineFault::new(DOING, e))?;
        let imports = slots(&module, prepared.imports())
            .ok_or_else(|| EngineFault::new(DOING, "the engine sees other imports"))?;
        let text = module.text();
        // Behind the guest's own functions come those that `prepare` adds, which call nobody.
        let functions = module.functions().zip(prepared.function_plans()).map(|(function, plan)| {
            let code = text.get(function.offset..function.offset + function.len).unwrap_or_default();
            (code, plan.stack_weight)
        });
        let bytes_per_unit = bytes_per_unit(functions);
        let modules = [const { OnceLock::new() }; StackSize::COUNT];
        let _ = modules[0].set(Loaded::new(module));
        Ok(Self {
            engines,
            modules,
            imports,
            heaviest: prepared.function_plans().iter().map(|p| p.stack_weight).max().unwrap_or(0),
            bytes_per_unit,
            needs: Needs::read(prepared.bytes())?,
            names: prepared.exports().iter().map(|e| Box::from(&*e.name)).collect(),
            prepared,
        })
    }

    /// The code for guests with machine stacks of `size`.
    pub fn loaded(&self, size: StackSize) -> Result<&Loaded, EngineFault> {
        let known = &self.modules[size.index()];
        if let Some(loaded) = known.get() {
            return Ok(loaded);
        }
        let code = self.serialize()?;
        let engine = self.engines.running(self.prepared.mode(), size)?;
        // SAFETY: Wasmtime just wrote these bytes; engines differ in the size of stacks only.
        let module = unsafe { Module::deserialize(&engine, code) }.map_err(|e| EngineFault::new(DOING, e))?;
        Ok(known.get_or_init(|| Loaded::new(module)))
    }

    /// The machine stack for guests with a budget of `units`.
    pub fn stack_for(&self, units: u32) -> StackSize {
        StackSize::for_units(units, self.heaviest, self.bytes_per_unit.unwrap_or(MOST_BYTES_PER_UNIT))
    }

    /// Whether the guest itself exports something as `name`.
    pub fn exports(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    fn first(&self) -> Result<&Module, EngineFault> {
        let first = self.modules[0].get().map(|loaded| &loaded.module);
        first.ok_or_else(|| EngineFault::new(DOING, "there is none"))
    }

    fn serialize(&self) -> Result<Vec<u8>, EngineFault> {
        self.first()?.serialize().map_err(|e| EngineFault::new("saving an artefact", e))
    }

    /// Whether `module` is this code.
    pub fn is(&self, module: &Module) -> bool {
        let start = module.image_range().start;
        self.modules.iter().filter_map(OnceLock::get).any(|own| own.module.image_range().start == start)
    }
}

/// What goes into each import, in the engine's order; `None` if it does not see the guest's imports.
fn slots(module: &Module, own: &[ImportType]) -> Option<Vec<Slot>> {
    let mut next = own.iter().enumerate();
    let slot = |import: wasmtime::ImportType<'_>| match (import.module(), import.name()) {
        (names::MODULE, names::TICK) => Some(Slot::Tick),
        (names::MODULE, names::FUEL) => Some(Slot::Fuel),
        (names::MODULE, names::STACK) => Some(Slot::Stack),
        (module, field) => {
            let (number, import) = next.next()?;
            ((module, field) == (&*import.module, &*import.name)).then_some(Slot::Guest(number))
        }
    };
    module.imports().map(slot).collect()
}

/// The form in which the rest of the house has it.
pub(crate) struct WasmtimeModule(pub Arc<Compiled>);

impl CompiledModule for WasmtimeModule {
    fn prepared(&self) -> &PreparedModule {
        &self.0.prepared
    }

    fn serialize(&self) -> Result<Vec<u8>, EngineFault> {
        let compiler = self.0.engines.compiling(&self.0.prepared, false)?;
        Ok(artefact::seal(artefact::header(&compiler, &self.0.prepared), &self.0.serialize()?))
    }

    fn code_bytes(&self) -> usize {
        self.0.first().map_or(0, |module| module.text().len())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
