//! Calls of host functions by a guest that passes on whatever the input says.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cofferdam::host::agent::{self, AgentState, Capability, KvStore};
use cofferdam::host::wasi::{self, MemoryDir, Preopen, Stdin, WasiConfig};
use cofferdam::policy::{Fuel, Grants, Limits, MemoryBytes, SecurityPolicy};
use cofferdam::{CallOptions, Guest, GuestState, Module, Outcome, Sandbox};
use cofferdam_engine::{FuncType, Import, Imports, ValType, Value};
use cofferdam_wasmi::WasmiEngine;

use crate::random::Random;

/// The guest's memory: two pages.
const MEMORY: u32 = 2 << 16;
/// Calls of one input.
const MOST_CALLS: usize = 40;
/// Paths and the like, to be found in memory from the start.
const WORDS: &[&str] = &[
    ".",
    "..",
    "/",
    "../..",
    "a",
    "a/b",
    "a/../..",
    "link",
    "link/secret",
    "up/secret",
    "/etc/passwd",
    "a//b",
    "a/.",
    "new",
    "new/x",
    "memory",
    "\u{0}",
    "\u{fffd}\u{200b}",
    "secret",
    "../outside/secret",
    "a/./../../outside",
];

/// A guest that exports what it imports, and what it can call.
struct Driver {
    sandbox: Sandbox,
    module: Module,
    functions: Vec<(String, FuncType)>,
}

impl Driver {
    fn new(imports: &Imports, grants: Grants) -> Self {
        let mut functions: Vec<(String, String, FuncType)> = Vec::new();
        for (module, name, import) in imports.iter() {
            if let Import::Host(func) = import {
                functions.push((module.to_owned(), name.to_owned(), func.ty().clone()));
            }
        }
        functions.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        let (mut imported, mut exported) = (String::new(), String::new());
        for (module, name, ty) in &functions {
            let list = |word: &str, types: &[ValType]| {
                types.iter().fold(String::new(), |text, ty| format!("{text} ({word} {ty})"))
            };
            let (params, results) = (list("param", ty.params()), list("result", ty.results()));
            let gets: String = (0..ty.params().len()).map(|n| format!(" (local.get {n})")).collect();
            let _ = writeln!(imported, "(import \"{module}\" \"{name}\" (func ${name}{params}{results}))");
            let _ = writeln!(exported, "(func (export \"{name}\"){params}{results} (call ${name}{gets}))");
        }
        let wat = format!("(module {imported} (memory (export \"memory\") 2) {exported})");
        let limits = Limits { fuel: Fuel::new(1_000_000), message: MemoryBytes::new(4_096), ..Limits::agent() };
        let policy = SecurityPolicy::standard().grants(grants).limits(limits);
        let sandbox = Sandbox::builder(Arc::new(WasmiEngine::eager())).policy(policy).build();
        let sandbox = sandbox.expect("the policy can be enforced");
        let module = sandbox.load(wat.as_bytes()).unwrap_or_else(|e| panic!("the driver: {e}"));
        Self { sandbox, module, functions: functions.into_iter().map(|(_, name, ty)| (name, ty)).collect() }
    }

    /// Has a guest with `state` do what `data` says.
    fn drive(&self, state: GuestState, data: &[u8]) -> Guest {
        let mut guest = self.sandbox.guest(&self.module, state).unwrap_or_else(|e| panic!("no guest: {e}"));
        let mut read = Reader(data);
        let mut at = 0x100;
        for word in WORDS {
            let mut memory = guest.memory("memory").expect("it exports its memory");
            memory.write(at, word.as_bytes()).expect("it fits");
            at += 0x40;
        }
        for _ in 0..MOST_CALLS {
            if read.0.is_empty() {
                break;
            }
            let choice = read.byte();
            if choice == 0xff {
                // Into memory, where structures and paths are read.
                let (at, bytes) = (u64::from(read.number() & 0x3fff), read.take(24));
                let mut memory = guest.memory("memory").expect("it exports its memory");
                memory.write(at, bytes).expect("it fits");
                continue;
            }
            let (name, ty) = &self.functions[usize::from(choice) % self.functions.len()];
            let args: Vec<_> = ty.params().iter().map(|ty| read.value(*ty)).collect();
            let options = CallOptions::default().timeout(Duration::from_millis(3));
            let report = guest.call_with(name, &args, &options);
            match report.outcome {
                Outcome::HostFault(why) => assert!(!why.contains("panicked"), "{name} {args:?}: {why}"),
                Outcome::EngineFault(fault) => panic!("{name} {args:?}: {fault}"),
                Outcome::Refused(refusal) => panic!("{name} {args:?}: {refusal}"),
                _ => {}
            }
            if guest.is_poisoned() {
                break;
            }
        }
        guest
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    fn number(&mut self) -> u32 {
        self.take(4).iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
    }

    /// Small numbers are descriptors, flags and lengths; others point at words, at ends, or anywhere.
    fn value(&mut self, ty: ValType) -> Value {
        let choice = self.byte();
        let low = u32::from(choice & 0x0f);
        let number = match choice >> 4 {
            0..6 => low,
            6..9 => 0x100 + 0x40 * (low + 16 * u32::from(self.byte() & 1)),
            9 => 1 << low,
            10 => MEMORY - low,
            11 => u32::MAX - low,
            12 => low * 0x1000,
            _ => self.number(),
        };
        match ty {
            ValType::I32 => Value::I32(number.cast_signed()),
            ValType::I64 if choice & 0x80 != 0 => Value::I64(-1),
            ValType::I64 => Value::I64(i64::from(number)),
            other => Value::default_of(other),
        }
    }
}

/// Noise is as good as anything: every byte means something.
pub(super) fn calls() -> Vec<Vec<u8>> {
    (0..32).map(|n| Random::of(5, n).bytes(40 + 10 * n as usize)).collect()
}

/// A folder for guests with something outside of it, removed at the end.
struct Jail(PathBuf);

const SECRET: &[u8] = b"outside-0fa3c1";

impl Jail {
    fn new() -> Self {
        let number = std::process::id();
        let root = std::env::temp_dir().join(format!("cofferdam-fuzz-{number}-{:?}", std::thread::current().id()));
        let make = |path: &str| std::fs::create_dir_all(root.join(path)).expect("a folder of one's own");
        make("jail");
        make("outside");
        std::fs::write(root.join("outside/secret"), SECRET).expect("it can be written");
        Self(root)
    }

    /// Empty but for links that lead out.
    fn clean(&self) -> PathBuf {
        let jail = self.0.join("jail");
        // What the guest made may not be entered or removed as it is; then a new one is next to it.
        let _ = std::fs::remove_dir_all(&jail);
        std::fs::create_dir_all(jail.join("a/b")).expect("it can be made");
        std::fs::write(jail.join("secret"), b"inside").expect("it can be written");
        std::os::unix::fs::symlink("../outside", jail.join("link")).expect("it can be linked");
        std::os::unix::fs::symlink(self.0.join("outside"), jail.join("up")).expect("it can be linked");
        jail
    }

    fn is_untouched(&self) -> bool {
        let names = |path: &Path| -> Vec<_> {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
            names.sort();
            names
        };
        names(&self.0.join("outside")) == ["secret"]
            && names(&self.0) == ["jail", "outside"]
            && std::fs::read(self.0.join("outside/secret")).is_ok_and(|bytes| bytes == SECRET)
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Calls of WASI with a folder of the host's and one in memory. Nothing outside of the folder changes, and nothing of
/// it comes into the guest's memory.
pub(super) fn wasi(data: &[u8]) {
    thread_local! {
        static KEPT: RefCell<Option<(Driver, Jail)>> = const { RefCell::new(None) };
    }
    KEPT.with_borrow_mut(|kept| {
        let (driver, jail) = kept.get_or_insert_with(|| (Driver::new(wasi::imports(), Grants::wasi()), Jail::new()));
        let inside = MemoryDir::new().file("secret", b"inside").dir("a/b").link("link", "../../..");
        let config = WasiConfig {
            args: vec!["fuzz".into()],
            env: vec![("A".into(), "b".into())],
            stdin: Stdin::Bytes(vec![b'x'; 100]),
            preopens: vec![Preopen::read_write(jail.clean(), "/"), Preopen::memory(inside, "/memory")],
            ..WasiConfig::default()
        };
        let state = config.build().unwrap_or_else(|e| panic!("the configuration: {e}"));
        let mut guest = driver.drive(GuestState::with_wasi(state), data);
        let memory = guest.memory("memory").expect("it exports its memory");
        let bytes = memory.read(0, memory.size().expect("its size can be told")).expect("all of it");
        assert!(!bytes.windows(SECRET.len()).any(|part| part == SECRET), "the guest read what is outside");
        assert!(jail.is_untouched(), "the guest changed what is outside");
    });
}

/// Calls of what agents have.
pub(super) fn agent_abi(data: &[u8]) {
    thread_local! {
        static KEPT: RefCell<Option<(Driver, KvStore)>> = const { RefCell::new(None) };
    }
    KEPT.with_borrow_mut(|kept| {
        let (driver, store) = kept.get_or_insert_with(|| {
            let grants = Capability::ALL.iter().fold(Grants::agent(), |grants, c| grants.capability(*c));
            (Driver::new(agent::imports(), grants), KvStore::in_memory().expect("it can be made"))
        });
        let handle = store.agent("fuzz", MemoryBytes::new(20_000)).expect("a name");
        let mut state = AgentState::new("fuzz").kv(handle);
        state.begin_call(Arc::from(&data[..data.len().min(64)]), 0);
        driver.drive(GuestState::default().with_agent(state), data);
    });
}
