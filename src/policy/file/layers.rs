//! [`Layers`]: policies one upon another, the later ones over the earlier, remembering for every key who
//! said it last.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::problem::Problem;
use super::{DeterminismPart, PolicyFile};
use crate::host::wasi;
use crate::inspect::quoted;

/// Policies one upon another. Keys override key by key, a list replaces a list.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    tree: Map<String, Value>,
    /// By the path of the key, as keys may have dots in them.
    sources: BTreeMap<Vec<String>, String>,
}

/// Keys whose tables are one value and are replaced as one.
const WHOLE: &[&str] = &["determinism", "wasi.stdin"];

impl Layers {
    /// Puts `policy` over what is there; `source` says where it comes from.
    ///
    /// # Errors
    /// A path in it is no UTF-8.
    pub fn push(&mut self, source: &str, policy: &PolicyFile) -> Result<(), Problem> {
        match serde_json::to_value(policy) {
            Ok(Value::Object(tree)) => {
                take_back(&mut self.tree, &tree);
                merge(&mut self.tree, tree, &[], source, &mut self.sources);
            }
            Ok(_) => {}
            Err(error) => return Err(Problem::new(source, "", &error.to_string())),
        }
        Ok(())
    }

    /// Puts `upper` over what is there, with its own sources.
    pub fn push_layers(&mut self, upper: &Self) {
        take_back(&mut self.tree, &upper.tree);
        merge(&mut self.tree, upper.tree.clone(), &[], "", &mut self.sources);
        self.sources.extend(upper.sources.clone());
    }

    /// All of them as one policy.
    ///
    /// # Errors
    /// What was merged cannot be read back.
    pub fn policy(&self) -> Result<PolicyFile, Problem> {
        serde_json::from_value(Value::Object(self.tree.clone()))
            .map_err(|error| Problem::new("the policies together", "", &error.to_string()))
    }

    /// Every key that somebody said, with its value and who said it last.
    /// Parts of a key that have dots in them stand in quotes.
    pub fn entries(&self) -> impl Iterator<Item = (String, &Value, &str)> {
        self.sources.iter().filter_map(|(path, source)| {
            let (first, rest) = path.split_first()?;
            let value = rest.iter().try_fold(self.tree.get(first)?, |at, step| at.get(step))?;
            Some((written(path), value, source.as_str()))
        })
    }

    /// Who said `key` last.
    #[must_use]
    pub fn source(&self, key: &str) -> Option<&str> {
        self.sources.iter().find(|(path, _)| written(path) == key).map(|(_, source)| source.as_str())
    }
}

/// `path` as TOML writes it.
fn written(path: &[String]) -> String {
    let bare = |part: &&String| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$'))
    };
    let parts = path.iter().map(|part| if bare(&part) { part.clone() } else { quoted(part) });
    parts.collect::<Vec<_>>().join(".")
}

/// What `above` allows is no longer denied below, and the other way round.
fn take_back(below: &mut Map<String, Value>, above: &Map<String, Value>) {
    let Some(Value::Object(lower)) = below.get_mut("features") else { return };
    for (said, opposite) in [("allow", "deny"), ("deny", "allow")] {
        let said = above.get("features").and_then(|features| features.get(said)).and_then(Value::as_array);
        if let (Some(said), Some(Value::Array(list))) = (said, lower.get_mut(opposite)) {
            list.retain(|proposal| !said.contains(proposal));
        }
    }
}

fn merge(
    below: &mut Map<String, Value>,
    above: Map<String, Value>,
    path: &[String],
    source: &str,
    sources: &mut BTreeMap<Vec<String>, String>,
) {
    for (key, value) in above {
        let here = [path, std::slice::from_ref(&key)].concat();
        let whole = WHOLE.iter().any(|whole| whole.split('.').eq(here.iter().map(String::as_str)));
        match (below.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) if !whole => {
                merge(below, above, &here, source, sources);
            }
            (None, Value::Object(above)) if !whole => {
                let mut fresh = Map::new();
                merge(&mut fresh, above, &here, source, sources);
                below.insert(key, Value::Object(fresh));
            }
            (_, value) => {
                sources.insert(here, source.to_owned());
                below.insert(key, value);
            }
        }
    }
}

/// What `policy` says both of.
pub(super) fn contradictions(policy: &PolicyFile, file: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |key: &str, message: String| problems.push(Problem::new(file, key, &message));
    if let Some(features) = &policy.features {
        let denied = features.deny.as_deref().unwrap_or_default();
        for proposal in features.allow.iter().flatten().filter(|p| denied.contains(p)) {
            problem("features", format!("`{}` is both in `allow` and in `deny`; it can be in one", proposal.0));
        }
    }
    if let Some(grants) = &policy.grants {
        let modules = grants.modules.as_deref().unwrap_or_default();
        let names_wasi =
            modules.iter().any(|m| m == wasi::MODULE) || grants.imports.iter().any(|i| i.contains_key(wasi::MODULE));
        if grants.wasi == Some(false) && names_wasi {
            problem("grants", format!("`wasi = false` and a grant of `{}` contradict each other", wasi::MODULE));
        }
    }
    if let Some(given) = &policy.wasi {
        let dirs = given.dirs.as_deref().unwrap_or_default();
        for (i, dir) in dirs.iter().enumerate() {
            if dirs.iter().take(i).any(|other| other.guest == dir.guest) {
                problem(&format!("wasi.dirs[{i}]"), format!("the guest's name `{}` is given twice", dir.guest));
            }
            if dir.preopen().is_none() {
                let why = if dir.host.is_none() { "`host` is missing" } else { "a directory in memory has no `host`" };
                problem(&format!("wasi.dirs[{i}]"), why.to_owned());
            }
            if dir.guest.is_empty() || dir.guest.contains('\0') {
                problem(&format!("wasi.dirs[{i}].guest"), "found an empty name or NUL where a path belongs".to_owned());
            }
        }
        let env = given.env.iter().flatten().map(|(name, _)| name);
        for name in env.chain(given.pass_env.iter().flatten()) {
            if name.is_empty() || name.contains(['=', '\0']) {
                problem("wasi", format!("`{name}` is no name of a variable: it is empty or contains `=` or NUL"));
            }
        }
        for name in given.pass_env.iter().flatten() {
            if given.env.iter().any(|env| env.contains_key(name)) {
                problem("wasi", format!("`{name}` is both in `env` and in `pass_env`; it can be in one"));
            }
        }
    }
    let features = policy.features.as_ref().and_then(|f| f.allow.as_deref()).unwrap_or_default();
    let relaxed = features.iter().find(|p| p.0 == cofferdam_engine::Proposal::RelaxedSimd);
    if let (Some(DeterminismPart::Seed(_)), Some(proposal)) = (policy.determinism, relaxed) {
        problem("determinism", format!("a seed and the allowed proposal `{}` contradict each other", proposal.0));
    }
    problems
}
