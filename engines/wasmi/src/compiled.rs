//! [`Compiled`]: a translated module and what instantiation needs to know about it.

use std::any::Any;
use std::sync::Arc;

use cofferdam_engine::{CompileError, CompiledModule, EngineFault, ExternType, FuelMode, PreparedModule, Proposal};
use cofferdam_prepare::{names, with_inline_charges};
use parking_lot::Mutex;
use wasmi::errors::ErrorKind;
use wasmi::{Engine, EngineWeak, Module};
use wasmparser::{ElementKind, Parser, Payload, TypeRef};

use crate::br_tables;
use crate::engine::guarded;

/// What goes into one import of the rewritten module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The guest's own import of this number.
    Guest(usize),
    Tick,
    Fuel,
    Stack,
}

/// A translated module, with everything that was found out once for all its instances.
pub(crate) struct Compiled {
    pub id: &'static str,
    pub engine: Engine,
    module: Module,
    /// The same for stores that hold modules of other engines.
    elsewhere: Mutex<Vec<(EngineWeak, Module)>>,
    pub prepared: PreparedModule,
    pub imports: Vec<Slot>,
    pub declared: Declared,
}

const COMPILING: &str = "compiling";
/// Bytes that Wasmi keeps for one of code, roughly: what it runs is some times longer than WebAssembly.
const EXPANSION: usize = 6;

fn translate(engine: &Engine, id: &'static str, prepared: &PreparedModule) -> Result<Module, CompileError> {
    let fault = |e: &dyn std::fmt::Display| CompileError::from(EngineFault::new(COMPILING, e));
    let made = guarded(COMPILING, || match prepared.mode() {
        FuelMode::Portable => Ok(Module::new(engine, prepared.bytes())),
        FuelMode::Native => {
            let charged = with_inline_charges(prepared).map_err(|e| EngineFault::new(COMPILING, e))?;
            Ok(Module::new(engine, charged))
        }
    })?;
    made.map_err(|error| match error.kind() {
        ErrorKind::Translation(_) => CompileError::Limit {
            engine: id,
            what: format!("{error}; Wasmi takes 30,000 locals in one function, of vectors 21,845"),
        },
        _ => fault(&error),
    })
}

impl Compiled {
    pub fn new(id: &'static str, engine: Engine, prepared: PreparedModule) -> Result<Self, CompileError> {
        let fault = |detail: &str| EngineFault::new(COMPILING, detail);
        let declared = Declared::read(prepared.bytes()).map_err(|e| EngineFault::new(COMPILING, e))?;
        let features = prepared.used().with(Proposal::MutableGlobals).validator();
        let carrying = br_tables::carrying(prepared.bytes(), features).map_err(|e| EngineFault::new(COMPILING, e))?;
        if let Some(function) = carrying {
            let function = prepared.code_map().place(function, None).map_or(function, |place| place.function);
            let what = "carries several values or a vector past other operands, which Wasmi 2.0.0 translates wrongly";
            let what = format!("a `br_table` of function {function} {what}");
            return Err(CompileError::Limit { engine: id, what });
        }
        let module = translate(&engine, id, &prepared)?;
        let imports = slots(&module, &prepared).ok_or_else(|| fault("the engine sees other imports"))?;
        Ok(Self { id, engine, module, elsewhere: Mutex::default(), prepared, imports, declared })
    }

    /// The module as `engine` has it: translated anew, once, if it is not the module's own.
    pub fn module_in(&self, engine: &Engine) -> Result<Module, EngineFault> {
        if Engine::same(engine, &self.engine) {
            return Ok(self.module.clone());
        }
        let find = |(weak, module): &(EngineWeak, Module)| {
            weak.upgrade().filter(|known| Engine::same(known, engine)).map(|_| module.clone())
        };
        if let Some(known) = self.elsewhere.lock().iter().find_map(find) {
            return Ok(known);
        }
        let module = translate(engine, self.id, &self.prepared).map_err(|e| EngineFault::new(COMPILING, e))?;
        let mut elsewhere = self.elsewhere.lock();
        elsewhere.retain(|(weak, _)| weak.upgrade().is_some());
        elsewhere.push((engine.weak(), module.clone()));
        Ok(module)
    }
}

/// What goes into each import; `None` if the engine does not see the guest's imports. Wasmi lists imports by
/// kind, and those of one kind in the module's order.
fn slots(module: &Module, prepared: &PreparedModule) -> Option<Vec<Slot>> {
    let mut own: [Vec<usize>; 4] = Default::default();
    for (number, import) in prepared.imports().iter().enumerate().rev() {
        own[match import.ty {
            ExternType::Func(_) => 0,
            ExternType::Table(_) => 1,
            ExternType::Memory(_) => 2,
            ExternType::Global(_) => 3,
            ExternType::Tag => return None,
        }]
        .push(number);
    }
    let slot = |import: wasmi::ImportType<'_>| match (import.module(), import.name()) {
        (names::MODULE, names::TICK) => Some(Slot::Tick),
        (names::MODULE, names::FUEL) => Some(Slot::Fuel),
        (names::MODULE, names::STACK) => Some(Slot::Stack),
        (module, name) => {
            let number = own[match import.ty() {
                wasmi::ExternType::Func(_) => 0,
                wasmi::ExternType::Table(_) => 1,
                wasmi::ExternType::Memory(_) => 2,
                wasmi::ExternType::Global(_) => 3,
            }]
            .pop()?;
            let wanted = prepared.imports().get(number)?;
            ((module, name) == (&*wanted.module, &*wanted.name)).then_some(Slot::Guest(number))
        }
    };
    module.imports().map(slot).collect()
}

/// What a module makes in a store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Declared {
    /// Bytes that its own memories start with.
    pub memory_bytes: u64,
    /// Elements that its own tables start with.
    pub elements: u64,
    /// Whether it writes functions into tables of others while it is linked.
    pub lends_functions: bool,
    /// Element segments that are written while it is linked, into whichever table.
    pub active_segments: usize,
}

impl Declared {
    fn read(module: &[u8]) -> wasmparser::Result<Self> {
        let mut declared = Self::default();
        let mut imported_tables = 0;
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        imported_tables += u32::from(matches!(import?.ty, TypeRef::Table(_)));
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory?;
                        let page = 1u64.checked_shl(memory.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
                        let bytes = memory.initial.saturating_mul(page);
                        declared.memory_bytes = declared.memory_bytes.saturating_add(bytes);
                    }
                }
                Payload::TableSection(section) => {
                    for table in section {
                        declared.elements = declared.elements.saturating_add(table?.ty.initial);
                    }
                }
                Payload::ElementSection(section) => {
                    for segment in section {
                        if let ElementKind::Active { table_index, .. } = segment?.kind {
                            declared.lends_functions |= table_index.unwrap_or(0) < imported_tables;
                            declared.active_segments += 1;
                        }
                    }
                }
                Payload::CodeSectionStart { .. } => break,
                _ => {}
            }
        }
        Ok(declared)
    }
}

/// The form in which the rest of the house has it.
pub(crate) struct WasmiModule(pub Arc<Compiled>);

impl CompiledModule for WasmiModule {
    fn prepared(&self) -> &PreparedModule {
        &self.0.prepared
    }

    fn serialize(&self) -> Result<Vec<u8>, EngineFault> {
        Err(EngineFault::new("saving an artefact", "Wasmi has no form to save; translating is as fast as loading"))
    }

    fn code_bytes(&self) -> usize {
        self.0.prepared.bytes().len().saturating_mul(EXPANSION)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
