//! The command: reads options, asks the library, says what came of it. Nothing here decides anything
//! about a guest; it only turns words into policy and outcomes into words.

mod agent;
mod cache;
mod call;
mod compile;
mod config;
mod conformance;
mod control;
mod engines;
mod inspect;
mod policy;
mod policy_args;
mod progress;
mod report;
mod run;
mod say;
mod shell;
mod table;
mod units;
mod up;

use clap::{Parser, Subcommand};

pub use say::say;

/// Run untrusted WebAssembly inside limits that really hold, on whichever engine you pick.
#[derive(Debug, Parser)]
#[command(name = "cofferdam", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Run>),
    Call(Box<call::Call>),
    Up(Box<up::Up>),
    Agent(agent::Agent),
    Compile(Box<compile::Compile>),
    Cache(cache::Cache),
    Engines(engines::Engines),
    Conformance(conformance::Conformance),
    Completions(shell::Completions),
    Man(shell::Man),
    Inspect(Box<inspect::Inspect>),
    Explain(Box<policy::Explain>),
    Policy(policy::Policy),
    Config(config::Config),
}

impl Cli {
    /// Does what the options say and returns the exit code.
    pub fn execute(&self) -> anyhow::Result<u8> {
        match &self.command {
            Command::Run(run) => run.execute(),
            Command::Call(call) => call.execute(),
            Command::Up(up) => up.execute(),
            Command::Agent(agent) => agent.execute(),
            Command::Compile(compile) => compile.execute(),
            Command::Cache(cache) => cache.execute(),
            Command::Engines(engines) => engines.execute(),
            Command::Conformance(conformance) => conformance.execute(),
            Command::Completions(completions) => completions.execute(),
            Command::Man(man) => man.execute(),
            Command::Inspect(inspect) => inspect.execute(),
            Command::Explain(explain) => explain.execute(),
            Command::Policy(policy) => policy.execute(),
            Command::Config(config) => config.execute(),
        }
    }
}
