//! What stands between a module and running, each with the option and the line of a policy file that takes
//! it out of the way, where there is one.

use serde::Serialize;

use crate::sandbox::is_hidden;

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

/// `text` as a TOML string on one line.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if is_hidden(c) => quoted.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `word` as a shell reads it back as one word, safe to show on a terminal.
#[must_use]
pub fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,#".contains(c);
    if !word.is_empty() && !word.starts_with('#') && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.chars().any(is_hidden) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    // The one form in which a shell takes characters that should not reach a terminal.
    let mut quoted = String::from("$'");
    for c in word.chars() {
        match c {
            '\'' | '\\' => quoted.extend(['\\', c]),
            c if is_hidden(c) => {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| quoted.push_str(&format!("\\{byte:03o}")));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// The words of an option whose `value` a guest wrote: one word where the value could pass for an option.
pub(crate) fn option(name: &str, value: &str) -> Vec<String> {
    if value.starts_with('-') { vec![format!("{name}={value}")] } else { vec![name.to_owned(), value.to_owned()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_wrote_stays_one_word_and_one_string() {
        assert_eq!(shell("--memory"), "--memory");
        assert_eq!(shell("a;touch /tmp/x"), "'a;touch /tmp/x'");
        assert_eq!(shell("it's $(id) `id`"), "'it'\\''s $(id) `id`'");
        assert_eq!(shell(""), "''");
        assert_eq!(shell("a\n'\u{202e}"), "$'a\\012\\'\\342\\200\\256'");
        for text in ["plain", "a\"]\nlimits.fuel = 'unlimited' #", "\\", "\u{1b}\u{7f}\u{e0041}\t", ""] {
            let line = format!("key = {}", quoted(text));
            assert_eq!(line.lines().count(), 1, "{line}");
            assert!(!line.chars().any(is_hidden), "{line}");
            let table: toml::Table = toml::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
            assert_eq!(table.get("key").and_then(toml::Value::as_str), Some(text));
        }
    }
}
