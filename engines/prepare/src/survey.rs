//! [`survey()`]: everything that can be told about a module, whether or not it may run. It is read once with
//! every proposal on, under limits that are at most twenty times the caps, so that a hostile file costs no more
//! than a refused one; what was read before it breaks is kept.

use std::sync::Arc;

use wasmparser::{KnownCustom, Parser, Payload, Validator};

use crate::features::{FeatureSet, Proposal};
use crate::limits::ModuleLimits;
use crate::prepared::ModuleHash;
use crate::recognise::ModuleBytes;
use crate::refusal::{FunctionRef, Refusal, capped};
use crate::types::{ExportType, ImportType, MemoryType, TableType};
use crate::unsupported::check_supported;
use crate::validate::{Gate, Place, explain, function_ref};
use crate::walk::Walk;

/// How far beyond a cap a module is still read, to say what it needs: with the default caps, to the million of
/// functions and the like at which the validator stops anyway.
const HEADROOM: u64 = 20;
/// Sections that are listed, and entries of the producers section that are kept.
const LISTED: usize = 1_000;
/// Bytes kept of a name in the producers section or of a custom section.
const NAME_BYTES: usize = 128;

/// What a module is, as far as it could be read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Survey {
    /// BLAKE3 of the module.
    pub hash: ModuleHash,
    /// Its size in bytes, as binary.
    pub bytes: usize,
    /// Whether it came as text.
    pub was_text: bool,
    /// Its sections, in order; the first thousand.
    pub sections: Vec<Section>,
    /// What it imports.
    pub imports: Vec<ImportType>,
    /// What it exports.
    pub exports: Vec<ExportType>,
    /// The proposals it uses, and where first.
    pub used: Vec<FirstUse>,
    /// Its memories, imported ones first.
    pub memories: Vec<MemoryType>,
    /// Its tables, imported ones first.
    pub tables: Vec<TableType>,
    /// Functions, imported and defined.
    pub functions: u64,
    /// The function that runs at instantiation.
    pub start: Option<FunctionRef>,
    /// What the producers section says made it: field, then name and version.
    pub producers: Vec<(String, String, String)>,
    /// Every module limit that it is above, with what it needs.
    pub above: Vec<Above>,
    /// Estimated microseconds to compile it on one core.
    pub compile_work: u64,
    /// What it uses that no policy can allow.
    pub unsupported: Option<Refusal>,
    /// Why reading it stopped, if it did.
    pub broken: Option<Refusal>,
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it holds, such as `code`.
    pub kind: &'static str,
    /// The name of a custom section, capped.
    pub name: Option<String>,
    /// Where its contents begin.
    pub offset: u64,
    /// Its contents in bytes.
    pub bytes: u64,
}

/// A proposal and the place where it is used first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstUse {
    /// The proposal.
    pub proposal: Proposal,
    /// Byte offset in the module.
    pub offset: u64,
    /// The function that it is in.
    pub function: Option<FunctionRef>,
}

/// A module limit that a module is above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Above {
    /// Name of the limit, a field of [`ModuleLimits`].
    pub limit: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// What the module needs; exact unless [`Survey::broken`] names the same limit.
    pub need: u64,
    /// The cap that it was held against.
    pub cap: u64,
}

impl Survey {
    /// The proposals it uses.
    #[must_use]
    pub fn used_set(&self) -> FeatureSet {
        self.used.iter().map(|used| used.proposal).collect()
    }
}

/// Reads `module` as far as it can be read and holds it against `limits`.
#[must_use]
pub fn survey(module: &ModuleBytes, limits: &ModuleLimits) -> Survey {
    let bytes = module.shared();
    let mut gate = Gate {
        features: Proposal::ALL.iter().copied().collect(),
        level: Arc::from("any"),
        limits: ModuleLimits { compile_work: u64::MAX, function_work: u64::MAX, ..limits.clone() },
    };
    loop {
        let mut survey = read(module, &bytes, &gate, limits);
        // Once more with room for what the module has too much of; each limit can bring one more reading.
        if let Some(Refusal::Limit { limit, unit, need, cap, .. }) = survey.broken {
            let most = headroom(limit, limits);
            if need <= most && cap < most && gate.limits.set(limit, most) {
                continue;
            }
            if survey.above.iter().all(|a| a.limit != limit) {
                survey.above.push(Above { limit, unit, need, cap: limits.get(limit).unwrap_or(cap) });
            }
        }
        return survey;
    }
}

fn headroom(limit: &str, limits: &ModuleLimits) -> u64 {
    let cap = limits.get(limit).unwrap_or(0);
    let default = ModuleLimits::default().get(limit).unwrap_or(0);
    match limit {
        // No engine takes more; and tables are made for each local, however few bytes declare them.
        "locals" | "function_bytes" => default.max(cap),
        "total_locals" => cap.max(default).saturating_mul(4),
        // Only counted.
        "name_bytes" | "memory_minimum_bytes" | "table_minimum" | "custom_sections" => u64::MAX,
        _ => cap.max(default).saturating_mul(HEADROOM),
    }
}

fn read(module: &ModuleBytes, bytes: &Arc<[u8]>, gate: &Gate, limits: &ModuleLimits) -> Survey {
    let features = gate.features.validator();
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut walk = Walk::new(bytes, gate, Validator::new_with_features(features));
    let mut sections = Vec::new();
    let mut producers = Vec::new();
    let mut broken = gate.limits.module_bytes(bytes.len() as u64, 0).err();
    for payload in parser.parse_all(bytes) {
        let payload = match payload {
            Ok(payload) if broken.is_none() => payload,
            Ok(_) => break,
            Err(error) => {
                broken = broken.or_else(|| Some(explain(bytes, gate, walk.function, &error)));
                break;
            }
        };
        list(&payload, &mut sections, &mut producers);
        broken = walk.payload(&payload).err();
        if broken.is_some() {
            break;
        }
    }
    let needs = walk.needs(bytes.len() as u64);
    let found = walk.finish();
    let above = ModuleLimits::ALL.iter().filter_map(|(limit, unit)| {
        let cap = limits.get(limit)?;
        let (_, need) = needs.iter().find(|(name, need)| name == limit && *need > cap)?;
        Some(Above { limit, unit, need: *need, cap })
    });
    let place = |proposal| {
        let first = found.used.first(proposal)?;
        let function = first.function.map(|index| function_ref(bytes, index));
        Some(Place { offset: first.offset, function })
    };
    let unsupported = check_supported(place, found.facts.shared_memory).err();
    let used = found.used.set().iter().filter_map(|proposal| {
        let Place { offset, function } = place(proposal)?;
        Some(FirstUse { proposal, offset, function })
    });
    Survey {
        hash: module.hash(),
        bytes: bytes.len(),
        was_text: module.was_text(),
        sections,
        producers,
        used: used.collect(),
        unsupported,
        above: above.collect(),
        functions: found.facts.functions.len() as u64,
        start: found.facts.start.map(|index| function_ref(bytes, index)),
        compile_work: found.facts.work,
        imports: found.imports,
        exports: found.exports,
        memories: found.memories,
        tables: found.tables,
        broken,
    }
}

fn list(payload: &Payload<'_>, sections: &mut Vec<Section>, producers: &mut Vec<(String, String, String)>) {
    let name = match payload {
        Payload::CustomSection(custom) => {
            if let KnownCustom::Producers(fields) = custom.as_known() {
                for field in fields.into_iter().map_while(Result::ok) {
                    for value in field.values.into_iter().map_while(Result::ok) {
                        if producers.len() < LISTED {
                            let cut = |text| capped(text, NAME_BYTES).to_owned();
                            producers.push((cut(field.name), cut(value.name), cut(value.version)));
                        }
                    }
                }
            }
            Some(capped(custom.name(), NAME_BYTES).to_owned())
        }
        _ => None,
    };
    if let Some((id, range)) = payload.as_section()
        && sections.len() < LISTED
    {
        sections.push(Section { kind: section_kind(id), name, offset: range.start, bytes: range.end - range.start });
    }
}

const fn section_kind(id: u8) -> &'static str {
    match id {
        0 => "custom",
        1 => "types",
        2 => "imports",
        3 => "functions",
        4 => "tables",
        5 => "memories",
        6 => "globals",
        7 => "exports",
        8 => "start",
        9 => "elements",
        10 => "code",
        11 => "data",
        12 => "data count",
        13 => "tags",
        _ => "unknown",
    }
}

/// The contents of every custom section called `name` in the binary module `bytes`, as far as it can be read.
#[must_use]
pub fn custom_sections<'a>(bytes: &'a [u8], name: &str) -> Vec<&'a [u8]> {
    let payloads = Parser::new(0).parse_all(bytes).map_while(Result::ok);
    let found = payloads.filter_map(|payload| match payload {
        Payload::CustomSection(custom) if custom.name() == name => Some(custom.data()),
        _ => None,
    });
    found.take(LISTED).collect()
}

/// Whether the module in `bytes`, which may be malformed, imports anything from `module`.
#[must_use]
pub fn imports_from(bytes: &[u8], module: &str) -> bool {
    let sections = Parser::new(0).parse_all(bytes).map_while(Result::ok).filter_map(|payload| match payload {
        Payload::ImportSection(section) => Some(section),
        _ => None,
    });
    sections.flat_map(|section| section.into_imports()).map_while(Result::ok).any(|import| import.module == module)
}
