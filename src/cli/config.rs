//! The user's configuration: defaults that are the same for every run, as strict as policy files; and
//! `cofferdam config`, which shows where every value comes from.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use cofferdam::policy::file::{Format, LimitsPart, MAX_FILE_BYTES, PolicyFile, Problems, Size, parse, read_text};
use cofferdam::policy::units;
use serde::{Deserialize, Serialize};

use super::inspect::row;
use super::policy::sources;
use super::policy_args::{PolicyArgs, variable_set};
use super::report::exit;
use super::say::{print, say};
use super::table::{Paint, coloured, titled};

/// What the user's configuration says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// The engine to run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The policy file to use when none is named; relative to the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_file: Option<PathBuf>,
    /// Limits, below those of a policy file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsPart>,
    /// Where compiled modules are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheConfig>,
    /// Whether tables are coloured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colour: Option<Colour>,
    /// The file it was read from.
    #[serde(skip)]
    pub path: Option<PathBuf>,
}

/// Where compiled modules are kept on disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// The directory; relative to the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// The most bytes it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
}

/// When tables are coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl UserConfig {
    /// The configuration in `path`, in the file that the environment names, or in its usual place if there is one.
    pub fn find(path: Option<&Path>) -> anyhow::Result<Self> {
        match place(path) {
            Some(path) => Self::read(&path),
            None => Ok(Self::default()),
        }
    }

    /// Reads `path`.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let text = read_text(path, MAX_FILE_BYTES).with_context(|| format!("cannot read the configuration {name}"))?;
        let mut config: Self = parse(&name, &text, Some(Format::of(path).unwrap_or(Format::Toml)))
            .map_err(|problems| anyhow::anyhow!("{}", Problems(problems)))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.policy_file = config.policy_file.map(|file| folder.join(file));
        if let Some(cache) = &mut config.cache {
            cache.dir = cache.dir.take().map(|dir| folder.join(dir));
        }
        config.path = Some(path.to_owned());
        Ok(config)
    }

    /// What it is called where values are traced to their source.
    pub fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "configuration".to_owned(), |path| path.display().to_string())
    }
}

/// The configuration in force: what was named, or else what has the usual name. A link there that leads nowhere
/// is something, too, and reading it says so.
fn place(named: Option<&Path>) -> Option<PathBuf> {
    let named = named.map(Path::to_owned).or_else(|| variable_set("COFFERDAM_CONFIG").map(PathBuf::from));
    named.or_else(|| usual_place().filter(|path| path.symlink_metadata().is_ok()))
}

/// `cofferdam/config.toml` where the user's configurations are.
pub fn usual_place() -> Option<PathBuf> {
    let set = |name: &str| variable_set(name).map(PathBuf::from);
    // The XDG specification has relative ones ignored.
    let folder =
        set("XDG_CONFIG_HOME").filter(|path| path.is_absolute()).or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(folder.join("cofferdam/config.toml"))
}

/// Show and check the configuration.
#[derive(Debug, Args)]
#[command(after_help = CONFIG_HELP)]
pub struct Config {
    #[command(subcommand)]
    command: Command,
}

const CONFIG_HELP: &str = "\
Examples:
  cofferdam config show
  cofferdam config show --policy-file team.toml
  cofferdam config check ~/.config/cofferdam/config.toml";

#[derive(Debug, Subcommand)]
enum Command {
    Show(Box<Show>),
    Check(Check),
}

/// Print every setting, its value, and where the value comes from.
///
/// Options win over COFFERDAM_* variables, those over the policy file, that over the configuration, and that
/// over the defaults.
#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    policy: PolicyArgs,
}

/// Check a configuration. The exit code is 2 if anything is wrong in it; all of it is said.
#[derive(Debug, Args)]
struct Check {
    /// The file [default: the one in force].
    file: Option<PathBuf>,
}

impl Config {
    /// Does what the options say and returns the exit code.
    pub fn execute(&self) -> anyhow::Result<u8> {
        match &self.command {
            Command::Show(show) => show.execute(),
            Command::Check(check) => check.execute(),
        }
    }
}

impl Show {
    fn execute(&self) -> anyhow::Result<u8> {
        let resolved = self.policy.resolve()?;
        let config = &resolved.config;
        let file = match (&config.path, usual_place()) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(path)) => format!("none ({} would be read)", path.display()),
            (None, None) => "none".to_owned(),
        };
        let own = |set: bool| if set { config.name() } else { "default".to_owned() };
        let cache = config.cache.clone().unwrap_or_default();
        let dir = cache.dir.as_ref().map_or_else(|| "default".to_owned(), |dir| dir.display().to_string());
        let size = cache.size.map_or_else(|| "default".to_owned(), |size| units::show_memory(size.0));
        let colour = match config.colour.unwrap_or_default() {
            Colour::Auto => "auto",
            Colour::Always => "always",
            Colour::Never => "never",
        };
        let policy = self.policy.policy_file(config);
        let policy = policy.map_or_else(|| "none".to_owned(), |path| path.display().to_string());
        let own_rows = vec![
            row(&["cache.dir", &dir, &own(cache.dir.is_some())]),
            row(&["cache.size", &size, &own(cache.size.is_some())]),
            row(&["colour", colour, &own(config.colour.is_some())]),
        ];
        let head = vec![row(&["configuration", &file]), row(&["policy file", &policy])];
        let paint = Paint(coloured(config.colour));
        let text = titled(paint, "", &[], head, usize::MAX)
            + "\n"
            + &sources(&resolved)
            + &titled(paint, "", &[], own_rows, usize::MAX);
        print(&text)?;
        Ok(0)
    }
}

impl Check {
    fn execute(&self) -> anyhow::Result<u8> {
        let Some(path) = place(self.file.as_deref()) else {
            print("There is no configuration, and none is needed.\n")?;
            return Ok(0);
        };
        let config = match UserConfig::read(&path) {
            Ok(config) => config,
            Err(error) => {
                say(&format!("{error:#}"));
                return Ok(exit::USAGE);
            }
        };
        if let Some(policy) = &config.policy_file
            && let Err(error) = PolicyFile::load(policy)
        {
            say(&format!("{}: `policy_file`: {error}", path.display()));
            return Ok(exit::USAGE);
        }
        if let Some(Err(error)) = config.engine.as_deref().map(cofferdam::engines::by_name) {
            say(&format!("{}: `engine`: {error}", path.display()));
            return Ok(exit::USAGE);
        }
        print(&format!("{}: good\n", path.display()))?;
        Ok(0)
    }
}
