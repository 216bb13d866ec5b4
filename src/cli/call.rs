//! `cofferdam call`: one tool, one call, one answer.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::Context as _;
use cofferdam::policy::file::StdinPart;
use cofferdam::tool::{
    Answer, FailureKind, MAX_NAME, Tool as _, ToolBuildError, ToolError, ToolOutput, ToolRegistry, WasmTool, parse,
};
use cofferdam::{Limit, Sandbox};
use serde_json::{Value, json};

use super::cache::{CacheArgs, trusted};
use super::policy_args::{AUTO, PolicyArgs, Resolved};
use super::report::{Bounds, Context, Ending, raise};
use super::run::{given_to, load, read_module, within_reach_of_guest};
use super::say::{print_results, say, visible};

/// Call a tool with JSON and print its answer as JSON.
///
/// A tool is a module of one of two kinds, recognised by what it exports. A schema tool exports
/// `__tool_execute` (and `__tool_schema`, `memory`) and is called with the arguments in its memory. A WASI
/// command exports `_start`, reads the arguments from its standard input and writes its answer to its
/// standard output; an answer that is no JSON becomes a JSON string.
///
/// The tool sees no directory, no variable and no network unless you give it. Standard output is the
/// answer's alone; what the tool writes to standard error, and what Cofferdam says, goes to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Call {
    /// The tool: a module, binary or text.
    pub tool: PathBuf,

    /// The arguments: JSON, or `-` to read it from standard input.
    #[arg(value_name = "JSON|-", default_value = "{}", hide_default_value = true)]
    pub arguments: String,

    /// Print what the tool takes and gives, and do not call it.
    #[arg(long)]
    pub schema: bool,

    /// Print an answer that is a string as it is, without quotes and escapes.
    #[arg(long, short)]
    pub raw: bool,

    /// What the answer of a WASI command is: json, text, or auto (JSON if it is JSON, else text).
    #[arg(long, value_name = "KIND", default_value = "auto", value_parser = answer)]
    pub answer: Answer,

    /// Say how it ended as one JSON object on the last line of standard error.
    #[arg(long)]
    pub json: bool,

    /// Say what it cost, on standard error.
    #[arg(long)]
    pub stats: bool,

    #[command(flatten)]
    pub policy: PolicyArgs,

    #[command(flatten)]
    pub cache: CacheArgs,

    /// Trust the machine code in a compiled module that the key in this file sealed. May be repeated.
    #[arg(long, value_name = "FILE", help_heading = "Cache")]
    pub trust_key: Vec<PathBuf>,
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam call --schema statistics.wasm
  cofferdam call statistics.wasm '{\"numbers\": [3, 5, 4]}'
  echo '{\"text\": \"three short words\"}' | cofferdam call words.wasm -
  cofferdam call --dir data:/data:ro --fuel 2M search.wasm '{\"query\": \"dam\"}'

Exit codes:
  0      the tool answered
  1      the tool failed: an exit code of its own, or an answer that is none
  120    refused: the module, an import, or the arguments
  121    trapped: the tool's fault
  122    stopped by a limit
  123    a host function failed
  124    the engine failed
  2      the options make no sense, or name what is not there
`exit_code` of --json is the tool's own.";

fn answer(s: &str) -> Result<Answer, &'static str> {
    match s {
        "auto" => Ok(Answer::Auto),
        "json" => Ok(Answer::Json),
        "text" => Ok(Answer::Text),
        _ => Err("an answer is `auto`, `json` or `text`"),
    }
}

/// What came of it.
enum Done {
    /// The tool answered.
    Answer(Box<ToolOutput>, Box<Ending>),
    /// Only its schema was asked for.
    Schema(String),
    /// There is no answer, but what it wrote to standard error.
    Ended(Box<Ending>, String),
}

impl From<Ending> for Done {
    fn from(ending: Ending) -> Self {
        Self::Ended(Box::new(ending), String::new())
    }
}

impl Call {
    /// Calls it, says how that ended and returns the exit code.
    pub fn execute(&self) -> anyhow::Result<u8> {
        let mut context = Context {
            engine: self.policy.engine.clone().unwrap_or_else(|| AUTO.into()),
            engine_because: Context::NAMED.to_owned(),
            fuel_mode: self.policy.fuel_mode.unwrap_or_default(),
            module: None,
        };
        let (ending, written) = match self.attempt(&mut context) {
            Ok(Done::Schema(text)) => match print_results(&text) {
                Ok(()) => (Box::new(Ending::answered(&ToolOutput::new(Value::Null))), String::new()),
                Err(error) => (Box::new(Ending::unsaid(&error)), String::new()),
            },
            Ok(Done::Answer(output, ending)) => match print_results(&self.printed(&output.value)) {
                Ok(()) => (ending, output.stderr),
                Err(error) => (Box::new(Ending::unsaid(&error)), output.stderr),
            },
            Ok(Done::Ended(ending, stderr)) => (ending, stderr),
            // With --json every ending is an object; without, the words are said by `main`.
            Err(error) if self.json => (Box::new(Ending::unusable(&error)), String::new()),
            Err(error) => return Err(error),
        };
        let mut words: Vec<_> = written.lines().map(|line| format!("tool: {line}")).collect();
        words.extend(ending.words());
        words.extend(self.stats.then(|| ending.stats(&context)).flatten());
        words.extend(self.json.then(|| ending.json(&context)));
        if !words.is_empty() {
            say(&words.join("\n"));
        }
        Ok(ending.exit_code())
    }

    /// The answer for standard output.
    fn printed(&self, value: &Value) -> String {
        match value {
            Value::String(text) if self.raw => format!("{text}{}", if text.ends_with('\n') { "" } else { "\n" }),
            value => format!("{}\n", visible(&value.to_string())),
        }
    }

    fn attempt(&self, context: &mut Context) -> anyhow::Result<Done> {
        let resolved = self.policy.resolve()?;
        context.fuel_mode = resolved.policy.fuel_mode;
        resolved.engine_is_known()?;
        let arguments = match self.arguments(&resolved)? {
            Ok(arguments) => arguments,
            Err(refused) => return Ok(refused.into()),
        };
        let bytes = read_module(&self.tool, resolved.policy.module_limits.module_bytes)?;
        let given = match given_to(&self.policy, &self.tool, &bytes, &resolved) {
            Ok(given) => given,
            Err(ending) => return Ok((*ending).into()),
        };
        let bounds = Bounds { limits: given.policy.limits.clone(), granted: resolved.policy.clone() };
        let (engine, because) = match resolved.pick(&given.policy, &bytes)? {
            Ok(picked) => picked,
            Err(none) => return Ok(Ending::no_engine(&none).into()),
        };
        engine.descriptor().id.clone_into(&mut context.engine);
        context.engine_because = because;
        let resources = self.cache.resources(&resolved.config);
        let sandbox = Sandbox::builder(engine).policy(given.policy.clone()).resources(resources).build()?;
        let secrets: Vec<_> = self.trust_key.iter().cloned().chain(self.cache.directory(&resolved.config)).collect();
        if let Some(ending) = within_reach_of_guest(&given.dirs, &secrets) {
            return Ok(ending.into());
        }
        let trusted = trusted(sandbox.resources(), &self.trust_key)?;
        let module = match load(&sandbox, &self.tool, &bytes, &trusted) {
            Ok(module) => module,
            Err(error) => return Ok(Ending::not_loaded(&error, &bounds).into()),
        };
        context.module = Some(module.prepared().hash());
        let mut tool = sandbox.tool(self.name(), &module).answer(self.answer);
        for dir in given.dirs {
            tool = tool.preopen(dir);
        }
        for (name, value) in given.env {
            tool = tool.env(name, value);
        }
        for arg in resolved.file.wasi.and_then(|wasi| wasi.args).unwrap_or_default() {
            tool = tool.arg(arg);
        }
        let tool = match tool.build() {
            Ok(tool) => tool,
            Err(error) => return not_built(error, &bounds),
        };
        if self.schema {
            return Ok(Done::Schema(format!("{}\n", visible_lines(&described(&tool)?))));
        }
        let arguments = match parse(&arguments) {
            Ok(arguments) => arguments,
            Err(error) => return Ok(Ending::refused("arguments", format!("the arguments are {error}")).into()),
        };
        let (name, tools) = (tool.name().to_owned(), ToolRegistry::new(sandbox.resources().clone()));
        tools.add(tool)?;
        match tools.call(&name, &arguments) {
            Ok(output) => {
                let ending = Ending::answered(&output);
                Ok(Done::Answer(Box::new(output), Box::new(ending)))
            }
            Err(error) => failed(error, &bounds),
        }
    }

    /// The text of the arguments, unless it is longer than it may be.
    fn arguments(&self, resolved: &Resolved) -> anyhow::Result<Result<Vec<u8>, Ending>> {
        if self.arguments != "-" {
            // How long it is in the end, the tool's message says.
            return Ok(Ok(self.arguments.clone().into_bytes()));
        }
        let most = resolved.policy.limits.message.get();
        let mut text = Vec::new();
        match resolved.file.wasi.as_ref().and_then(|wasi| wasi.stdin.clone()) {
            None | Some(StdinPart::Inherit) => {
                std::io::stdin().lock().take(most.saturating_add(1)).read_to_end(&mut text)
            }
            Some(StdinPart::Empty) => Ok(0),
            Some(StdinPart::File(path)) => {
                let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
                file.take(most.saturating_add(1)).read_to_end(&mut text)
            }
        }
        .context("cannot read the arguments from standard input")?;
        if text.len() as u64 > most {
            let cap = resolved.policy.limits.message;
            let why = format!("the arguments on standard input are above the cap of {cap}; raise it with --message");
            return Ok(Err(Ending::refused("arguments", why)));
        }
        Ok(Ok(text))
    }

    /// The file's name without its extension, as far as it can be a tool's.
    fn name(&self) -> String {
        let stem = self.tool.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let kept = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let name: String = stem.chars().take(MAX_NAME).map(kept).collect();
        if name.is_empty() { "tool".to_owned() } else { name }
    }
}

/// The tool in words of JSON.
fn described(tool: &WasmTool) -> anyhow::Result<String> {
    let description = json!({
        "name": tool.name(),
        "kind": tool.kind().name(),
        "description": tool.description(),
        "input_schema": tool.input_schema(),
        "output_schema": tool.output_schema(),
    });
    Ok(serde_json::to_string_pretty(&description)?)
}

fn not_built(error: ToolBuildError, bounds: &Bounds) -> anyhow::Result<Done> {
    match error {
        ToolBuildError::SchemaCall(error) => failed(error, bounds),
        ToolBuildError::SchemaStopped { limit, fuel, time } => {
            let limits = &bounds.limits;
            let own = match limit {
                Limit::Fuel => fuel < limits.fuel,
                Limit::Deadline => limits.timeout.is_none_or(|timeout| time < timeout),
                _ => false,
            };
            let how = if own { "; no tool has more for its schema".to_owned() } else { raise(limit, bounds) };
            Ok(Ending::stopped(limit.reason(), format!("{error}{how}")).into())
        }
        error => Ok(Ending::refused("tool", error).into()),
    }
}

fn failed(error: ToolError, bounds: &Bounds) -> anyhow::Result<Done> {
    let message = error.to_string();
    match error {
        ToolError::Tool(failure) if matches!(failure.why, FailureKind::NoRoom { capped: true, .. }) => {
            let lowered = bounds.limits.memory < bounds.granted.limits.memory;
            let message = message.replace("raise it with `Limits::memory`", &bounds.raise("--memory", lowered));
            Ok(Done::Ended(Box::new(Ending::stopped(Limit::Memory.reason(), message)), failure.stderr))
        }
        ToolError::Tool(failure) => {
            let words = match (&failure.why, &failure.call) {
                (FailureKind::NoRoom { .. }, _) | (_, None) => failure.why.to_string(),
                (_, Some(call)) => call.to_string(),
            };
            let ending = match (&failure.call, &failure.receipt) {
                (Some(call), _) if call.exit_code().is_none() => {
                    Ending::called(call.outcome(), call.receipt().clone(), bounds).saying(&words)
                }
                _ => Ending::failed(&failure),
            };
            Ok(Done::Ended(Box::new(ending), failure.stderr))
        }
        ToolError::Stopped(call) | ToolError::Fault(call) => {
            Ok(Ending::called(call.outcome(), call.receipt().clone(), bounds).into())
        }
        ToolError::Guest(error) => Ok(Ending::no_guest(&error, bounds).into()),
        ToolError::Arguments(why) => {
            let why = why.replace("`Limits::message`", "`--message`");
            Ok(Ending::refused("arguments", format!("the arguments are refused: {why}")).into())
        }
        _ => anyhow::bail!("{message}"),
    }
}

/// The same for JSON on several lines.
fn visible_lines(json: &str) -> String {
    json.lines().map(visible).collect::<Vec<_>>().join("\n")
}
