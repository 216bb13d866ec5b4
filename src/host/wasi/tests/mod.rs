//! Preview 1 without an engine: a memory, a fuel counter and the host functions as a guest would call them.

mod async_streams;
mod backings;
mod basics;
mod differential;
mod directories;
mod escapes;
mod files;
mod hostile;
mod overlay;
mod polling;
mod quotas;
mod regressions;
mod rights;
mod sizes;
mod slashes;
mod special;
mod streams;

use std::path::Path;

use cofferdam_engine::{CallBudget, Caller, HostError, Import, StoreContext, StoreLimits, UNLIMITED_FUEL, Value};

use super::errno::Errno;
use super::{MODULE, Output, Preopen, WasiConfig, imports};
use crate::host::GuestState;

/// Where tests put paths (up to 4 KiB).
const PATH: u32 = 0x100;
/// Where tests put a second path.
const PATH2: u32 = 0x2000;
/// Where calls put results.
const OUT: u32 = 0x4000;
/// Where tests put lists and data.
const DATA: u32 = 0x8000;
/// Bytes of memory.
const MEMORY: usize = 0x20000;

/// Rights to read.
const READ: u64 = super::abi::rights::FD_READ;
/// Rights to write.
const WRITE: u64 = super::abi::rights::FD_WRITE;

/// The parameters of a call.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$(Value::from($value)),*] };
}
use args;

/// What a call answers: nothing, or an error number.
type Answer = Result<(), Errno>;

struct Guest {
    context: StoreContext,
    memory: Vec<u8>,
    counter: i64,
    fuel: u64,
}

impl Guest {
    fn new(config: WasiConfig) -> Self {
        Self::with_budget(config, &CallBudget::of_fuel(UNLIMITED_FUEL))
    }

    fn with_budget(config: WasiConfig, budget: &CallBudget) -> Self {
        Self::of(GuestState::with_wasi(config.build().expect("a good configuration")), budget)
    }

    fn of(state: GuestState, budget: &CallBudget) -> Self {
        let mut context = StoreContext::new(StoreLimits::default(), Box::new(state));
        let counter = context.meter.begin(budget);
        Self { context, memory: vec![0; MEMORY], counter, fuel: budget.fuel }
    }

    /// A guest with `path` as its descriptor 3.
    fn in_dir(path: &Path) -> Self {
        Self::new(WasiConfig { preopens: vec![Preopen::read_write(path, "/")], ..WasiConfig::default() })
    }

    /// A guest that may only read `path`, its descriptor 3.
    fn reading(path: &Path) -> Self {
        Self::new(WasiConfig { preopens: vec![Preopen::read_only(path, "/")], ..WasiConfig::default() })
    }

    /// Calls `name`, which may end the guest.
    fn try_call(&mut self, name: &str, params: &[Value]) -> Result<Answer, HostError> {
        let Some(Import::Host(func)) = imports().get(MODULE, name) else { panic!("no {name}") };
        assert!(Value::all_match(params, func.ty().params()), "{name} takes {}", func.ty());
        let mut results = Value::results_of(func.ty());
        let mut caller = Caller::new(&mut self.context, &mut self.memory, &mut self.counter);
        func.invoke(&mut caller, params, &mut results)?;
        Ok(match results[0] {
            Value::I32(0) => Ok(()),
            Value::I32(code) => Err(errno(code)),
            other => panic!("{name} answered {other}"),
        })
    }

    fn call(&mut self, name: &str, params: &[Value]) -> Answer {
        self.try_call(name, params).expect("the guest goes on")
    }

    fn state(&mut self) -> &mut super::WasiState {
        let state = self.context.state.downcast_mut::<GuestState>().expect("ours");
        state.wasi.as_mut().expect("given")
    }

    /// Fuel used so far.
    fn consumed(&self) -> u64 {
        self.fuel - self.context.meter.left(self.counter).max(0).cast_unsigned()
    }

    fn put(&mut self, at: u32, bytes: &[u8]) {
        self.memory[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }

    fn get(&self, at: u32, len: usize) -> &[u8] {
        &self.memory[at as usize..at as usize + len]
    }

    fn u32_at(&self, at: u32) -> u32 {
        u32::from_le_bytes(self.get(at, 4).try_into().expect("four bytes"))
    }

    fn u64_at(&self, at: u32) -> u64 {
        u64::from_le_bytes(self.get(at, 8).try_into().expect("eight bytes"))
    }

    /// Puts a path at [`PATH`] and returns its length.
    fn path(&mut self, path: &str) -> u32 {
        self.put(PATH, path.as_bytes());
        u32::try_from(path.len()).expect("short")
    }

    /// Puts a path at [`PATH2`] and returns its length.
    fn path2(&mut self, path: &str) -> u32 {
        self.put(PATH2, path.as_bytes());
        u32::try_from(path.len()).expect("short")
    }

    /// Opens `path` in descriptor `dir` without following a last symbolic link.
    fn open_at(&mut self, dir: u32, path: &str, oflags: u32, rights: u64) -> Result<u32, Errno> {
        self.open_with(dir, 0, path, oflags, rights, 0)
    }

    fn open_with(
        &mut self,
        dir: u32,
        lookup: u32,
        path: &str,
        oflags: u32,
        rights: u64,
        fdflags: u32,
    ) -> Result<u32, Errno> {
        let len = self.path(path);
        self.call("path_open", args![dir, lookup, PATH, len, oflags, rights, rights, fdflags, OUT])?;
        Ok(self.u32_at(OUT))
    }

    /// Opens `path` in descriptor 3, following symbolic links.
    fn open(&mut self, path: &str, oflags: u32, rights: u64) -> Result<u32, Errno> {
        self.open_with(3, 1, path, oflags, rights, 0)
    }

    /// Calls a function that takes descriptor 3 and a path.
    fn on_path(&mut self, name: &str, path: &str) -> Answer {
        let len = self.path(path);
        self.call(name, args![3_u32, PATH, len])
    }

    /// Puts an iov list of (pointer, length) at [`OUT`] + 64.
    fn iovs(&mut self, list: &[(u32, u32)]) -> (u32, u32) {
        let at = OUT + 64;
        for (i, (ptr, len)) in list.iter().enumerate() {
            let entry = [ptr.to_le_bytes(), len.to_le_bytes()].concat();
            self.put(at + 8 * i as u32, &entry);
        }
        (at, list.len() as u32)
    }

    fn try_write(&mut self, fd: u32, bytes: &[u8]) -> Result<Result<u32, Errno>, HostError> {
        self.put(DATA, bytes);
        let (iovs, count) = self.iovs(&[(DATA, bytes.len() as u32)]);
        let answer = self.try_call("fd_write", args![fd, iovs, count, OUT])?;
        Ok(answer.map(|()| self.u32_at(OUT)))
    }

    fn write(&mut self, fd: u32, bytes: &[u8]) -> Result<u32, Errno> {
        self.try_write(fd, bytes).expect("the guest goes on")
    }

    fn read(&mut self, fd: u32, len: u32) -> Result<Vec<u8>, Errno> {
        let (iovs, count) = self.iovs(&[(DATA, len)]);
        self.call("fd_read", args![fd, iovs, count, OUT])?;
        Ok(self.get(DATA, self.u32_at(OUT) as usize).to_vec())
    }
}

/// The error number `code`, which must be one of ours.
fn errno(code: i32) -> Errno {
    use Errno::*;
    let all = [
        TooBig,
        Access,
        Again,
        BadFd,
        Busy,
        Quota,
        Exists,
        Fault,
        FileTooBig,
        IllegalSequence,
        Interrupted,
        Invalid,
        Io,
        IsDirectory,
        Loop,
        TooManyOpen,
        TooManyLinks,
        NameTooLong,
        SystemTooManyOpen,
        NoDevice,
        NotFound,
        NoMemory,
        NoSpace,
        NotImplemented,
        NotDirectory,
        NotEmpty,
        NotSocket,
        NotSupported,
        NoSuchDevice,
        Overflow,
        Permission,
        BrokenPipe,
        ReadOnly,
        NotSeekable,
        Stale,
        TimedOut,
        TextBusy,
        CrossDevice,
        NotCapable,
    ];
    all.into_iter().find(|e| *e as i32 == code).unwrap_or_else(|| panic!("{code} is no error number"))
}

fn quiet(output: Output) -> WasiConfig {
    WasiConfig { stdout: output, ..WasiConfig::default() }
}
