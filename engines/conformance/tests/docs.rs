//! The tables of `docs/engines.md` are made from a run. `COFFERDAM_BLESS=1 cargo test -p cofferdam-conformance
//! --test docs` rewrites them.

mod engines;
mod page;

use std::path::Path;

use cofferdam_conformance::report::{markdown, terminal};
use cofferdam_conformance::run;

#[test]
fn the_engines_page_shows_a_real_run() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/engines.md");
    for (which, engines) in page::tables(engines::all()) {
        let reports: Vec<_> = engines.iter().map(run).collect();
        assert!(reports.iter().all(|r| r.passed()), "{}", terminal(&reports));
        let table = markdown(&reports);
        let mut text = std::fs::read_to_string(&path).expect("the page is there");
        let place = page::place_of(&format!("conformance{which}"), &text).expect("the page has the table");
        if std::env::var_os("COFFERDAM_BLESS").is_some() {
            text.replace_range(place, &table);
            std::fs::write(&path, text).expect("it can be written");
        } else {
            assert!(text[place] == table, "docs/engines.md is out of date; COFFERDAM_BLESS=1 rewrites it:\n{table}");
        }
    }
}
