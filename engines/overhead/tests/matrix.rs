//! What can be tested of a measurement without measuring: that every column does the same work, and that the page is
//! made of the figures that are kept. Nothing here depends on how long anything takes.

use std::collections::BTreeMap;

use cofferdam_overhead::column::Column;
use cofferdam_overhead::measure::Subjects;
use cofferdam_overhead::report::Report;
use cofferdam_overhead::subject::{ENGINES, tasks};
use cofferdam_overhead::task::{Guests, Task};
use cofferdam_overhead::{page, plot, table};

fn kept() -> Report {
    page::measured(&page::root()).unwrap_or_else(|e| panic!("{e:#}"))
}

#[test]
fn every_column_on_every_engine_gives_the_same_answers() {
    let guests = Guests::new().expect("the texts are right");
    let mut answers = BTreeMap::new();
    for engine in ENGINES {
        let mut subjects = Subjects::new(engine, &guests, 1).unwrap_or_else(|e| panic!("{engine}: {e:#}"));
        // Kernels as they are known, and all columns alike.
        subjects.check().unwrap_or_else(|e| panic!("{e:#}"));
        for task in tasks(engine) {
            let answer = subjects.agree(task, 2).unwrap_or_else(|e| panic!("{e:#}"));
            let (first, known) = *answers.entry(task.name()).or_insert((engine, answer));
            assert_eq!(answer, known, "{}: {engine} and {first} differ", task.name());
        }
    }
    assert_eq!(answers.len(), Task::all().count(), "{answers:?}");
}

/// The page and its plots hold what the figures say, and nothing that was written by hand.
#[test]
fn the_page_is_made_of_the_figures() {
    let (root, report) = (page::root(), kept());
    if std::env::var_os("COFFERDAM_BLESS").is_some() {
        page::write(&root, &report).unwrap_or_else(|e| panic!("{e:#}"));
    }
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let text = read(page::PAGE);
    let made = page::with_tables(&text, &report).unwrap_or_else(|e| panic!("{e:#}"));
    assert!(text == made, "{} is out of date; COFFERDAM_BLESS=1 rewrites it", page::PAGE);
    for (path, svg) in page::plots(&report) {
        assert!(read(&path) == svg, "{path} is out of date; COFFERDAM_BLESS=1 rewrites it");
        let name = path.strip_prefix("docs/").expect("it is in docs");
        assert!(text.contains(&format!("]({name})")), "the page does not show {path}");
    }
}

#[test]
fn what_is_kept_is_whole() {
    let report = kept();
    let engines: Vec<&str> = report.engines.iter().map(|engine| engine.engine.as_str()).collect();
    assert_eq!(engines, ENGINES);
    for engine in &report.engines {
        let wanted: Vec<&str> = tasks(&engine.engine).map(Task::name).collect();
        let found: Vec<&str> = engine.tasks.iter().map(|task| task.task.as_str()).collect();
        assert_eq!(found, wanted, "{}", engine.engine);
        for task in &engine.tasks {
            for column in Column::ALL {
                let cell = task.cell(column).unwrap_or_else(|| panic!("{} has no {}", task.task, column.name()));
                let ordered = [0.0, cell.least_ns, cell.median_ns, cell.p90_ns];
                assert!(cell.least_ns > 0.0 && ordered.is_sorted(), "{}, {}: {cell:?}", task.task, column.name());
            }
        }
    }
}

#[test]
fn tables_have_as_many_cells_in_every_row() {
    for (name, text) in page::tables(&kept()) {
        let widths: Vec<usize> = text.lines().map(|line| line.matches('|').count()).collect();
        assert!(widths.len() > 2 && widths.iter().all(|width| *width == widths[0]), "{name}:\n{text}");
        assert!(
            text.lines().nth(1).is_some_and(|rule| rule.trim_matches(['|', '-', ':']).is_empty()),
            "{name}:\n{text}"
        );
        assert!(!text.contains("NaN") && !text.contains("inf"), "{name}:\n{text}");
    }
}

#[test]
fn numbers_are_short_enough_to_be_read() {
    assert_eq!([0.996, 1.0, 9.994, 9.996, 104.26].map(table::ratio), ["1.00", "1.00", "9.99", "10.0", "104.3"]);
    let times = [5.44, 9.96, 250.0, 999.7, 1_500.0, 12_345.6, 999_600.0, 15_000_000.0];
    assert_eq!(times.map(table::time), ["5.4 ns", "10 ns", "250 ns", "1.0 µs", "1.5 µs", "12 µs", "1.0 ms", "15 ms"]);
}

/// Why `text` is not one element of XML with everything closed and quoted; what it says, if it is.
fn texts_of(text: &str) -> Result<Vec<String>, String> {
    let (mut open, mut texts, mut rest) = (Vec::new(), Vec::new(), text.trim_end());
    while !rest.is_empty() {
        let (said, tag) = rest.split_once('<').ok_or_else(|| format!("text at the end: {rest}"))?;
        if said.contains(['>', '"']) && open.last() != Some(&"style") {
            return Err(format!("not escaped: {said}"));
        }
        for part in said.split('&').skip(1) {
            if !["amp;", "lt;", "gt;", "quot;"].iter().any(|known| part.starts_with(known)) {
                return Err(format!("not an entity: &{part}"));
            }
        }
        if !said.trim().is_empty() {
            open.last().ok_or("text outside of everything")?;
            texts.push(said.trim().to_owned());
        }
        let (tag, behind) = tag.split_once('>').ok_or_else(|| format!("<{tag} does not end"))?;
        rest = behind;
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("</{name}> closes nothing"));
            }
            continue;
        }
        if open.is_empty() && !texts.is_empty() {
            return Err(format!("<{tag}> stands outside"));
        }
        let (tag, closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        if attributes.matches('"').count() % 2 != 0 || attributes.contains(['<', '&']) {
            return Err(format!("<{tag}>: attributes"));
        }
        for value in attributes.split('"').step_by(2).filter(|outside| !outside.trim().is_empty()) {
            let name = value.trim().strip_suffix('=').ok_or_else(|| format!("<{tag}>: {value}"))?;
            if name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
                return Err(format!("<{tag}>: an attribute `{name}`"));
            }
        }
        if !closed {
            open.push(name);
        }
    }
    if open.is_empty() { Ok(texts) } else { Err(format!("not closed: {open:?}")) }
}

#[test]
fn broken_drawings_are_known() {
    texts_of("<svg a=\"1\" b-c=\"2\"><title>x &amp; y</title><rect/></svg>\n").expect("it is right");
    let broken = [
        "<svg>",
        "<svg></g></svg>",
        "<svg><g></svg></g>",
        "<svg a=1></svg>",
        "<svg a=\"1></svg>",
        "<svg>a & b</svg>",
        "<svg>a > b</svg>",
        "<svg></svg>text",
        "text<svg></svg>",
        "<svg a b=\"1\"></svg>",
        "<svg",
        "<svg>&nbsp;</svg>",
    ];
    for text in broken {
        assert!(texts_of(text).is_err(), "{text}");
    }
}

#[test]
fn drawings_are_whole_and_say_everything_in_text() {
    let report = kept();
    for (path, svg) in page::plots(&report) {
        let texts = texts_of(&svg).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert!(svg.contains("prefers-color-scheme: dark"), "{path} is for light paper alone");
        assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{path}: a place that is none");
        for column in Column::ALL.into_iter().filter(|column| *column != Column::Raw) {
            assert!(texts.iter().any(|text| text == column.head()), "{path} has no legend for {}", column.name());
        }
    }
    for engine in &report.engines {
        let texts = texts_of(&plot::of_engine(engine)).expect("it was whole before");
        for task in &engine.tasks {
            assert!(texts.contains(&task.task), "{} is not drawn for {}", task.task, engine.engine);
        }
    }
}

/// Figures of one engine alone, as with `--engine`, or of one task alone, as with `--task`, are no reason to fail.
#[test]
fn parts_of_a_run_can_be_shown() {
    let mut report = kept();
    report.engines.truncate(1);
    report.engines[0].tasks.truncate(1);
    assert!(table::all(&report).contains("compile"));
    texts_of(&plot::of_engine(&report.engines[0])).expect("it is whole");
    texts_of(&plot::of_means(&report)).expect("it is whole");
}
