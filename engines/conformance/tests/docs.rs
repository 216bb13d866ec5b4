//! The table of `docs/engines.md` is made from a run. `COFFERDAM_BLESS=1 cargo test -p cofferdam-conformance
//! --test docs` rewrites it.

mod engines;

use std::path::Path;

use cofferdam_conformance::report::markdown;
use cofferdam_conformance::run;

const BEGIN: &str = "<!-- generated: conformance -->\n";
const END: &str = "<!-- end -->";

#[test]
fn the_engines_page_shows_a_real_run() {
    let reports: Vec<_> = engines::all().iter().map(run).collect();
    assert!(reports.iter().all(|r| r.passed()), "{}", cofferdam_conformance::report::terminal(&reports));
    let table = markdown(&reports);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/engines.md");
    let text = std::fs::read_to_string(&path).expect("the page is there");
    let start = text.find(BEGIN).expect("the page has the marker") + BEGIN.len();
    let stop = start + text[start..].find(END).expect("the page has the end marker");
    if std::env::var_os("COFFERDAM_BLESS").is_some() {
        std::fs::write(&path, format!("{}{table}{}", &text[..start], &text[stop..])).expect("it can be written");
        return;
    }
    assert!(text[start..stop] == table, "docs/engines.md is out of date; COFFERDAM_BLESS=1 rewrites it:\n{table}");
}
