//! [`Check`]: values compared with a JSON Schema that a stranger wrote. Validation runs on the host, outside of
//! any fuel, so a schema is weighed before it is used: references that multiply, patterns that backtrack and
//! schemas that refer to themselves could otherwise keep the host busy for ever.

mod metered;
mod scale;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use self::metered::{MAX_PATTERN, MAX_PATTERNS, Patterns};
use self::scale::Scale;
use super::json::{MAX_DEPTH, Size, heaviest};
use crate::sandbox::Printable;

/// Most steps that one schema may be, in its values with every reference followed.
const MAX_COST: u64 = 100_000;
/// Most steps that one comparison may be: the schema's times the value's weight. A step is about 5 ns.
const MAX_WORK: u64 = 40_000_000;
/// Fuel for a step: few of those that are counted are taken.
const STEP_FUEL: u64 = 1;
/// Most memory that the reasons why a value is wrong may take, in bytes.
const MAX_REASONS: u64 = 32 << 20;
/// About what one reason takes, beside the names that lead to its place.
const REASON: u64 = 400;
/// Dialects of JSON Schema that are understood; the last is the default.
const DIALECTS: [&str; 4] = ["draft-06/schema", "draft-07/schema", "draft/2019-09/schema", "draft/2020-12/schema"];
/// What drafts 6 and 7 would have decoded and parsed while a value is compared.
const ENCODINGS: [&str; 5] = ["base64", "base64url", "base32", "base32hex", "base16"];

const TOO_LARGE: &str = "it is too large to be compared with this schema";

/// Why a JSON Schema is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// It is no object.
    #[error("a JSON Schema must be an object, and this is {0}")]
    NotObject(&'static str),
    /// It is written for rules that are not known here.
    #[error("`$schema` is `{0}`; drafts 6, 7, 2019-09 and 2020-12 are understood")]
    Dialect(Printable),
    /// It refers to something outside of itself, or in a way that is not followed.
    #[error("`{keyword}` is `{target}`: only references within the schema, such as `#/$defs/name`, are followed")]
    Reference {
        /// The keyword.
        keyword: &'static str,
        /// Where it leads.
        target: Printable,
    },
    /// It refers to itself.
    #[error("the schema refers to itself (`$ref` to `{0}`), which cannot be bounded")]
    Recursive(Printable),
    /// It is nested too deeply, references followed.
    #[error("the schema is nested more than {MAX_DEPTH} levels deep, references followed")]
    Depth,
    /// It would take too long to compare anything with it.
    #[error("the schema is too large: more than {MAX_COST} steps, references followed")]
    Cost,
    /// One of its patterns cannot be matched in bounded time and memory.
    #[error("the pattern `{0}` is too large (compiled it may take {largest} KiB), or uses look-around or back-references", largest = MAX_PATTERN >> 10)]
    Pattern(Printable),
    /// Its patterns take too much memory together.
    #[error("the schema's patterns are too large: compiled they may take {most} KiB together", most = MAX_PATTERNS >> 10)]
    Patterns,
    /// It is no JSON Schema, or one of its patterns is no regular expression.
    #[error("no JSON Schema: {0}")]
    Invalid(Printable),
}

/// A JSON Schema, ready to be compared with values.
///
/// `format`, `contentMediaType` and `contentEncoding` are not asserted. Patterns are matched in linear time, so
/// look-around and back-references are refused.
pub struct Check {
    validator: Validator,
    cost: u64,
    /// The part of the cost in which every reason is gathered before any is given.
    told: u64,
    /// Whether a reason may have a copy of the value for each of its names.
    by_name: bool,
    /// Bytes of compiled patterns that names are matched with.
    names: u64,
}

impl Check {
    /// Makes `schema` ready.
    ///
    /// # Errors
    /// It is no JSON Schema, or none that can be bounded.
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        let object = schema.as_object().ok_or_else(|| SchemaError::NotObject(kind(schema)))?;
        if let Some(dialect) = object.get("$schema") {
            let uri = dialect.as_str().unwrap_or_default();
            let path = uri.strip_prefix("https://json-schema.org/").or(uri.strip_prefix("http://json-schema.org/"));
            let path = path.map(|path| path.trim_end_matches('#')).unwrap_or_default();
            if !DIALECTS.contains(&path) {
                return Err(SchemaError::Dialect(Printable::new(&dialect.to_string())));
            }
        }
        let mut patterns = Patterns::default();
        let weight = Scale::new(schema, &mut patterns).weigh_all()?;
        let engine = PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(metered::DFA);
        let mut options = jsonschema::options().offline().should_validate_formats(false).with_pattern_options(engine);
        options = options.without_content_media_type_support("application/json");
        for encoding in ENCODINGS {
            options = options.without_content_encoding_support(encoding);
        }
        let options = metered::with_keywords(options, Arc::new(patterns));
        let validator = options.build(schema).map_err(|error| SchemaError::Invalid(said(&error)))?;
        Ok(Self { validator, cost: weight.cost, told: weight.told, by_name: weight.by_name, names: weight.names })
    }

    /// Compares `value` with the schema.
    ///
    /// # Errors
    /// Where it differs, or that it is too large to be compared.
    pub fn compare(&self, value: &Value) -> Result<(), Printable> {
        self.compare_counted(value).0
    }

    /// The same, and what the work is worth in fuel beside what [`Check::price`] said of it.
    pub(super) fn compare_counted(&self, value: &Value) -> (Result<(), Printable>, u64) {
        let Some(size) = Size::of(value) else { return (Err(Printable::new("it is nested too deeply")), 0) };
        let names = size.names.saturating_mul(self.names);
        if size.weight.saturating_mul(self.cost) > MAX_WORK || names > metered::MAX_UNITS {
            return (Err(Printable::new(TOO_LARGE)), 0);
        }
        let (valid, units) = metered::within(|| self.validator.is_valid(value));
        let fuel = units.saturating_add(names) / metered::UNITS_PER_FUEL;
        match valid {
            Some(true) => (Ok(()), fuel),
            Some(false) => (Err(self.why(value, &size)), fuel.saturating_mul(2)),
            None => (Err(Printable::new(TOO_LARGE)), fuel),
        }
    }

    /// Why `value`, which is not what the schema says, is not.
    fn why(&self, value: &Value, size: &Size) -> Printable {
        // Of `anyOf` and `oneOf` every reason of every branch is kept, with a copy of the value, before there is
        // an answer.
        let copies = if self.by_name { size.values } else { 1 };
        let each = size.weight.saturating_mul(copies).saturating_mul(REASON);
        let each = each.saturating_add(size.values.saturating_mul(size.path));
        let told = if self.told.saturating_mul(each) > MAX_REASONS {
            None
        } else {
            metered::within(|| self.validator.validate(value).err()).0.flatten()
        };
        let Some(error) = told else {
            return Printable::new("it is not what the schema says; it is too large to say where");
        };
        let place = error.instance_path().to_string();
        if place.is_empty() { said(&error) } else { Printable::new(&format!("{}: {error}", Printable::new(&place))) }
    }

    /// What it was worth in fuel to compare `value`, patterns aside.
    pub(super) fn price_of(&self, value: &Value) -> u64 {
        let weight = Size::of(value).map_or(0, |size| size.weight);
        weight.saturating_mul(self.cost).min(MAX_WORK).saturating_mul(STEP_FUEL)
    }

    /// What it costs in fuel to compare the JSON in `text`, at most, patterns aside.
    pub(super) fn price(&self, text: &[u8]) -> u64 {
        heaviest(text).saturating_mul(self.cost).min(MAX_WORK).saturating_mul(STEP_FUEL)
    }
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("cost", &self.cost).finish_non_exhaustive()
    }
}

fn said(error: &jsonschema::ValidationError<'_>) -> Printable {
    Printable::new(&error.to_string())
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
