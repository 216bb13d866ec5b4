//! [`Compiled`]: machine code and what instantiation needs to know about it.

use std::any::Any;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use cofferdam_engine::frames::{HeavyFrame, bytes_per_unit};
use cofferdam_engine::{CompiledModule, EngineFault, ExternType, ImportType, PreparedModule};
use cofferdam_prepare::names;
use wasmer_compiler::{Artifact, ArtifactCreate};
use wasmer_types::{ExportIndex, FunctionIndex, ImportIndex, ModuleInfo};

use crate::artefact;
use crate::engine::{Compiler, writes_tables};
use crate::signatures::Signatures;
use crate::tables::Declared;

/// What goes into one import of the rewritten module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The guest's own import of this number; its function index, if it is a function.
    Guest(usize, Option<FunctionIndex>),
    Tick,
    Fuel,
    Stack,
}

/// A module's machine code, with everything that was found out once for all its instances.
pub(crate) struct Compiled {
    /// Dropped before the engine, which owns the memory that the code is in.
    module: wasmer::Module,
    engine: wasmer::Engine,
    pub id: &'static str,
    /// Whether the position of a trap is that of the operator that trapped.
    pub exact_traps: bool,
    pub prepared: PreparedModule,
    pub signatures: Signatures,
    pub declared: Declared,
    /// In the order that the engine numbers imports.
    pub imports: Vec<Slot>,
    /// The guest's own exports, by name.
    pub exports: HashMap<Box<str>, (ExternType, ExportIndex)>,
    /// Function that the start function was moved to.
    pub start: Option<ExportIndex>,
    /// Where the exported memory called `memory` is.
    pub memory: Option<ExportIndex>,
    /// Machine addresses of the guest's functions.
    pub code: Range<usize>,
    /// Stack units of the heaviest function.
    pub heaviest: u32,
    /// Bytes of machine stack that a unit stands for, or why the module is refused.
    pub bytes_per_unit: Result<u32, HeavyFrame>,
    /// Whether the code may change tables.
    pub writes_tables: bool,
    code_bytes: usize,
}

impl Compiled {
    pub fn new(
        id: &'static str,
        compiler: Compiler,
        module: wasmer::Module,
        engine: wasmer::Engine,
        prepared: PreparedModule,
        signatures: Signatures,
        declared: Declared,
    ) -> Result<Self, EngineFault> {
        let fault = |detail: &str| EngineFault::new("reading compiled code", detail);
        let artifact = module.sys_artifact().ok_or_else(|| fault("it is not native code"))?;
        let info = artifact.module_info();
        let imports = slots(info, prepared.imports()).ok_or_else(|| fault("the engine sees other imports"))?;
        let mut exports = HashMap::with_capacity(prepared.exports().len());
        for export in prepared.exports() {
            let index = info.exports.get(&*export.name).ok_or_else(|| fault("the engine sees other exports"))?;
            exports.insert(Box::from(&*export.name), (export.ty.clone(), *index));
        }
        let extents = artifact.finished_function_extents().unwrap_or_default();
        let lowest = extents.iter().map(|(_, e)| *e.ptr as usize).min().unwrap_or(0);
        let highest = extents.iter().map(|(_, e)| *e.ptr as usize + e.length).max().unwrap_or(0);
        let code_bytes = extents.iter().map(|(_, e)| e.length).sum();
        let mut functions: Vec<_> = extents.iter().collect();
        functions.sort_by_key(|(index, _)| *index);
        // Behind the guest's own functions come those that `prepare` adds, which call nobody.
        let functions = functions.iter().zip(prepared.function_plans()).map(|((_, extent), plan)| {
            // SAFETY: the engine says that a function's code is there, and keeps it for as long as `module` lives.
            let code = unsafe { std::slice::from_raw_parts((*extent.ptr).cast::<u8>(), extent.length) };
            (code, plan.stack_weight)
        });
        let bytes_per_unit = bytes_per_unit(functions);
        let memory = match exports.get("memory") {
            Some((ExternType::Memory(_), index)) => Some(*index),
            _ => None,
        };
        Ok(Self {
            id,
            exact_traps: compiler.exact_traps,
            imports,
            exports,
            start: info.exports.get(names::START).copied(),
            memory,
            code: lowest..highest,
            heaviest: prepared.function_plans().iter().map(|p| p.stack_weight).max().unwrap_or(0),
            bytes_per_unit,
            writes_tables: writes_tables(&prepared),
            code_bytes,
            prepared,
            signatures,
            declared,
            module,
            engine,
        })
    }

    pub fn artifact(&self) -> Result<&Artifact, EngineFault> {
        self.module.sys_artifact().ok_or_else(|| EngineFault::new("finding compiled code", "it is not native code"))
    }
}

/// What goes into each import, in the engine's order; `None` if it does not see the guest's imports.
fn slots(info: &ModuleInfo, own: &[ImportType]) -> Option<Vec<Slot>> {
    let mut slots = vec![None; info.imports.len()];
    let mut next = own.iter().enumerate();
    let mut keys: Vec<_> = info.imports.iter().collect();
    keys.sort_by_key(|(key, _)| key.import_idx);
    for (key, index) in keys {
        let slot = match (&*key.module, &*key.field) {
            (names::MODULE, names::TICK) => Slot::Tick,
            (names::MODULE, names::FUEL) => Slot::Fuel,
            (names::MODULE, names::STACK) => Slot::Stack,
            (module, field) => {
                let (number, import) = next.next()?;
                if (module, field) != (&*import.module, &*import.name) {
                    return None;
                }
                let function = if let ImportIndex::Function(f) = index { Some(*f) } else { None };
                Slot::Guest(number, function)
            }
        };
        *slots.get_mut(key.import_idx as usize)? = Some(slot);
    }
    slots.into_iter().collect()
}

/// The form in which the rest of the house has it.
pub(crate) struct WasmerModule(pub Arc<Compiled>);

impl CompiledModule for WasmerModule {
    fn prepared(&self) -> &PreparedModule {
        &self.0.prepared
    }

    fn serialize(&self) -> Result<Vec<u8>, EngineFault> {
        let code = self.0.module.serialize().map_err(|e| EngineFault::new("saving an artefact", e))?;
        Ok(artefact::seal(artefact::header(self.0.id, &self.0.engine, &self.0.prepared), &code))
    }

    fn code_bytes(&self) -> usize {
        self.0.code_bytes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
