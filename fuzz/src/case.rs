//! [`Case`]: a module and the policy it runs under, made from a seed or read back from files.

use std::fs;
use std::path::Path;

use anyhow::Context;
use cofferdam_engine::FeatureSet;
use serde::{Deserialize, Serialize};

use crate::generate;
use crate::policy::Policy;
use crate::random::Random;

/// One module under one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The module, binary.
    pub module: Vec<u8>,
    /// What it runs under.
    pub policy: Policy,
    /// How the module was made.
    pub origin: String,
}

/// What is kept of a case beside its module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Note {
    /// What it runs under.
    pub policy: Policy,
    /// How the module was made.
    #[serde(default)]
    pub origin: String,
    /// What it shows or once showed, for people.
    #[serde(default)]
    pub note: String,
}

impl Case {
    /// Case `index` of the campaign of `seed`; nothing but `features` is used. `None` for the few numbers that give
    /// no module.
    #[must_use]
    pub fn of(seed: u64, index: u64, features: FeatureSet) -> Option<Self> {
        let mut random = Random::of(seed, index);
        let features = generate::some_of(&mut random, features);
        let policy = Policy::random(&mut random, features);
        let (module, origin) = generate::module(&mut random, features)?;
        Some(Self { module, policy, origin })
    }

    /// Writes it as `NAME.wasm` and `NAME.json` into `folder`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path, name: &str, note: &str) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        let kept = Note { policy: self.policy.clone(), origin: self.origin.clone(), note: note.to_owned() };
        fs::write(folder.join(format!("{name}.wasm")), &self.module)?;
        fs::write(folder.join(format!("{name}.json")), serde_json::to_vec_pretty(&kept)?)?;
        Ok(())
    }

    /// Reads a case: `path` is its `.json` or its module.
    ///
    /// # Errors
    /// A file is missing or cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let json = path.with_extension("json");
        let module = ["wasm", "wat"].map(|end| path.with_extension(end)).into_iter().find(|file| file.exists());
        let module = module.with_context(|| format!("{} has no module beside it", path.display()))?;
        let module = fs::read(&module).with_context(|| module.display().to_string())?;
        let note = fs::read(&json).with_context(|| json.display().to_string())?;
        let note: Note = serde_json::from_slice(&note).with_context(|| json.display().to_string())?;
        Ok(Self { module, policy: note.policy, origin: note.origin })
    }
}
