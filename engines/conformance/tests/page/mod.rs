//! The page of the engines, whose tables are made from runs.

/// Where the table called `name` stands in `text`, the text of `docs/engines.md`.
///
/// # Errors
/// It has no such table.
pub fn place_of(name: &str, text: &str) -> Result<std::ops::Range<usize>, String> {
    let begin = format!("<!-- generated: {name} -->\n");
    let start = text.find(&begin).ok_or_else(|| format!("docs/engines.md has no `{begin}`"))? + begin.len();
    let length = text[start..].find("<!-- end -->").ok_or("docs/engines.md has no end marker")?;
    Ok(start..start + length)
}
