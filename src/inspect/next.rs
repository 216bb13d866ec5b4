//! What stands between a module and running, each with the option and the line of a policy file that takes
//! it out of the way, where there is one.

use serde::Serialize;

/// One thing that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// One word for what kind of thing it is, as `reason` in reports of runs.
    pub reason: &'static str,
    /// What is missing and where it is needed.
    pub what: String,
    /// What takes it out of the way; `None` if nothing on this build does.
    pub step: Option<Step>,
    /// What else may help, in words.
    pub advice: Option<String>,
}

/// What takes something out of the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Options of `cofferdam run`.
    pub options: Vec<String>,
    /// The line of a policy file in TOML that does the same, where one can.
    pub policy_line: Option<String>,
    /// Whether the options hold a word in capitals that has to be filled in, such as HOST.
    pub fill_in: bool,
}

impl Missing {
    pub(super) fn fixed_by(reason: &'static str, what: String, options: &[&str], policy_line: String) -> Self {
        let options = options.iter().map(|o| (*o).to_owned()).collect();
        Self {
            reason,
            what,
            step: Some(Step { options, policy_line: Some(policy_line), fill_in: false }),
            advice: None,
        }
    }

    pub(super) fn hopeless(reason: &'static str, what: String, advice: &str) -> Self {
        Self { reason, what, step: None, advice: Some(advice.to_owned()) }
    }
}

/// `text` as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
