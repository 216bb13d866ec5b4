//! `cofferdam engines`: what this build can run on and what each engine can do.

use std::fmt::Write as _;

use cofferdam::{Proposal, engines};

use super::say::print;

/// List the engines of this build with what they can enforce and run.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Engines {
    /// Say it as one JSON array on standard output.
    #[arg(long)]
    pub json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam engines
  cofferdam engines --json | jq -r '.[].id'";

impl Engines {
    /// Prints the list.
    pub fn execute(&self) -> anyhow::Result<u8> {
        let engines = engines::all();
        let mut out = String::new();
        if self.json {
            let descriptors: Vec<_> = engines.iter().map(|e| e.descriptor()).collect();
            print(&format!("{}\n", serde_json::to_string_pretty(&descriptors)?))?;
            return Ok(0);
        }
        if engines.is_empty() {
            writeln!(
                out,
                "This build has no engine; build with one of --features {}.",
                engines::features().join(", ")
            )?;
        }
        for engine in engines {
            let d = engine.descriptor();
            let c = &d.capabilities;
            let yes = |can: bool| if can { "yes" } else { "no" };
            let modes: Vec<_> = c.fuel_modes.iter().map(|m| m.name()).collect();
            let features: Vec<_> = c.features.iter().map(Proposal::name).collect();
            let lacks: Vec<_> = Proposal::ALL.iter().filter(|p| !c.features.has(**p)).map(|p| p.name()).collect();
            writeln!(out, "{} ({} {}, licence {})", d.id, d.compiler, d.version, d.licence)?;
            let rows = [
                ("fuel modes", modes.join(", ")),
                ("memory cap", yes(c.memory_cap).into()),
                ("table cap", yes(c.table_cap).into()),
                ("deadline", yes(c.deadline).into()),
                ("canonical NaNs", yes(c.nan_canonicalisation).into()),
                ("artefacts", yes(c.artefacts).into()),
                ("linked modules", yes(c.linking).into()),
                ("trap frames", yes(c.trap_frames).into()),
                ("proposals", features.join(" ")),
                ("lacks", lacks.join(" ")),
            ];
            for (name, value) in rows {
                writeln!(out, "  {name:<15} {value}")?;
            }
        }
        print(&out)?;
        Ok(0)
    }
}
