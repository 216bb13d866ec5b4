//! Keywords whose price is not that of a step: `pattern`, whose time is that of the text times that of the pattern,
//! and `multipleOf` a fraction, which is long division. Both count what they do and stop when it is too much.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::{Keyword, PatternOptions, ValidationError, ValidationOptions, Validator};
use serde_json::{Value, json};

use super::{SchemaError, said};
use crate::sandbox::Printable;

/// Largest regular expression, compiled, in bytes.
pub(super) const MAX_PATTERN: usize = 4 << 20;
/// All of a schema's together.
pub(super) const MAX_PATTERNS: u64 = 8 << 20;
/// What a pattern may keep while it is matched, in bytes: at least this, and in proportion to its size.
pub(super) const DFA: usize = 64 << 10;
/// Smallest size that patterns are told apart by.
const SMALLEST: usize = 1 << 10;

/// Most of one comparison. A unit is a byte of text against a byte of a compiled pattern, 0.1 ns at worst.
pub(super) const MAX_UNITS: u64 = 4_000_000_000;
/// Units that are worth one fuel.
pub(super) const UNITS_PER_FUEL: u64 = 12;
/// Units of a number that is divided by a fraction: 5 µs at worst.
const DIVISION: u64 = 64 << 10;

/// Characters of a text that stand in the reason why it does not match.
const QUOTED: usize = 32;

thread_local! {
    /// What the comparison on this thread has left; `None` if it had too little.
    static LEFT: Cell<Option<u64>> = const { Cell::new(Some(0)) };
}

/// Does `work` with all units; what it gave, unless they were too few, and what it took of them.
pub(super) fn within<T>(work: impl FnOnce() -> T) -> (Option<T>, u64) {
    LEFT.set(Some(MAX_UNITS));
    let done = work();
    match LEFT.replace(Some(0)) {
        Some(left) => (Some(done), MAX_UNITS - left),
        None => (None, MAX_UNITS),
    }
}

/// Takes units. If there are too few, nothing more is looked at: whatever is answered does not count.
fn take(units: u64) -> bool {
    let left = LEFT.get().and_then(|left| left.checked_sub(units));
    LEFT.set(left);
    left.is_some()
}

/// A pattern, compiled.
struct Pattern {
    validator: Validator,
    size: u64,
}

/// The patterns of one schema, each compiled once.
#[derive(Default)]
pub(super) struct Patterns {
    compiled: HashMap<String, Arc<Pattern>>,
    bytes: u64,
}

impl Patterns {
    /// Compiles `text` if it is new, and gives its size, compiled. Where it is compiled `again`, that counts.
    pub fn add(&mut self, text: &str, again: bool) -> Result<u64, SchemaError> {
        let known = self.compiled.get(text).map(|pattern| pattern.size);
        let size = match known {
            Some(size) => size,
            None => {
                let pattern = Pattern::new(text)?;
                self.bytes += pattern.size;
                let size = pattern.size;
                self.compiled.insert(text.to_owned(), Arc::new(pattern));
                size
            }
        };
        if again {
            self.bytes += size;
        }
        if self.bytes > MAX_PATTERNS { Err(SchemaError::Patterns) } else { Ok(size) }
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self, SchemaError> {
        let schema = json!({"pattern": text});
        let mut size = SMALLEST;
        loop {
            let engine = PatternOptions::regex().size_limit(size).dfa_size_limit(DFA.max(4 * size));
            let options = jsonschema::options().offline().should_validate_formats(false).with_pattern_options(engine);
            match options.build(&schema) {
                Ok(validator) => return Ok(Self { validator, size: size as u64 }),
                Err(_) if size < MAX_PATTERN => size *= 2,
                Err(error) => {
                    let is_pattern = jsonschema::options().offline().should_validate_formats(true);
                    let is_pattern = is_pattern.build(&json!({"format": "regex"}));
                    return Err(match is_pattern {
                        Ok(is_pattern) if is_pattern.is_valid(&json!(text)) => {
                            SchemaError::Pattern(Printable::new(text))
                        }
                        _ => SchemaError::Invalid(said(&error)),
                    });
                }
            }
        }
    }
}

/// `pattern`.
struct Matches {
    pattern: Arc<Pattern>,
    text: Printable,
}

impl<'i> Keyword<'i> for Matches {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.is_valid(instance) {
            return Ok(());
        }
        let text = instance.as_str().unwrap_or_default();
        let cut = text.char_indices().nth(QUOTED).map(|(at, _)| at);
        let value = Printable::new(&cut.map_or_else(|| text.to_owned(), |at| format!("{}…", &text[..at])));
        Err(ValidationError::custom(format!("\"{value}\" does not match \"{}\"", self.text)))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        let Value::String(text) = instance else { return true };
        take(self.pattern.size.saturating_mul(text.len() as u64 + 1)) && self.pattern.validator.is_valid(instance)
    }
}

/// `multipleOf`.
struct Divides {
    validator: Validator,
    by: Printable,
}

impl<'i> Keyword<'i> for Divides {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.is_valid(instance) {
            return Ok(());
        }
        Err(ValidationError::custom(format!("{instance} is not a multiple of {}", self.by)))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        !instance.is_number() || (take(DIVISION) && self.validator.is_valid(instance))
    }
}

/// Puts these keywords in the place of the library's.
pub(super) fn with_keywords(options: ValidationOptions<'_>, patterns: Arc<Patterns>) -> ValidationOptions<'_> {
    let options = options.with_keyword("pattern", move |_, value, _| {
        // The schema of schemas has seen that it is text, and the scale has seen it wherever it stands.
        let pattern = value.as_str().and_then(|text| patterns.compiled.get(text));
        let pattern = pattern.ok_or_else(|| ValidationError::schema("a pattern must be text"))?.clone();
        let text = Printable::new(value.as_str().unwrap_or_default());
        Ok(Box::new(Matches { pattern, text }))
    });
    options.with_keyword("multipleOf", |_, value, _| {
        let alone = jsonschema::options().offline().build(&json!({"multipleOf": value}));
        let validator = alone.map_err(|error| ValidationError::schema(error.to_string()))?;
        Ok(Box::new(Divides { validator, by: Printable::new(&value.to_string()) }))
    })
}
