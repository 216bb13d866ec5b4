//! The page of the engines, whose tables are made from runs.

use std::ops::Range;
use std::sync::Arc;

use cofferdam_engine::Engine;

/// Parts `all` by the tables of `docs/engines.md` that they have a column in, with the end of a table's name: what some
/// builds of these tests leave out has tables of its own.
pub fn tables(mut all: Vec<Arc<dyn Engine>>) -> Vec<(&'static str, Vec<Arc<dyn Engine>>)> {
    let own = all.iter().position(|engine| engine.descriptor().id == "wasmer-singlepass");
    let own = own.map(|at| (" of singlepass", all.split_off(at)));
    [("", all)].into_iter().chain(own).collect()
}

/// Where the table called `name` stands in `text`, the text of `docs/engines.md`.
///
/// # Errors
/// It has no such table.
pub fn place_of(name: &str, text: &str) -> Result<Range<usize>, String> {
    let begin = format!("<!-- generated: {name} -->\n");
    let start = text.find(&begin).ok_or_else(|| format!("docs/engines.md has no `{begin}`"))? + begin.len();
    let length = text[start..].find("<!-- end -->").ok_or("docs/engines.md has no end marker")?;
    Ok(start..start + length)
}
