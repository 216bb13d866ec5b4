//! What agents may call, on every engine in both fuel modes: each function through a guest that passes its
//! arguments on, so that a test says what the guest says.
#![cfg(feature = "any-engine")]

mod basics;
mod kv;
mod library;
mod page;
mod pointers;
mod shipped;
mod tools;

#[path = "../support/matrix.rs"]
mod matrix;

use std::fmt::Write as _;
use std::sync::Arc;

use cofferdam::host::agent::{AbiError, AgentState, Capability, LogLine, LogSink, MODULE, imports};
use cofferdam::policy::{Determinism, Fuel, Grants, Limits, MemoryBytes, SecurityPolicy};
use cofferdam::{Engine, FuelMode, FuncType, Guest, GuestState, Outcome, Report, Sandbox, TrapKind, Value};
use cofferdam_engine::Import;

/// Where tests put a key, a name or a line.
const KEY: u32 = 0x100;
/// Where tests put values.
const DATA: u32 = 0x1_0000;
/// Where calls put results.
const OUT: u32 = 0x10_0000;
/// Bytes of the guest's memory: 32 pages.
const MEMORY: u32 = 32 << 16;

fn ty(name: &str) -> &'static FuncType {
    match imports().get(MODULE, name) {
        Some(Import::Host(func)) => func.ty(),
        _ => panic!("{name} is nowhere recorded"),
    }
}

/// A guest that exports what it imports.
fn driver(functions: &[&str]) -> String {
    let (mut imported, mut exported) = (String::new(), String::new());
    for name in functions {
        let list = |word: &str, types: &[cofferdam::ValType]| {
            types.iter().fold(String::new(), |text, ty| format!("{text} ({word} {ty})"))
        };
        let (params, results) = (list("param", ty(name).params()), list("result", ty(name).results()));
        let gets: String = (0..ty(name).params().len()).map(|n| format!(" (local.get {n})")).collect();
        writeln!(imported, "(import \"{MODULE}\" \"{name}\" (func ${name}{params}{results}))").expect("a string");
        writeln!(exported, "(func (export \"{name}\"){params}{results} (call ${name}{gets}))").expect("a string");
    }
    format!("(module {imported} (memory (export \"memory\") 32) {exported})")
}

fn functions(capabilities: &[Capability]) -> Vec<&'static str> {
    capabilities.iter().flat_map(|c| c.functions()).copied().collect()
}

/// One engine in one fuel mode.
struct Cell {
    engine: Arc<dyn Engine>,
    mode: FuelMode,
}

fn cells() -> Vec<Cell> {
    matrix::matrix().into_iter().map(|(engine, mode)| Cell { engine, mode }).collect()
}

/// Messages of 100,000 bytes, so that the cap is not a size of anything else.
fn limits() -> Limits {
    Limits { message: MemoryBytes::new(100_000), fuel: Fuel::new(100_000_000), ..Limits::agent() }
}

impl Cell {
    fn policy(&self, capabilities: &[Capability]) -> SecurityPolicy {
        let grants = capabilities.iter().fold(Grants::agent(), |grants, c| grants.capability(*c));
        SecurityPolicy::standard().grants(grants).fuel_mode(self.mode).limits(limits())
    }

    fn sandbox(&self, policy: SecurityPolicy) -> Sandbox {
        Sandbox::builder(self.engine.clone()).policy(policy).build().expect("the engine can enforce the policy")
    }

    /// A guest that passes on its arguments to all functions of `capabilities` and to those for bytes.
    fn guest(&self, capabilities: &[Capability], state: AgentState) -> Driver {
        self.guest_under(self.policy(capabilities), capabilities, state)
    }

    fn guest_under(&self, policy: SecurityPolicy, capabilities: &[Capability], state: AgentState) -> Driver {
        let sandbox = self.sandbox(policy);
        let all: Vec<_> = [Capability::Io].iter().chain(capabilities).copied().collect();
        let module = sandbox.load(driver(&functions(&all)).as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        Driver(sandbox.guest(&module, GuestState::default().with_agent(state)).unwrap_or_else(|e| panic!("{e}")))
    }

    fn deterministic(&self, seed: u64, capabilities: &[Capability], state: AgentState) -> Driver {
        let policy = self.policy(capabilities).determinism(Determinism::Full { seed });
        self.guest_under(policy, capabilities, state)
    }
}

struct Driver(Guest);

/// The arguments of a call.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$(cofferdam::Value::from($value)),*] };
}
use args;

impl Driver {
    fn report(&mut self, function: &str, args: &[Value]) -> Report {
        self.0.call(function, args)
    }

    /// What it answers, 0 or above, or the error.
    fn call(&mut self, function: &str, args: &[Value]) -> Result<i64, AbiError> {
        let report = self.report(function, args);
        let answer = match report.outcome.values() {
            Some([Value::I32(n)]) => i64::from(*n),
            Some([Value::I64(n)]) => *n,
            _ => panic!("{function}: {:?}", report.outcome),
        };
        if answer >= 0 {
            return Ok(answer);
        }
        Err(AbiError::ALL.iter().copied().find(|e| i64::from(e.code()) == answer).expect("a code that exists"))
    }

    /// It ends because the pointer or length is wild.
    fn is_wild(&mut self, function: &str, args: &[Value]) {
        let report = self.report(function, args);
        let Outcome::Trapped(trap) = &report.outcome else { panic!("{function}: {:?}", report.outcome) };
        assert_eq!(trap.kind, TrapKind::MemoryOutOfBounds, "{function}");
    }

    fn put(&mut self, at: u32, bytes: &[u8]) -> u32 {
        self.0.memory("memory").and_then(|mut m| m.write(at.into(), bytes)).expect("within its memory");
        u32::try_from(bytes.len()).expect("short")
    }

    fn get(&mut self, at: u32, len: i64) -> Vec<u8> {
        let memory = self.0.memory("memory").expect("it has one");
        memory.read(at.into(), len.unsigned_abs()).expect("within its memory")
    }

    fn state(&mut self) -> &mut AgentState {
        self.0.state().and_then(|state| state.agent.as_deref_mut()).expect("given")
    }
}

/// Keeps log lines.
#[derive(Default)]
struct Lines(parking_lot::Mutex<Vec<LogLine>>);

impl LogSink for Lines {
    fn line(&self, line: LogLine) {
        self.0.lock().push(line);
    }
}

impl Lines {
    fn texts(&self) -> Vec<String> {
        self.0.lock().iter().map(|line| format!("{} {}", line.level, line.text)).collect()
    }
}
