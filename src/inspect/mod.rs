//! What a module is, and what would have to be allowed for it to run. Nothing here runs a guest: it is for
//! people who were refused, and it works on what is refused, damaged, or no module at all.

mod explain;
mod module;
mod next;

use std::sync::Arc;

use cofferdam_engine::{Engine, FeatureSet, FuelMode};
use cofferdam_prepare::{Gate, ModuleLimits, Refusal, component_parts, recognise, survey, validate};
use serde::Serialize;

use crate::policy::{Level, SecurityPolicy};
use crate::sandbox::Printable;

pub use explain::{Capability, Explanation, MOST_BYTES, MOST_UNMET, Question, Verdict, explain};
pub use module::{
    ExportFact, ImportFact, MemoryFact, ModuleFacts, OverFact, ProducerFact, ProposalFact, SectionFact, TableFact,
};
pub use next::{Missing, Step, shell};
pub(crate) use next::{option, quoted};

/// Everything that can be told about a file.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// `module`, `component` or `other`.
    pub kind: &'static str,
    /// What it is, in words.
    pub what: String,
    /// Size of the file.
    pub bytes: u64,
    /// BLAKE3 of the file.
    pub hash: String,
    /// What is in the module, as far as it could be read.
    pub module: Option<ModuleFacts>,
    /// What is in the component.
    pub component: Option<ComponentFacts>,
    /// Why it can run nowhere, or where it breaks.
    pub problem: Option<String>,
    /// What each policy level would say to it.
    pub levels: Vec<LevelSays>,
    /// What each engine of this build would say to it.
    pub engines: Vec<EngineSays>,
}

/// What is in a component.
#[derive(Clone, Debug, Serialize)]
pub struct ComponentFacts {
    /// Core modules in it: offset and size.
    pub modules: Vec<(u64, u64)>,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
}

/// What a policy level says to a module.
#[derive(Clone, Debug, Serialize)]
pub struct LevelSays {
    /// The level.
    pub level: Level,
    /// Whether it lets the module through the gate.
    pub accepts: bool,
    /// Why not.
    pub because: Option<String>,
}

/// What an engine says to a module.
#[derive(Clone, Debug, Serialize)]
pub struct EngineSays {
    /// The engine's id.
    pub engine: &'static str,
    /// Whether it can run all proposals that the module uses.
    pub accepts: bool,
    /// Why not.
    pub because: Option<String>,
    /// The fuel modes in which it can meter.
    pub fuel_modes: &'static [FuelMode],
}

/// Tells what `input` is. Levels are asked under the module limits of `policy`.
#[must_use]
pub fn inspect(input: &[u8], policy: &SecurityPolicy, engines: &[Arc<dyn Engine>]) -> Inspection {
    let mut inspection = Inspection {
        kind: "other",
        what: String::new(),
        bytes: input.len() as u64,
        hash: blake3::hash(input).to_hex().to_string(),
        module: None,
        component: None,
        problem: None,
        levels: Vec::new(),
        engines: Vec::new(),
    };
    // Size is held against the limits afterwards, with everything else.
    let size_open = ModuleLimits {
        module_bytes: policy.module_limits.module_bytes.max(MOST_BYTES),
        text_bytes: policy.module_limits.text_bytes.max(ModuleLimits::default().text_bytes),
        ..policy.module_limits.clone()
    };
    let bytes = match recognise(input, &size_open) {
        Ok(bytes) => bytes,
        Err(refusal) => {
            inspection.refused(input, &refusal);
            return inspection;
        }
    };
    let survey = survey(&bytes, &policy.module_limits);
    let facts = ModuleFacts::new(&survey, policy);
    inspection.kind = "module";
    inspection.what = format!(
        "a WebAssembly {} in {} form",
        facts.role.map_or_else(|| "module".to_owned(), |role| format!("{role} (core module)")),
        if survey.was_text { "text" } else { "binary" }
    );
    inspection.problem = survey.broken.as_ref().or(survey.unsupported.as_ref()).map(said);
    let mut refusals: Vec<(FeatureSet, Option<Refusal>)> = Vec::new();
    for level in Level::ALL {
        let features = level.features();
        let gate = Gate { features, level: Arc::from(level.name()), limits: policy.module_limits.clone() };
        // Levels with the same proposals say the same.
        let same = refusals.iter().find(|(known, _): &&(_, _)| *known == features);
        let mut refusal = match same {
            Some((_, same)) => same.clone(),
            None => validate(bytes.clone(), &gate).err(),
        };
        if let Some(Refusal::Proposal { level, .. }) = &mut refusal {
            level.clone_from(&gate.level);
        }
        let because = refusal.as_ref().map(said);
        refusals.push((features, refusal));
        inspection.levels.push(LevelSays { level: *level, accepts: because.is_none(), because });
    }
    inspection.engines = engines
        .iter()
        .map(|engine| {
            let descriptor = engine.descriptor();
            let lacks: Vec<_> =
                survey.used_set().minus(descriptor.capabilities.features).iter().map(|p| p.name()).collect();
            let because = match &inspection.problem {
                Some(_) => Some("no engine can run it".to_owned()),
                None if lacks.is_empty() => None,
                None => Some(format!("it lacks {}", lacks.join(", "))),
            };
            let fuel_modes = descriptor.capabilities.fuel_modes;
            EngineSays { engine: descriptor.id, accepts: because.is_none(), because, fuel_modes }
        })
        .collect();
    inspection.module = Some(facts);
    inspection
}

impl Inspection {
    fn refused(&mut self, input: &[u8], refusal: &Refusal) {
        self.problem = Some(said(refusal));
        self.what = match refusal {
            Refusal::Empty => "an empty file".to_owned(),
            Refusal::NotWasm { found } => (*found).to_owned(),
            Refusal::Component if input.starts_with(b"\0asm") => "a WebAssembly component in binary form".to_owned(),
            Refusal::Component => "a WebAssembly component in text form".to_owned(),
            Refusal::Text { .. } => "WebAssembly text with a mistake in it".to_owned(),
            _ => "a file that is larger than the module limits let us read".to_owned(),
        };
        if matches!(refusal, Refusal::Component) {
            self.kind = "component";
            if input.starts_with(b"\0asm") {
                let parts = component_parts(input);
                let shown = |names: Vec<String>| names.iter().map(|n| Printable::new(n).to_string()).collect();
                self.component = Some(ComponentFacts {
                    modules: parts.modules,
                    imports: shown(parts.imports),
                    exports: shown(parts.exports),
                });
            }
        }
    }
}

/// A refusal in words that are safe to show.
fn said(refusal: &Refusal) -> String {
    Printable::whole(&refusal.to_string()).to_string()
}
