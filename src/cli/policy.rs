//! `cofferdam policy`: shows, checks and explains policies.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgAction, Args, CommandFactory as _, Subcommand, ValueEnum};
use cofferdam::engines;
use cofferdam::host::wasi::Source;
use cofferdam::inspect::{Explanation, MOST_BYTES, Missing, Question, Verdict, explain, shell};
use cofferdam::policy::file::{PolicyFile, schema};
use cofferdam::sandbox::Printable;

use super::inspect::row;
use super::policy_args::{AUTO, PolicyArgs, Resolved};
use super::report::exit;
use super::run::{module_in, read_module};
use super::say::{print, say};
use super::table::{Paint, coloured, titled};

/// Show, check and explain policies.
#[derive(Debug, Args)]
#[command(after_help = POLICY_HELP)]
pub struct Policy {
    #[command(subcommand)]
    command: Command,
}

const POLICY_HELP: &str = "\
Examples:
  cofferdam policy show --policy-file team.toml --memory 1GiB
  cofferdam policy show --policy relaxed --format toml > mine.toml
  cofferdam policy check *.toml
  cofferdam policy schema > policy.schema.json";

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

    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
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
#[command(after_help = EXPLAIN_HELP)]
pub struct Explain {
    /// The module.
    module: PathBuf,

    /// Say it as one JSON object.
    #[arg(long)]
    json: bool,

    /// The export that you would call instead of `_start`.
    #[arg(long, value_name = "NAME")]
    invoke: Option<String>,

    #[command(flatten)]
    policy: PolicyArgs,
}

const EXPLAIN_HELP: &str = "\
Examples:
  cofferdam explain tool.wasm
  cofferdam explain --policy-file team.toml --dir data:/data:ro tool.wasm
  cofferdam explain --invoke add --json mathlib.wasm";

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
        let text = match if self.json { Form::Json } else { self.format } {
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
        row(&[&key, &Printable::whole(&value).to_string(), source])
    });
    titled(Paint(false), "", &["key", "value", "from"], rows.collect(), usize::MAX)
}

impl Check {
    fn execute(&self) -> anyhow::Result<u8> {
        let mut wrong = false;
        for path in &self.files {
            let problem = match PolicyFile::load(path) {
                Ok(policy) => policy.engine.and_then(|engine| {
                    let error = engines::by_name(&engine).err()?;
                    Some(format!("{}: `engine`: {error}", path.display()))
                }),
                Err(error) => Some(error.to_string()),
            };
            match problem {
                None => print(&format!("{}: good\n", path.display()))?,
                Some(problem) => {
                    wrong = true;
                    say(&problem);
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
        for dir in &given.dirs {
            if let Source::Host(path) | Source::Overlay(path) = &dir.source {
                anyhow::ensure!(path.is_dir(), "cannot give the guest {}: there is no such directory", path.display());
            }
        }
        let declared = self.policy.declared(&self.module, bytes, &resolved);
        let question = Question {
            input: bytes,
            given: &given,
            declared: declared.as_deref().map_err(ToString::to_string),
            engine: &engine,
            auto: resolved.engine() == AUTO,
            others: &others,
            host: &cofferdam::host::imports(),
            invoke: self.invoke.as_deref(),
        };
        let explanation = explain(&question);
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&explanation)?))?;
        } else {
            let path = self.module.display().to_string();
            print(&words(&explanation, &path, &own_options(), Paint(coloured(resolved.config.colour))))?;
        }
        Ok(if explanation.verdict == Verdict::Runs { 0 } else { exit::REFUSED })
    }
}

fn words(explanation: &Explanation, path: &str, own: &[Own], paint: Paint) -> String {
    let name = Printable::whole(path).to_string();
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
        let options: Vec<_> = with_own(own, &explanation.options).iter().map(|o| shell(o)).collect();
        let command = format!("cofferdam run {} {}", options.join(" "), shell(path));
        text += &format!("\n{}\n  {command}\n", paint.title("To grant all of it"));
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

/// An option that stands on our own command line.
struct Own {
    name: String,
    value: Option<String>,
    /// Whether a second one takes the place of the first.
    single: bool,
}

/// The options of this call that `run` takes as well, as they were written.
fn own_options() -> Vec<Own> {
    let command = super::Cli::command();
    let Ok(matches) = command.clone().try_get_matches_from(std::env::args_os()) else { return Vec::new() };
    let (mut command, mut matches) = (&command, &matches);
    while let Some((name, below)) = matches.subcommand() {
        let Some(found) = command.find_subcommand(name) else { break };
        (command, matches) = (found, below);
    }
    let mut own = Vec::new();
    for arg in command.get_arguments() {
        let (id, Some(long)) = (arg.get_id().as_str(), arg.get_long()) else { continue };
        if long == "json" || matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let name = format!("--{long}");
        let single = !matches!(arg.get_action(), ArgAction::Append);
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            own.push(Own { name, value: None, single });
            continue;
        }
        let values = matches.get_raw(id).into_iter().flatten();
        own.extend(values.map(|value| {
            let value = Some(value.to_string_lossy().into_owned());
            Own { name: name.clone(), value, single }
        }));
    }
    own
}

/// `own` options without those that `steps` replace or contradict, and then `steps`.
fn with_own(own: &[Own], steps: &[String]) -> Vec<String> {
    // A file to be filled in is the one that is there already.
    let has_file = own.iter().any(|own| own.name == "--policy-file");
    let mut taken: Vec<(&str, Option<&str>)> = Vec::new();
    for step in steps {
        if step.starts_with("--") {
            let (name, value) = step.split_once('=').map_or((step.as_str(), None), |(n, v)| (n, Some(v)));
            taken.push((name, value));
        } else if let Some((_, value @ None)) = taken.last_mut() {
            *value = Some(step);
        }
    }
    let file_to_fill_in = ("--policy-file", Some("FILE"));
    taken.retain(|step| !(has_file && *step == file_to_fill_in));
    let guest = |dir: &str| super::units::preopen(dir).map(|dir| dir.guest).unwrap_or_default();
    let replaced = |own: &Own| {
        taken.iter().any(|(name, value)| match (own.name.as_str(), *name) {
            ("--no-feature", "--feature") => own.value.as_deref() == *value,
            ("--no-wasi", "--grant") => *value == Some("wasi"),
            ("--dir", "--dir") => own.value.as_deref().map(guest) == value.map(guest),
            (theirs, name) => own.single && theirs == name,
        })
    };
    let mut options = Vec::new();
    for own in own.iter().filter(|own| !replaced(own)) {
        match &own.value {
            Some(value) if value.starts_with('-') => options.push(format!("{}={value}", own.name)),
            Some(value) => options.extend([own.name.clone(), value.clone()]),
            None => options.push(own.name.clone()),
        }
    }
    for (name, value) in taken {
        match value {
            Some(value) if name == "--invoke" || value.starts_with('-') => options.push(format!("{name}={value}")),
            Some(value) => options.extend([name.to_owned(), value.to_owned()]),
            None => options.push(name.to_owned()),
        }
    }
    options
}
