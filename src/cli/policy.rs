//! `cofferdam policy`: shows, checks and explains policies.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use cofferdam::engines;
use cofferdam::host::wasi;
use cofferdam::inspect::{Explanation, MOST_BYTES, Missing, Question, Verdict, explain, shell};
use cofferdam::policy::file::{PolicyFile, schema};

use super::inspect::row;
use super::policy_args::{PolicyArgs, Resolved};
use super::report::exit;
use super::run::{module_in, read_module};
use super::say::{print, say};
use super::table::{Paint, coloured, titled};

/// Show, check and explain policies.
#[derive(Debug, Args)]
pub struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(Box<Show>),
    Explain(Box<Explain>),
    Check(Check),
    /// Print the JSON Schema of policy files.
    Schema,
}

/// Print the policy that is in force: defaults, configuration, policy file, environment and options together.
#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    policy: PolicyArgs,

    /// How to print it; toml, json and yaml can be used as a policy file.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Form,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Toml,
    Json,
    Yaml,
    Table,
}

/// Say what a module needs, what the policy gives, what is missing, and how to grant it.
///
/// Takes the same options as `run`, so that the answer is for the run you have in mind. Nothing is run. The
/// exit code is 0 if the module runs as things are, 120 if not.
#[derive(Debug, Args)]
pub struct Explain {
    /// The module.
    module: PathBuf,

    /// Say it as one JSON object.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    policy: PolicyArgs,
}

/// Check policy files. The exit code is 2 if anything is wrong in any of them; all of it is said.
#[derive(Debug, Args)]
struct Check {
    /// The files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

impl Policy {
    /// Does what the options say and returns the exit code.
    pub fn execute(&self) -> anyhow::Result<u8> {
        match &self.command {
            Command::Show(show) => show.execute(),
            Command::Explain(explain) => explain.execute(),
            Command::Check(check) => check.execute(),
            Command::Schema => {
                print(&schema())?;
                Ok(0)
            }
        }
    }
}

impl Show {
    fn execute(&self) -> anyhow::Result<u8> {
        let resolved = self.policy.resolve()?;
        let text = match self.format {
            Form::Toml => toml::to_string(&resolved.file)?,
            Form::Json => format!("{}\n", serde_json::to_string_pretty(&resolved.file)?),
            Form::Yaml => serde_saphyr::to_string(&resolved.file)?,
            Form::Table => sources(&resolved),
        };
        print(&text)?;
        Ok(0)
    }
}

/// Every key with its value and who said it.
pub fn sources(resolved: &Resolved) -> String {
    let rows = resolved.layers.entries().map(|(key, value, source)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        row(&[&key, &cofferdam::sandbox::Printable::whole(&value).to_string(), source])
    });
    titled(Paint(false), "", &["key", "value", "from"], rows.collect(), usize::MAX)
}

impl Check {
    fn execute(&self) -> anyhow::Result<u8> {
        let mut wrong = false;
        for path in &self.files {
            match PolicyFile::load(path) {
                Ok(_) => print(&format!("{}: good\n", path.display()))?,
                Err(error) => {
                    wrong = true;
                    say(&error.to_string());
                }
            }
        }
        Ok(if wrong { exit::USAGE } else { 0 })
    }
}

impl Explain {
    /// Prints the explanation.
    pub fn execute(&self) -> anyhow::Result<u8> {
        let resolved = self.policy.resolve()?;
        // A module above the size cap is read, too, to say what else it would need.
        let most = resolved.policy.module_limits.module_bytes.max(MOST_BYTES);
        let file = read_module(&self.module, most)?;
        let bytes = module_in(&file);
        let engine = engines::by_name(resolved.engine())?;
        let others = engines::all();
        let given = resolved.given();
        let declared = self.policy.declared(&self.module, bytes, &resolved);
        let question = Question {
            input: bytes,
            given: &given,
            declared: declared.as_deref().map_err(ToString::to_string),
            engine: &engine,
            others: &others,
            host: wasi::imports(),
        };
        let explanation = explain(&question);
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&explanation)?))?;
        } else {
            let name = cofferdam::sandbox::Printable::whole(&self.module.display().to_string()).to_string();
            print(&words(&explanation, &name, Paint(coloured(resolved.config.colour))))?;
        }
        Ok(if explanation.verdict == Verdict::Runs { 0 } else { exit::REFUSED })
    }
}

fn words(explanation: &Explanation, name: &str, paint: Paint) -> String {
    let engine = explanation.engine;
    let mut text = match explanation.verdict {
        Verdict::Runs => format!("{name}: {}\n", paint.good(&format!("runs on {engine} under this policy"))),
        Verdict::Needs => format!("{name}: {}\n", paint.todo("does not run yet; everything it needs can be granted")),
        Verdict::Never => format!("{name}: {}\n", paint.bad("cannot run here")),
    };
    if let Some(module) = &explanation.module {
        let needs = module.proposals.iter().map(|p| {
            let place = p.function.as_ref().map_or_else(String::new, |f| format!(" in function {f}"));
            let gives = if p.allowed { "allowed" } else { "not allowed" };
            row(&[&format!("proposal {}", p.proposal), &format!("first at {:#x}{place}", p.offset), gives])
        });
        let capabilities = explanation
            .capabilities
            .iter()
            .map(|c| row(&[c.what, c.import, &format!("given {} ({})", c.given, c.how)]));
        let sizes = module.memories.iter().map(|m| row(&["memory at start", &inspect_size(m.minimum_bytes), ""]));
        let rows = needs.chain(sizes).chain(capabilities).collect();
        text += &titled(paint, "What it needs, and what the policy gives", &[], rows, 60);
    }
    for (i, missing) in explanation.missing.iter().enumerate() {
        if i == 0 {
            text += &format!("\n{}\n", paint.title("What is missing"));
        }
        text += &missing_words(missing);
    }
    if !explanation.options.is_empty() {
        let options: Vec<_> = explanation.options.iter().map(|o| shell(o)).collect();
        let command = format!("cofferdam run {} {}", options.join(" "), shell(name));
        text += &format!("\n{}\n  {command}\n", paint.title("To grant all of it"));
    }
    if let Some(call) = &explanation.call {
        text += &format!("\n{} {call}\n", paint.title("To call it:"));
    }
    text
}

fn inspect_size(bytes: u64) -> String {
    cofferdam::policy::MemoryBytes::new(bytes).to_string()
}

fn missing_words(missing: &Missing) -> String {
    let mut text = format!("  {}\n", missing.what.replace('\n', "\n  "));
    if let Some(step) = &missing.step {
        let options: Vec<_> = step.options.iter().map(|o| shell(o)).collect();
        text += &format!(
            "    option:      {}
",
            options.join(" ")
        );
        if let Some(line) = &step.policy_line {
            text += &format!(
                "    policy file: {line}
"
            );
        }
        if step.fill_in {
            text += "    Put what you want to give in place of the word in capitals.
";
        }
    }
    if let Some(advice) = &missing.advice {
        text += &format!("    {advice}.\n");
    }
    text
}

