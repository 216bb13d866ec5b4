//! `docs/unsafe.md` against the sources: every `unsafe` block and implementation has its row, every row a test that
//! is there, and nothing outside of the adapters is unsafe. The tests that `docs/security.md` and the table of promises
//! name are there too.
//! Reads files and runs nothing: it needs no engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is unsafe in one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    blocks: usize,
    impls: usize,
    functions: usize,
}

impl Count {
    /// What needs a row each. Functions state what they ask of callers, and their callers have the blocks.
    fn rows(self) -> usize {
        self.blocks + self.impls
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every `.rs` file under `dir`, by its path from the root.
fn sources(dir: &str, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(root().join(dir)).unwrap_or_else(|e| panic!("{dir}: {e}")) {
        let entry = entry.expect("it can be listed");
        let name = format!("{dir}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().expect("it has a type").is_dir() {
            if entry.file_name() != "target" {
                sources(&name, found);
            }
        } else if name.ends_with(".rs") {
            found.insert(name, read(&entry.path()));
        }
    }
}

/// Code without comments, line by line.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or_default())
}

/// What stands behind each word `unsafe` of `line`, without blanks before it.
fn behind_unsafe(line: &str) -> impl Iterator<Item = &str> {
    const WORD: &str = "unsafe";
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(WORD).filter_map(move |(at, _)| {
        let (before, after) = (&line[..at], &line[at + WORD.len()..]);
        let whole = !before.ends_with(part_of_name) && !after.starts_with(part_of_name);
        whole.then(|| after.trim_start())
    })
}

fn count(text: &str) -> Count {
    let mut all = Count::default();
    for rest in code(text).flat_map(behind_unsafe) {
        let function = rest.find("fn").map(|at| &rest[at + 2..]);
        if rest.starts_with('{') {
            all.blocks += 1;
        } else if rest.starts_with("impl") {
            all.impls += 1;
        } else if function.is_some_and(|named| named.starts_with(' ')) {
            all.functions += 1;
        }
        // Else the type of a function, `unsafe extern "C" fn(…)`.
    }
    all
}

#[test]
fn counting_knows_what_it_reads() {
    let text = "unsafe fn f() {}\n// unsafe { no }\ntype F = unsafe extern \"C\" fn(u32);\nunsafe impl Send for A {}\n\
                unsafe extern \"C\" fn g() { unsafe { a() }; let unsafe_name = unsafe{b()}; }\n#![forbid(unsafe_code)]";
    assert_eq!(count(text), Count { blocks: 2, impls: 1, functions: 2 });
}

/// The rows of each section `### path` of the page, as their cells.
fn sections(page: &str) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut all: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    let mut section = None;
    for line in page.lines() {
        if line.starts_with('#') {
            section = line.strip_prefix("### ").map(|name| name.trim_matches('`').to_owned());
            if let Some(name) = &section {
                assert!(all.insert(name.clone(), Vec::new()).is_none(), "{name} has two sections");
            }
        } else if let Some(name) = &section
            && line.starts_with("| ")
            && !line.starts_with("| in |")
        {
            let cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
            all.get_mut(name).expect("it was just made").push(cells);
        }
    }
    all
}

#[test]
fn every_unsafe_block_has_its_row() {
    let mut files = BTreeMap::new();
    sources("engines", &mut files);
    let sections = sections(&read(&root().join("docs/unsafe.md")));
    for (file, text) in &files {
        let count = count(text);
        let rows = sections.get(file).map_or(0, Vec::len);
        assert_eq!(rows, count.rows(), "docs/unsafe.md has {rows} rows for {file}, which has {count:?}");
    }
    for name in sections.keys() {
        assert!(files.contains_key(name), "docs/unsafe.md has a section for {name}, which is not there");
    }
    assert!(sections.len() > 10, "only {} sections were found", sections.len());
}

#[test]
fn every_row_says_where_why_and_which_test() {
    let sections = sections(&read(&root().join("docs/unsafe.md")));
    let mut tests = BTreeMap::new();
    for dir in ["engines", "src", "tests"] {
        sources(dir, &mut tests);
    }
    for (file, rows) in &sections {
        let text = read(&root().join(file));
        for row in rows {
            let [place, what, why, by] = row.as_slice() else {
                panic!("{file}: a row of other than four cells: {row:?}")
            };
            assert!(what.len() > 5 && why.len() > 15, "{file}: {row:?} says too little");
            let name = place.trim_matches('`').rsplit("::").next().unwrap_or_default();
            assert!(text.contains(name), "{file} has nothing called {name}");
            if file.contains("/benches/") {
                continue;
            }
            // `path` `test`: a file, and the name of a function in it.
            let named: Vec<&str> = by.split('`').skip(1).step_by(2).collect();
            assert!(named.len() >= 2 && named.len().is_multiple_of(2), "{file}: {by:?} is not pairs of file and test");
            for pair in named.chunks(2) {
                let there = tests.get(pair[0]).unwrap_or_else(|| panic!("{file}: there is no {}", pair[0]));
                assert!(there.contains(&format!("fn {}(", pair[1])), "{} has no {}", pair[0], pair[1]);
            }
        }
    }
}

#[test]
fn the_threat_model_names_tests_that_are_there() {
    named_tests_are_there("docs/security.md", 40);
}

#[test]
fn the_table_of_promises_names_tests_that_are_there() {
    named_tests_are_there("tests/agents/README.md", 50);
}

/// `path` `test` on a page: a file, and the name of a function in it; at least so many.
fn named_tests_are_there(page: &str, least: usize) {
    let page = read(&root().join(page));
    let mut tests = BTreeMap::new();
    for dir in ["engines", "tests"] {
        sources(dir, &mut tests);
    }
    let quoted: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let mut named = 0;
    for pair in quoted
        .windows(2)
        .filter(|pair| pair[0].ends_with(".rs") && ["tests/", "engines/"].iter().any(|dir| pair[0].starts_with(dir)))
    {
        let there = tests.get(pair[0]).unwrap_or_else(|| panic!("there is no {}", pair[0]));
        assert!(there.contains(&format!("fn {}(", pair[1])), "{} has no {}", pair[0], pair[1]);
        named += 1;
    }
    assert!(named >= least, "only {named} tests are named");
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    let mut files = BTreeMap::new();
    sources("engines", &mut files);
    for (file, text) in &files {
        let lines: Vec<&str> = text.lines().collect();
        for (at, code) in code(text).enumerate() {
            if behind_unsafe(code).all(|rest| !rest.starts_with('{') && !rest.starts_with("impl")) {
                continue;
            }
            // Right above, or above the statement that it is a part of.
            let above = &lines[at.saturating_sub(6)..=at];
            let said = above.iter().any(|line| line.contains("// SAFETY: "));
            assert!(said, "{file}:{}: no `// SAFETY:` above\n{}", at + 1, above.join("\n"));
        }
    }
}

#[test]
fn nothing_else_is_unsafe() {
    let mut files = BTreeMap::new();
    for dir in ["src", "tests", "benches", "engines/api", "engines/prepare", "engines/conformance"] {
        sources(dir, &mut files);
    }
    files.remove("tests/unsafe_code.rs");
    for (file, text) in &files {
        assert_eq!(count(text), Count::default(), "{file}");
    }
    let libraries = ["src/lib.rs", "src/main.rs", "engines/api/src/lib.rs", "engines/prepare/src/lib.rs"];
    for library in libraries.into_iter().chain(["engines/conformance/src/lib.rs"]) {
        let text = read(&root().join(library));
        assert!(text.contains("#![forbid(unsafe_code)]"), "{library} does not forbid unsafe code");
    }
}
