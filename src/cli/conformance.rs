//! `cofferdam conformance`: the contract, run on the engines of this build.

use std::io::Write;

use anyhow::bail;
use cofferdam::engines;
use cofferdam_conformance::report;

/// Run the contract's conformance rows on the engines of this build; fails if any row does.
#[derive(Debug, clap::Args)]
pub struct Conformance {
    /// Only this engine.
    #[arg(long, value_name = "ENGINE", env = "COFFERDAM_ENGINE")]
    pub engine: Option<String>,
    /// Say it as one JSON array on standard output.
    #[arg(long)]
    pub json: bool,
}

impl Conformance {
    /// Runs the rows and prints what came of them: 0 if nothing failed, 1 otherwise.
    pub fn execute(&self) -> anyhow::Result<u8> {
        let engines = match self.engine.as_deref() {
            // The mock runs no WebAssembly, so that no row could say anything about it.
            Some("mock") => bail!("the mock engine runs no WebAssembly; name an engine of `cofferdam engines`"),
            Some(name) => vec![engines::by_name(name)?],
            None => engines::all(),
        };
        if engines.is_empty() {
            bail!("this build has no engine; build with one of --features {}", engines::features().join(", "));
        }
        let reports: Vec<_> = engines.iter().map(cofferdam_conformance::run).collect();
        let text = if self.json { report::json(&reports)? + "\n" } else { report::terminal(&reports) };
        std::io::stdout().lock().write_all(text.as_bytes())?;
        Ok(u8::from(!reports.iter().all(report::Report::passed)))
    }
}
