//! `docs/abi.md` and the three libraries for guests say what the host has, and nothing else.

use std::fmt::Write as _;
use std::path::PathBuf;

use cofferdam::host::agent::{AbiError, Capability, MAX_KEY, MAX_LOG_LINE, MAX_TOOL_DEPTH, MODULE, imports};

fn file(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Compares what stands between the markers of `name` with `table`, or puts it there.
fn generated(name: &str, table: &str) {
    // One at a time: both tables may be rewritten.
    static PAGE: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
    let _alone = PAGE.lock();
    let text = file("docs/abi.md");
    let (begin, end) = (format!("<!-- generated: {name} -->\n"), "<!-- end -->");
    let start = text.find(&begin).expect("the page has the marker") + begin.len();
    let stop = start + text[start..].find(end).expect("the page has the end marker");
    if std::env::var_os("COFFERDAM_BLESS").is_some() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/abi.md");
        std::fs::write(path, format!("{}{table}{}", &text[..start], &text[stop..])).expect("it can be written");
        return;
    }
    assert!(&text[start..stop] == table, "abi.md: `{name}` is out of date; COFFERDAM_BLESS=1 rewrites it");
}

#[test]
fn the_page_lists_every_function_with_its_signature() {
    let mut table = String::from("| function | signature | capability |\n|---|---|---|\n");
    for capability in Capability::ALL {
        for name in capability.functions() {
            writeln!(table, "| `{name}` | `{}` | `{capability}` |", super::ty(name)).expect("a string takes it");
        }
    }
    assert_eq!(table.lines().count(), imports().iter().count() + 2);
    generated("functions", &table);
}

#[test]
fn the_page_lists_every_error() {
    let mut table = String::from("| code | name |\n|---|---|\n");
    for error in AbiError::ALL {
        writeln!(table, "| {} | `{}` |", error.code(), error.name()).expect("a string takes it");
    }
    generated("errors", &table);
}

#[test]
fn the_page_names_the_limits() {
    let page = file("docs/abi.md");
    for (what, number) in [("key", MAX_KEY), ("log line", MAX_LOG_LINE), ("calls of tools", MAX_TOOL_DEPTH as usize)] {
        let said = page.lines().any(|line| line.contains(what) && line.contains(&number.to_string()));
        assert!(said, "{what}: {number}");
    }
}

/// Each library declares each function of the host under its own name, and has each error.
#[test]
fn the_libraries_for_guests_are_complete() {
    let header = file("examples/guests/sdk/c/cofferdam.h");
    let rust = file("examples/guests/sdk/rust/cofferdam-guest/src/lib.rs");
    let script = file("examples/guests/sdk/assemblyscript/cofferdam.ts");
    assert_eq!(header.matches("CF_IMPORT(\"").count(), imports().iter().count());
    assert_eq!(script.matches(&format!("@external(\"{MODULE}\"")).count(), imports().iter().count());
    for (_, name, _) in imports().iter() {
        assert!(header.contains(&format!("CF_IMPORT(\"{name}\")")), "{name}");
        assert!(rust.contains(&format!("        pub fn {name}(")), "{name}");
        assert!(script.contains(&format!("@external(\"{MODULE}\", \"{name}\")")), "{name}");
    }
    for error in AbiError::ALL {
        let code = error.code();
        assert!(header.contains(&format!("CF_{} = {code}", error.name())), "{error}");
        assert!(script.contains(&format!("  {} = {code},", error.name())), "{error}");
        assert!(rust.contains(&format!("            {code} => Self::{error:?},")), "{error}");
    }
}
