//! JSON from strangers: bounded before it is built, for a value takes many times the memory of its text.

use serde_json::Value;

use crate::sandbox::Printable;

/// Most values (and keys) that one text of JSON may have.
pub const MAX_VALUES: usize = 1_000_000;
/// Deepest nesting of values: that of serde_json's own parser.
pub(super) const MAX_DEPTH: usize = 128;

/// Why a text was not taken as JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// It is none, or nested too deeply.
    #[error("no JSON: {0}")]
    Syntax(Printable),
    /// It would take too much memory.
    #[error("JSON of more than {MAX_VALUES} values")]
    TooMany,
}

/// The JSON value in `text`.
///
/// # Errors
/// It is none, or has more than [`MAX_VALUES`] values or 128 levels.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    // Every value but the first follows one of these. Those within strings are counted too, which only a text
    // of a million of them notices.
    let mut most = 0;
    if text.len() > MAX_VALUES {
        most = text.iter().filter(|b| matches!(b, b',' | b':' | b'[' | b'{')).count();
    }
    if most >= MAX_VALUES && counted(text) >= MAX_VALUES {
        return Err(JsonError::TooMany);
    }
    serde_json::from_slice(text).map_err(|error| JsonError::Syntax(Printable::new(&error.to_string())))
}

/// Separators outside of strings.
fn counted(text: &[u8]) -> usize {
    let (mut count, mut string, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if string => escaped = true,
            b'"' => string = !string,
            b',' | b':' | b'[' | b'{' if !string => count += 1,
            _ => {}
        }
    }
    count
}

/// The weight of text: one, and one for each 16 bytes.
pub(super) const fn text_weight(text: &str) -> u64 {
    1 + text.len() as u64 / 16
}

/// No less than the [weight](Size::weight) of the JSON in `text`.
pub(super) fn heaviest(text: &[u8]) -> u64 {
    1 + counted(text) as u64 + text.len() as u64 / 16
}

/// How much there is in a value to be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Its values, and its text in units of 16 bytes.
    pub weight: u64,
    /// Its values.
    pub values: u64,
    /// Bytes of all names in it.
    pub names: u64,
    /// No less than the bytes of the longest pointer to a value in it.
    pub path: u64,
}

impl Size {
    /// That of `value`; `None` if it is nested deeper than any text of JSON.
    pub fn of(value: &Value) -> Option<Self> {
        Self::of_at(value, 0)
    }

    /// The same of a value that stands at `depth`.
    pub fn of_at(value: &Value, depth: usize) -> Option<Self> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut size = Self { weight: 1, values: 1, ..Self::default() };
        let mut add = |name: u64, inner: Self| {
            size.weight += inner.weight;
            size.values += inner.values;
            size.names += inner.names;
            // Characters that have a meaning in pointers are written as two.
            size.path = size.path.max(inner.path + 1 + 2 * name);
        };
        match value {
            Value::String(text) => size.weight = text_weight(text),
            Value::Array(list) => {
                for item in list {
                    // The number of an item has no more than 20 digits.
                    add(10, Self::of_at(item, depth + 1)?);
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    let inner = Self::of_at(item, depth + 1)?;
                    let (name, weight) = (key.len() as u64, inner.weight + text_weight(key));
                    add(name, Self { weight, names: inner.names + name, ..inner });
                }
            }
            _ => {}
        }
        Some(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn too_many_values_are_refused_before_they_are_built() {
        let list = |n: usize| format!("[{}0]", "0,".repeat(n));
        assert!(parse(list(MAX_VALUES - 2).as_bytes()).is_ok());
        assert_eq!(parse(list(MAX_VALUES).as_bytes()), Err(JsonError::TooMany));
        // What stands in a string is one value.
        let text = format!("\"{}\\\",\"", ",".repeat(2 * MAX_VALUES));
        assert!(parse(text.as_bytes()).is_ok());
        assert!(matches!(parse("[".repeat(1000).as_bytes()), Err(JsonError::Syntax(_))));
        assert!(matches!(parse(b"\xff"), Err(JsonError::Syntax(_))));
    }

    #[test]
    fn weight_is_values_and_text() {
        let weight = |value| Size::of(&value).map(|size| size.weight);
        assert_eq!(weight(json!([1, [true], {"a": null}])), Some(1 + 1 + 2 + 3));
        assert_eq!(weight(json!("x".repeat(160))), Some(11));
        let deep = (0..200).fold(json!(0), |inner, _| json!([inner]));
        assert_eq!(weight(deep), None);
        let size = Size::of(&json!({"abc": {"~": [1, 2]}, "x": "abc"})).expect("it is not deep");
        assert_eq!((size.values, size.names), (6, 5));
        assert!(size.path >= "/abc/~0/1".len() as u64);
    }

    #[test]
    fn a_text_is_never_lighter_than_its_value() {
        let texts = [
            "0",
            "[]",
            "{}",
            "[[],{}]",
            r#"{"a":[1,2,{"b":"c"}],"d":",,:[{\\\""}"#,
            r#"["0123456789abcdef0123456789abcdef"]"#,
        ];
        for text in texts {
            let value = parse(text.as_bytes()).expect("it is JSON");
            let weight = Size::of(&value).map_or(0, |size| size.weight);
            assert!(heaviest(text.as_bytes()) >= weight, "{text}");
        }
    }
}
