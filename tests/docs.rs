//! Tables in `docs/` that are made from the code. `COFFERDAM_BLESS=1 cargo test --test docs` rewrites them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use cofferdam::Proposal;
use cofferdam::host::wasi::known_imports;
use cofferdam::policy::Level;

/// Compares what stands between the markers of `name` in `docs/{file}` with `table`, or puts it there.
fn generated(file: &str, name: &str, table: &str) {
    generated_in(&format!("docs/{file}"), name, table);
}

/// The same for a file anywhere in the repository.
fn generated_in(file: &str, name: &str, table: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
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
fn the_readme_shows_engines_as_they_are_and_what_they_pass() {
    use cofferdam::engines;
    const HEAD: &str = "| engine | version | runs code by | feature | licence | conformance rows passed |\n|---|---|---|---|---|---|\n";
    let row = |engine| {
        let report = cofferdam_conformance::run(engine);
        let (descriptor, counts) = (engine.descriptor(), report.counts());
        assert!(report.passed(), "{}", cofferdam_conformance::report::terminal(&[report]));
        let name = descriptor.id;
        let feature = engines::feature_of(name).expect("a feature builds it in");
        let default = if feature == DEFAULT_ENGINE { " (default)" } else { "" };
        let (version, compiler, licence) = (descriptor.version, descriptor.compiler, descriptor.licence);
        let (passed, lacking, skipped) = (counts.passed, counts.lacking, counts.skipped);
        format!(
            "| `{name}` | {version} | {compiler} | `{feature}`{default} | {licence} | {passed}, {lacking} n/a, {skipped} skipped |\n"
        )
    };
    let rows: Vec<String> = engines::all().iter().map(row).collect();
    if rows.len() == engines::features().len() {
        return generated_in("README.md", "engines", &(HEAD.to_owned() + &rows.concat()));
    }
    // A build with some of the engines can vouch for those.
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("it is there");
    for row in rows {
        assert!(
            readme.contains(&row),
            "the README is out of date; COFFERDAM_BLESS=1 with all engines rewrites it:\n{row}"
        );
    }
}

/// The feature of `default` in `Cargo.toml`.
const DEFAULT_ENGINE: &str = "wasmer-cranelift";

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

#[test]
fn the_schema_of_agents_files_is_the_one_of_the_types() {
    whole("agents.schema.json", &cofferdam::agent::file::schema());
}

/// Options that stand for one key of a policy file.
const OPTIONS: &[(&str, &str)] = &[
    ("level", "--policy"),
    ("features.allow", "--feature"),
    ("features.deny", "--no-feature"),
    ("limits.memory", "--memory"),
    ("limits.fuel", "--fuel"),
    ("limits.timeout", "--timeout"),
    ("limits.stack", "--stack"),
    ("limits.output", "--output"),
    ("limits.message", "--message"),
    ("limits.table_elements", "--table-elements"),
    ("limits.host_calls", "--host-calls"),
    ("limits.open_files", "--open-files"),
    ("limits.disk", "--disk"),
    ("limits.scratch", "--scratch"),
    ("grants.wasi", "--grant wasi, --no-wasi"),
    ("grants.wasix", "--wasi"),
    ("grants.wasix_permissions", "--wasix"),
    ("grants.modules", "--grant MODULE"),
    ("grants.capabilities", "--grant cofferdam_v1.NAME"),
    ("grants.imports", "--grant MODULE#NAME"),
    ("unknown_imports", "--unknown-imports"),
    ("determinism", "--deterministic"),
    ("fuel_mode", "--fuel-mode"),
    ("engine", "--engine"),
    ("wasi.dirs", "--dir"),
    ("wasi.env", "--env NAME=VALUE"),
    ("wasi.pass_env", "--env NAME"),
    ("wasi.args", "arguments after the module"),
    ("wasi.stdin", "--stdin"),
    ("module_limits", "--module-limit NAME=COUNT"),
];

#[test]
fn the_policies_page_lists_every_key() {
    use cofferdam::policy::file::PolicyFile;
    use cofferdam::policy::{Grants, Limits, SecurityPolicy};
    let schema: serde_json::Value = serde_json::from_str(&cofferdam::policy::file::schema()).expect("it is JSON");
    let policy = SecurityPolicy::standard().limits(Limits::tool()).grants(Grants::wasi());
    let default = serde_json::to_value(PolicyFile::describe(&policy)).expect("it is JSON");
    let mut table = String::from("| key | what it says | default of `cofferdam run` | option |\n|---|---|---|---|\n");
    keys(&schema, &schema, &default, "", &mut table);
    for (key, _) in OPTIONS {
        assert!(table.contains(&format!("| `{key}` |")), "there is no key `{key}`");
    }
    generated("policies.md", "keys", &table);
}

/// Adds a row for every key of `schema`, whose references are to definitions in `root`.
fn keys(
    root: &serde_json::Value,
    schema: &serde_json::Value,
    default: &serde_json::Value,
    path: &str,
    table: &mut String,
) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        // An optional part is its type or null.
        let typed = property["anyOf"].as_array().and_then(|any| any.first()).unwrap_or(property);
        let typed = typed["$ref"].as_str().and_then(|r| root.pointer(r.trim_start_matches('#'))).unwrap_or(typed);
        if typed["properties"].is_object() && key != "module_limits" {
            keys(root, typed, &default[name], &key, table);
            continue;
        }
        let what = property["description"].as_str().unwrap_or_default().replace('\n', " ");
        let value = match &default[name] {
            serde_json::Value::Null => String::new(),
            serde_json::Value::Object(_) if key == "module_limits" => "see `cofferdam policy show`".to_owned(),
            serde_json::Value::String(text) => format!("`{text}`"),
            serde_json::Value::Array(list) if list.is_empty() => "none".to_owned(),
            serde_json::Value::Object(map) if map.is_empty() => "none".to_owned(),
            other => format!("`{other}`"),
        };
        let option = OPTIONS.iter().find(|(known, _)| *known == key).map_or("", |(_, option)| option);
        let option = if option.starts_with("--") { format!("`{option}`") } else { option.to_owned() };
        writeln!(table, "| `{key}` | {what} | {value} | {option} |").expect("a string takes it");
    }
}

#[test]
fn the_examples_of_the_policies_page_are_good() {
    use cofferdam::policy::Declaration;
    use cofferdam::policy::file::{Format, PolicyFile};
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/policies.md");
    let text = std::fs::read_to_string(path).expect("the page is there");
    let blocks: Vec<_> = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [policy, declaration, _configuration] = blocks.as_slice() else { panic!("{} blocks", blocks.len()) };
    let policy = PolicyFile::from_text("policies.md", policy, Some(Format::Toml)).unwrap_or_else(|e| panic!("{e}"));
    assert!(policy.extends.is_some() && policy.wasi.is_some());
    let declaration = Declaration::from_text("policies.md", declaration).unwrap_or_else(|e| panic!("{e}"));
    assert!(declaration.required.is_some() && declaration.optional.is_some());
}

#[test]
fn the_example_of_the_agents_page_is_good() {
    use cofferdam::agent::file::AgentsFile;
    use cofferdam::policy::file::Format;
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/agents.md")).expect("the page is there");
    let block = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it has one");
    let file = AgentsFile::from_text("agents.md", block, Some(Format::Toml), &root).unwrap_or_else(|e| panic!("{e}"));
    assert!(file.agents.values().all(|agent| root.join(&agent.module).exists()), "{file:?}");
    // Every key of an agent has its row.
    let schema = cofferdam::agent::file::schema();
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("it is JSON");
    let part = |name: &str| schema["$defs"][name]["properties"].as_object().expect("it has keys").clone();
    let keys = part("AgentPart").into_iter().chain(part("ToolPart")).map(|(key, _)| key);
    for key in keys.chain(part("HostPart").into_iter().map(|(key, _)| format!("host.{key}"))) {
        assert!(text.contains(&format!("`{key}")), "the page does not have `{key}`");
    }
}

#[test]
fn the_exit_codes_page_says_what_the_help_says() {
    let help = Command::new(env!("CARGO_BIN_EXE_cofferdam")).args(["run", "--help"]).output().expect("it starts");
    let help = String::from_utf8(help.stdout).expect("the help is text");
    let rows = help.split_once("Exit codes:\n").expect("the help lists them").1;
    let mut table = String::from("| code | meaning |\n|---|---|\n");
    for row in rows.lines().take_while(|row| row.starts_with("  ")) {
        let (code, meaning) = row.trim().split_once("  ").expect("code, blanks, meaning");
        writeln!(table, "| {code} | {} |", meaning.trim()).expect("a string takes it");
    }
    generated("exit-codes.md", "exit codes", &table);
}

/// Every link in the project's pages that is no address leads to a file, and every fragment to a heading.
#[test]
fn links_lead_somewhere() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<_> = ["", "docs", "docs/upstream", "examples/guests", "tests/guests"]
        .iter()
        .flat_map(|dir| std::fs::read_dir(root.join(dir)).expect("the directory is there"))
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    pages.sort();
    let mut links = 0;
    for page in &pages {
        let text = std::fs::read_to_string(page).expect("the page is text");
        for target in targets(&text) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { page.parent().expect("a folder").join(file) };
            assert!(path.exists(), "{}: `{target}` leads nowhere", page.display());
            if !heading.is_empty() {
                let there = std::fs::read_to_string(&path).expect("the page is text");
                assert!(anchors(&there).any(|a| a == heading), "{}: there is no `{target}`", page.display());
            }
            links += 1;
        }
    }
    assert!(links >= 10, "only {links} links were found in {} pages", pages.len());
}

/// What the links of a page point at, but for addresses on the web.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let all = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    all.filter(|target| !target.contains("://") && !target.contains(' '))
}

/// What headings are called in links: small letters and digits, blanks as hyphens, the rest left out.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    })
}
