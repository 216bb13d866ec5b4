//! The user's configuration: defaults that are the same for every run. As strict as policy files.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cofferdam::policy::file::{Format, LimitsPart, MAX_FILE_BYTES, Problems, Size, parse, read_text};
use serde::{Deserialize, Serialize};

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
    /// The configuration in `path`, or in its usual place if there is one.
    pub fn find(path: Option<&Path>) -> anyhow::Result<Self> {
        match path {
            Some(path) => Self::read(path),
            None => match usual_place() {
                Some(path) if path.exists() => Self::read(&path),
                _ => Ok(Self::default()),
            },
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

/// `cofferdam/config.toml` where the user's configurations are.
pub fn usual_place() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(folder.join("cofferdam/config.toml"))
}
