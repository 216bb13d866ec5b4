//! Policy files as their readers meet them: right ones, wrong ones, and hostile ones.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::host::agent::MODULE;
use crate::policy::{Determinism, Fuel, Grants, Limits, MemoryBytes, SecurityPolicy};
use cofferdam_engine::{FuelMode, Proposal};

fn toml(text: &str) -> Result<PolicyFile, String> {
    PolicyFile::from_text("p.toml", text, Some(Format::Toml)).map_err(|e| e.to_string())
}

#[test]
fn the_same_policy_reads_the_same_in_three_languages() {
    let toml = "level = 'strict'\nfuel_mode = 'native'\ndeterminism = { seed = 7 }\n[limits]\nmemory = '10MiB'\n\
                fuel = 'unlimited'\ntimeout = 0.5\n[module_limits]\nnesting = '10k'\n[grants.imports]\nenv = ['log']\n\
                [[wasi.dirs]]\nhost = 'data'\nguest = '/data'\naccess = 'ro'\n";
    let json = r#"{"level": "strict", "fuel_mode": "native", "determinism": {"seed": 7},
        "limits": {"memory": 10485760, "fuel": "unlimited", "timeout": "500ms"}, "module_limits": {"nesting": 10000},
        "grants": {"imports": {"env": ["log"]}}, "wasi": {"dirs": [{"host": "data", "guest": "/data", "access": "ro"}]}}"#;
    let yaml = "level: strict\nfuel_mode: native\ndeterminism: {seed: 7}\nlimits:\n  memory: 10 MiB\n  fuel: unlimited\n  \
                timeout: 500ms\nmodule_limits: {nesting: 10k}\ngrants: {imports: {env: [log]}}\nwasi:\n  dirs:\n    - host: \
                data\n      guest: /data\n      access: ro\n";
    let read = |text, format| PolicyFile::from_text("p", text, format).unwrap_or_else(|e| panic!("{e}"));
    let first = read(toml, Some(Format::Toml));
    assert_eq!(first, read(json, Some(Format::Json)));
    assert_eq!(first, read(yaml, Some(Format::Yaml)));
    for text in [toml, json, yaml] {
        assert_eq!(first, read(text, None), "the format is found out");
    }
    let policy = first.over(SecurityPolicy::standard().grants(Grants::wasi()));
    assert_eq!(policy.limits.memory, MemoryBytes::mib(10));
    assert_eq!(policy.limits.fuel, Fuel::UNLIMITED);
    assert_eq!(policy.limits.timeout, Some(std::time::Duration::from_millis(500)));
    assert_eq!(policy.limits.stack_units, Limits::agent().stack_units);
    assert_eq!((policy.fuel_mode, policy.determinism), (FuelMode::Native, Determinism::Full { seed: 7 }));
    assert_eq!(policy.module_limits.nesting, 10_000);
    assert!(policy.grants.allows("env", "log") && policy.grants.allows(crate::host::wasi::MODULE, "fd_write"));
    assert!(!policy.features.has(Proposal::BulkMemory));
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_place_and_suggestion() {
    let text = "levle = 'strict'\nfuel_mode = 'nativ'\n[limits]\nmemroy = '1MiB'\nfuel = '10 apples'\ntimeout = -1\n\
                stack = '5GiB'\n[module_limits]\nnestin = 3\n[features]\nallow = ['simd', 'smid', 'gcc', 3]\n\
                [[wasi.dirs]]\nhost = 'a'\n[grants]\nwasi = 'yes'\n";
    let said = toml(text).expect_err("it is wrong");
    for line in [
        "p.toml: `levle`: unknown key `levle`; did you mean `level`?",
        "`fuel_mode`: unknown fuel mode `nativ`; did you mean `native`? (allowed: portable, native)",
        "`limits.memroy`: unknown key `memroy`; did you mean `memory`?",
        "`limits.fuel`: `10 apples` is no count; write for instance 2M",
        "`limits.timeout`: found integer `-1` where a time such as \"500ms\"",
        "`limits.stack`: `5GiB` is too large a stack",
        "`module_limits.nestin`: unknown key `nestin`; did you mean `nesting`?",
        "`features.allow[1]`: unknown proposal `smid`; did you mean `simd`?",
        "`features.allow[2]`: unknown proposal `gcc`; did you mean `gc`?",
        "`features.allow[3]`: found integer `3` where",
        "`wasi.dirs[0]`: missing field `guest`",
        "`grants.wasi`: found string \"yes\" where `true` or `false` belongs",
    ] {
        assert!(said.contains(line), "{line}\nis not in\n{said}");
    }
    assert_eq!(said.lines().count(), 12, "{said}");
}

#[test]
fn contradictions_and_duplicates_are_refused() {
    for (text, words) in [
        ("features = { allow = ['simd'], deny = ['simd'] }", "`simd` is both in `allow` and in `deny`"),
        ("grants.capabilities = ['log', 'clock']", "unknown word `clock`"),
        ("grants = { wasi = false, modules = ['wasi_snapshot_preview1'] }", "contradict each other"),
        ("wasi = { env = { A = '1' }, pass_env = ['A'] }", "`A` is both in `env` and in `pass_env`"),
        ("wasi.pass_env = ['A=B']", "no name of a variable"),
        ("determinism = { seed = 1 }\nfeatures.allow = ['relaxed-simd']", "contradict each other"),
        ("level = 'strict'\nlevel = 'relaxed'", "duplicate key"),
        ("level = 1979-05-27", "a date stands where none is allowed"),
    ] {
        let said = toml(text).expect_err(text);
        assert!(said.contains(words) && said.starts_with("p.toml: "), "{text}: {said}");
    }
    let dir = "{ host = '.', guest = '/a', access = 'rw' }";
    let said = toml(&format!("wasi.dirs = [{dir}, {dir}]")).expect_err("twice");
    assert!(said.contains("`wasi.dirs[1]`: the guest's name `/a` is given twice"), "{said}");
    let json = PolicyFile::from_text("p.json", r#"{"limits": {"fuel": 1, "fuel": 2}}"#, Some(Format::Json));
    let said = json.expect_err("twice").to_string();
    assert!(said.contains("duplicate key `fuel`") && said.contains("line 1"), "{said}");
    let yaml = PolicyFile::from_text("p.yaml", "limits:\n  fuel: 1\n  fuel: 2\n", Some(Format::Yaml));
    let said = yaml.expect_err("twice").to_string();
    assert!(said.contains("fuel") && said.contains("line 3"), "{said}");
}

#[test]
fn files_extend_each_other_key_by_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it can be written");
    let load = |name: &str| PolicyFile::load_layers(&folder.path().join(name)).map_err(|e| e.to_string());
    std::fs::create_dir(folder.path().join("sub")).expect("a folder");
    write(
        "base.toml",
        "level = 'strict'\n[limits]\nmemory = '1MiB'\nfuel = 5\n[features]\nallow = ['simd', 'gc']\n\
                        [wasi]\nstdin = { file = 'in.txt' }",
    );
    write(
        "sub/mid.yaml",
        "extends: ../base.toml\nlimits: {fuel: 6}\nfeatures: {allow: [threads]}\ndeterminism: {seed: 1}",
    );
    write("top.json", r#"{"extends": "sub/mid.yaml", "wasi": {"stdin": "empty"}, "determinism": "off"}"#);
    let layers = load("top.json").unwrap_or_else(|e| panic!("{e}"));
    let policy = layers.policy().unwrap_or_else(|e| panic!("{e}"));
    let limits = policy.limits.clone().expect("they were given");
    assert_eq!((limits.memory, limits.fuel), (Some(Size(MemoryBytes::mib(1))), Some(FuelAmount(Fuel::new(6)))));
    assert_eq!(policy.features.clone().and_then(|f| f.allow), Some(vec![ProposalName(Proposal::Threads)]));
    assert_eq!(policy.wasi.clone().and_then(|w| w.stdin), Some(StdinPart::Empty));
    assert_eq!(policy.determinism, Some(DeterminismPart::Off));
    for (key, file) in [
        ("level", "base.toml"),
        ("limits.memory", "base.toml"),
        ("limits.fuel", "mid.yaml"),
        ("wasi.stdin", "top.json"),
    ] {
        assert!(layers.source(key).is_some_and(|source| source.ends_with(file)), "{key}: {:?}", layers.source(key));
    }

    write("a.toml", "extends = 'b.toml'");
    write("b.toml", "extends = 'sub/../a.toml'");
    let said = load("a.toml").expect_err("a circle");
    assert!(said.contains("in a circle") && said.contains("b.toml →"), "{said}");
    write("orphan.toml", "extends = 'gone.toml'");
    let said = load("orphan.toml").expect_err("its base is missing");
    assert!(said.contains("orphan.toml extends") && said.contains("gone.toml, which cannot be read"), "{said}");
    for n in 0..12 {
        write(&format!("deep{n}.toml"), &format!("extends = 'deep{}.toml'", n + 1));
    }
    assert!(load("deep0.toml").expect_err("too deep").contains("more than 8 deep"));
    write("takes_back.toml", "extends = 'base.toml'\nfeatures.deny = ['simd']");
    let features = load("takes_back.toml").map(|layers| layers.policy().ok().and_then(|p| p.features));
    let features = features.unwrap_or_else(|e| panic!("{e}")).expect("they were given");
    assert_eq!(features.allow, Some(vec![ProposalName(Proposal::Gc)]), "what is denied above is not allowed below");
    assert_eq!(features.deny, Some(vec![ProposalName(Proposal::Simd)]));
    write("wider.toml", "extends = 'takes_back.toml'\nfeatures.allow = ['simd']");
    let policy = PolicyFile::load(&folder.path().join("wider.toml")).unwrap_or_else(|e| panic!("{e}"));
    assert!(policy.over(SecurityPolicy::standard()).features.has(Proposal::Simd));
    let fifo = folder.path().join("fifo.toml");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).expect("a pipe");
    assert!(load("fifo.toml").expect_err("nobody writes").contains("nobody wrote"));
    write("on_fifo.toml", "extends = 'fifo.toml'");
    assert!(load("on_fifo.toml").expect_err("a pipe").contains("no regular file"));
    write("dots.toml", "[wasi.env]\n'a.b' = '1'");
    let dots = load("dots.toml").unwrap_or_else(|e| panic!("{e}"));
    let shown: Vec<_> = dots.entries().map(|(key, value, _)| format!("{key} = {value}")).collect();
    assert_eq!(shown, ["wasi.env.\"a.b\" = \"1\""]);
    write("large.toml", &"# filler\n".repeat(40_000));
    assert!(load("large.toml").expect_err("too large").contains("more than 256 KiB"));
    std::fs::write(folder.path().join("latin.toml"), b"# \xe9\n").expect("it can be written");
    assert!(load("latin.toml").expect_err("no UTF-8").contains("no UTF-8"));
    assert!(load("sub").expect_err("a folder").contains("is a directory"));
    assert!(load("none.toml").expect_err("missing").starts_with("cannot read policy file"));
}

#[test]
fn odd_texts_are_errors_with_words() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let laughs: String = (1..30)
        .map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", ")))
        .fold("a0: &a0 [x]\n".to_owned(), |all, line| all + &line);
    let cases = [
        ("p.json", "[]", "found a list where a table of keys belongs"),
        ("p.json", "{", "not valid JSON"),
        ("p.toml", "level = ", "not valid TOML: line 1"),
        ("p.yaml", "just words", "found text where a table"),
        ("p.yaml", "a: [", "not valid YAML"),
        ("p.json", deep.as_str(), "not valid JSON"),
        ("p.yaml", deep.as_str(), "not valid YAML"),
        ("p.yaml", laughs.as_str(), "not valid YAML"),
        ("p", "neither this nor that", "give the file a name that ends in .toml"),
        ("p.toml", "limits = 3", "`limits`: found integer `3` where a table of keys belongs"),
        ("p.yaml", "determinism: off", "`determinism`: found boolean `false` where a word in quotes"),
        ("p.yaml", "level: strict\nlevel: strict", "duplicate mapping key: level at line 2"),
        ("p.toml", "limits.fuel = [1]", "`limits.fuel`: found a list where fuel such as"),
        ("p.yaml", "limits: {timeout: .nan}", "non-finite float"),
    ];
    for (name, text, words) in cases {
        let said = PolicyFile::from_text(name, text, Format::of(Path::new(name))).expect_err(words).to_string();
        assert!(said.contains(words), "{words}\nis not in\n{}", said.chars().take(400).collect::<String>());
        assert!(said.len() < 4_000, "{words}: {} bytes of message", said.len());
    }
    for empty in ["", "\u{feff}", "# nothing\n"] {
        assert_eq!(PolicyFile::from_text("p", empty, None).map_err(|e| e.to_string()), Ok(PolicyFile::default()));
    }
    let colours = toml("\"\\u001b[31m\" = 1").expect_err("no such key");
    assert!(!colours.contains('\u{1b}'), "{colours}");
}

fn policies() -> impl Strategy<Value = SecurityPolicy> {
    let limits = (any::<u64>(), any::<u64>(), proptest::option::of(0u64..10_000_000), 0u32..1 << 28, any::<u64>());
    (limits, any::<u32>(), any::<[bool; 3]>(), any::<u64>(), any::<u32>()).prop_map(
        |((memory, fuel, ms, stack, count), features, [wasi, native, fixed], seed, small)| {
            let mut limits = Limits::agent();
            limits.memory = MemoryBytes::new(memory);
            limits.fuel = Fuel::new(fuel);
            limits.timeout = ms.map(std::time::Duration::from_millis);
            limits.stack_units = stack;
            limits.host_calls = count;
            limits.open_files = small;
            let mut policy = SecurityPolicy::standard().limits(limits);
            for (i, proposal) in Proposal::ALL.iter().enumerate() {
                let in_set = features & 1 << i != 0;
                policy = if in_set { policy.allow(*proposal) } else { policy.deny(*proposal) };
            }
            if wasi {
                policy = policy.grants(Grants::wasi().import("env", "a.b").module("clock"));
                let agents = policy.grants.clone().capability(Capability::Kv).import(MODULE, "reply");
                policy = policy.grants(agents);
            }
            if native {
                policy = policy.fuel_mode(FuelMode::Native);
            }
            policy.module_limits.nesting = count;
            let determinism = if fixed { Determinism::Full { seed } } else { Determinism::Off };
            policy.determinism(determinism)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What a policy is written down as is read back as the same policy, in every language.
    #[test]
    fn a_policy_survives_being_written_down(policy in policies()) {
        let file = PolicyFile::describe(&policy);
        // TOML has no integers above 2^63, so a seed is kept below.
        let texts = [
            (Format::Json, serde_json::to_string(&file).expect("JSON")),
            (Format::Yaml, serde_saphyr::to_string(&file).expect("YAML")),
        ];
        for (format, text) in texts {
            let read: PolicyFile = parse("p", &text, Some(format)).unwrap_or_else(|p| panic!("{}\n{text}", Problems(p)));
            prop_assert_eq!(&read.over(SecurityPolicy::new(Level::Relaxed).grants(Grants::none().module("x").capability(Capability::Log))), &policy);
        }
    }

    /// No text makes the reader panic, whatever it claims to be.
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        for format in [None, Some(Format::Toml), Some(Format::Json), Some(Format::Yaml)] {
            let _ = PolicyFile::from_text("p", &text, format);
        }
    }

    /// Nor does text that is nearly right.
    #[test]
    fn no_nearly_right_text_panics(
        words in proptest::collection::vec(
            prop_oneof![
                Just("limits"), Just("fuel"), Just("wasi"), Just("dirs"), Just("{"), Just("}"), Just("["), Just("]"),
                Just(":"), Just("="), Just(","), Just("\""), Just("\n"), Just("  "), Just("1e999"), Just("-0"), Just("&a"),
                Just("*a"), Just("- "), Just("."), Just("seed"), Just("determinism"), Just("'"), Just("null"), Just("<<"),
            ],
            0..60,
        )
    ) {
        let text = words.concat();
        for format in [None, Some(Format::Toml), Some(Format::Json), Some(Format::Yaml)] {
            let _ = PolicyFile::from_text("p", &text, format);
        }
    }
}
