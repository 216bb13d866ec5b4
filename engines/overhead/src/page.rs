//! `docs/performance.md` and what lies beside it: the text is written by people, the tables between its markers and
//! the plots are made from `docs/performance/measured.json`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::report::Report;
use crate::{plot, table};

/// The figures that the page is made of, from the root of the repository.
pub const MEASURED: &str = "docs/performance/measured.json";
/// The page.
pub const PAGE: &str = "docs/performance.md";

/// The root of the repository that this was built in.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Reads the figures that are kept.
///
/// # Errors
/// They are not there, or not as they were written.
pub fn measured(root: &Path) -> Result<Report> {
    let path = root.join(MEASURED);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// The tables of the page by the names of their markers.
#[must_use]
pub fn tables(report: &Report) -> Vec<(String, String)> {
    let mut all = vec![
        ("machine".to_owned(), table::of_machine(report)),
        ("aims".to_owned(), table::of_aims(report)),
        ("means".to_owned(), table::of_means(report)),
        ("kernels".to_owned(), table::of_kernels()),
    ];
    all.extend(report.engines.iter().map(|engine| (engine.engine.clone(), table::of_engine(engine))));
    all
}

/// The plots, by their paths from the root.
#[must_use]
pub fn plots(report: &Report) -> Vec<(String, String)> {
    let mut all = vec![("docs/performance/kernels.svg".to_owned(), plot::of_means(report))];
    let of = |engine: &str| format!("docs/performance/{engine}.svg");
    all.extend(report.engines.iter().map(|engine| (of(&engine.engine), plot::of_engine(engine))));
    all
}

/// `page` with every table put between its markers.
///
/// # Errors
/// A marker that is missing.
pub fn with_tables(page: &str, report: &Report) -> Result<String> {
    let mut page = page.to_owned();
    for (name, table) in tables(report) {
        let begin = format!("<!-- generated: {name} -->\n");
        let start = page.find(&begin).with_context(|| format!("{PAGE} has no `{}`", begin.trim()))? + begin.len();
        let length = page[start..].find("<!-- end -->").with_context(|| format!("{PAGE}: `{name}` has no end"))?;
        page.replace_range(start..start + length, &table);
    }
    Ok(page)
}

/// Keeps `report` and makes the page and its plots from it.
///
/// # Errors
/// A marker that is missing; a file that cannot be written.
pub fn write(root: &Path, report: &Report) -> Result<()> {
    let mut json = serde_json::to_string_pretty(report)?;
    json.push('\n');
    std::fs::create_dir_all(root.join("docs/performance"))?;
    let page = root.join(PAGE);
    let text = std::fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let text = with_tables(&text, report)?;
    std::fs::write(root.join(MEASURED), json)?;
    std::fs::write(page, text)?;
    for (path, svg) in plots(report) {
        std::fs::write(root.join(path), svg)?;
    }
    Ok(())
}
