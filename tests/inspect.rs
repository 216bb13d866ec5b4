//! What a person who was refused is told: `inspect` says what the file is, `policy explain` what to do next,
//! and what it says to do works.
#![cfg(feature = "any-engine")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).env_clear();
    // A cache of this run's own: what was refused before is not what is asked.
    let cache = format!("{}/inspect-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    command.env("COFFERDAM_CACHE_DIR", cache);
    command
}

fn cofferdam(args: &[&str], file: &Path) -> Output {
    command().args(args).arg(file).output().expect("the command starts")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Json {
    serde_json::from_str(&out(output)).unwrap_or_else(|e| panic!("{e} in {}{}", out(output), err(output)))
}

/// `text` as the bytes of a file: text stays text, everything else is made by `bytes`.
enum File {
    Wat(&'static str),
    Binary(fn() -> Vec<u8>),
}

struct Case {
    name: &'static str,
    file: File,
    /// Options of the first run, which is refused.
    options: &'static [&'static str],
    /// `reason` of that run.
    reason: &'static str,
    /// What `explain` has to say.
    says: &'static str,
    /// Whether what it says to grant makes the module run.
    verdict: &'static str,
}

const MAIN: &str = r#"(func (export "_start"))"#;

fn binary(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is right")
}

fn cases() -> Vec<Case> {
    use File::{Binary, Wat};
    let case = |name, file, options, reason, says, verdict| Case { name, file, options, reason, says, verdict };
    vec![
        case(
            "simd",
            Wat(r#"(module (func $vectors (export "_start") (drop (v128.const i32x4 1 2 3 4))))"#),
            &[],
            "proposal",
            "in function 0 `vectors`",
            "needs",
        ),
        case(
            "simd and sign extension under strict",
            Wat(r#"(module (memory 1) (func (export "_start") (drop (v128.const i64x2 1 2))
                (memory.fill (i32.const 0) (i32.const 0) (i32.const 9))))"#),
            &["--policy", "strict"],
            "proposal",
            "`bulk-memory`",
            "needs",
        ),
        case("component", Binary(|| b"\0asm\x0d\0\x01\0".to_vec()), &[], "component", "wasm32-wasip1", "never"),
        case(
            "cut off",
            Binary(|| {
                let mut bytes = binary(r#"(module (func (export "_start") (drop (i32.const 1))))"#);
                bytes.truncate(bytes.len() - 4);
                bytes
            }),
            &[],
            "invalid",
            "fetch or build it again",
            "never",
        ),
        case(
            "unknown function",
            Wat(r#"(module (import "env" "frobnicate" (func)) (func (export "_start")))"#),
            &[],
            "import",
            "`env.frobnicate` is unknown",
            "needs",
        ),
        case(
            "unknown memory and function",
            Wat(r#"(module (import "env" "memory" (memory 1)) (import "env" "f" (func)) (func (export "_start")))"#),
            &[],
            "import",
            "and 1 more is unknown",
            "needs",
        ),
        case(
            "known and not granted",
            Wat(
                r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32))) (func (export "_start")))"#,
            ),
            &["--policy-file", "tests/guests/policies/no_wasi.toml"],
            "import",
            "which the policy does not grant",
            "needs",
        ),
        case(
            "wrong signature",
            Wat(r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func)) (func (export "_start")))"#),
            &[],
            "import",
            "no option changes it",
            "never",
        ),
        case(
            "memory above the cap",
            Wat(r#"(module (memory 2000) (func (export "_start")))"#),
            &[],
            "memory",
            "it starts with 125MiB of memory",
            "needs",
        ),
        case(
            "tables above the cap",
            Wat(r#"(module (table 200000 funcref) (func (export "_start")))"#),
            &[],
            "table_elements",
            "it starts with 200000 table elements",
            "needs",
        ),
        case(
            "above module limits",
            Wat(r#"(module (type (func)) (type (func (param i32))) (func) (func) (func (export "_start")))"#),
            &["--module-limit", "functions=2", "--module-limit", "types=1", "--module-limit", "compile_work=10"],
            "module_limit",
            "module limit `functions` is 2",
            "needs",
        ),
        case(
            "too many bytes",
            Binary(|| binary(&format!("(module {MAIN})"))),
            &["--module-limit", "module_bytes=10"],
            "module_limit",
            "module limit `module_bytes` is 10",
            "needs",
        ),
        case(
            "shared memory",
            Wat(r#"(module (memory 1 2 shared) (func (export "_start")))"#),
            &[],
            "unsupported",
            "cannot be metered or stopped",
            "never",
        ),
        case(
            "memory64",
            Wat(r#"(module (memory i64 1) (func (export "_start") (i32.store8 (i64.const 0) (i32.const 1))))"#),
            &[],
            "proposal",
            "`memory64`",
            "engine",
        ),
        case(
            "tail call",
            Wat(r#"(module (func $f) (func (export "_start") (return_call $f)))"#),
            &[],
            "proposal",
            "`tail-calls`",
            "engine",
        ),
        case(
            "withdrawn exceptions",
            Wat(r#"(module (func (export "_start") try catch_all end))"#),
            &["--policy", "relaxed"],
            "unsupported",
            "the withdrawn form of exceptions",
            "never",
        ),
        case(
            "gc",
            Wat(r#"(module (type (struct (field i32))) (func (export "_start")))"#),
            &[],
            "unsupported",
            "heap cannot be capped",
            "never",
        ),
        case(
            "text",
            Wat("(module\n  (func (export \"_start\") (i32.constant 1)))"),
            &[],
            "text",
            "line 2, column",
            "never",
        ),
        case(
            "reserved name",
            Wat(r#"(module (import "cofferdam:meter" "tick" (func (param i64))) (func (export "_start")))"#),
            &[],
            "reserved_name",
            "Rename it",
            "never",
        ),
        case(
            "declared and not granted",
            Wat(r#"(module (@custom "cofferdam.policy" "[required]\nfeatures = ['simd']\nlimits.memory = '100MiB'")
                (memory 1) (func (export "_start") (drop (v128.const i32x4 1 2 3 4))))"#),
            &[],
            "declaration",
            "it declares that it requires memory of 100MiB",
            "needs",
        ),
        case(
            "used and not declared",
            Wat(r#"(module (@custom "cofferdam.policy" "{\"required\": {\"features\": []}}")
                (memory 1) (func (export "_start") (memory.fill (i32.const 0) (i32.const 0) (i32.const 9))))"#),
            &[],
            "proposal",
            "its own declaration leaves out: proposal `bulk-memory`",
            "needs",
        ),
        case(
            "declaration that cannot be read",
            Wat(r#"(module (@custom "cofferdam.policy" "[requird]") (func (export "_start")))"#),
            &[],
            "declaration",
            "unknown key `requird`; did you mean `required`?",
            "needs",
        ),
        case(
            "a function whose name is a command",
            Wat(r#"(module (func (export "-a;exit 9 'b'")))"#),
            &[],
            "missing_export",
            "'--invoke=-a;exit 9",
            "needs",
        ),
        case(
            "a name far above the limit",
            Binary(|| binary(&format!(r#"(module {MAIN} (func (export "{}")))"#, "x".repeat(17_000)))),
            &[],
            "module_limit",
            "module limit `name_bytes` is 4096",
            "needs",
        ),
        case("native", Binary(|| b"\x7fELF\x02\x01\x01".to_vec()), &[], "not_wasm", "an ELF executable", "never"),
        case("gzip", Binary(|| b"\x1f\x8b\x08\0\0".to_vec()), &[], "not_wasm", "unpack it first", "never"),
        case("html", Wat("<!doctype html><title>404</title>"), &[], "not_wasm", "HTML", "never"),
        case("empty", Binary(Vec::new), &[], "empty", "nothing in it", "never"),
    ]
}

fn written(case: &Case, folder: &Path) -> PathBuf {
    let path = folder.join("guest.wasm");
    let bytes = match case.file {
        File::Wat(text) => text.as_bytes().to_vec(),
        File::Binary(make) => make(),
    };
    std::fs::write(&path, bytes).expect("it can be written");
    path
}

#[test]
fn every_refusal_leads_to_a_next_step_that_works() {
    for case in cases() {
        let name = case.name;
        let folder = tempfile::tempdir().expect("a folder");
        let file = written(&case, folder.path());

        // The run is refused.
        let run = |more: &[String]| {
            let options: Vec<&str> = ["run", "--json"].into_iter().chain(case.options.iter().copied()).collect();
            command().args(options).args(more).arg(&file).output().expect("it starts")
        };
        let refused = run(&[]);
        let text = err(&refused);
        let report: Json = serde_json::from_str(text.lines().last().unwrap_or_default()).expect("a report");
        assert_eq!(report["reason"], case.reason, "{name}: {text}");

        // `inspect` says what it is, whatever it is.
        let options: Vec<&str> = ["inspect", "--json"].into_iter().chain(case.options.iter().copied()).collect();
        let inspected = cofferdam(&options, &file);
        assert_eq!(inspected.status.code(), Some(0), "{name}: {}", err(&inspected));
        let facts = json(&inspected);
        assert_ne!(facts["what"], "", "{name}");
        assert_eq!(facts["bytes"].as_u64(), file.metadata().ok().map(|m| m.len()), "{name}");
        let options: Vec<&str> = ["inspect"].into_iter().chain(case.options.iter().copied()).collect();
        let shown = out(&cofferdam(&options, &file));
        assert!(shown.contains("cofferdam explain") && !shown.contains('\u{1b}'), "{name}: {shown}");

        // `explain` says what to do.
        let options: Vec<&str> = ["explain"].into_iter().chain(case.options.iter().copied()).collect();
        let words = out(&cofferdam(&options, &file));
        assert!(words.contains(case.says), "{name}: `{}` is not in\n{words}", case.says);
        let options: Vec<&str> = options.into_iter().chain(["--json"]).collect();
        let explained = cofferdam(&options, &file);
        assert_eq!(explained.status.code(), Some(120), "{name}: {}", err(&explained));
        let explained = json(&explained);
        let granted: Vec<String> = explained["options"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|o| o.as_str().map(str::to_owned))
            .collect();
        match (case.verdict, explained["verdict"].as_str()) {
            ("engine", Some("needs" | "never")) => {}
            (wanted, verdict) => assert_eq!(verdict, Some(wanted), "{name}: {explained:#}"),
        }

        if explained["verdict"] == "needs" {
            // It does what it says.
            assert!(!granted.is_empty(), "{name}: {explained:#}");
            let again = run(&granted);
            assert_eq!(again.status.code(), Some(0), "{name} with {granted:?}: {}", err(&again));
            // So do the lines for a policy file; a module's own declaration is no business of one.
            if granted.iter().any(|option| option == "--ignore-declared" || option.starts_with("--invoke")) {
                continue;
            }
            let lines: Vec<_> = explained["missing"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|m| m["step"]["policy_line"].as_str())
                .collect();
            policy_lines_work(&case, &lines, folder.path(), &file);
        } else {
            // Every proposal on, everything granted: it is refused all the same.
            assert!(granted.is_empty(), "{name}: {explained:#}");
            let mut all: Vec<String> =
                ["--unknown-imports", "default", "--memory", "4GiB"].iter().map(|o| (*o).to_owned()).collect();
            for proposal in cofferdam::Proposal::ALL {
                all.extend(["--feature".to_owned(), proposal.name().to_owned()]);
            }
            let again = run(&all);
            assert_eq!(again.status.code(), Some(120), "{name}: {}", err(&again));
        }
    }
}

/// Runs `file` with `lines` in a policy file and none of the options that lines stand for.
fn policy_lines_work(case: &Case, lines: &[&str], folder: &Path, file: &Path) {
    let policy = folder.join("granted.toml");
    // Lists of several lines are one list.
    let allowed: Vec<_> =
        lines.iter().filter_map(|l| l.strip_prefix("features.allow = [")?.strip_suffix(']')).collect();
    let others: Vec<_> = lines.iter().filter(|l| !l.starts_with("features.allow")).copied().collect();
    let mut text = others.join("\n");
    if !allowed.is_empty() {
        text += &format!("\nfeatures.allow = [{}]", allowed.join(", "));
    }
    if case.options.contains(&"strict") {
        text += "\nlevel = 'strict'";
    }
    std::fs::write(&policy, &text).expect("it can be written");
    let output = command().args(["run", "--policy-file"]).arg(&policy).arg(file).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{} with\n{text}\n{}", case.name, err(&output));
}

#[test]
fn a_module_that_runs_is_said_to_run_and_what_it_may_reach_is_listed() {
    let guest = Path::new("examples/guests/wordcount.wasm");
    let output = cofferdam(&["policy", "explain", "--json", "--dir", "src:/src:ro"], guest);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let explained = json(&output);
    assert_eq!((explained["verdict"].as_str(), explained["missing"].as_array().map(Vec::len)), (Some("runs"), Some(0)));
    let files =
        explained["capabilities"].as_array().into_iter().flatten().find(|c| c["what"] == "open files and directories");
    assert_eq!(files.and_then(|c| c["given"].as_str()), Some("1 directory"), "{explained:#}");
    let library = cofferdam(&["policy", "explain"], Path::new("examples/guests/mathlib.wasm"));
    assert!(out(&library).contains("--invoke"), "{}", out(&library));
}

#[test]
fn an_agent_is_said_to_be_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("agent.wat");
    let agent = r#"(module (import "cofferdam_v1" "log" (func (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (func (export "handle_message")))"#;
    std::fs::write(&file, agent).expect("it can be written");
    let text = out(&cofferdam(&["explain"], &file));
    assert!(text.contains("`cofferdam up` runs it") && text.contains("--grant cofferdam_v1.log"), "{text}");
}

#[test]
fn inspect_lists_what_is_in_a_module() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("guest.wat");
    let text = r#"(module
        (import "env" "log" (func $log (param i32 i64) (result f64)))
        (memory (export "memory") 2 10) (table 3 funcref)
        (func $setup) (start $setup)
        (func $wide (export "run") (param i32) (drop (v128.const i32x4 0 0 0 0)))
        (data (i32.const 0) "hello") (@custom "note\1b[31m" "abc"))"#;
    std::fs::write(&file, text).expect("it can be written");
    let facts = json(&cofferdam(&["inspect", "--json"], &file));
    let module = &facts["module"];
    assert_eq!((facts["kind"].as_str(), module["role"].as_str()), (Some("module"), Some("library")));
    assert_eq!(module["imports"][0]["ty"], "(i32, i64) -> (f64)");
    assert_eq!(module["start"], "1 `setup`");
    assert_eq!(module["memories"][0]["minimum_bytes"], 131_072);
    assert_eq!(module["tables"][0]["minimum"], 3);
    let simd = module["proposals"].as_array().into_iter().flatten().find(|p| p["proposal"] == "simd");
    assert_eq!(simd.map(|p| (&p["function"], &p["allowed"])), Some((&Json::from("2 `wide`"), &Json::from(false))));
    assert!(module["compile_work"].as_u64().is_some_and(|work| work > 0));
    let sections: Vec<_> =
        module["sections"].as_array().into_iter().flatten().filter_map(|s| s["kind"].as_str()).collect();
    assert!(["code", "data", "start", "custom"].iter().all(|kind| sections.contains(kind)), "{sections:?}");
    let says = |level: &str| {
        facts["levels"].as_array().into_iter().flatten().find(|l| l["level"] == level).map(|l| l["accepts"].clone())
    };
    assert_eq!((says("standard"), says("relaxed")), (Some(false.into()), Some(true.into())));
    assert_eq!(facts["engines"][0]["accepts"], true);
    assert_eq!(facts["engines"][0]["fuel_modes"], serde_json::json!(["portable", "native"]));
    let shown = cofferdam(&["inspect"], &file);
    assert!(!out(&shown).contains('\u{1b}') && out(&shown).contains("note\\u{1b}[31m"), "{}", out(&shown));
}

#[test]
fn a_damaged_module_shows_what_could_be_read_and_where_it_breaks() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("guest.wasm");
    let whole = binary(r#"(module (import "env" "log" (func)) (func (export "run") (call 0)))"#);
    for end in 0..whole.len() {
        std::fs::write(&file, &whole[..end]).expect("it can be written");
        if end % 5 != 0 && end + 4 < whole.len() {
            continue;
        }
        let output = cofferdam(&["inspect", "--json"], &file);
        assert_eq!(output.status.code(), Some(0), "{end}: {}", err(&output));
        let explained = cofferdam(&["policy", "explain"], &file);
        assert!(matches!(explained.status.code(), Some(0 | 120)), "{end}: {}", err(&explained));
    }
    std::fs::write(&file, &whole[..whole.len() - 2]).expect("it can be written");
    let facts = json(&cofferdam(&["inspect", "--json"], &file));
    assert_eq!(facts["module"]["imports"][0]["name"], "log");
    assert!(facts["problem"].as_str().is_some_and(|p| p.contains("offset 0x")), "{facts:#}");
    assert_eq!(facts["levels"][0]["accepts"], false);
}

#[test]
fn the_command_that_grants_everything_keeps_what_was_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("guest.wat");
    std::fs::write(&file, r#"(module (memory 200) (func (export "_start") (drop (v128.const i64x2 1 2))))"#)
        .expect("it can be written");
    let options = ["explain", "--memory", "1MiB", "--fuel", "5M", "--no-feature", "simd", "--dir", "src:/src:ro"];
    let words = out(&cofferdam(&options, &file));
    let line = words.lines().find(|line| line.contains("cofferdam run")).unwrap_or_default();
    for kept in ["--fuel 5M", "--dir src:/src:ro", "--feature simd", "--memory 12800KiB"] {
        assert!(line.contains(kept), "{kept}: {words}");
    }
    assert!(!line.contains("1MiB") && !line.contains("--no-feature"), "{words}");
    // What it prints is what a shell runs.
    let command = line.trim().replacen("cofferdam", env!("CARGO_BIN_EXE_cofferdam"), 1);
    let ran =
        Command::new("sh").args(["-c", &command]).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("a shell");
    assert_eq!(ran.status.code(), Some(0), "{command}: {}", err(&ran));
}

#[test]
fn an_answer_waits_for_a_slow_reader() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("guest.wat");
    let functions: String = (0..3_000).map(|n| format!("(func (export \"function number {n}\"))")).collect();
    std::fs::write(&file, format!("(module {functions})")).expect("it can be written");
    let mut child =
        command().args(["inspect", "--json"]).arg(&file).stdout(Stdio::piped()).spawn().expect("the command starts");
    // Longer than it has patience for a guest's pipe.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let mut text = String::new();
    let mut stdout = child.stdout.take().expect("it is piped");
    std::io::Read::read_to_string(&mut stdout, &mut text).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    let facts: Json = serde_json::from_str(&text).expect("all of it");
    assert_eq!(facts["module"]["exports"].as_array().map(Vec::len), Some(3_000));
}
