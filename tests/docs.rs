//! Tables in `docs/` that are made from the code. `COFFERDAM_BLESS=1 cargo test --test docs` rewrites them.

use std::fmt::Write as _;
use std::path::PathBuf;

use cofferdam::Proposal;
use cofferdam::host::wasi::known_imports;
use cofferdam::policy::Level;

/// Compares what stands between the markers of `name` in `file` with `table`, or puts it there.
fn generated(file: &str, name: &str, table: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    let text = std::fs::read_to_string(&path).expect("the page is there");
    let (begin, end) = (format!("<!-- generated: {name} -->\n"), "<!-- end -->".to_owned());
    let start = text.find(&begin).expect("the page has the marker") + begin.len();
    let stop = start + text[start..].find(&end).expect("the page has the end marker");
    if std::env::var_os("COFFERDAM_BLESS").is_some() {
        std::fs::write(&path, format!("{}{table}{}", &text[..start], &text[stop..])).expect("it can be written");
        return;
    }
    assert!(&text[start..stop] == table, "{file}: `{name}` is out of date; COFFERDAM_BLESS=1 rewrites it");
}

#[test]
fn the_wasi_page_lists_every_call() {
    let mut table = String::from("| call | parameters | does something |\n|---|---|---|\n");
    for import in known_imports() {
        let params: Vec<_> = import.params.iter().map(ToString::to_string).collect();
        let does = if import.implemented { "yes" } else { "links, answers an error" };
        writeln!(table, "| `{}` | {} | {does} |", import.name, params.join(", ")).expect("a string takes it");
    }
    generated("wasi.md", "calls", &table);
}

#[test]
fn the_limits_page_lists_every_proposal_by_level() {
    let mut table = String::from("| proposal | strict | standard | relaxed, development |\n|---|---|---|---|\n");
    for proposal in Proposal::ALL {
        let at = |level: Level| if level.features().has(*proposal) { "yes" } else { "" };
        let row = [Level::Strict, Level::Standard, Level::Relaxed].map(at).join(" | ");
        writeln!(table, "| `{proposal}` | {row} |").expect("a string takes it");
    }
    generated("limits.md", "proposals", &table);
}

/// Compares the whole of `docs/{file}` with `text`, or writes it.
fn whole(file: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    if std::env::var_os("COFFERDAM_BLESS").is_some() {
        std::fs::write(&path, text).expect("it can be written");
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{file} is out of date; COFFERDAM_BLESS=1 rewrites it");
}

#[test]
fn the_schema_of_policy_files_is_the_one_of_the_types() {
    whole("policy.schema.json", &cofferdam::policy::file::schema());
}
