//! Policies and configurations through the command: files, options over them, declarations, and where every
//! value comes from.
#![cfg(feature = "any-engine")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

/// A folder with files in it, and the command run beside them.
struct Place(tempfile::TempDir);

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        files.iter().for_each(|(name, text)| place.write(name, text));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).expect("a folder");
        std::fs::write(path, text).expect("it can be written");
    }

    fn with(&self, env: &[(&str, &str)], args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
        command
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .env_clear()
            .env("XDG_CACHE_HOME", self.path("cache-home"))
            .envs(env.iter().copied());
        command.args(args).output().expect("the command starts")
    }

    fn run(&self, args: &[&str]) -> Output {
        self.with(&[], args)
    }

    /// The policy in force, as JSON.
    fn shown(&self, env: &[(&str, &str)], options: &[&str]) -> Json {
        let output = self.with(env, &[&["policy", "show", "--format", "json"], options].concat());
        serde_json::from_str(&out(&output)).unwrap_or_else(|e| panic!("{e}: {}{}", out(&output), err(&output)))
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A module that goes on for ever.
const LOOP: &str = r#"(module (func (export "_start") (loop br 0)))"#;

/// A module that prints its variables, and opens `a.txt` in its first directory.
fn wordcount() -> String {
    format!("{}/examples/guests/wordcount.wasm", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_run_follows_its_policy_file_and_options_override_it_key_by_key() {
    let place = Place::new(&[
        ("guest.wat", LOOP),
        ("p.toml", "[limits]\nfuel = '5k'\ntimeout = 'none'\n"),
        ("data/a.txt", "one two\n"),
        ("files.yaml", "wasi:\n  dirs:\n    - {host: data, guest: /data, access: ro}\n  args: [/data/a.txt]\n"),
    ]);
    let stopped = place.run(&["run", "--json", "--policy-file", "p.toml", "guest.wat"]);
    assert!(err(&stopped).contains("the budget was 5000; raise it with --fuel"), "{}", err(&stopped));
    let stopped = place.run(&["run", "--policy-file", "p.toml", "--fuel", "7k", "guest.wat"]);
    assert!(err(&stopped).contains("the budget was 7000"), "{}", err(&stopped));
    let stopped = place.with(&[("COFFERDAM_POLICY_FILE", "p.toml"), ("COFFERDAM_FUEL", "6k")], &["run", "guest.wat"]);
    assert!(err(&stopped).contains("the budget was 6000"), "{}", err(&stopped));
    let wrong = place.with(&[("COFFERDAM_FUEL", "lots")], &["run", "guest.wat"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        err(&wrong).contains("environment variable COFFERDAM_FUEL: `limits.fuel`: `lots` is no count"),
        "{}",
        err(&wrong)
    );

    let counted = place.run(&["run", "--policy-file", "files.yaml", &wordcount()]);
    assert_eq!((counted.status.code(), out(&counted).contains("/data/a.txt")), (Some(0), true), "{}", err(&counted));
    let hidden = place.run(&["run", &wordcount(), "/data/a.txt"]);
    assert_eq!(hidden.status.code(), Some(1), "{}", err(&hidden));
    // A directory is relative to the file that names it.
    let outside = Command::new(env!("CARGO_BIN_EXE_cofferdam"))
        .args(["run", "--policy-file"])
        .args([place.path("files.yaml"), PathBuf::from(wordcount())])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    assert_eq!(outside.status.code(), Some(0), "{}", err(&outside));

    let missing = place.run(&["run", "--json", "--policy-file", "gone.toml", "guest.wat"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(err(&missing).contains("cannot read policy file gone.toml"), "{}", err(&missing));
}

#[test]
fn options_that_are_repeated_add_to_the_lists_of_a_file() {
    let place = Place::new(&[(
        "p.toml",
        "features = { allow = ['simd'], deny = ['floats'] }\n[grants]\nmodules = ['clock']\n[wasi]\nenv = { A = '1', B = '2' }\n\
         dirs = [{ host = '.', guest = '/a', access = 'ro' }, { host = '.', guest = '/b', access = 'ro' }]\n",
    )]);
    let options = [
        "--policy-file",
        "p.toml",
        "--feature",
        "floats",
        "--feature",
        "gc",
        "--no-feature",
        "simd",
        "--grant",
        "env#log",
    ];
    let shown = place.shown(&[], &[&options[..], &["--dir", ".:/b", "--env", "B=3"]].concat());
    assert_eq!(shown["features"], serde_json::json!({"allow": ["gc", "floats"], "deny": ["simd"]}));
    assert_eq!(shown["grants"]["modules"], serde_json::json!(["clock"]));
    assert_eq!((&shown["grants"]["imports"]["env"][0], &shown["grants"]["wasi"]), (&"log".into(), &true.into()));
    assert_eq!(shown["wasi"]["env"], serde_json::json!({"A": "1", "B": "3"}));
    assert_eq!(shown["wasi"]["dirs"][1]["access"], "rw");
    assert_eq!(shown["wasi"]["dirs"].as_array().map(Vec::len), Some(2));
    let both = place.run(&["policy", "show", "--feature", "gc", "--no-feature", "gc"]);
    assert!(err(&both).contains("contradict each other"), "{}", err(&both));
}

#[test]
fn what_show_prints_is_a_policy_file_that_means_the_same() {
    let place =
        Place::new(&[("p.yaml", "level: relaxed\nlimits: {memory: 3 MiB, timeout: 1m 30s}\ndeterminism: {seed: 9}\n")]);
    let first = place.shown(&[], &["--policy-file", "p.yaml"]);
    for format in ["toml", "json", "yaml"] {
        let printed = place.run(&["policy", "show", "--policy-file", "p.yaml", "--format", format]);
        assert_eq!(printed.status.code(), Some(0), "{}", err(&printed));
        let name = format!("again.{format}");
        place.write(&name, &out(&printed));
        assert_eq!(place.shown(&[], &["--policy-file", &name]), first, "{format}: {}", out(&printed));
        let checked = place.run(&["policy", "check", &name]);
        assert_eq!(checked.status.code(), Some(0), "{}", err(&checked));
    }
    let table = out(&place.run(&["policy", "show", "--policy-file", "p.yaml", "--fuel", "9k"]));
    let line = |key: &str| table.lines().find(|l| l.trim_start().starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("limits.memory").contains("3MiB") && line("limits.memory").ends_with("p.yaml"), "{table}");
    assert!(line("limits.fuel").contains("9000") && line("limits.fuel").ends_with("command line"), "{table}");
    assert!(line("limits.output").ends_with("default"), "{table}");
}

#[test]
fn check_says_everything_that_is_wrong_in_every_file() {
    let place = Place::new(&[
        ("good.toml", "level = 'strict'"),
        ("bad.toml", "levle = 1\nlimits.fuel = 'x'"),
        ("cycle.toml", "extends = 'cycle.toml'"),
    ]);
    let checked = place.run(&["policy", "check", "good.toml", "bad.toml", "cycle.toml", "gone.toml"]);
    assert_eq!(checked.status.code(), Some(2));
    assert_eq!(out(&checked), "good.toml: good\n");
    for words in ["did you mean `level`?", "bad.toml: `limits.fuel`: `x` is no count", "in a circle", "gone.toml"] {
        assert!(err(&checked).contains(words), "{words}: {}", err(&checked));
    }
    let schema: Json = serde_json::from_str(&out(&place.run(&["policy", "schema"]))).expect("JSON");
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["properties"]["extends"].is_object());
}

/// A module that grows its memory as far as it gets and returns the pages.
const GROWER: &str = r#"(memory 1) (func (export "pages") (result i32)
    (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (memory.size))"#;

#[test]
fn a_declaration_only_ever_tightens() {
    let declared =
        |text: &str| format!(r#"(module (@custom "cofferdam.policy" "{}") {GROWER})"#, text.replace('"', "\\\""));
    let place = Place::new(&[
        ("less.wat", &declared("required.limits.memory = '1MiB'")),
        ("more.wat", &declared("required.limits.memory = '100MiB'")),
        ("like.wat", &declared("optional.limits.memory = '100MiB'")),
        ("broken.wat", &declared("required.limits.memory = 'lots'")),
        ("twice.wat", &format!(r#"(module (@custom "cofferdam.policy" "") (@custom "cofferdam.policy" "") {GROWER})"#)),
        ("large.wat", &declared(&"# filler\\n".repeat(10_000))),
        ("beside.wat", &format!("(module {GROWER})")),
        ("beside.wat.policy.toml", "required.limits.memory = '2MiB'"),
    ]);
    let pages = |module: &str, options: &[&str]| {
        let output = place.run(&[&["run", "--invoke", "pages"], options, &[module]].concat());
        (out(&output).trim().to_owned(), output.status.code(), err(&output))
    };
    let ran = |module: &str, options: &[&str]| {
        let (pages, code, said) = pages(module, options);
        assert_eq!(code, Some(0), "{module}: {said}");
        pages.parse::<u32>().unwrap_or_else(|e| panic!("{e}: {pages}"))
    };
    assert_eq!(ran("less.wat", &[]), 16);
    assert_eq!(ran("less.wat", &["--memory", "128MiB"]), 16);
    assert_eq!(ran("less.wat", &["--ignore-declared"]), 1024);
    assert_eq!(ran("like.wat", &[]), 1024, "what is optional is not granted");
    assert_eq!(ran("more.wat", &["--memory", "128MiB"]), 1600);
    assert_eq!(ran("beside.wat", &[]), 32);
    for (module, words) in [
        ("more.wat", "requires memory of 100MiB, which is not granted; grant it with --memory 100MiB"),
        ("broken.wat", "custom section `cofferdam.policy`: `required.limits.memory`: `lots` is no size"),
        ("twice.wat", "there are 2 of them"),
        ("large.wat", "at most 65536 are read"),
    ] {
        let (_, code, said) = pages(module, &[]);
        assert_eq!(code, Some(120), "{module}: {said}");
        assert!(said.contains(words) && said.contains("--ignore-declared"), "{module}: {said}");
        assert_eq!(ran(module, &["--ignore-declared"]), 1024);
    }
}

#[test]
fn declared_directories_variables_and_imports_are_cut_to_what_is_granted_and_granted_to_what_is_declared() {
    let declare = |text: &str| {
        let place = Place::new(&[("data/a.txt", "one two\n")]);
        std::fs::copy(wordcount(), place.path("guest.wasm")).expect("it can be copied");
        place.write("guest.wasm.policy.toml", text);
        place
    };
    let wasi = "imports = { wasi_snapshot_preview1 = ['*'] }";
    let place = declare(&format!("[required]\n{wasi}\ndirs = [{{ guest = '/data', access = 'ro' }}]"));
    let granted = place.run(&["run", "--dir", "data:/data", "guest.wasm", "/data/a.txt"]);
    assert_eq!(granted.status.code(), Some(0), "{}", err(&granted));
    let not = place.run(&["run", "--json", "guest.wasm", "/data/a.txt"]);
    assert_eq!(not.status.code(), Some(120));
    assert!(
        err(&not).contains("directory `/data` (ro), which is not granted; grant it with --dir HOST:/data:ro"),
        "{}",
        err(&not)
    );
    let explained = place.run(&["policy", "explain", "guest.wasm"]);
    assert!(out(&explained).contains("in place of the word in capitals"), "{}", out(&explained));

    let place = declare("[required]\ndirs = []");
    let hidden = place.run(&["run", "--dir", "data:/data", "guest.wasm", "/data/a.txt"]);
    assert_eq!(hidden.status.code(), Some(1), "the directory is granted and not declared: {}", err(&hidden));

    let place = declare("[required]\nimports = { wasi_snapshot_preview1 = ['fd_write'] }\nenv = ['TOKEN']");
    let no_env = place.run(&["run", "guest.wasm"]);
    assert!(
        err(&no_env).contains("variable `TOKEN`") && err(&no_env).contains("--env TOKEN=VALUE"),
        "{}",
        err(&no_env)
    );
    let few = place.run(&["run", "--env", "TOKEN=1", "guest.wasm"]);
    assert_eq!(few.status.code(), Some(120), "{}", err(&few));
    assert!(err(&few).contains("does not grant it"), "{}", err(&few));
}

#[test]
fn the_configuration_is_below_the_policy_file_and_every_value_is_traced() {
    let place = Place::new(&[
        ("guest.wat", LOOP),
        (
            "home/cofferdam/config.toml",
            "policy_file = 'mine.toml'\ncolour = 'never'\n[limits]\nfuel = '1k'\nmemory = '2MiB'\n[cache]\ndir = 'cache'\nsize = '1GiB'\n",
        ),
        ("home/cofferdam/mine.toml", "limits.fuel = '3k'\n"),
        ("other.toml", "[limits]\nfuel = '1k'\n"),
        ("bad.toml", "colur = 'never'\n[cache]\nsize = 'big'\n"),
    ]);
    let home = place.path("home").display().to_string();
    let env = [("XDG_CONFIG_HOME", home.as_str())];
    let stopped = place.with(&env, &["run", "guest.wat"]);
    assert!(err(&stopped).contains("the budget was 3000"), "{}", err(&stopped));
    let stopped = place.run(&["run", "--config", "other.toml", "guest.wat"]);
    assert!(err(&stopped).contains("the budget was 1000"), "{}", err(&stopped));

    let shown = place.with(&[env[0], ("COFFERDAM_OUTPUT", "5KiB")], &["config", "show", "--stack", "1MiB"]);
    let text = out(&shown);
    for (key, value, source) in [
        ("limits.fuel", "3000", "mine.toml"),
        ("limits.memory", "2MiB", "config.toml"),
        ("limits.output", "5KiB", "environment variable COFFERDAM_OUTPUT"),
        ("limits.stack", "1MiB", "command line"),
        ("limits.timeout", "30s", "default"),
        ("cache.dir", "cache", "config.toml"),
        ("cache.size", "1GiB", "config.toml"),
    ] {
        let line = text.lines().find(|l| l.trim_start().starts_with(key)).unwrap_or_default();
        assert!(line.contains(value) && line.ends_with(source), "{key}: {line}\n{text}{}", err(&shown));
    }
    assert_eq!(place.with(&env, &["config", "check"]).status.code(), Some(0));
    assert_eq!(place.run(&["config", "check"]).status.code(), Some(0), "none is needed");
    let bad = place.run(&["config", "check", "bad.toml"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(
        err(&bad).contains("did you mean `colour`?") && err(&bad).contains("`cache.size`: `big` is no size"),
        "{}",
        err(&bad)
    );
    let missing = place.run(&["run", "--config", "gone.toml", "guest.wat"]);
    assert_eq!(missing.status.code(), Some(2), "{}", err(&missing));
}

#[test]
fn advice_names_the_declaration_where_an_option_would_change_nothing() {
    let declared = |text: &str, body: &str| format!(r#"(module (@custom "cofferdam.policy" "{text}") {body})"#);
    let start = r#"(func (export "_start") (loop br 0))"#;
    let simd = r#"(func (export "_start") (drop (v128.const i64x2 1 2)))"#;
    let place = Place::new(&[
        ("fuel.wat", &declared("optional.limits.fuel = 1000", start)),
        ("simd.wat", &declared("required.features = []", simd)),
        ("plain.wat", &format!("(module {start})")),
        ("many.wat", &format!("(module {simd})")),
    ]);
    let stopped = place.run(&["run", "--fuel", "5k", "fuel.wat"]);
    assert!(err(&stopped).contains("--ignore-declared") && !err(&stopped).contains("raise it"), "{}", err(&stopped));
    let stopped = place.run(&["run", "--fuel", "500", "fuel.wat"]);
    assert!(err(&stopped).contains("raise it with --fuel"), "{}", err(&stopped));
    let refused = place.run(&["run", "--feature", "simd", "simd.wat"]);
    assert!(
        err(&refused).contains("--ignore-declared") && !err(&refused).contains("allow it with"),
        "{}",
        err(&refused)
    );
    let explained = place.run(&["explain", "--json", "plain.wat"]);
    assert!(!out(&explained).contains("declar"), "{}", out(&explained));

    // What a declaration says is quoted, and there is an end to it.
    let names: Vec<_> = (0..100).map(|n| format!("'V{n}'")).collect();
    place.write(
        "many.wat.policy.toml",
        &format!("[required]\nenv = ['V0', {}]\nimports = {{ 'a\";x' = ['-$(id)'] }}", names.join(", ")),
    );
    let refused = place.run(&["run", "many.wat"]);
    assert!(
        err(&refused).contains("… and 81 more") && err(&refused).contains("--grant 'a\";x#-$(id)'"),
        "{}",
        err(&refused)
    );
    let explained = out(&place.run(&["explain", "--feature", "simd", "many.wat"]));
    assert!(explained.contains(r#"grants.imports."a\";x" = ["-$(id)"]"#), "{explained}");
}

#[test]
fn what_stands_beside_a_module_is_a_file_or_an_error() {
    let place = Place::new(&[("guest.wat", LOOP), ("pipe.wat", LOOP)]);
    std::os::unix::fs::symlink("nowhere", place.path("guest.wat.policy.toml")).expect("a link");
    let made = Command::new("mkfifo").arg(place.path("pipe.wat.policy.toml")).status().expect("mkfifo");
    assert!(made.success());
    for module in ["guest.wat", "pipe.wat"] {
        let refused = place.run(&["run", "--fuel", "1k", module]);
        assert_eq!(refused.status.code(), Some(120), "{module}: {}", err(&refused));
        assert!(err(&refused).contains("cannot read policy file"), "{}", err(&refused));
    }
    let piped = place.run(&["run", "--policy-file", "pipe.wat.policy.toml", "guest.wat"]);
    assert!(err(&piped).contains("nobody wrote"), "{}", err(&piped));
}

#[test]
fn empty_variables_are_unset_and_names_with_dots_are_shown() {
    let place = Place::new(&[("guest.wat", LOOP), ("bad.toml", "engine = 'nonexistent'")]);
    let empty = ["COFFERDAM_CACHE_DIR", "COFFERDAM_CACHE_SIZE", "COFFERDAM_CONFIG", "COFFERDAM_POLICY_FILE"]
        .map(|name| (name, ""));
    let stopped = place.with(&empty, &["run", "--no-cache", "--fuel", "1k", "guest.wat"]);
    assert_eq!(stopped.status.code(), Some(122), "{}", err(&stopped));
    let shown = place.with(&[("COFFERDAM_OPEN_FILES", "5G")], &["policy", "show", "--env", "a.b=1"]);
    assert!(out(&shown).contains("wasi.env.\"a.b\""), "{}{}", out(&shown), err(&shown));
    let checked = place.run(&["policy", "check", "bad.toml"]);
    assert_eq!(checked.status.code(), Some(2), "{}", err(&checked));
}

#[test]
fn agents_are_granted_capabilities() {
    let place = Place::new(&[
        ("kv.toml", "grants.capabilities = ['kv']\n"),
        ("none.toml", "extends = 'kv.toml'\ngrants.capabilities = []\n"),
        (
            "log.wat",
            r#"(module (import "cofferdam_v1" "log" (func $log (param i32 i32 i32) (result i32)))
               (import "cofferdam_v1" "input_len" (func $len (result i32)))
               (memory (export "memory") 1) (data (i32.const 8) "hello\n")
               (func (export "_start") (drop (call $log (i32.const 2) (i32.const 8) (call $len)))
                 (drop (call $log (i32.const 2) (i32.const 8) (i32.const 6)))))"#,
        ),
    ]);
    let capabilities = |args: &[&str]| place.shown(&[], args)["grants"]["capabilities"].clone();
    assert_eq!(capabilities(&["--policy-file", "kv.toml"]), serde_json::json!(["kv"]));
    assert_eq!(
        capabilities(&["--policy-file", "kv.toml", "--grant", "cofferdam_v1.log"]),
        serde_json::json!(["kv", "log"])
    );
    assert_eq!(capabilities(&["--policy-file", "none.toml"]), serde_json::json!([]));
    let one = place.shown(&[], &["--grant", "cofferdam_v1.kv_get"]);
    assert_eq!(one["grants"]["imports"]["cofferdam_v1"], serde_json::json!(["kv_get"]));
    let wrong = place.run(&["policy", "show", "--grant", "cofferdam_v1.clock"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(err(&wrong).contains("no function that agents may call") && err(&wrong).contains("`timers`"));

    let refused = place.run(&["run", "--grant", "cofferdam_v1.kv", "log.wat"]);
    assert!(
        err(&refused).contains("`cofferdam_v1.log` is known, but the policy does not grant it"),
        "{}",
        err(&refused)
    );
    let explained = place.run(&["explain", "log.wat"]);
    let text = out(&explained);
    assert!(text.contains("--grant cofferdam_v1.log") && !text.contains("cofferdam_v1.io "), "{text}");
    assert!(text.contains("grants.capabilities = [\"log\"]"), "{text}");
    let ran = place.run(&["run", "--grant", "cofferdam_v1.log", "log.wat"]);
    assert_eq!((ran.status.code(), err(&ran)), (Some(0), "info: \ninfo: hello\\n\n".to_owned()));
}
