//! The command as a person or a script meets it: options in, standard output, exit code and JSON out.
#![cfg(feature = "any-engine")]

mod output;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn example(name: &str) -> PathBuf {
    root().join("examples/guests").join(name)
}

fn hostile(name: &str) -> PathBuf {
    root().join("tests/guests/hostile").join(name)
}

/// A cache of the tests' own, never the user's.
const CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/cache");

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
    command.current_dir(root()).stdin(Stdio::null()).env("COFFERDAM_CACHE_DIR", CACHE);
    command
}

fn run(options: &[&str], module: &Path, args: &[&str]) -> Output {
    command().arg("run").args(options).arg(module).args(args).output().expect("the command starts")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Json {
    let text = err(output);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|e| panic!("{e} in {text}"))
}

fn wat(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::with_suffix(".wat").expect("a temporary file");
    file.write_all(text.as_bytes()).expect("it can be written");
    file
}

#[test]
fn a_command_reads_stdin_and_files_and_gives_its_exit_code() {
    let mut child = command()
        .args(["run"])
        .arg(example("wordcount.wasm"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    child.stdin.take().expect("it is piped").write_all(b"one two\nthree\n").expect("it is read");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(out(&output).split_whitespace().take(3).collect::<Vec<_>>(), ["2", "3", "14"]);
    assert_eq!(output.status.code(), Some(0));

    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("a.txt"), "a b c\n").expect("it can be written");
    let grant = format!("{}:/data:ro", dir.path().display());
    let output = run(&["--dir", &grant], &example("wordcount.wasm"), &["/data/a.txt"]);
    assert_eq!(out(&output).split_whitespace().take(4).collect::<Vec<_>>(), ["1", "3", "6", "/data/a.txt"]);

    let output = run(&["--dir", &grant], &example("wordcount.wasm"), &["/data/missing.txt"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    let without = run(&["--json"], &example("wordcount.wasm"), &["/data/a.txt"]);
    assert_eq!((without.status.code(), json(&without)["outcome"].as_str()), (Some(1), Some("completed")));
}

#[test]
fn an_export_takes_typed_arguments_before_or_after_the_module() {
    for options_first in [true, false] {
        let lib = example("mathlib.wasm");
        let output = if options_first {
            run(&["--invoke", "add"], &lib, &["2", "3"])
        } else {
            command().arg("run").arg(&lib).args(["--invoke", "add", "2", "3"]).output().expect("it starts")
        };
        assert_eq!((out(&output).as_str(), output.status.code()), ("5\n", Some(0)), "{}", err(&output));
    }
    let output = run(&["--invoke", "add", "--json"], &example("mathlib.wasm"), &["-7", "0x10"]);
    let report = json(&output);
    assert_eq!(report["values"], serde_json::json!([9]));
    assert_eq!(report["outcome"], "completed");
    assert_eq!(report["exit_code"], 0);
    assert!(report["reason"].is_null());
    for key in ["fuel", "price_version", "peak_memory_bytes", "wall_ns"] {
        assert!(report[key].as_u64().is_some(), "{key} in {report}");
    }
    assert_eq!(report["fuel_mode"], "portable");
    assert_eq!(report["module_hash"].as_str().map(str::len), Some(64));
}

#[test]
fn what_is_asked_for_in_vain_is_refused_with_what_there_is() {
    let missing = run(&["--invoke", "subtract", "--json"], &example("mathlib.wasm"), &[]);
    assert_eq!((missing.status.code(), json(&missing)["reason"].as_str()), (Some(120), Some("missing_export")));
    assert!(err(&missing).contains("add"), "{}", err(&missing));
    let few = run(&["--invoke", "add", "--json"], &example("mathlib.wasm"), &["1"]);
    assert_eq!((few.status.code(), json(&few)["reason"].as_str()), (Some(120), Some("bad_arguments")));
    assert!(err(&few).contains("(i32, i32) -> (i32)"), "{}", err(&few));
    let wrong = run(&["--invoke", "add"], &example("mathlib.wasm"), &["1", "two"]);
    assert!(err(&wrong).contains("`two` is no i32"), "{}", err(&wrong));
    let nothing = command().args(["run", "no-such-file.wasm"]).output().expect("it starts");
    assert_eq!(nothing.status.code(), Some(2));
    assert!(err(&nothing).contains("no-such-file.wasm"));
    let engine = run(&["--engine", "v9"], &example("mathlib.wasm"), &[]);
    assert!(err(&engine).contains("no engine is called `v9`"), "{}", err(&engine));
}

#[test]
fn each_kind_of_ending_has_its_code_its_word_and_its_flag() {
    type Row = (&'static [&'static str], &'static str, i32, &'static str, &'static str, &'static str);
    let rows: &[Row] = &[
        (&["--fuel", "1000"], "(loop br 0)", 122, "stopped", "fuel", "--fuel"),
        (&["--timeout", "20ms", "--fuel", "unlimited"], "(loop br 0)", 122, "stopped", "deadline", "--timeout"),
        (&[], "call 0", 122, "stopped", "stack", "--stack"),
        (&[], "unreachable", 121, "trapped", "unreachable", ""),
        (&[], "(drop (i32.div_s (i32.const 1) (i32.const 0)))", 121, "trapped", "integer_division_by_zero", ""),
        (&[], "(drop (i32.load (i32.const -1)))", 121, "trapped", "memory_out_of_bounds", ""),
    ];
    for mode in ["portable", "native"] {
        for (options, body, code, outcome, reason, flag) in rows {
            let module = wat(&format!("(module (memory 1) (func $f (export \"_start\") {body}))"));
            let options = [*options, &["--json", "--fuel-mode", mode]].concat();
            let output = run(&options, module.path(), &[]);
            let report = json(&output);
            let case = format!("{mode} {body}: {}", err(&output));
            assert_eq!(output.status.code(), Some(*code), "{case}");
            assert_eq!(
                (report["outcome"].as_str(), report["reason"].as_str()),
                (Some(*outcome), Some(*reason)),
                "{case}"
            );
            assert_eq!(report["fuel_mode"], mode, "{case}");
            assert!(report["message"].as_str().is_some_and(|m| m.contains(flag)), "{case}");
            assert!(out(&output).is_empty(), "{case}");
        }
    }
}

#[test]
fn refusals_say_what_and_which_flag() {
    let rows: &[(&str, &str, &[&str])] = &[
        (r#"(module (import "env" "magic" (func)))"#, "import", &["env.magic", "unknown", "--unknown-imports"]),
        (
            "(module (func (export \"_start\") (drop (v128.const i32x4 0 0 0 0))))",
            "proposal",
            &["simd", "function 0", "standard"],
        ),
        ("(module (export \"cofferdam:start\" (func 0)) (func))", "reserved_name", &["cofferdam:start"]),
        ("this is no module", "not_wasm", &[]),
        ("(module (func (export \"_start\") i32.add))", "invalid", &[]),
        ("(component)", "component", &["component"]),
    ];
    for (text, reason, words) in rows {
        let output = run(&["--json"], wat(text).path(), &[]);
        assert_eq!(output.status.code(), Some(120), "{text}: {}", err(&output));
        assert_eq!(
            (json(&output)["outcome"].as_str(), json(&output)["reason"].as_str()),
            (Some("refused"), Some(*reason)),
            "{text}: {}",
            err(&output)
        );
        for word in *words {
            assert!(err(&output).contains(word), "{word} in {}", err(&output));
        }
    }
}

#[test]
fn too_much_memory_at_start_names_cap_need_and_flag() {
    let module = wat("(module (memory 100) (func (export \"_start\")))");
    let output = run(&["--memory", "1MiB", "--json"], module.path(), &[]);
    let report = json(&output);
    assert_eq!((report["outcome"].as_str(), report["reason"].as_str()), (Some("stopped"), Some("memory")));
    let words = err(&output);
    assert!(words.contains("6553600") && words.contains("1048576") && words.contains("--memory"), "{words}");
    assert_eq!(output.status.code(), Some(122));
    assert_eq!(run(&["--memory", "7MiB"], module.path(), &[]).status.code(), Some(0));
}

#[test]
fn a_trap_shows_the_guests_own_frames() {
    let module = wat(
        "(module (func $inner unreachable) (func $outer (drop (i32.const 1)) call $inner) (func (export \"_start\") call $outer))",
    );
    for engine in cofferdam::engines::all() {
        let engine = engine.descriptor();
        for mode in ["portable", "native"] {
            let output = run(&["--json", "--engine", engine.id, "--fuel-mode", mode], module.path(), &[]);
            let frames = json(&output)["frames"].as_array().cloned().unwrap_or_default();
            let names: Vec<_> = frames.iter().filter_map(|f| f.as_str()?.split(' ').next()).collect();
            let expected: &[&str] = if engine.capabilities.trap_frames { &["inner", "outer", "_start"] } else { &[] };
            assert_eq!(names, expected, "{}, {mode}: {}", engine.id, err(&output));
        }
    }
}

#[test]
fn the_guests_exit_code_is_the_commands() {
    for (code, status) in [(0, 0), (3, 3), (255, 255), (70_000, 255), (256, 255)] {
        let module = wat(&format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
               (func (export "_start") (call $exit (i32.const {code}))))"#
        ));
        let output = run(&["--json"], module.path(), &[]);
        assert_eq!(output.status.code(), Some(status), "{code}");
        assert_eq!(json(&output)["exit_code"], code);
        assert_eq!(json(&output)["outcome"], "completed");
    }
}

#[test]
fn unknown_imports_can_be_trapped_or_defaulted() {
    let module = wat(
        r#"(module (import "env" "f" (func $f (result i32))) (import "env" "g" (global i32)) (import "env" "m" (memory 1))
           (func (export "quiet") (result i32) (i32.const 7)) (func (export "loud") (result i32) (i32.add (call $f) (global.get 0))))"#,
    );
    let functions_only = wat(r#"(module (import "env" "f" (func $f (result i32)))
           (func (export "quiet") (result i32) (i32.const 7)) (func (export "loud") (result i32) (call $f)))"#);
    assert_eq!(run(&["--invoke", "quiet"], module.path(), &[]).status.code(), Some(120));
    assert_eq!(out(&run(&["--invoke", "loud", "--unknown-imports", "default"], module.path(), &[])), "0\n");
    assert_eq!(out(&run(&["--invoke", "quiet", "--unknown-imports", "trap"], functions_only.path(), &[])), "7\n");
    let trapped = run(&["--invoke", "loud", "--unknown-imports", "trap"], functions_only.path(), &[]);
    assert_eq!(trapped.status.code(), Some(121), "{}", err(&trapped));
    assert!(err(&trapped).contains("env.f"), "{}", err(&trapped));
}

#[test]
fn auto_picks_what_runs_the_module_and_says_why() {
    // Each engine with what it alone of those before it runs; the rule is the same in every build.
    let module = wat(r#"(module (memory i64 1) (func (export "_start") (drop (i32.load (i64.const 0)))))"#);
    let args = ["--feature", "memory64", "--json", "--stats"];
    let output = run(&args, module.path(), &[]);
    let words = err(&output);
    let engines = cofferdam::engines::all();
    let runs = |e: &&std::sync::Arc<dyn cofferdam::Engine>| {
        e.descriptor().capabilities.features.has(cofferdam::Proposal::Memory64)
    };
    match engines.iter().position(|e| runs(&e)) {
        Some(at) => {
            assert_eq!(output.status.code(), Some(0), "{words}");
            let (id, report) = (engines[at].descriptor().id, json(&output));
            assert_eq!(report["engine"], id);
            let because = report["engine_because"].as_str().unwrap_or_default();
            for passed in &engines[..at] {
                let lacks = format!("{} lacks proposal `memory64`", passed.descriptor().id);
                assert!(because.starts_with("auto: ") && because.contains(&lacks), "{because}");
            }
            let engine = words.lines().find(|line| line.trim_start().starts_with("engine ")).unwrap_or_default();
            assert!(engine.contains(id) && engine.contains(&format!("({because})")), "{words}");
        }
        None => {
            assert_eq!(
                (output.status.code(), json(&output)["reason"].as_str()),
                (Some(120), Some("proposal")),
                "{words}"
            );
            assert!(words.contains("`--features wasmtime`"), "{words}");
        }
    }
    // One that is named is told who would do; nothing is changed behind the user's back.
    for engine in engines.iter().filter(|e| !runs(e)) {
        let id = engine.descriptor().id;
        let output = run(&[&args[..], &["--engine", id]].concat(), module.path(), &[]);
        let (words, report) = (err(&output), json(&output));
        assert_eq!((output.status.code(), report["reason"].as_str()), (Some(120), Some("proposal")), "{words}");
        let elsewhere =
            if engines.iter().any(|e| runs(&e)) { "`--engine wasmtime` can" } else { "`--features wasmtime`" };
        assert!(words.contains(&format!("engine `{id}` cannot run proposal `memory64`")), "{words}");
        assert!(words.contains(elsewhere) && report["engine_because"] == "named", "{words}");
    }
    // What nobody runs is said for each engine.
    let threads = wat(r#"(module (func (export "_start") atomic.fence))"#);
    let output = run(&["--feature", "threads", "--json"], threads.path(), &[]);
    assert_eq!((output.status.code(), json(&output)["reason"].as_str()), (Some(120), Some("proposal")));
    for engine in &engines {
        let lacks = format!("{} lacks proposal `threads`", engine.descriptor().id);
        assert!(err(&output).contains(&lacks), "{}", err(&output));
    }
    // A plain module takes the first, without being asked why not another.
    let plain = wat(r#"(module (func (export "_start")))"#);
    let report = json(&run(&["--json"], plain.path(), &[]));
    assert_eq!(report["engine"], engines[0].descriptor().id);
    assert_eq!(report["engine_because"], "auto: the first of this build");
    // `explain` follows the same rule.
    let explained = command().args(["explain", "--json", "--feature", "memory64"]).arg(module.path()).output();
    let explained: Json = serde_json::from_str(&out(&explained.expect("it starts"))).expect("one JSON object");
    if let Some(able) = engines.iter().find(runs) {
        assert_eq!((&explained["verdict"], &explained["engine"]), (&"runs".into(), &able.descriptor().id.into()));
    }
}

#[test]
fn deterministic_runs_are_the_same_to_the_byte() {
    let module = wat(r#"(module
          (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "roll") (result i64)
            (drop (call $random (i32.const 0) (i32.const 8)))
            (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 8)))
            (i64.xor (i64.load (i32.const 0)) (i64.load (i32.const 8)))))"#);
    let roll = |seed| {
        let output = run(&["--invoke", "roll", "--deterministic", seed, "--json"], module.path(), &[]);
        (out(&output), json(&output)["fuel"].clone())
    };
    assert_eq!(roll("42"), roll("42"));
    assert_ne!(roll("42").0, roll("43").0);
    assert_ne!(roll("42").0, "");
}

#[test]
fn the_environment_is_only_what_was_granted() {
    let module = wat(
        r#"(module (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "count") (result i32) (drop (call $sizes (i32.const 0) (i32.const 4))) (i32.load (i32.const 0))))"#,
    );
    let count = |options: &[&str]| {
        let options = [&["--invoke", "count"], options].concat();
        let output = command().env("SECRET", "s").arg("run").args(options).arg(module.path()).output();
        out(&output.expect("it starts")).trim().to_owned()
    };
    assert_eq!(count(&[]), "0");
    assert_eq!(count(&["--env", "A=1"]), "1");
    assert_eq!(count(&["--env", "A=1", "--env", "SECRET"]), "2");
}

#[test]
fn engines_are_listed_for_people_and_machines() {
    let text = out(&command().arg("engines").output().expect("it starts"));
    assert!(text.contains("fuel modes") && text.contains("memory cap"), "{text}");
    let output = command().args(["engines", "--json"]).output().expect("it starts");
    let list: Json = serde_json::from_str(&out(&output)).expect("it is JSON");
    assert!(list.as_array().is_some_and(|l| !l.is_empty()));
    assert!(list[0]["capabilities"]["memory_cap"].as_bool().is_some_and(|c| c), "{list}");
}

#[test]
fn help_teaches() {
    let help = out(&command().args(["run", "--help"]).output().expect("it starts"));
    for word in ["Examples:", "Exit codes:", "--fuel", "--dir", "10MiB"] {
        assert!(help.contains(word), "{word} in {help}");
    }
}

#[test]
fn stand_ins_keep_the_caps_and_module_limits_can_be_raised() {
    let memory = wat(r#"(module (import "env" "m" (memory 60000)) (func (export "_start")))"#);
    let output = run(&["--json", "--unknown-imports", "default"], memory.path(), &[]);
    assert_eq!((output.status.code(), json(&output)["reason"].as_str()), (Some(122), Some("memory")));
    assert!(err(&output).contains("--memory"), "{}", err(&output));
    let trapping = run(&["--unknown-imports", "trap"], memory.path(), &[]);
    assert!(err(&trapping).contains("`--unknown-imports default` links"), "{}", err(&trapping));

    let deep = wat(&format!("(module (func (export \"_start\") {} {}))", "block ".repeat(20), "end ".repeat(20)));
    let refused = run(&["--json", "--module-limit", "nesting=10"], deep.path(), &[]);
    assert_eq!(json(&refused)["reason"], "module_limit");
    assert!(err(&refused).contains("--module-limit nesting="), "{}", err(&refused));
    assert_eq!(run(&["--module-limit", "nesting=100"], deep.path(), &[]).status.code(), Some(0));
    assert!(err(&run(&["--module-limit", "nonsense=1"], deep.path(), &[])).contains("code_bytes"));
}

#[test]
fn what_a_guest_wrote_is_escaped_in_messages() {
    let twice = wat("(module (func (export \"\\1b[31mX\")) (func (export \"\\1b[31mX\")))");
    let output = run(&[], twice.path(), &[]);
    assert_eq!(output.status.code(), Some(120), "{}", err(&output));
    assert!(!output.stderr.contains(&0x1b), "{}", err(&output));
}

/// Makes the file `out` in descriptor 3, writes 64 KiB to it and exits with the error number of what failed;
/// so long as `times` says it does so again with another descriptor.
fn writer(times: u32) -> tempfile::NamedTempFile {
    wat(&format!(
        r#"(module
          (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 2)
          (data (i32.const 0) "out")
          (data (i32.const 16) "\00\00\01\00\00\00\01\00")
          (func $check (param $errno i32)
            (if (local.get $errno) (then (call $exit (local.get $errno)))))
          (func (export "_start") (local $n i32)
            (loop $again
              (call $check (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 1)
                (i64.const 0x42) (i64.const 0) (i32.const 0) (i32.const 32)))
              (call $check (call $write (i32.load (i32.const 32)) (i32.const 16) (i32.const 1) (i32.const 36)))
              (local.set $n (i32.add (local.get $n) (i32.const 1)))
              (br_if $again (i32.lt_u (local.get $n) (i32.const {times}))))))"#
    ))
}

#[test]
fn overlays_and_memory_leave_the_host_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let module = writer(1);
    let host = dir.path().display();
    for grant in [format!("--dir={host}:/data:overlay"), "--tmpfs=/data".to_owned()] {
        let output = run(&[&grant, "--json"], module.path(), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert!(json(&output)["scratch_bytes"].as_u64() > Some(65_536));
        assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 0);
    }
    let output = run(&[&format!("--dir={host}:/data"), "--json"], module.path(), &[]);
    assert_eq!((output.status.code(), json(&output)["disk_bytes"].as_u64()), (Some(0), Some(65_536 + 4_096)));
    assert_eq!(std::fs::metadata(dir.path().join("out")).expect("there").len(), 65_536);
}

#[test]
fn a_guest_that_fills_its_files_is_told_and_so_is_the_user() {
    const ENOSPC: i32 = 51;
    let dir = tempfile::tempdir().expect("a directory");
    let grant = format!("--dir={}:/data", dir.path().display());
    for (grant, flag) in [(&*grant, "--disk"), ("--tmpfs=/data", "--scratch")] {
        let output = run(&[grant, flag, "100KiB"], writer(3).path(), &[]);
        // In memory the same file is written three times over; on the disk each time counts.
        let wanted = if flag == "--disk" { ENOSPC } else { 0 };
        assert_eq!(output.status.code(), Some(wanted), "{}", err(&output));
        let output = run(&[grant, flag, "10KiB"], writer(2).path(), &[]);
        assert!(err(&output).contains(flag) && err(&output).contains("10.0 KiB"), "{}", err(&output));
    }
}

#[test]
fn running_out_of_the_processs_own_descriptors_is_an_error_number() {
    const EMFILE: i32 = 33;
    let dir = tempfile::tempdir().expect("a directory");
    let (grant, module) = (format!("{}:/data", dir.path().display()), writer(500));
    let limited = |open_files: &str, grant: &[&str]| {
        let line = "ulimit -n 100; exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command
            .env("COFFERDAM_CACHE_DIR", CACHE)
            .args(["-c", line, env!("CARGO_BIN_EXE_cofferdam"), "run", "--open-files", open_files])
            .args(grant);
        command.arg(module.path()).output().expect("the shell starts")
    };
    let output = limited("10k", &["--dir", &grant]);
    assert_eq!(output.status.code(), Some(EMFILE), "{}", err(&output));
    // Files in memory need none of them; the guest's own cap holds all the same.
    let output = limited("10k", &["--tmpfs", "/data"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let output = limited("400", &["--tmpfs", "/data"]);
    assert_eq!(output.status.code(), Some(EMFILE), "{}", err(&output));
}

#[test]
fn the_second_run_finds_the_module_in_the_cache() {
    let home = tempfile::tempdir().expect("a directory can be made");
    let cache = home.path().join("cache");
    let cofferdam = |args: &[&str]| {
        let output = command().env("COFFERDAM_CACHE_DIR", &cache).args(args).output().expect("the command starts");
        (output.status.code(), out(&output), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let module = root().join("examples/guests/mathlib.wasm");
    let add = ["run", "--invoke", "add", module.to_str().expect("UTF-8"), "2", "3"];
    for _ in 0..2 {
        assert_eq!(cofferdam(&add), (Some(0), "5\n".into(), String::new()));
    }
    let info = || -> serde_json::Value {
        serde_json::from_str(&cofferdam(&["cache", "info", "--json"]).1).expect("it is JSON")
    };
    assert_eq!((&info()["files"], &info()["statistics"]["hits"]), (&1.into(), &1.into()));
    assert!(cofferdam(&["cache", "info"]).1.contains("1 artefacts"));
    assert_eq!(cofferdam(&["run", "--no-cache", "--invoke", "add", add[3], "2", "3"]).0, Some(0));
    assert_eq!(info()["statistics"]["hits"], 1);

    // A damaged file is said, set aside and compiled anew.
    let artefact = std::fs::read_dir(&cache).expect("it is there").map(|e| e.expect("it can be listed").path());
    let artefact = artefact.into_iter().find(|p| p.extension().is_some_and(|e| e == "art")).expect("one is stored");
    std::fs::write(&artefact, "damaged").expect("it can be written");
    let (code, stdout, stderr) = cofferdam(&add);
    assert_eq!((code, &*stdout), (Some(0), "5\n"));
    assert!(stderr.contains("set aside"), "{stderr}");
    assert_eq!(cofferdam(&["cache", "verify"]).0, Some(0));
    std::fs::write(&artefact, "damaged").expect("it can be written");
    assert_eq!(cofferdam(&["cache", "verify"]).0, Some(1));
    assert_eq!(cofferdam(&["cache", "clear"]).0, Some(0));
    assert_eq!(info()["files"], 0);

    // A directory that others can use is no cache, and the run goes on.
    std::fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("it can be set");
    let (code, stdout, stderr) = cofferdam(&add);
    assert_eq!((code, &*stdout), (Some(0), "5\n"));
    assert!(stderr.contains("open to other users") && stderr.contains("--cache-dir"), "{stderr}");
    assert_eq!(cofferdam(&["cache", "info"]).0, Some(2));
}

#[test]
fn the_contract_holds_on_the_engines_of_this_build() {
    let output = command().args(["conformance", "--json"]).output().expect("the command starts");
    assert_eq!(output.status.code(), Some(0), "{}", out(&output));
    let reports: Json = serde_json::from_str(&out(&output)).expect("one JSON array");
    let names: Vec<_> = cofferdam::engines::names();
    assert_eq!(reports.as_array().map(Vec::len), Some(names.len()));
    for (report, name) in reports.as_array().into_iter().flatten().zip(names) {
        assert_eq!((report["engine"].as_str(), report["failed"].as_u64()), (Some(name), Some(0)));
        assert!(report["passed"].as_u64() > Some(100), "{name}");
        let text = out(&command().args(["conformance", "--engine", name]).output().expect("the command starts"));
        assert!(text.contains("rows on 1 engine(s)") && text.contains(" 0 failed"), "{text}");
    }
    for none in ["mock", "v9"] {
        let output = command().args(["conformance", "--engine", none]).output().expect("the command starts");
        assert_eq!(output.status.code(), Some(2), "{none}: {}", err(&output));
    }
}

#[test]
fn a_file_that_becomes_too_large_is_an_error_of_that_write() {
    let cache = tempfile::tempdir().expect("a directory can be made");
    // Half a kilobyte for a file: what is compiled does not fit. Loud, SIGXFSZ would end the process.
    let line = "ulimit -f 1; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.env("COFFERDAM_CACHE_DIR", cache.path()).args(["-c", line, env!("CARGO_BIN_EXE_cofferdam")]);
    let output = command.args(["run", "--invoke", "add"]).arg(example("mathlib.wasm")).args(["2", "3"]).output();
    let output = output.expect("the shell starts");
    assert_eq!((output.status.code(), &*out(&output)), (Some(0), "5\n"), "{}", err(&output));
}

#[cfg(not(feature = "wasix"))]
#[test]
fn a_build_without_wasix_says_what_brings_it() {
    let module = wat(r#"(module (import "wasix_32v1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#);
    let refused = run(&["--json"], module.path(), &[]);
    let message = json(&refused)["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("`wasix_32v1.fd_write`") && message.contains("--features wasix"), "{message}");
    let asked = run(&["--wasi", "wasix"], module.path(), &[]);
    assert!(asked.status.code() == Some(2) && err(&asked).contains("--features wasix"), "{}", err(&asked));
}
