//! [`Body`]: the instance that an agent has while it runs, and the ways to call into it.

use std::sync::Arc;
use std::time::Duration;

use cofferdam_engine::{CancelHandle, ExternType, FuncType, ValType};

use super::error::DeployError;
use super::message::Envelope;
use crate::host::agent::AgentState;
use crate::policy::Limits;
use crate::sandbox::{BytesAbi, CallError, CallOptions, CallRefusal, Guest, Module, Receipt, TypedFunc};

/// How an export is called with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `() -> ()`: it reads and writes by calls in bulk.
    Bulk,
    /// `() -> i32`: the same, with a status.
    BulkStatus,
    /// `(ptr, len) -> …`: by its own allocator.
    Bytes,
}

impl Way {
    fn of(ty: &FuncType) -> Option<Self> {
        const I32: ValType = ValType::I32;
        match (ty.params(), ty.results()) {
            ([], []) => Some(Self::Bulk),
            ([], [I32]) => Some(Self::BulkStatus),
            ([I32, I32], [] | [ValType::I64] | [I32, I32]) => Some(Self::Bytes),
            _ => None,
        }
    }
}

/// The hooks that a module has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hooks {
    pub init: Option<Way>,
    pub handle_message: Option<Way>,
    pub shutdown: Option<Way>,
    pub on_timer: bool,
}

const WANTED: &str = "() -> (), () -> (i32), or (i32, i32) -> () or (i64) or (i32, i32)";

impl Hooks {
    pub fn of(module: &Module) -> Result<Self, DeployError> {
        let ty = |name: &'static str| match module.prepared().export(name) {
            Some(ExternType::Func(Some(ty))) => Some(ty.clone()),
            _ => None,
        };
        let way = |name| match ty(name) {
            None => Ok(None),
            Some(ty) => match Way::of(&ty) {
                Some(way) => Ok(Some(way)),
                None => Err(DeployError::Hook { name, found: ty.to_string(), wanted: WANTED }),
            },
        };
        let on_timer = match ty("on_timer") {
            None => false,
            Some(ty) if (ty.params(), ty.results()) == (&[ValType::I64], &[]) => true,
            Some(ty) => {
                return Err(DeployError::Hook { name: "on_timer", found: ty.to_string(), wanted: "(i64) -> ()" });
            }
        };
        Ok(Self { init: way("init")?, handle_message: way("handle_message")?, shutdown: way("shutdown")?, on_timer })
    }
}

/// A bulk export, looked up once.
enum Bulk {
    Plain(TypedFunc<(), ()>),
    Status(TypedFunc<(), i32>),
}

impl Bulk {
    fn find(guest: &mut Guest, name: &str, way: Way) -> Result<Self, CallRefusal> {
        Ok(match way {
            Way::BulkStatus => Self::Status(guest.typed(name)?),
            Way::Bulk | Way::Bytes => Self::Plain(guest.typed(name)?),
        })
    }

    fn call(&self, guest: &mut Guest, options: &CallOptions) -> Result<(i32, Receipt), CallError> {
        match self {
            Self::Plain(func) => func.call_with(guest, (), options).map(|((), receipt)| (0, receipt)),
            Self::Status(func) => func.call_with(guest, (), options),
        }
    }
}

/// A call that did not come back, and the messages that the agent had taken and not handled.
pub(super) struct Lost {
    pub error: CallError,
    pub letters: Vec<Envelope>,
}

/// What a call into an agent gave.
pub(super) struct Given {
    /// The status it returned; 0 or above if it has none.
    pub status: i32,
    pub output: Vec<u8>,
    pub receipt: Receipt,
    /// The message it was called with, if it still is to be answered.
    pub message: Option<Envelope>,
}

/// The instance that an agent has while it runs.
pub(super) struct Body {
    guest: Guest,
    hooks: Hooks,
    handle_message: Option<Bulk>,
    on_timer: Option<TypedFunc<i64, ()>>,
    /// As of the last call.
    host_calls: u64,
    refused_growths: u64,
    tool_fuel: u64,
    options: CallOptions,
}

/// What happened in a call beside its result.
pub(super) struct Since {
    pub host_calls: u64,
    pub refused_growths: u64,
    /// Fuel of tools that it called.
    pub tool_fuel: u64,
    pub memory: u64,
}

impl Body {
    pub fn new(mut guest: Guest, hooks: Hooks, cancel: &CancelHandle) -> Result<Self, CallRefusal> {
        let handle_message = match hooks.handle_message {
            Some(way @ (Way::Bulk | Way::BulkStatus)) => Some(Bulk::find(&mut guest, "handle_message", way)?),
            Some(Way::Bytes) | None => None,
        };
        let on_timer = if hooks.on_timer { Some(guest.typed("on_timer")?) } else { None };
        let options = CallOptions::default().cancel(cancel);
        Ok(Self { guest, hooks, handle_message, on_timer, host_calls: 0, refused_growths: 0, tool_fuel: 0, options })
    }

    /// Whether it answers no more calls.
    pub fn is_dead(&self) -> bool {
        self.guest.is_poisoned()
    }

    pub fn memory(&self) -> u64 {
        self.guest.usage().memory_bytes
    }

    /// Later calls are made under these limits, as far as they are limits of a call.
    pub fn set_limits(&mut self, limits: &Limits) {
        self.guest.set_call_limits(limits);
    }

    /// The calls that follow have this much time, and are ended by `cancel` alone.
    pub fn last_words(&mut self, time: Duration, cancel: &CancelHandle) {
        self.options = CallOptions::default().timeout(time).cancel(cancel);
    }

    /// What has happened since this was last asked.
    pub fn since(&mut self) -> Since {
        let usage = self.guest.usage();
        let agent = self.guest.state().and_then(|state| state.agent.as_deref());
        let tool_fuel = agent.map_or(self.tool_fuel, AgentState::tool_fuel);
        let since = Since {
            host_calls: usage.host_calls - self.host_calls,
            refused_growths: usage.refused_growths - self.refused_growths,
            tool_fuel: tool_fuel - self.tool_fuel,
            memory: usage.memory_bytes,
        };
        (self.host_calls, self.refused_growths) = (usage.host_calls, usage.refused_growths);
        self.tool_fuel = tool_fuel;
        since
    }

    fn begin(&mut self, input: Arc<[u8]>, message: Option<Envelope>, depth: u32) {
        if let Some(agent) = self.guest.state().and_then(|state| state.agent.as_deref_mut()) {
            agent.begin_call(input, depth);
            agent.messages.hook = message;
        }
    }

    /// What a call gave, with its output; or what was lost with it. A message that it took by itself counts as
    /// handled if it came back.
    fn end<T>(&mut self, done: Result<T, CallError>) -> Result<(T, Vec<u8>, Option<Envelope>), Lost> {
        let (output, hook, taken) = match self.guest.state().and_then(|state| state.agent.as_deref_mut()) {
            Some(agent) => (agent.end_call(), agent.messages.hook.take(), agent.messages.taken.take()),
            None => (Vec::new(), None, None),
        };
        match done {
            Ok(done) => Ok((done, output, hook)),
            Err(error) => Err(Lost { error, letters: hook.into_iter().chain(taken).collect() }),
        }
    }

    /// Calls `handle_message`.
    pub fn handle(&mut self, message: Envelope) -> Result<Given, Lost> {
        let (input, depth) = (message.body.clone(), message.depth);
        if let Some(bulk) = self.handle_message.take() {
            self.begin(input, Some(message), depth);
            let done = bulk.call(&mut self.guest, &self.options);
            self.handle_message = Some(bulk);
            return self.in_bulk(done);
        }
        self.begin(input.clone(), Some(message), depth);
        self.by_bytes("handle_message", &input)
    }

    fn in_bulk(&mut self, done: Result<(i32, Receipt), CallError>) -> Result<Given, Lost> {
        let ((status, receipt), output, message) = self.end(done)?;
        Ok(Given { status, output, receipt, message })
    }

    /// The output is what was returned, or if that is empty, what was written in bulk.
    fn by_bytes(&mut self, name: &str, input: &[u8]) -> Result<Given, Lost> {
        let done = self.guest.call_bytes_counted(name, input, &BytesAbi::default(), &self.options);
        let ((returned, receipt), written, message) = self.end(done)?;
        let output = if returned.is_empty() { written } else { returned };
        Ok(Given { status: 0, output, receipt, message })
    }

    /// Calls `on_timer`.
    pub fn timer(&mut self, token: i64) -> Option<Result<Receipt, Lost>> {
        let func = self.on_timer.take()?;
        self.begin(Arc::default(), None, 0);
        let done = func.call_with(&mut self.guest, token, &self.options);
        self.on_timer = Some(func);
        Some(self.end(done).map(|(((), receipt), ..)| receipt))
    }

    /// Calls the export `name` with bytes, in the way that its signature says.
    pub fn execute(&mut self, name: &str, input: Arc<[u8]>, depth: u32) -> Result<Given, Lost> {
        let way = match self.guest.module().prepared().export(name) {
            Some(ExternType::Func(Some(ty))) => Way::of(ty),
            _ => None,
        };
        // What is not there, or of another type, is refused by the guest in its own words.
        self.call(name, way.unwrap_or(Way::Bytes), input, depth)
    }

    fn call(&mut self, name: &str, way: Way, input: Arc<[u8]>, depth: u32) -> Result<Given, Lost> {
        if way != Way::Bytes
            && let Ok(bulk) = Bulk::find(&mut self.guest, name, way)
        {
            self.begin(input, None, depth);
            let done = bulk.call(&mut self.guest, &self.options);
            return self.in_bulk(done);
        }
        self.begin(input.clone(), None, depth);
        self.by_bytes(name, &input)
    }

    /// Calls `init`, if there is one.
    pub fn init(&mut self, config: Arc<[u8]>) -> Option<Result<Given, Lost>> {
        let way = self.hooks.init?;
        Some(self.call("init", way, config, 0))
    }

    /// Calls `shutdown`, if there is one.
    pub fn shutdown(&mut self) -> Option<Result<Given, Lost>> {
        let way = self.hooks.shutdown?;
        Some(self.call("shutdown", way, Arc::default(), 0))
    }
}
