//! [`Check`]: values compared with a JSON Schema that a stranger wrote. Validation runs on the host, outside of
//! any fuel, so a schema is weighed before it is used: references that multiply, patterns that backtrack and
//! schemas that refer to themselves could otherwise keep the host busy for ever.

use std::collections::HashMap;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use super::json::{MAX_DEPTH, weight};
use crate::sandbox::Printable;

/// Most work that one schema may be, in its values with every reference followed.
const MAX_COST: u64 = 100_000;
/// Most work that one comparison may be: the schema's times the value's. A few seconds at worst.
const MAX_WORK: u64 = 200_000_000;
/// Largest regular expression, compiled, in bytes.
const MAX_PATTERN: usize = 64 << 10;
/// What a pattern is counted for.
const PATTERN_COST: u64 = 64;
/// Dialects of JSON Schema that are understood; the last is the default.
const DIALECTS: [&str; 4] = ["draft-06/schema", "draft-07/schema", "draft/2019-09/schema", "draft/2020-12/schema"];

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
    /// It is no JSON Schema, or one of its patterns is none.
    #[error("no JSON Schema: {0}")]
    Invalid(Printable),
}

/// A JSON Schema, ready to be compared with values.
///
/// `format` is not asserted. Patterns are matched in linear time, so look-around and back-references are refused.
pub struct Check {
    validator: Validator,
    cost: u64,
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
        let mut scale = Scale { root: schema, weighed: HashMap::new() };
        let (cost, _) = scale.weigh(schema, 0)?;
        if cost > MAX_COST {
            return Err(SchemaError::Cost);
        }
        let patterns = PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN);
        let options = jsonschema::options().offline().should_validate_formats(false).with_pattern_options(patterns);
        let validator = options.build(schema).map_err(|error| SchemaError::Invalid(said(&error)))?;
        Ok(Self { validator, cost })
    }

    /// Compares `value` with the schema.
    ///
    /// # Errors
    /// Where it differs, or that it is too large to be compared.
    pub fn compare(&self, value: &Value) -> Result<(), Printable> {
        let weight = weight(value, 0).ok_or_else(|| Printable::new("it is nested too deeply"))?;
        if weight.saturating_mul(self.cost) > MAX_WORK {
            return Err(Printable::new("it is too large to be compared with this schema"));
        }
        self.validator.validate(value).map_err(|error| {
            let place = error.instance_path().to_string();
            if place.is_empty() {
                said(&error)
            } else {
                Printable::new(&format!("{}: {error}", Printable::new(&place)))
            }
        })
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

/// Weighs a schema with every reference followed. What is not a keyword where it stands is counted like one:
/// that errs on the safe side.
struct Scale<'s> {
    root: &'s Value,
    /// Targets of references with cost and height; `None` while they are weighed.
    weighed: HashMap<*const Value, Option<(u64, usize)>>,
}

impl<'s> Scale<'s> {
    /// Cost and height of `value`, which stands at `depth`.
    fn weigh(&mut self, value: &'s Value, depth: usize) -> Result<(u64, usize), SchemaError> {
        if depth > MAX_DEPTH {
            return Err(SchemaError::Depth);
        }
        match value {
            Value::Array(list) => self.sum(list.iter(), depth),
            Value::Object(map) => {
                let (mut cost, mut height) = (1_u64, 1);
                let mut add = |(more, high): (u64, usize), times: u64| {
                    cost = cost.saturating_add(more.saturating_mul(times));
                    height = height.max(high + 1);
                };
                for (key, inner) in map {
                    // Of these, what failed is gone through once more to say why.
                    let times =
                        if matches!(key.as_str(), "anyOf" | "oneOf" | "not" | "if" | "contains") { 2 } else { 1 };
                    match (key.as_str(), inner) {
                        ("$ref", Value::String(target)) => add(self.follow(target, depth)?, 1),
                        ("$dynamicRef" | "$recursiveRef", Value::String(target)) => {
                            let keyword = if key == "$dynamicRef" { "$dynamicRef" } else { "$recursiveRef" };
                            return Err(SchemaError::Reference { keyword, target: Printable::new(target) });
                        }
                        // Either would change what references below it mean.
                        ("$id" | "$schema", Value::String(target)) if depth > 0 => {
                            let keyword = if key == "$id" { "$id" } else { "$schema" };
                            return Err(SchemaError::Reference { keyword, target: Printable::new(target) });
                        }
                        ("pattern", Value::String(_)) => add((PATTERN_COST, 1), 1),
                        ("patternProperties", Value::Object(patterns)) => {
                            add((PATTERN_COST.saturating_mul(patterns.len() as u64), 1), 1);
                            add(self.weigh(inner, depth + 1)?, times);
                        }
                        _ => add(self.weigh(inner, depth + 1)?, times),
                    }
                }
                // These ask everything beside them once more what it has looked at.
                if map.contains_key("unevaluatedProperties") || map.contains_key("unevaluatedItems") {
                    cost = cost.saturating_mul(4);
                }
                if cost > MAX_COST { Err(SchemaError::Cost) } else { Ok((cost, height)) }
            }
            _ => Ok((1, 1)),
        }
    }

    fn sum(&mut self, values: impl Iterator<Item = &'s Value>, depth: usize) -> Result<(u64, usize), SchemaError> {
        let (mut cost, mut height) = (1_u64, 1);
        for value in values {
            let (more, high) = self.weigh(value, depth + 1)?;
            cost = cost.saturating_add(more);
            height = height.max(high + 1);
        }
        Ok((cost, height))
    }

    fn follow(&mut self, reference: &str, depth: usize) -> Result<(u64, usize), SchemaError> {
        let outside = || SchemaError::Reference { keyword: "$ref", target: Printable::new(reference) };
        let pointer = reference.strip_prefix('#').filter(|p| p.is_empty() || p.starts_with('/')).ok_or_else(outside)?;
        // Escapes of addresses are not followed, so that two readers cannot understand them differently.
        let target = if pointer.contains('%') { None } else { self.root.pointer(pointer) };
        let target = target.ok_or_else(outside)?;
        let known = self.weighed.get(&std::ptr::from_ref(target)).copied();
        let (cost, height) = match known {
            Some(None) => return Err(SchemaError::Recursive(Printable::new(reference))),
            Some(Some(weighed)) => weighed,
            None => {
                self.weighed.insert(std::ptr::from_ref(target), None);
                let weighed = self.weigh(target, depth + 1)?;
                self.weighed.insert(std::ptr::from_ref(target), Some(weighed));
                weighed
            }
        };
        if depth + height > MAX_DEPTH { Err(SchemaError::Depth) } else { Ok((cost, height)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    fn refused(schema: &Value) -> SchemaError {
        Check::new(schema).expect_err("it cannot be bounded")
    }

    #[test]
    fn values_are_compared_and_differences_named() {
        let check = Check::new(&json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {"n": {"$ref": "#/definitions/n"}, "s": {"pattern": "^a+$"}},
            "required": ["n"],
            "definitions": {"n": {"type": "integer"}},
        }))
        .expect("it is good");
        assert_eq!(check.compare(&json!({"n": 1, "s": "aaa"})), Ok(()));
        let said = |value| check.compare(&value).expect_err("it differs").to_string();
        assert!(said(json!({"n": "\u{1b}"})).starts_with("/n: "), "{}", said(json!({"n": "\u{1b}"})));
        assert!(!said(json!({"n": "\u{1b}"})).contains('\u{1b}'));
        assert!(said(json!({})).contains("required"));
        assert!(said(json!({"n": 1, "s": "b".repeat(100_000)})).len() < 1_000);
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for target in ["https://example.com/s.json", "file:///etc/passwd", "other.json", "#name", "#/%24defs/a", "#/no"]
        {
            assert!(matches!(refused(&json!({"$ref": target})), SchemaError::Reference { .. }), "{target}");
        }
        assert!(matches!(refused(&json!({"$dynamicRef": "#a"})), SchemaError::Reference { .. }));
        let inner = json!({"properties": {"a": {"$id": "http://a/b", "$ref": "#/properties"}}});
        assert!(matches!(refused(&inner), SchemaError::Reference { .. }));
        assert!(matches!(refused(&json!({"$schema": "http://example.com/mine"})), SchemaError::Dialect(_)));
        assert!(matches!(refused(&json!({"$schema": 5})), SchemaError::Dialect(_)));
        assert!(matches!(refused(&json!([])), SchemaError::NotObject("an array")));
        assert!(matches!(refused(&json!({"type": 5})), SchemaError::Invalid(_)));
    }

    /// Each definition refers to the next twice: two to the power of `n` steps, in a few kilobytes.
    fn doubling(n: usize) -> Value {
        let mut definitions = Map::new();
        for i in 0..n {
            let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
            definitions.insert(format!("d{i}"), json!({"allOf": [next, next]}));
        }
        definitions.insert(format!("d{n}"), json!({"type": "integer"}));
        json!({"$ref": "#/$defs/d0", "$defs": definitions})
    }

    #[test]
    fn bombs_are_refused_before_anything_is_compared() {
        assert!(Check::new(&doubling(5)).expect("it is small").compare(&json!(1)).is_ok());
        assert_eq!(refused(&doubling(40)), SchemaError::Cost);
        assert!(matches!(refused(&json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]})), SchemaError::Recursive(_)));
        let tree = json!({"properties": {"child": {"$ref": "#"}}});
        assert!(matches!(refused(&tree), SchemaError::Recursive(_)));
        let chain = |n: usize| {
            let links = (0..n).map(|i| (format!("d{i}"), json!({"$ref": format!("#/$defs/d{}", i + 1)})));
            let mut definitions: Map<_, _> = links.collect();
            definitions.insert(format!("d{n}"), json!(true));
            json!({"$ref": "#/$defs/d0", "$defs": definitions})
        };
        assert_eq!(refused(&chain(5_000)), SchemaError::Depth);
        let deep = (0..200).fold(json!({}), |inner, _| json!({"not": inner}));
        assert_eq!(refused(&deep), SchemaError::Depth);
        let nested =
            (0..30).fold(json!({}), |inner, _| json!({"properties": {"a": inner}, "unevaluatedProperties": false}));
        assert_eq!(refused(&nested), SchemaError::Cost);
        let patterns: Map<_, _> = (0..5_000).map(|i| (format!("a{i}"), json!({}))).collect();
        assert_eq!(refused(&json!({"patternProperties": patterns})), SchemaError::Cost);
    }

    #[test]
    fn patterns_are_matched_in_linear_time_and_bounded_space() {
        let check = Check::new(&json!({"pattern": "^(a+)+$"})).expect("it is good");
        assert!(check.compare(&json!(format!("{}b", "a".repeat(100_000)))).is_err());
        for pattern in ["(?=a)b", r"(a)\1", "a{1000}{1000}", "("] {
            assert!(matches!(refused(&json!({"pattern": pattern})), SchemaError::Invalid(_)), "{pattern}");
        }
    }

    #[test]
    fn a_large_value_needs_a_small_schema() {
        let names: Vec<_> = (0..20_000).map(|i| json!(format!("n{i}"))).collect();
        let check = Check::new(&json!({"items": {"enum": names}})).expect("it is good");
        assert_eq!(check.compare(&json!(["n1"])), Ok(()));
        let large = json!(vec!["x"; 20_000]);
        assert!(check.compare(&large).is_err_and(|said| said.to_string().contains("too large")));
        assert_eq!(Check::new(&json!({"items": {"type": "string"}})).expect("it is good").compare(&large), Ok(()));
    }
}
