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

/// How much there is in `value` to be looked at: its values, and its text in units of 16 bytes. `None` if it
/// is nested deeper than any text of JSON.
pub(super) fn weight(value: &Value, depth: usize) -> Option<u64> {
    if depth > MAX_DEPTH {
        return None;
    }
    let text = |s: &str| 1 + s.len() as u64 / 16;
    match value {
        Value::String(s) => Some(text(s)),
        Value::Array(list) => list.iter().try_fold(1_u64, |sum, item| Some(sum + weight(item, depth + 1)?)),
        Value::Object(map) => {
            map.iter().try_fold(1_u64, |sum, (key, item)| Some(sum + text(key) + weight(item, depth + 1)?))
        }
        _ => Some(1),
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
        assert_eq!(weight(&json!([1, [true], {"a": null}]), 0), Some(1 + 1 + 2 + 3));
        assert_eq!(weight(&json!("x".repeat(160)), 0), Some(11));
        let deep = (0..200).fold(json!(0), |inner, _| json!([inner]));
        assert_eq!(weight(&deep, 0), None);
    }
}
