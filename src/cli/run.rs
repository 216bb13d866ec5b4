//! `cofferdam run`: one module, one call, one ending.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use cofferdam::cache::{bundle, within_reach};
use cofferdam::host::agent::{AgentState, LogLevel, LogLine, LogSink};
use cofferdam::host::wasi::{Output, Preopen, Source, Stdin, WasiConfig, WasiLimits};
use cofferdam::policy::Given;
use cofferdam::policy::file::StdinPart;
use cofferdam::sandbox::{COMMAND, LoadError, Module};
use cofferdam::{ArtefactKey, GuestState, Sandbox, Value};
use cofferdam_engine::ExternType;

use super::cache::{CacheArgs, trusted};
use super::policy_args::{AUTO, PolicyArgs, Resolved};
use super::progress::while_doing;
use super::report::{Bounds, Context, Ending};
use super::say::{print_results, say};
use super::units;

/// Run a WebAssembly module inside limits.
///
/// A WASI command (it exports `_start`) is run with ARGS as its arguments. With --invoke, the named
/// export is called with ARGS as its typed arguments and its results are printed, one a line.
///
/// The guest sees no directory, no variable and no network unless you give it. Standard output is the
/// guest's alone; what Cofferdam says goes to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Run {
    /// The module: binary or text.
    pub module: PathBuf,

    /// Arguments for the guest. Options of ours stand before the first of them; put `--` before
    /// arguments that look like options of ours.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<String>,

    /// Call this export instead of `_start`.
    #[arg(long, value_name = "NAME")]
    pub invoke: Option<String>,

    #[command(flatten)]
    pub policy: PolicyArgs,

    #[command(flatten)]
    pub cache: CacheArgs,

    /// Trust the machine code in a compiled module that the key in this file sealed. May be repeated.
    #[arg(long, value_name = "FILE", help_heading = "Cache")]
    pub trust_key: Vec<PathBuf>,

    /// Say how it ended as one JSON object on the last line of standard error.
    #[arg(long)]
    pub json: bool,

    /// Say what it cost, on standard error.
    #[arg(long)]
    pub stats: bool,
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam run hello.wasm
  cofferdam run --dir data:/data:ro wordcount.wasm /data/book.txt
  cofferdam run --dir .:/work:overlay --tmpfs /tmp build.wasm
  cofferdam run --invoke add mathlib.wasm 2 3
  cofferdam run --fuel 2M --memory 10MiB --timeout 500ms --json untrusted.wasm

Exit codes:
  0–255  the guest's own (one above 255 becomes 255)
  120    refused: the module, an import, the function or its arguments
  121    trapped: the guest's fault
  122    stopped by a limit
  123    a host function failed
  124    the engine failed
  2      the options make no sense, or name what is not there
Where they collide, `outcome` of --json is authoritative.";

impl Run {
    fn wasi(&self, resolved: &Resolved, guest: Given) -> anyhow::Result<WasiConfig> {
        let name = self.module.file_name().map_or_else(|| "guest".into(), |n| n.to_string_lossy().into_owned());
        let given = resolved.file.wasi.clone().unwrap_or_default();
        let mut args = vec![name];
        if self.invoke.is_none() {
            args.extend(if self.args.is_empty() { given.args.unwrap_or_default() } else { self.args.clone() });
        }
        let stdin = match given.stdin {
            None | Some(StdinPart::Inherit) => Stdin::Inherit,
            Some(StdinPart::Empty) => Stdin::Empty,
            Some(StdinPart::File(path)) => Stdin::File(
                File::open(&path).with_context(|| format!("cannot open {} for standard input", path.display()))?,
            ),
        };
        let limits = &guest.policy.limits;
        Ok(WasiConfig {
            args,
            env: guest.env,
            stdin,
            stdout: Output::Inherit,
            stderr: Output::Inherit,
            preopens: guest.dirs,
            // Generous here: the policy's own caps, clocks and randomness are put over these.
            limits: WasiLimits {
                output_bytes: limits.output.get(),
                open_files: limits.open_files,
                scratch_bytes: limits.scratch.get(),
                disk_bytes: limits.disk.get(),
                ..WasiLimits::default()
            },
            ..WasiConfig::default()
        })
    }

    /// Runs it, says how it ended and returns the exit code.
    pub fn execute(&self) -> anyhow::Result<u8> {
        let mut context = Context {
            engine: self.policy.engine.clone().unwrap_or_else(|| AUTO.into()),
            engine_because: Context::NAMED.to_owned(),
            fuel_mode: self.policy.fuel_mode.unwrap_or_default(),
            module: None,
        };
        let mut line_is_open = false;
        let mut ending = match self.attempt(&mut context, &mut line_is_open) {
            Ok(ending) => ending,
            // With --json every ending is an object; without, the words are said by `main`.
            Err(error) if self.json => Ending::unusable(&error),
            Err(error) => return Err(error),
        };
        if self.invoke.is_some() {
            let values: String = ending.values().iter().map(|v| format!("{v}\n")).collect();
            if let Err(error) = print_results(&values) {
                ending = Ending::unsaid(&error);
            }
        }
        let words = [
            ending.words(),
            self.stats.then(|| ending.stats(&context)).flatten(),
            self.json.then(|| ending.json(&context)),
        ];
        let words: Vec<_> = words.into_iter().flatten().collect();
        if !words.is_empty() {
            // Whatever the guest wrote last, our words begin a line of their own.
            say(&format!("{}{}", if line_is_open { "\n" } else { "" }, words.join("\n")));
        }
        Ok(ending.exit_code())
    }

    fn attempt(&self, context: &mut Context, line_is_open: &mut bool) -> anyhow::Result<Ending> {
        let mut resolved = self.policy.resolve()?;
        context.fuel_mode = resolved.policy.fuel_mode;
        resolved.engine_is_known()?;
        let bytes = read_module(&self.module, resolved.policy.module_limits.module_bytes)?;
        resolved.find_wasix(&bytes);
        let given = match given_to(&self.policy, &self.module, &bytes, &resolved) {
            Ok(given) => given,
            Err(ending) => return Ok(*ending),
        };
        let bounds = Bounds { limits: given.policy.limits.clone(), granted: resolved.policy.clone() };
        let (engine, because) = match resolved.pick(&given.policy, &bytes)? {
            Ok(picked) => picked,
            Err(none) => return Ok(Ending::no_engine(&none)),
        };
        engine.descriptor().id.clone_into(&mut context.engine);
        context.engine_because = because;
        let resources = self.cache.resources(&resolved.config);
        let sandbox = Sandbox::builder(engine).policy(given.policy.clone()).resources(resources).build()?;
        // Keys that artefacts are believed by. The cache's is one even where this run does without.
        let secrets: Vec<_> = self.trust_key.iter().cloned().chain(self.cache.directory(&resolved.config)).collect();
        let wasi = self.wasi(&resolved, given)?;
        if let Some(ending) = within_reach_of_guest(&wasi.preopens, &secrets) {
            return Ok(ending);
        }
        self.run(&sandbox, &bounds, wasi, &bytes, context, line_is_open)
    }

    fn run(
        &self,
        sandbox: &Sandbox,
        bounds: &Bounds,
        wasi: WasiConfig,
        bytes: &[u8],
        context: &mut Context,
        line_is_open: &mut bool,
    ) -> anyhow::Result<Ending> {
        let trusted = trusted(sandbox.resources(), &self.trust_key)?;
        let module = match load(sandbox, &self.module, bytes, &trusted) {
            Ok(module) => module,
            Err(error) => return Ok(Ending::not_loaded(&error, bounds)),
        };
        context.module = Some(module.prepared().hash());
        let export = self.invoke.as_deref().unwrap_or(COMMAND);
        let args = match self.typed_args(&module, export) {
            Ok(args) => args,
            Err(why) => return Ok(Ending::refused("bad_arguments", why)),
        };
        let wasi = wasi.build()?;
        let mut guest = match sandbox.guest(&module, GuestState::with_wasi(wasi).with_agent(agent())) {
            Ok(guest) => guest,
            Err(error) => return Ok(Ending::no_guest(&error, bounds)),
        };
        let report = guest.call(export, &args);
        let wasi = guest.state().and_then(|s| s.wasi.as_ref());
        *line_is_open = wasi.is_some_and(|w| w.stderr_line_is_open());
        let files = wasi.map(|w| w.file_usage()).unwrap_or_default();
        Ok(Ending::called(&report.outcome, report.receipt, bounds).with_files(files, bounds))
    }

    /// ARGS by the types of the export's parameters; a command takes them through WASI instead.
    fn typed_args(&self, module: &Module, export: &str) -> Result<Vec<Value>, String> {
        if self.invoke.is_none() {
            return Ok(Vec::new());
        }
        // An export that is missing is refused by the call itself, which knows what there is instead.
        let Some(ExternType::Func(Some(ty))) = module.prepared().export(export) else { return Ok(Vec::new()) };
        if ty.params().len() != self.args.len() {
            return Err(format!("function `{export}` is {ty}, and {} arguments were given", self.args.len()));
        }
        let values = self.args.iter().zip(ty.params()).map(|(arg, ty)| units::argument(arg, *ty));
        values.collect::<Result<_, _>>().map_err(|why| format!("{why}; function `{export}` is {ty}"))
    }
}

/// What is left for the module in `file` of what was granted, after its own declarations.
pub fn given_to(policy: &PolicyArgs, path: &Path, file: &[u8], resolved: &Resolved) -> Result<Given, Box<Ending>> {
    let declared =
        policy.declared(path, module_in(file), resolved).map_err(|error| Box::new(Ending::not_declared(&error)))?;
    declared.iter().try_fold(resolved.given(), |given, declaration| {
        declaration.within(&given).map_err(|unmet| Box::new(Ending::required(&unmet)))
    })
}

/// The module in `file`: what a compiled artefact was made from, or else the whole file.
pub fn module_in(file: &[u8]) -> &[u8] {
    if bundle::is_bundle(file) { bundle::read(file).map_or(file, |bundle| bundle.module) } else { file }
}

/// The module in `file`, compiled already or now; `path` is for messages.
pub fn load(sandbox: &Sandbox, path: &Path, file: &[u8], trusted: &[ArtefactKey]) -> Result<Module, LoadError> {
    let (module, problem) = while_doing(&format!("compiling {}", path.display()), || {
        if bundle::is_bundle(file) {
            sandbox.load_compiled(file, trusted)
        } else {
            sandbox.load(file).map(|module| (module, None))
        }
    })?;
    if let Some(problem) = problem {
        tracing::warn!("the machine code in {} is not used: {problem}", path.display());
    }
    Ok(module)
}

/// Refuses to give a guest a directory through which it could read or replace a key that later runs believe.
pub fn within_reach_of_guest(preopens: &[Preopen], secrets: &[PathBuf]) -> Option<Ending> {
    let directories = preopens.iter().filter_map(|preopen| match &preopen.source {
        Source::Host(path) | Source::Overlay(path) => Some(path),
        _ => None,
    });
    directories.into_iter().find_map(|directory| {
        let secret = secrets.iter().find(|secret| within_reach(directory, secret))?;
        let message = format!(
            "the directory {} cannot be given to the guest: through it the guest could reach {}, and with the key there \
             make machine code that later runs would believe; give it a directory below, or keep that elsewhere \
             (--cache-dir, --trust-key)",
            directory.display(),
            secret.display()
        );
        Some(Ending::refused("cache_within_reach", message))
    })
}

/// Reads at most one byte more than a module (or a compiled one, which says so in its first bytes) may have, so
/// that an endless file is refused like a large one.
pub fn read_module(path: &Path, cap: u64) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    anyhow::ensure!(!file.metadata()?.is_dir(), "{} is a directory, not a module", path.display());
    let mut bytes = Vec::new();
    let mut read = |most: u64| {
        let done = (&file).take(most).read_to_end(&mut bytes);
        done.with_context(|| format!("cannot read {}", path.display()))?;
        // One whose module is too large anyway is not read to its end.
        Ok::<_, anyhow::Error>(bundle::module_len(&bytes).is_some_and(|len| len <= cap))
    };
    let start = bundle::HEAD as u64;
    let cap = if read(start)? { bundle::MOST_BYTES } else { cap };
    read(cap.saturating_add(1).saturating_sub(start))?;
    Ok(bytes)
}

/// What a module finds that was granted functions of agents: its log goes to standard error, and there are no
/// storage, no messages and no tools.
fn agent() -> AgentState {
    struct StandardError;
    impl LogSink for StandardError {
        fn line(&self, line: LogLine) {
            say(&format!("{}: {}", line.level, line.text));
        }
    }
    AgentState::new("run").log_to(Arc::new(StandardError), LogLevel::Info)
}
