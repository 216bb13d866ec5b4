//! The facts about a core module, safe to show: everything that the guest wrote is cut and escaped.

use cofferdam_engine::{ExternType, FuncType, MemoryType, TableType};
use cofferdam_prepare::{FunctionRef, Survey};
use serde::Serialize;

use crate::policy::SecurityPolicy;
use crate::sandbox::{COMMAND, Printable};

/// What is in a core module.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ModuleFacts {
    /// BLAKE3 of the binary module, as in reports of runs.
    pub module_hash: String,
    /// `command` (it exports `_start`), `reactor` (`_initialize`) or `library`.
    pub role: Option<&'static str>,
    /// What it imports.
    pub imports: Vec<ImportFact>,
    /// What it exports.
    pub exports: Vec<ExportFact>,
    /// The proposals it uses.
    pub proposals: Vec<ProposalFact>,
    /// Its memories.
    pub memories: Vec<MemoryFact>,
    /// Its tables.
    pub tables: Vec<TableFact>,
    /// Functions, imported and defined.
    pub functions: u64,
    /// The function that runs at instantiation.
    pub start: Option<String>,
    /// What made it, as it says itself.
    pub producers: Vec<ProducerFact>,
    /// Its sections.
    pub sections: Vec<SectionFact>,
    /// Estimated microseconds to compile it on one core.
    pub compile_work: u64,
    /// The cap on that.
    pub compile_work_cap: u64,
    /// The module limits that it is above.
    pub above_limits: Vec<OverFact>,
}

/// One import.
#[derive(Clone, Debug, Serialize)]
pub struct ImportFact {
    /// Module half of its name.
    pub module: String,
    /// Field half of its name.
    pub name: String,
    /// `function`, `memory`, `table`, `global` or `tag`.
    pub kind: &'static str,
    /// Its signature or size.
    pub ty: String,
}

/// One export.
#[derive(Clone, Debug, Serialize)]
pub struct ExportFact {
    /// Its name.
    pub name: String,
    /// `function`, `memory`, `table`, `global` or `tag`.
    pub kind: &'static str,
    /// Its signature or size.
    pub ty: String,
}

/// A proposal that is used.
#[derive(Clone, Debug, Serialize)]
pub struct ProposalFact {
    /// Its name.
    pub proposal: &'static str,
    /// Where it is used first.
    pub offset: u64,
    /// In which function.
    pub function: Option<String>,
    /// Whether the policy allows it.
    pub allowed: bool,
}

/// A memory.
#[derive(Clone, Debug, Serialize)]
pub struct MemoryFact {
    /// Bytes at the start.
    pub minimum_bytes: u64,
    /// Bytes that it says it will never pass.
    pub maximum_bytes: Option<u64>,
    /// Whether threads may share it.
    pub shared: bool,
    /// Whether its addresses are 64 bits wide.
    pub memory64: bool,
}

/// A table.
#[derive(Clone, Debug, Serialize)]
pub struct TableFact {
    /// What is in it.
    pub element: String,
    /// Elements at the start.
    pub minimum: u64,
    /// Elements that it says it will never pass.
    pub maximum: Option<u64>,
}

/// An entry of the producers section.
#[derive(Clone, Debug, Serialize)]
pub struct ProducerFact {
    /// `language`, `processed-by` or `sdk`.
    pub field: String,
    /// Of what.
    pub name: String,
    /// Which version.
    pub version: String,
}

/// A section.
#[derive(Clone, Debug, Serialize)]
pub struct SectionFact {
    /// What it holds.
    pub kind: &'static str,
    /// The name of a custom section.
    pub name: Option<String>,
    /// Where its contents begin.
    pub offset: u64,
    /// Its contents in bytes.
    pub bytes: u64,
}

/// A module limit that the module is above.
#[derive(Clone, Debug, Serialize)]
pub struct OverFact {
    /// The limit.
    pub limit: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// What the module needs.
    pub need: u64,
    /// The cap.
    pub cap: u64,
    /// What raises it.
    pub flag: String,
}

/// Longest name of a function that is shown, in characters: the names of C++ fill screens.
const NAME_CHARS: usize = 60;

fn shown(text: &str) -> String {
    Printable::new(text).to_string()
}

pub(super) fn function(function: &FunctionRef) -> String {
    match &function.name {
        Some(name) if name.chars().count() > NAME_CHARS => {
            let start: String = name.chars().take(NAME_CHARS).collect();
            format!("{} `{}…`", function.index, shown(&start))
        }
        Some(name) => format!("{} `{}`", function.index, shown(name)),
        None => function.index.to_string(),
    }
}

fn memory(ty: &MemoryType) -> MemoryFact {
    let maximum = ty.maximum.map(|pages| pages.saturating_mul(1 << ty.page_size_log2));
    let (minimum_bytes, shared, memory64) = (ty.minimum_bytes(), ty.shared, ty.memory64);
    MemoryFact { minimum_bytes, maximum_bytes: maximum, shared, memory64 }
}

fn table(ty: &TableType) -> TableFact {
    let element = ty.element.map_or_else(|| "other references".to_owned(), |e| e.to_string());
    TableFact { element, minimum: ty.minimum, maximum: ty.maximum }
}

fn describe(ty: &ExternType) -> String {
    let range = |minimum: u64, maximum: Option<u64>, unit: &str| match maximum {
        Some(maximum) => format!("{minimum} to {maximum} {unit}"),
        None => format!("{minimum} {unit} or more"),
    };
    match ty {
        ExternType::Func(Some(ty)) => signature(ty),
        ExternType::Func(None) => "types that the host cannot name".to_owned(),
        ExternType::Memory(ty) => range(ty.minimum, ty.maximum, "pages"),
        ExternType::Table(ty) => format!("{} of {}", range(ty.minimum, ty.maximum, "elements"), table(ty).element),
        ExternType::Global(ty) => {
            let value = ty.value.map_or_else(|| "other references".to_owned(), |v| v.to_string());
            format!("{}{value}", if ty.mutable { "mutable " } else { "" })
        }
        ExternType::Tag => String::new(),
    }
}

/// A signature, cut: a guest may declare a thousand parameters.
fn signature(ty: &FuncType) -> String {
    Printable::new(&ty.to_string()).to_string()
}

impl ModuleFacts {
    pub(super) fn new(survey: &Survey, policy: &SecurityPolicy) -> Self {
        let exports_function =
            |name: &str| survey.exports.iter().any(|e| &*e.name == name && matches!(e.ty, ExternType::Func(_)));
        let role = if exports_function(COMMAND) {
            "command"
        } else if exports_function("_initialize") {
            "reactor"
        } else {
            "library"
        };
        Self {
            module_hash: survey.hash.to_string(),
            role: survey.broken.is_none().then_some(role),
            imports: survey
                .imports
                .iter()
                .map(|i| ImportFact {
                    module: shown(&i.module),
                    name: shown(&i.name),
                    kind: i.ty.kind(),
                    ty: describe(&i.ty),
                })
                .collect(),
            exports: survey
                .exports
                .iter()
                .map(|e| ExportFact { name: shown(&e.name), kind: e.ty.kind(), ty: describe(&e.ty) })
                .collect(),
            proposals: survey
                .used
                .iter()
                .map(|used| ProposalFact {
                    proposal: used.proposal.name(),
                    offset: used.offset,
                    function: used.function.as_ref().map(function),
                    allowed: policy.features.has(used.proposal),
                })
                .collect(),
            memories: survey.memories.iter().map(memory).collect(),
            tables: survey.tables.iter().map(table).collect(),
            functions: survey.functions,
            start: survey.start.as_ref().map(function),
            producers: survey
                .producers
                .iter()
                .map(|(field, name, version)| ProducerFact {
                    field: shown(field),
                    name: shown(name),
                    version: shown(version),
                })
                .collect(),
            sections: survey
                .sections
                .iter()
                .map(|s| SectionFact {
                    kind: s.kind,
                    name: s.name.as_deref().map(shown),
                    offset: s.offset,
                    bytes: s.bytes,
                })
                .collect(),
            compile_work: survey.compile_work,
            compile_work_cap: policy.module_limits.compile_work,
            above_limits: survey
                .above
                .iter()
                .map(|a| OverFact {
                    limit: a.limit,
                    unit: a.unit,
                    need: a.need,
                    cap: a.cap,
                    flag: format!("--module-limit {}={}", a.limit, a.need),
                })
                .collect(),
        }
    }
}
