//! `cofferdam run`: one module, one call, one ending.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cofferdam::cache::bundle;
use cofferdam::host::wasi::{Output, Preopen, Stdin, WasiConfig, WasiLimits};
use cofferdam::policy::{Determinism, Fuel, Grants, Level, Limits, MemoryBytes, SecurityPolicy, UnknownImports};
use cofferdam::sandbox::{COMMAND, Module};
use cofferdam::{FuelMode, GuestState, Proposal, Sandbox, Value, engines};
use cofferdam_engine::ExternType;
use cofferdam_prepare::ModuleLimits;

use super::cache::{CacheArgs, trusted};
use super::report::{Context, Ending};
use super::say::{print, say};
use super::units::{self, Timeout};

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

    /// The engine to run on; `cofferdam engines` lists them.
    #[arg(long, default_value = "auto", env = "COFFERDAM_ENGINE")]
    pub engine: String,

    /// Which WebAssembly proposals the module may use: strict, standard, relaxed or development.
    #[arg(long, value_name = "LEVEL", default_value = "standard", help_heading = "Permissions")]
    pub policy: Level,

    /// Allow one more proposal than the policy level does, such as `simd`. May be repeated.
    #[arg(long, value_name = "PROPOSAL", help_heading = "Permissions")]
    pub feature: Vec<Proposal>,

    /// Refuse a proposal that the policy level allows. May be repeated.
    #[arg(long, value_name = "PROPOSAL", help_heading = "Permissions")]
    pub no_feature: Vec<Proposal>,

    /// Give the guest a directory: HOST[:GUEST][:ro]. May be repeated.
    #[arg(long, value_name = "HOST[:GUEST][:ro]", value_parser = units::preopen, help_heading = "Permissions")]
    pub dir: Vec<Preopen>,

    /// Give the guest a variable: NAME=VALUE, or NAME to pass on your own. May be repeated.
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = units::variable, help_heading = "Permissions")]
    pub env: Vec<(String, String)>,

    /// Feed standard input from this file instead of our own.
    #[arg(long, value_name = "FILE", help_heading = "Permissions")]
    pub stdin: Option<PathBuf>,

    /// What to do about imports that nobody provides: refuse, trap or default.
    #[arg(long, value_name = "HOW", default_value = "refuse", help_heading = "Permissions")]
    pub unknown_imports: UnknownImports,

    /// Fuel for the run: a count such as 500k, 2M or unlimited [default: 50G, about 10 s of work].
    #[arg(long, value_parser = units::fuel, help_heading = "Limits")]
    pub fuel: Option<Fuel>,

    /// Who counts fuel: portable (the same number on every engine) or native (the engine's own meter).
    #[arg(long, value_name = "MODE", default_value = "portable", help_heading = "Limits")]
    pub fuel_mode: FuelMode,

    /// Linear memory: a size such as 10MiB [default: 64MiB].
    #[arg(long, value_name = "SIZE", value_parser = units::memory, help_heading = "Limits")]
    pub memory: Option<MemoryBytes>,

    /// Wall-clock time: a duration such as 500ms or 2m, plain seconds, or none [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = units::timeout, help_heading = "Limits")]
    pub timeout: Option<Timeout>,

    /// Stack, in units of about a byte [default: 512KiB].
    #[arg(long, value_name = "UNITS", value_parser = units::stack, help_heading = "Limits")]
    pub stack: Option<u32>,

    /// Bytes that the guest may write to stdout and stderr together [default: 64MiB].
    #[arg(long, value_name = "SIZE", value_parser = units::memory, help_heading = "Limits")]
    pub output: Option<MemoryBytes>,

    /// Elements over all tables [default: 100000].
    #[arg(long, value_name = "COUNT", value_parser = units::count, help_heading = "Limits")]
    pub table_elements: Option<u64>,

    /// Calls of host functions [default: bounded by fuel only].
    #[arg(long, value_name = "COUNT", value_parser = units::count, help_heading = "Limits")]
    pub host_calls: Option<u64>,

    /// Raise or lower what a module may declare: NAME=COUNT, such as nesting=10k. May be repeated.
    #[arg(long, value_name = "NAME=COUNT", value_parser = units::module_limit, help_heading = "Limits")]
    pub module_limit: Vec<(String, u64)>,

    #[command(flatten)]
    pub cache: CacheArgs,

    /// Trust the machine code in a compiled module that the key in this file sealed. May be repeated.
    #[arg(long, value_name = "FILE", help_heading = "Cache")]
    pub trust_key: Vec<PathBuf>,

    /// Make the run repeatable: virtual clock, randomness from SEED, canonical NaNs.
    #[arg(long, value_name = "SEED")]
    pub deterministic: Option<u64>,

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
    fn policy(&self) -> anyhow::Result<SecurityPolicy> {
        let tool = Limits::tool();
        let limits = Limits {
            fuel: self.fuel.unwrap_or(tool.fuel),
            memory: self.memory.unwrap_or(tool.memory),
            timeout: self.timeout.map_or(tool.timeout, |t| t.0),
            stack_units: self.stack.unwrap_or(tool.stack_units),
            output: self.output.unwrap_or(tool.output),
            table_elements: self.table_elements.unwrap_or(tool.table_elements),
            host_calls: self.host_calls.unwrap_or(tool.host_calls),
            ..tool
        };
        let mut policy = SecurityPolicy::new(self.policy)
            .limits(limits)
            .grants(Grants::wasi())
            .unknown_imports(self.unknown_imports)
            .fuel_mode(self.fuel_mode)
            .determinism(self.deterministic.map_or(Determinism::Off, |seed| Determinism::Full { seed }));
        for proposal in &self.feature {
            policy = policy.allow(*proposal);
        }
        for proposal in &self.no_feature {
            policy = policy.deny(*proposal);
        }
        for (name, cap) in &self.module_limit {
            anyhow::ensure!(
                policy.module_limits.set(name, *cap),
                "there is no module limit `{name}`; there are {}",
                ModuleLimits::ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
            );
        }
        Ok(policy)
    }

    fn wasi(&self, limits: &Limits) -> anyhow::Result<WasiConfig> {
        let name = self.module.file_name().map_or_else(|| "guest".into(), |n| n.to_string_lossy().into_owned());
        let mut args = vec![name];
        if self.invoke.is_none() {
            args.extend_from_slice(&self.args);
        }
        let stdin = match &self.stdin {
            None => Stdin::Inherit,
            Some(path) => {
                Stdin::File(File::open(path).with_context(|| format!("cannot open {} for --stdin", path.display()))?)
            }
        };
        Ok(WasiConfig {
            args,
            env: self.env.clone(),
            stdin,
            stdout: Output::Inherit,
            stderr: Output::Inherit,
            preopens: self.dir.clone(),
            // Generous here: the policy's own caps, clocks and randomness are put over these.
            limits: WasiLimits {
                output_bytes: limits.output.get(),
                open_files: limits.open_files,
                ..WasiLimits::default()
            },
            ..WasiConfig::default()
        })
    }

    /// Runs it, says how it ended and returns the exit code.
    pub fn execute(&self) -> anyhow::Result<u8> {
        let mut context = Context { engine: self.engine.clone(), fuel_mode: self.fuel_mode, module: None };
        let mut line_is_open = false;
        let mut ending = match self.attempt(&mut context, &mut line_is_open) {
            Ok(ending) => ending,
            // With --json every ending is an object; without, the words are said by `main`.
            Err(error) if self.json => Ending::unusable(&error),
            Err(error) => return Err(error),
        };
        if self.invoke.is_some() {
            let values: String = ending.values().iter().map(|v| format!("{v}\n")).collect();
            if let Err(error) = print(&values) {
                ending = Ending::unsaid(&error);
            }
        }
        let words =
            [ending.words(), self.stats.then(|| ending.stats()).flatten(), self.json.then(|| ending.json(&context))];
        let words: Vec<_> = words.into_iter().flatten().collect();
        if !words.is_empty() {
            // Whatever the guest wrote last, our words begin a line of their own.
            say(&format!("{}{}", if line_is_open { "\n" } else { "" }, words.join("\n")));
        }
        Ok(ending.exit_code())
    }

    fn attempt(&self, context: &mut Context, line_is_open: &mut bool) -> anyhow::Result<Ending> {
        let engine = engines::by_name(&self.engine)?;
        engine.descriptor().id.clone_into(&mut context.engine);
        let policy = self.policy()?;
        let bytes = read_module(&self.module, policy.module_limits.module_bytes)?;
        let sandbox = Sandbox::builder(engine).policy(policy).resources(self.cache.resources()).build()?;
        self.run(&sandbox, &bytes, context, line_is_open)
    }

    fn run(
        &self,
        sandbox: &Sandbox,
        bytes: &[u8],
        context: &mut Context,
        line_is_open: &mut bool,
    ) -> anyhow::Result<Ending> {
        let loaded = if bundle::is_bundle(bytes) {
            sandbox.load_compiled(bytes, &trusted(sandbox.resources(), &self.trust_key)?)
        } else {
            sandbox.load(bytes).map(|module| (module, None))
        };
        let module = match loaded {
            Ok((module, None)) => module,
            Ok((module, Some(problem))) => {
                tracing::warn!("the machine code in {} is not used: {problem}", self.module.display());
                module
            }
            Err(error) => return Ok(Ending::not_loaded(&error)),
        };
        context.module = Some(module.prepared().hash());
        let limits = &sandbox.policy().limits;
        let export = self.invoke.as_deref().unwrap_or(COMMAND);
        let args = match self.typed_args(&module, export) {
            Ok(args) => args,
            Err(why) => return Ok(Ending::refused("bad_arguments", why)),
        };
        let wasi = self.wasi(limits)?.build()?;
        let mut guest = match sandbox.guest(&module, GuestState::with_wasi(wasi)) {
            Ok(guest) => guest,
            Err(error) => return Ok(Ending::no_guest(&error)),
        };
        let report = guest.call(export, &args);
        *line_is_open = guest.state().and_then(|s| s.wasi.as_ref()).is_some_and(|w| w.stderr_line_is_open());
        Ok(Ending::called(&report.outcome, report.receipt, limits))
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

/// Reads at most one byte more than a module (or a compiled one, which says so in its first bytes) may have, so
/// that an endless file is refused like a large one.
pub fn read_module(path: &Path, cap: u64) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    anyhow::ensure!(!file.metadata()?.is_dir(), "{} is a directory, not a module", path.display());
    let mut bytes = Vec::new();
    let mut read = |most: u64| {
        let done = (&file).take(most).read_to_end(&mut bytes);
        done.with_context(|| format!("cannot read {}", path.display())).map(|_| bundle::is_bundle(&bytes))
    };
    let start = bundle::MAGIC.len() as u64;
    let cap = if read(start)? { bundle::MOST_BYTES } else { cap };
    read(cap.saturating_add(1).saturating_sub(start))?;
    Ok(bytes)
}
