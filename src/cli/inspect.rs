//! `cofferdam inspect`: what a module is, whether or not it may run.

use std::path::PathBuf;

use cofferdam::engines;
use cofferdam::inspect::{Inspection, MOST_BYTES, ModuleFacts, inspect};
use cofferdam::policy::MemoryBytes;

use super::policy_args::PolicyArgs;
use super::run::{module_in, read_module};
use super::say::print;
use super::table::{Paint, coloured, titled};

/// Tell what a module is: imports, exports, proposals, sizes, and who would run it.
///
/// Works on modules that are refused or damaged, on components, and on files that are no module at all:
/// then it says what they are and where they break. Nothing is run.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Inspect {
    /// The file.
    pub module: PathBuf,

    /// Say it as one JSON object.
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub policy: PolicyArgs,
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam inspect tool.wasm
  cofferdam inspect --json tool.wasm | jq .module.imports
  cofferdam inspect --policy strict tool.wasm";

/// Rows of one table for people.
const ROWS: usize = 50;

impl Inspect {
    /// Prints it.
    pub fn execute(&self) -> anyhow::Result<u8> {
        let resolved = self.policy.resolve()?;
        let most = resolved.policy.module_limits.module_bytes.max(MOST_BYTES);
        let file = read_module(&self.module, most)?;
        let bytes = module_in(&file);
        let mut found = inspect(bytes, &resolved.policy, &engines::all());
        if bytes.len() < file.len() {
            found.what = format!("a compiled artefact with its module in it: {}", found.what);
        }
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&found)?))?;
        } else {
            let name = cofferdam::sandbox::Printable::whole(&self.module.display().to_string()).to_string();
            print(&words(&found, &name, Paint(coloured(resolved.config.colour))))?;
        }
        Ok(0)
    }
}

fn words(found: &Inspection, name: &str, paint: Paint) -> String {
    let mut text = format!("{}: {}\n", paint.title(name), found.what);
    let mut rows = vec![
        row(&["size", &format!("{} ({} bytes)", MemoryBytes::new(found.bytes), found.bytes)]),
        row(&["hash (BLAKE3)", &found.hash]),
    ];
    if let Some(module) = &found.module {
        rows.push(row(&["functions", &module.functions.to_string()]));
        rows.extend(module.start.iter().map(|start| row(&["start function", start])));
        let (work, cap) = (module.compile_work as f64 / 1e6, module.compile_work_cap as f64 / 1e6);
        rows.push(row(&["compiling", &format!("about {work:.3} s of one core (cap {cap} s)")]));
    }
    text += &titled(paint, "", &[], rows, ROWS);
    if let Some(problem) = &found.problem {
        text += &format!("\n{} {problem}\n", paint.bad("Problem:"));
    }
    if let Some(parts) = &found.component {
        let sizes = parts.modules.iter().map(|(at, size)| row(&[&format!("{at:#x}"), &size.to_string()]));
        text += &titled(paint, "Core modules in it", &["offset", "bytes"], sizes.collect(), ROWS);
        text += &titled(paint, "It imports", &[], parts.imports.iter().map(|n| row(&[n])).collect(), ROWS);
        text += &titled(paint, "It exports", &[], parts.exports.iter().map(|n| row(&[n])).collect(), ROWS);
    }
    if let Some(module) = &found.module {
        text += &module_words(module, paint);
    }
    let verdict = |accepts: bool, because: &Option<String>| match because {
        _ if accepts => "accepts".to_owned(),
        Some(why) => format!("refuses: {why}"),
        None => "refuses".to_owned(),
    };
    let levels = found.levels.iter().map(|l| row(&[l.level.name(), &verdict(l.accepts, &l.because)]));
    text += &titled(paint, "Policy levels", &[], levels.collect(), ROWS);
    let engines = found.engines.iter().map(|e| {
        let modes: Vec<_> = e.fuel_modes.iter().map(|m| m.name()).collect();
        row(&[e.engine, &verdict(e.accepts, &e.because), &modes.join(", ")])
    });
    text += &titled(paint, "Engines of this build", &["engine", "says", "fuel modes"], engines.collect(), ROWS);
    text += "\nWhat is missing for it to run, and how to grant it: cofferdam explain MODULE\n";
    text
}

fn module_words(module: &ModuleFacts, paint: Paint) -> String {
    let mut text = String::new();
    let over = module.above_limits.iter().map(|o| row(&[o.limit, &o.need.to_string(), &o.cap.to_string(), &o.flag]));
    text += &titled(paint, "Above the module limits", &["limit", "needs", "cap", "raise with"], over.collect(), ROWS);
    let proposals = module.proposals.iter().map(|p| {
        let allowed = if p.allowed { "allowed" } else { "not allowed" };
        row(&[p.proposal, &format!("{:#x}", p.offset), p.function.as_deref().unwrap_or("-"), allowed])
    });
    let header = ["proposal", "first at", "in function", "by the policy"];
    text += &titled(paint, "Proposals used", &header, proposals.collect(), ROWS);
    let imports = module.imports.iter().map(|i| row(&[&i.module, &i.name, i.kind, &i.ty]));
    text += &titled(paint, "Imports", &["module", "name", "kind", "type"], imports.collect(), ROWS);
    let exports = module.exports.iter().map(|e| row(&[&e.name, e.kind, &e.ty]));
    text += &titled(paint, "Exports", &["name", "kind", "type"], exports.collect(), ROWS);
    let most = |most: Option<String>| most.unwrap_or_else(|| "-".to_owned());
    let memories = module.memories.iter().map(|m| {
        let kind = match (m.shared, m.memory64) {
            (true, _) => "shared",
            (false, true) => "64-bit",
            (false, false) => "",
        };
        let maximum = m.maximum_bytes.map(|b| MemoryBytes::new(b).to_string());
        row(&[&MemoryBytes::new(m.minimum_bytes).to_string(), &most(maximum), kind])
    });
    text += &titled(paint, "Memories", &["at start", "at most", ""], memories.collect(), ROWS);
    let tables = module
        .tables
        .iter()
        .map(|t| row(&[&t.element, &t.minimum.to_string(), &most(t.maximum.map(|m| m.to_string()))]));
    text += &titled(paint, "Tables", &["of", "at start", "at most"], tables.collect(), ROWS);
    let producers = module.producers.iter().map(|p| row(&[&p.field, &p.name, &p.version]));
    text += &titled(paint, "Made by, as it says itself", &[], producers.collect(), ROWS);
    let sections = module.sections.iter().map(|s| {
        let name = s.name.as_ref().map_or_else(|| s.kind.to_owned(), |name| format!("{} `{name}`", s.kind));
        row(&[&name, &format!("{:#x}", s.offset), &s.bytes.to_string()])
    });
    text += &titled(paint, "Sections", &["section", "offset", "bytes"], sections.collect(), ROWS);
    text
}

/// A row of a table.
pub fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}
