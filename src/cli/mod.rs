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

use report::exit;
use say::say;

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

/// Says why a command could not be carried out, for machines as well if they asked, and returns the exit code.
pub fn unusable(error: &anyhow::Error) -> u8 {
    let message = format!("{error:#}");
    say(&format!("cofferdam: {message}"));
    say_to_machines(&message);
    exit::USAGE
}

/// The same of what was typed and is no command. `--help` and `--version` come here too, and are none's fault.
pub fn not_understood(error: &clap::Error) -> u8 {
    // Where nobody reads there is nobody to tell.
    let _ = error.print();
    if error.use_stderr() {
        // The usage that follows is for people.
        let text = error.render().to_string();
        let message = text.split("\n\nUsage:").next().unwrap_or_default();
        say_to_machines(message.strip_prefix("error: ").unwrap_or(message).trim_end());
    }
    u8::try_from(error.exit_code()).unwrap_or(exit::USAGE)
}

/// With `--json` the last line of standard error is an object, whatever went wrong. Options that were not understood
/// are read here as they were typed; those behind `--` are the guest's.
fn say_to_machines(message: &str) {
    if std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json") {
        let object = serde_json::json!({
            "outcome": "refused", "reason": "usage", "exit_code": exit::USAGE, "message": message,
        });
        say(&say::visible(&object.to_string()));
    }
}
