//! [`Command`]: one WASI program, run to its end, with what it wrote: as with `std::process::Command`.

use std::any::Any;
use std::borrow::Cow;
use std::path::PathBuf;

use cofferdam_engine::CancelHandle;

use super::asynchronous::{CancelOnDrop, NotRun};
use super::error::CallError;
use super::guest::{COMMAND, CallOptions};
use super::load::Module;
use super::outcome::{Outcome, Receipt};
use super::{GuestError, Sandbox};
use crate::host::GuestState;
use crate::host::wasi::{MemoryView, Output, Preopen, Stdin, WasiConfig, WasiConfigError, WasiState};
use crate::policy::Limits;

/// A WASI program that is about to be run. It has no arguments, variables or directories but these, an empty
/// standard input, and what it writes is captured.
///
/// ```
/// use cofferdam::policy::Limits;
/// use cofferdam::{engines, Sandbox};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if engines::names().is_empty() { return Ok(()); }
/// let sandbox = Sandbox::builder(engines::by_name("auto")?).wasi().limits(Limits::tool()).build()?;
/// let wordcount = sandbox.load(&std::fs::read("examples/guests/wordcount.wasm")?)?;
///
/// let output = sandbox.command(&wordcount).arg("-").stdin("two words\n").run()?;
/// assert_eq!((output.exit_code, output.text()), (0, "       1       2      10 -\n".into()));
/// # Ok(())
/// # }
/// ```
#[must_use = "it is not run yet"]
pub struct Command {
    sandbox: Sandbox,
    module: Module,
    name: String,
    wasi: WasiConfig,
    limits: Limits,
    options: CallOptions,
    state: GuestState,
}

/// What a program that came to its end has left.
#[derive(Debug)]
#[non_exhaustive]
pub struct CommandOutput {
    /// The exit code it gave; 0 if it returned.
    pub exit_code: u32,
    /// What it wrote to standard output, unless that was sent elsewhere.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, unless that was sent elsewhere.
    pub stderr: Vec<u8>,
    /// What it cost.
    pub receipt: Receipt,
    /// By the names that it knew them as.
    files: Vec<(String, MemoryView)>,
    /// Without WASI, so that whoever reads its streams sees their end.
    state: GuestState,
}

/// Why a program was not run, or did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The module is no program.
    #[error("the module exports no function `_start`: it is no WASI command")]
    NotCommand,
    /// Something that it was to be given cannot be given.
    #[error(transparent)]
    Wasi(#[from] WasiConfigError),
    /// No guest could be made of it.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// It trapped or was stopped.
    #[error("{error}")]
    Ended {
        /// Why.
        error: CallError,
        /// What it had written to standard output until then.
        stdout: Vec<u8>,
        /// What it had written to standard error until then.
        stderr: Vec<u8>,
    },
    /// It was to be run on a worker, and was not.
    #[error(transparent)]
    NotRun(#[from] NotRun),
}

impl CommandError {
    /// Why it ended, if it had begun.
    #[must_use]
    pub fn call_error(&self) -> Option<&CallError> {
        if let Self::Ended { error, .. } = self { Some(error) } else { None }
    }
}

impl CommandOutput {
    /// Whether the exit code is 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.exit_code == 0
    }

    /// Standard output as text; what is no UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// The directory in memory, or the changes to an overlay, that it knew as `guest`. `None` if it was given
    /// no such one.
    #[must_use]
    pub fn files(&self, guest: &str) -> Option<MemoryView> {
        self.files.iter().find(|(name, _)| name == guest).map(|(_, files)| files.clone())
    }

    /// The data of type `T` that it was given with [`Command::data`].
    #[must_use]
    pub fn get<T: Any + Send>(&self) -> Option<&T> {
        self.state.get()
    }
}

impl Sandbox {
    /// The WASI program `module`, to be run under the policy's limits. The policy must grant WASI
    /// ([`SandboxBuilder::wasi`](super::SandboxBuilder::wasi)), or the module would not have been loaded.
    pub fn command(&self, module: &Module) -> Command {
        let command = Command {
            sandbox: self.clone(),
            module: module.clone(),
            name: "guest".to_owned(),
            wasi: WasiConfig::default(),
            limits: Limits::default(),
            options: CallOptions::default(),
            state: GuestState::default(),
        };
        command.limits(self.policy().limits.clone())
    }
}

impl Command {
    /// The program's name: its argument 0. `guest` if none is given.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.wasi.args.push(arg.into());
        self
    }

    /// More arguments.
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.wasi.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.wasi.env.push((name.into(), value.into()));
        self
    }

    /// What it reads from standard input.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.wasi.stdin = Stdin::Bytes(bytes.into());
        self
    }

    /// The host's directory `host`, to be read only, under the name `guest`.
    pub fn dir(self, host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        self.preopen(Preopen::read_only(host, guest))
    }

    /// A directory, with what may be done in it.
    pub fn preopen(mut self, preopen: Preopen) -> Self {
        self.wasi.preopens.push(preopen);
        self
    }

    /// Data of the embedder's own, for host functions; see [`GuestState::with`].
    pub fn data<T: Any + Send>(mut self, data: T) -> Self {
        self.state = self.state.with(data);
        self
    }

    /// Its standard streams are this process's own; nothing is captured.
    pub fn inherit_stdio(mut self) -> Self {
        (self.wasi.stdin, self.wasi.stdout, self.wasi.stderr) = (Stdin::Inherit, Output::Inherit, Output::Inherit);
        self
    }

    /// Other limits than the policy's.
    pub fn limits(mut self, limits: Limits) -> Self {
        // The defaults of WASI must not be what counts where these allow more.
        self.wasi.limits.output_bytes = limits.output.get();
        self.wasi.limits.open_files = limits.open_files;
        self.wasi.limits.scratch_bytes = limits.scratch.get();
        self.wasi.limits.disk_bytes = limits.disk.get();
        self.limits = limits;
        self
    }

    /// `cancel` ends it.
    pub fn cancel(mut self, cancel: &CancelHandle) -> Self {
        self.options = self.options.cancel(cancel);
        self
    }

    /// Everything else of WASI: streams, clocks, randomness, caps. Arguments are there without the name.
    pub fn configure(mut self, change: impl FnOnce(&mut WasiConfig)) -> Self {
        change(&mut self.wasi);
        self
    }

    /// Runs it on this thread. An exit code other than 0 is no error here.
    ///
    /// # Errors
    /// It cannot be run, or was ended by a trap, a limit or the host; with what it wrote until then.
    pub fn run(mut self) -> Result<CommandOutput, CommandError> {
        if !self.module.has_function(COMMAND) {
            return Err(CommandError::NotCommand);
        }
        self.wasi.args.insert(0, self.name);
        let names: Vec<_> = self.wasi.preopens.iter().map(|preopen| preopen.guest.clone()).collect();
        self.state.wasi = Some(self.wasi.build()?);
        let mut guest = self.sandbox.guest_with(&self.module, self.state, self.limits)?;
        let report = guest.call_with(COMMAND, &[], &self.options);
        let mut state = guest.into_state().unwrap_or_default();
        let mut wasi = state.wasi.take();
        state.without_wasix();
        // Moved: it may be as large as the cap, and a second time as large need not be there.
        let [stdout, stderr] = wasi.as_mut().map(WasiState::take_output).unwrap_or_default();
        match report.outcome {
            Outcome::Completed { exit_code, .. } => {
                let exit_code = exit_code.unwrap_or(0);
                let files =
                    names.into_iter().filter_map(|n| wasi.as_ref()?.memory(&n).map(|files| (n, files))).collect();
                Ok(CommandOutput { exit_code, stdout, stderr, receipt: report.receipt, files, state })
            }
            _ => Err(CommandError::Ended { error: CallError::new(report, None), stdout, stderr }),
        }
    }

    /// Runs it on a worker, waiting for one if none is free. Dropping the future ends the program.
    ///
    /// # Errors
    /// As [`Command::run`], and [`CommandError::NotRun`].
    pub async fn run_async(mut self) -> Result<CommandOutput, CommandError> {
        let cancel = self.options.cancel.as_ref().map_or_else(CancelHandle::new, CancelHandle::child);
        self.options = self.options.cancel(&cancel);
        let _cancel_on_drop = CancelOnDrop(Some(cancel));
        let sandbox = self.sandbox.clone();
        sandbox.work(move |_| self.run()).await?
    }
}
