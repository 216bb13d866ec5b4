//! `cofferdam cache`: what is kept of compiled modules; and the options that every command shares which loads
//! modules.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use cofferdam::ArtefactKey;
use cofferdam::cache::{self, DiskCache, DiskCacheConfig};
use cofferdam::policy::MemoryBytes;
use cofferdam::policy::units as amounts;
use cofferdam::sandbox::{ResourceConfig, Resources};
use serde_json::json;

use super::config::UserConfig;
use super::policy_args::variable_set;
use super::say::print;

/// Where compiled modules are kept.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Cache")]
pub struct CacheArgs {
    /// Keep compiled modules in this directory [env: COFFERDAM_CACHE_DIR] [default: $XDG_CACHE_HOME/cofferdam, or
    /// ~/.cache/cofferdam].
    #[arg(long, value_name = "DIR", global = true)]
    pub cache_dir: Option<PathBuf>,

    /// Let the cache have this much of the disk [env: COFFERDAM_CACHE_SIZE] [default: 1GiB].
    #[arg(long, value_name = "SIZE", value_parser = amounts::memory, global = true)]
    pub cache_size: Option<MemoryBytes>,

    /// Keep nothing and use nothing that is kept.
    #[arg(long, global = true)]
    pub no_cache: bool,
}

impl CacheArgs {
    /// Where the cache is, used or not.
    pub fn directory(&self, user: &UserConfig) -> Option<PathBuf> {
        self.config(user).ok().map(|config| config.directory)
    }

    fn config(&self, user: &UserConfig) -> anyhow::Result<DiskCacheConfig> {
        let configured = user.cache.clone().unwrap_or_default();
        let variable = || variable_set("COFFERDAM_CACHE_DIR").map(PathBuf::from);
        let directory =
            self.cache_dir.clone().or_else(variable).or(configured.dir).or_else(DiskCacheConfig::default_directory);
        let mut config =
            DiskCacheConfig::new(directory.context("there is no home directory; name a cache with --cache-dir")?);
        let size = match (self.cache_size, variable_set("COFFERDAM_CACHE_SIZE")) {
            (None, Some(text)) => {
                Some(amounts::memory(&text.to_string_lossy()).context("environment variable COFFERDAM_CACHE_SIZE")?)
            }
            (given, _) => given,
        };
        config.max_bytes = size.or(configured.size.map(|size| size.0)).unwrap_or(config.max_bytes);
        Ok(config)
    }

    /// The cache itself, for those who cannot do without.
    pub fn open(&self, user: &UserConfig) -> anyhow::Result<DiskCache> {
        Ok(DiskCache::open(&self.config(user)?)?)
    }

    /// What a sandbox is given: without a cache, and with a warning, if there can be none.
    pub fn resources(&self, user: &UserConfig) -> Arc<Resources> {
        self.resources_with(user, None, None)
    }

    /// The same with a bound on the memory of all guests together and on how many run at once.
    pub fn resources_with(
        &self,
        user: &UserConfig,
        memory: Option<MemoryBytes>,
        run_permits: Option<usize>,
    ) -> Arc<Resources> {
        let disk_cache = if self.no_cache {
            None
        } else {
            let opened = self.open(user);
            opened.inspect_err(|error| tracing::warn!("{error:#}; going on without a cache")).ok().map(Arc::new)
        };
        let default = ResourceConfig::default();
        let run_permits = run_permits.unwrap_or(default.run_permits);
        Resources::new(&ResourceConfig { disk_cache, memory, run_permits, ..default })
    }
}

/// The keys whose artefacts are trusted: the cache's own, and those of `files`.
pub fn trusted(resources: &Resources, files: &[PathBuf]) -> anyhow::Result<Vec<ArtefactKey>> {
    let own = resources.disk_cache().map(|cache| Ok(cache.key().clone()));
    own.into_iter().chain(files.iter().map(|file| Ok(cache::read_key_file(file)?))).collect()
}

/// Look at what is kept of compiled modules, check it, remove it, or make a key for shipping them.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Cache {
    #[command(subcommand)]
    what: What,

    #[command(flatten)]
    cache: CacheArgs,

    /// The user's configuration [env: COFFERDAM_CONFIG] [default: cofferdam/config.toml in $XDG_CONFIG_HOME
    /// or ~/.config].
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,

    /// Say it as one JSON object.
    #[arg(long, global = true)]
    json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam cache info
  cofferdam cache verify
  cofferdam cache new-key release.key && cofferdam compile tool.wasm --key release.key -o tool.cwasm

The directory is yours alone (mode 700). Every file in it is sealed with a key that is made at first use; a file
that is damaged, forged or foreign is set aside, never loaded, and the module compiled again.";

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Where it is, how full it is, how often it helped.
    Info,
    /// Check the seal of every file, and set aside those that are wrong.
    Verify,
    /// Remove everything but the key.
    Clear,
    /// Write a new key to FILE, for `compile --key` here and `run --trust-key` elsewhere. Whoever has it can run
    /// native code wherever it is trusted: keep it like a password.
    NewKey {
        /// A file that does not exist yet.
        file: PathBuf,
    },
}

impl Cache {
    /// Does it, says what came of it, and returns the exit code: 1 if `verify` found wrong files.
    pub fn execute(&self) -> anyhow::Result<u8> {
        if let What::NewKey { file } = &self.what {
            cache::create_key_file(file)?;
            return self.say(&json!({ "key": file }), &format!("a new key is in {}\n", file.display())).map(|()| 0);
        }
        let cache = self.cache.open(&UserConfig::find(self.config.as_deref())?)?;
        match &self.what {
            What::Info => {
                let i = cache.inventory()?;
                let s = i.statistics;
                let text = format!(
                    "directory    {}\nartefacts    {}, {} of {}\nset aside    {}\nfound        {} artefacts, {} refusals; \
                     {} not found\nstored       {}, evicted {}, set aside {}\n",
                    i.directory.display(),
                    i.files,
                    MemoryBytes::new(i.bytes),
                    MemoryBytes::new(i.max_bytes),
                    i.quarantined,
                    s.hits,
                    s.refusal_hits,
                    s.misses,
                    s.stored,
                    s.evicted,
                    s.set_aside,
                );
                self.say(&json!(i), &text)?;
            }
            What::Verify => {
                let verified = cache.verify()?;
                let mut text = format!("{} good, {} set aside\n", verified.good, verified.set_aside.len());
                verified.set_aside.iter().for_each(|name| text.push_str(&format!("  {name}\n")));
                self.say(&json!(verified), &text)?;
                return Ok(u8::from(!verified.set_aside.is_empty()));
            }
            What::Clear => {
                let (files, bytes) = cache.clear()?;
                let text = format!("{files} artefacts removed, {}\n", MemoryBytes::new(bytes));
                self.say(&json!({ "files": files, "bytes": bytes }), &text)?;
            }
            What::NewKey { .. } => {}
        }
        Ok(0)
    }

    fn say(&self, json: &serde_json::Value, text: &str) -> anyhow::Result<()> {
        let json = format!("{json}\n");
        print(if self.json { &json } else { text })?;
        Ok(())
    }
}
