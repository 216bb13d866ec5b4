//! [`Scale`]: how much work a schema is, with every reference followed.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::metered::Patterns;
use super::{MAX_COST, SchemaError};
use crate::sandbox::Printable;
use crate::tool::json::{MAX_DEPTH, Size, text_weight};

/// What a pattern is counted for, beside what is counted when it is matched.
const PATTERN_COST: u64 = 16;
/// The same for one that names are matched with.
const NAME_PATTERN_COST: u64 = 64;

/// How much work a part of a schema is.
#[derive(Clone, Copy)]
pub(super) struct Weight {
    /// Steps for each value that is compared with it.
    pub cost: u64,
    /// The part of these that stands in `anyOf` or `oneOf`.
    pub told: u64,
    /// Whether names are compared with a schema of their own: each reason why not has a copy of the whole object.
    pub by_name: bool,
    /// Bytes of compiled patterns that names are matched with.
    pub names: u64,
    height: usize,
}

impl Weight {
    const fn of(cost: u64) -> Self {
        Self { cost, told: 0, by_name: false, names: 0, height: 1 }
    }

    fn add(&mut self, more: Self, times: u64) {
        self.cost = self.cost.saturating_add(more.cost.saturating_mul(times));
        self.told = self.told.saturating_add(more.told.saturating_mul(times));
        self.names = self.names.saturating_add(more.names.saturating_mul(times));
        self.by_name |= more.by_name;
        self.height = self.height.max(more.height + 1);
    }
}

/// Weighs a schema with every reference followed. What is not a keyword where it stands is counted like one:
/// that errs on the safe side.
pub(super) struct Scale<'s> {
    root: &'s Value,
    patterns: &'s mut Patterns,
    /// Targets of references; `None` while they are weighed.
    weighed: HashMap<*const Value, Option<Weight>>,
}

impl<'s> Scale<'s> {
    pub fn new(root: &'s Value, patterns: &'s mut Patterns) -> Self {
        Self { root, patterns, weighed: HashMap::new() }
    }

    pub fn weigh_all(mut self) -> Result<Weight, SchemaError> {
        self.weigh(self.root, 0)
    }

    /// The weight of `value`, which stands at `depth`.
    fn weigh(&mut self, value: &'s Value, depth: usize) -> Result<Weight, SchemaError> {
        if depth > MAX_DEPTH {
            return Err(SchemaError::Depth);
        }
        match value {
            Value::Array(list) => {
                let mut sum = Weight::of(1);
                for value in list {
                    sum.add(self.weigh(value, depth + 1)?, 1);
                }
                Ok(sum)
            }
            Value::Object(map) => self.weigh_map(map, depth),
            Value::String(text) => Ok(Weight::of(text_weight(text))),
            _ => Ok(Weight::of(1)),
        }
    }

    fn weigh_map(&mut self, map: &'s Map<String, Value>, depth: usize) -> Result<Weight, SchemaError> {
        let mut sum = Weight::of(1);
        for (key, inner) in map {
            sum.add(Weight::of(text_weight(key) - 1), 1);
            match (key.as_str(), inner) {
                // Said of the schema, and never compared.
                ("default" | "examples" | "title" | "description" | "$comment", _) => {}
                // Values, not schemas, whatever the names in them are.
                ("const" | "enum", _) => {
                    let size = Size::of_at(inner, depth + 1).ok_or(SchemaError::Depth)?;
                    sum.add(Weight::of(size.weight), 1);
                }
                ("$ref", Value::String(target)) => sum.add(self.follow(target, depth)?, 1),
                ("$dynamicRef" | "$recursiveRef", Value::String(target)) => {
                    let keyword = if key == "$dynamicRef" { "$dynamicRef" } else { "$recursiveRef" };
                    return Err(SchemaError::Reference { keyword, target: Printable::new(target) });
                }
                // Either would change what references below it mean.
                ("$id" | "$schema", Value::String(target)) if depth > 0 => {
                    let keyword = if key == "$id" { "$id" } else { "$schema" };
                    return Err(SchemaError::Reference { keyword, target: Printable::new(target) });
                }
                ("pattern", Value::String(text)) => {
                    self.patterns.add(text, false)?;
                    sum.add(Weight::of(PATTERN_COST + text_weight(text)), 1);
                }
                ("patternProperties", Value::Object(named)) => {
                    for text in named.keys() {
                        // The names are matched once more for `additionalProperties`.
                        let names = self.patterns.add(text, true)?.saturating_mul(2);
                        sum.add(Weight { names, ..Weight::of(NAME_PATTERN_COST) }, 1);
                    }
                    sum.add(self.weigh_named(named, depth + 1)?, 1);
                }
                (
                    "properties" | "$defs" | "definitions" | "dependentSchemas" | "dependencies",
                    Value::Object(named),
                ) => sum.add(self.weigh_named(named, depth + 1)?, 1),
                ("anyOf" | "oneOf", _) => {
                    // What failed is gone through once more to say why.
                    let weight = self.weigh(inner, depth + 1)?;
                    sum.add(Weight { told: weight.cost, ..weight }, 2);
                }
                ("propertyNames", _) => {
                    sum.by_name = true;
                    sum.add(self.weigh(inner, depth + 1)?, 1);
                }
                ("not" | "if" | "contains", _) => sum.add(self.weigh(inner, depth + 1)?, 2),
                _ => sum.add(self.weigh(inner, depth + 1)?, 1),
            }
        }
        // These ask everything beside them once more what it has looked at.
        if map.contains_key("unevaluatedProperties") || map.contains_key("unevaluatedItems") {
            sum.cost = sum.cost.saturating_mul(4);
            sum.names = sum.names.saturating_mul(4);
        }
        if sum.cost > MAX_COST { Err(SchemaError::Cost) } else { Ok(sum) }
    }

    /// Schemas by name: what they are called means nothing.
    fn weigh_named(&mut self, named: &'s Map<String, Value>, depth: usize) -> Result<Weight, SchemaError> {
        if depth > MAX_DEPTH {
            return Err(SchemaError::Depth);
        }
        let mut sum = Weight::of(1);
        for (name, schema) in named {
            sum.add(Weight::of(text_weight(name) - 1), 1);
            sum.add(self.weigh(schema, depth + 1)?, 1);
        }
        Ok(sum)
    }

    fn follow(&mut self, reference: &str, depth: usize) -> Result<Weight, SchemaError> {
        let outside = || SchemaError::Reference { keyword: "$ref", target: Printable::new(reference) };
        let pointer = reference.strip_prefix('#').filter(|p| p.is_empty() || p.starts_with('/')).ok_or_else(outside)?;
        // Escapes of addresses are not followed, so that two readers cannot understand them differently.
        let target = if pointer.contains('%') { None } else { self.root.pointer(pointer) };
        let target = target.ok_or_else(outside)?;
        let known = self.weighed.get(&std::ptr::from_ref(target)).copied();
        let weight = match known {
            Some(None) => return Err(SchemaError::Recursive(Printable::new(reference))),
            Some(Some(weighed)) => weighed,
            None => {
                self.weighed.insert(std::ptr::from_ref(target), None);
                let weighed = self.weigh(target, depth + 1)?;
                self.weighed.insert(std::ptr::from_ref(target), Some(weighed));
                weighed
            }
        };
        if depth + weight.height > MAX_DEPTH { Err(SchemaError::Depth) } else { Ok(weight) }
    }
}
