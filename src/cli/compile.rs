//! `cofferdam compile`: a module and its machine code in one file.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use cofferdam::Sandbox;
use cofferdam::cache;

use super::cache::CacheArgs;
use super::policy_args::PolicyArgs;
use super::progress::while_doing;
use super::report::{Bounds, Ending};
use super::run::{given_to, read_module};
use super::say::say;

/// Compile a module ahead of time, into a file that `cofferdam run` takes like a module.
///
/// The file holds the module as well, so it runs anywhere: where its seal is not trusted, or another engine,
/// processor or policy is in force, the module in it is checked and compiled like any other.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Compile {
    /// The module: binary or text.
    module: PathBuf,

    /// Where to write it.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Seal it with the key in this file (`cofferdam cache new-key` makes one) instead of the cache's own.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    #[command(flatten)]
    policy: PolicyArgs,

    #[command(flatten)]
    cache: CacheArgs,
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam compile tool.wasm -o tool.cwasm && cofferdam run tool.cwasm
  cofferdam compile tool.wasm -o tool.cwasm --key release.key
  cofferdam run --trust-key release.key tool.cwasm        # on another machine with the same processor

Give the same policy options as to `run`: they decide the code.";

impl Compile {
    /// Compiles it and returns the exit code.
    pub fn execute(&self) -> anyhow::Result<u8> {
        let resolved = self.policy.resolve()?;
        let bytes = read_module(&self.module, resolved.policy.module_limits.module_bytes)?;
        let key = match &self.key {
            Some(file) => cache::read_key_file(file)?,
            None => self
                .cache
                .open(&resolved.config)
                .context("there is no key to seal it with; name one with --key")?
                .key()
                .clone(),
        };
        resolved.engine_is_known()?;
        let refused = |ending: &Ending| {
            say(&ending.words().unwrap_or_default());
            ending.exit_code()
        };
        // What a run would be left with: the proposals among it decide the code.
        let given = match given_to(&self.policy, &self.module, &bytes, &resolved) {
            Ok(given) => given,
            Err(ending) => return Ok(refused(&ending)),
        };
        let bounds = Bounds { limits: given.policy.limits.clone(), granted: resolved.policy.clone() };
        let engine = match resolved.pick(&given.policy, &bytes)? {
            Ok((engine, _)) => engine,
            Err(none) => return Ok(refused(&Ending::no_engine(&none))),
        };
        let resources = self.cache.resources(&resolved.config);
        let sandbox = Sandbox::builder(engine).policy(given.policy).resources(resources).build()?;
        let what = format!("compiling {}", self.module.display());
        let file = match while_doing(&what, || sandbox.compile(&bytes, &key)) {
            Ok(file) => file,
            Err(error) => return Ok(refused(&Ending::not_loaded(&error, &bounds))),
        };
        self.write(&file).with_context(|| format!("cannot write {}", self.output.display()))?;
        Ok(0)
    }

    /// Whole or not at all: a file that is there is replaced when the new one is complete.
    fn write(&self, file: &[u8]) -> std::io::Result<()> {
        let mut name = self.output.clone().into_os_string();
        name.push(format!(".{}.tmp", uuid::Uuid::now_v7()));
        let temporary = PathBuf::from(name);
        let mut output = File::options().write(true).create_new(true).open(&temporary)?;
        output.write_all(file).and_then(|()| std::fs::rename(&temporary, &self.output)).inspect_err(|_| {
            let _ = std::fs::remove_file(&temporary);
        })
    }
}
