//! [`Wasix`]: what wasmer-wasix keeps for one guest, and how it is called.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use cofferdam_engine::{CancelHandle, Value};
use parking_lot::Mutex;
use tracing::dispatcher::{Dispatch, with_default};
use wasmer::sys::{EngineBuilder, NativeEngineExt};
use wasmer::{Engine, Extern, Function, Imports, Instance, Memory, MemoryType, Module, Store};
use wasmer_wasix::capabilities::Capabilities;
use wasmer_wasix::runtime::resolver::{MultiSource, Source};
use wasmer_wasix::virtual_fs::{FileSystem, MountFileSystem};
use wasmer_wasix::virtual_net::{DynVirtualNetworking, UnsupportedVirtualNetworking};
use wasmer_wasix::wasmer_wasix_types::types::Signal;
use wasmer_wasix::{
    Runtime, VirtualTaskManager, WasiEnv, WasiError, WasiFunctionEnv, WasiModuleInstanceHandles, WasiModuleTreeHandles,
    WasiVersion, generate_import_object_from_env,
};

use crate::descriptors::Descriptors;
use crate::memory::{Lent, Loan, ShowLent};
use crate::names::{MODULE, PREVIEW1};
use crate::streams::{Allowance, Queues, Stream, StreamFile};
use crate::tasks::{TaskManager, Tasks, watch};

/// What a guest is given of WASIX.
#[derive(Debug, Default)]
pub struct Config {
    /// Arguments; the first is the program's name.
    pub args: Vec<String>,
    /// Environment variables, as name and value.
    pub env: Vec<(String, String)>,
    /// Directories: the guest's name for each, and what it is.
    pub dirs: Vec<(String, Arc<dyn FileSystem + Send + Sync>)>,
    /// How much one call may move, shared with `dirs`.
    pub allowance: Allowance,
    /// Caps.
    pub limits: Limits,
}

/// Caps on what one guest can make the host hold or do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Descriptors open at once, standard streams and directories included; above it `EMFILE`.
    pub open_files: u32,
    /// Elements of one scatter or gather list; above it `EINVAL`.
    pub iovs: u32,
    /// Bytes of one path; above it `ENAMETOOLONG`.
    pub path_bytes: u32,
    /// Different paths looked at: wasmer-wasix remembers each of them as long as the guest lives. Above it `ENFILE`.
    pub paths: usize,
}

impl Default for Limits {
    /// 128 descriptors, 1,024 elements, paths of 4,096 bytes, 16,384 different paths.
    fn default() -> Self {
        Self { open_files: 128, iovs: 1024, path_bytes: 4096, paths: 1 << 14 }
    }
}

/// WASIX cannot be given to a guest.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WasixError {
    /// A directory under this name cannot be given.
    #[error(
        "a directory cannot be given to a WASIX program as {0:?}: it must be `.`, or an absolute path without `..`"
    )]
    Directory(String),
    /// wasmer-wasix refuses; with its words.
    #[error("WASIX cannot be set up: {0}")]
    SetUp(String),
}

fn set_up(error: impl fmt::Display) -> WasixError {
    WasixError::SetUp(error.to_string())
}

/// What `.` is called when it is looked at from above: the program starts there.
const HERE: &str = "/cwd";

/// An error number of WASIX.
pub(crate) mod errno {
    pub const SUCCESS: i32 = 0;
    pub const BAD_FD: i32 = 8;
    pub const INVALID: i32 = 28;
    pub const TOO_MANY_OPEN: i32 = 33;
    pub const NAME_TOO_LONG: i32 = 37;
    pub const SYSTEM_TOO_MANY_OPEN: i32 = 41;
}

/// The rest of what wasmer-wasix asks for: nothing of it reaches anything.
#[derive(Debug)]
struct Nowhere {
    network: DynVirtualNetworking,
    tasks: Arc<dyn VirtualTaskManager>,
    engine: Engine,
}

impl Runtime for Nowhere {
    fn networking(&self) -> &DynVirtualNetworking {
        &self.network
    }

    fn task_manager(&self) -> &Arc<dyn VirtualTaskManager> {
        &self.tasks
    }

    fn source(&self) -> Arc<dyn Source + Send + Sync> {
        Arc::new(MultiSource::default())
    }

    fn engine(&self) -> Engine {
        self.engine.clone()
    }
}

/// A module without anything: wasmer-wasix wants an instance to look for exports in, and the guest is none of its.
static EMPTY: LazyLock<Result<(Engine, Module), String>> = LazyLock::new(|| {
    let engine: Engine = EngineBuilder::new(wasmer::sys::Cranelift::new()).engine().into();
    let module = Module::new(&engine, b"\0asm\x01\0\0\0").map_err(|e| e.to_string())?;
    Ok((engine, module))
});

/// How a function of wasmer-wasix ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With this error number, 0 for none; or with another kind of result.
    Returned(Vec<Value>),
    /// The program is to end, with this code.
    Exit(u32),
    /// In a way that only a fault can explain.
    Failed(String),
}

/// What wasmer-wasix keeps for one guest. It has a store of its own, in which no code of the guest's ever runs.
pub struct Wasix {
    store: Store,
    env: WasiFunctionEnv,
    imports: [Imports; 2],
    lent: Arc<Lent>,
    tasks: Arc<Tasks>,
    pub(crate) queues: Arc<Mutex<Queues>>,
    pub(crate) allowance: Allowance,
    pub(crate) limits: Limits,
    pub(crate) descriptors: Descriptors,
    /// Hashes of the paths looked at.
    paths: HashSet<u64>,
}

// SAFETY: what is not `Send` in it is Wasmer's store, for a callback that is never set. The handles of the store's
// objects, the instance and the environment refer to that store and move with it as one. No frame of it is live
// between calls, nothing of it is in a thread-local then, and all use goes through `&mut self`.
unsafe impl Send for Wasix {}

impl fmt::Debug for Wasix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wasix")
            .field("open", &self.descriptors.len())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Wasix {
    /// What `config` gives.
    ///
    /// # Errors
    /// A directory's name that cannot be, or something that wasmer-wasix refuses.
    pub fn new(config: Config) -> Result<Self, WasixError> {
        let (engine, module) = EMPTY.as_ref().map_err(set_up)?;
        let (lent, tasks, queues) = (Lent::new(), Arc::new(Tasks::default()), Arc::new(Mutex::new(Queues::default())));
        let mut engine = engine.clone();
        engine.set_tunables(ShowLent(lent.clone()));
        let runtime = Nowhere {
            network: Arc::new(UnsupportedVirtualNetworking::default()),
            tasks: Arc::new(TaskManager(tasks.clone())),
            engine: engine.clone(),
        };
        let (root, preopens, current) = mounted(config.dirs)?;
        let mut args = config.args.into_iter();
        let mut builder = WasiEnv::builder(args.next().unwrap_or_default())
            .args(args)
            .envs(config.env)
            .runtime(Arc::new(runtime))
            .disable_default_builtins(true)
            .capabilities(capabilities())
            .mount_fs(root)
            .stdin(StreamFile::input(&queues, &config.allowance))
            .stdout(StreamFile::output(&queues, &config.allowance, Stream::Stdout))
            .stderr(StreamFile::output(&queues, &config.allowance, Stream::Stderr));
        // The standard streams, the root, and the directories behind it.
        let given = u32::try_from(preopens.len()).map_err(set_up)?.saturating_add(4);
        for (alias, path) in preopens {
            builder.add_map_dir(&alias, path).map_err(set_up)?;
        }
        if let Some(current) = current {
            builder.set_current_dir(current);
        }
        let mut store = Store::new(engine);
        let mut env = builder.finalize(&mut store).map_err(set_up)?;
        let memory = Memory::new(&mut store, MemoryType::new(0, None, false)).map_err(set_up)?;
        let instance = Instance::new(&mut store, module, &Imports::new()).map_err(set_up)?;
        let handles = WasiModuleInstanceHandles::new(memory, &store, instance.clone(), None);
        env.initialize_handles_and_layout(&mut store, instance, WasiModuleTreeHandles::Static(handles), None, true)
            .map_err(set_up)?;
        let imports = [WasiVersion::Wasix32v1, WasiVersion::Snapshot1]
            .map(|version| generate_import_object_from_env(&mut store, &env.env, version));
        Ok(Self {
            store,
            env,
            imports,
            lent,
            tasks,
            queues,
            allowance: config.allowance,
            limits: config.limits,
            descriptors: Descriptors::new(given),
            paths: HashSet::new(),
        })
    }

    /// The names of all functions of `module`, whether they are offered or not.
    #[must_use]
    pub fn all_names(&self, module: &str) -> Vec<String> {
        let Some(imports) = self.imports_of(module) else { return Vec::new() };
        let exports = imports.get_namespace_exports(module);
        exports.iter().flat_map(|all| all.iter().map(|(name, _)| name.clone())).collect()
    }

    fn imports_of(&self, module: &str) -> Option<&Imports> {
        let [wasix, preview1] = &self.imports;
        match module {
            MODULE => Some(wasix),
            PREVIEW1 => Some(preview1),
            _ => None,
        }
    }

    /// wasmer-wasix's function of that name.
    pub(crate) fn function(&self, module: &str, name: &str) -> Option<Function> {
        match self.imports_of(module)?.get_export(module, name)? {
            Extern::Function(function) => Some(function),
            _ => None,
        }
    }

    /// Its type.
    pub(crate) fn type_of(&self, function: &Function) -> wasmer::FunctionType {
        function.ty(&self.store)
    }

    /// Shows the guest's memory to the functions of the store until the loan ends.
    ///
    /// # Safety
    /// As for [`Lent::lend`].
    pub(crate) unsafe fn lend(lent: &Lent, base: *mut u8, len: usize) -> Loan<'_> {
        // SAFETY: the caller vouches for it.
        unsafe { lent.lend(base, len) }
    }

    pub(crate) fn lent(&self) -> Arc<Lent> {
        self.lent.clone()
    }

    /// Calls `function`.
    pub(crate) fn call(&mut self, function: &Function, params: &[Value]) -> Ended {
        let mut values = Vec::with_capacity(params.len());
        for param in params {
            values.push(match param {
                Value::I32(v) => wasmer::Value::I32(*v),
                Value::I64(v) => wasmer::Value::I64(*v),
                _ => return Ended::Failed("WASIX has integers only".to_owned()),
            });
        }
        // What wasmer-wasix would log is the guest's doing, as often and as long as it likes.
        match with_default(&Dispatch::none(), || function.call(&mut self.store, &values)) {
            Ok(results) => {
                let neutral = results.iter().map(|value| match *value {
                    wasmer::Value::I32(v) => Some(Value::I32(v)),
                    wasmer::Value::I64(v) => Some(Value::I64(v)),
                    _ => None,
                });
                neutral
                    .collect::<Option<Vec<_>>>()
                    .map_or_else(|| Ended::Failed("WASIX has integers only".to_owned()), Ended::Returned)
            }
            Err(error) => match error.downcast_ref::<WasiError>() {
                Some(WasiError::Exit(code)) => Ended::Exit(code.raw().cast_unsigned()),
                _ => Ended::Failed(error.message().chars().take(200).collect()),
            },
        }
    }

    /// Calls `function`, which may wait; from `deadline` on, or when `cancel` is cancelled, it is made to return.
    pub(crate) fn call_waiting(
        &mut self,
        function: &Function,
        params: &[Value],
        deadline: Option<Instant>,
        cancel: Option<CancelHandle>,
    ) -> Ended {
        let tasks = self.tasks.clone();
        let process = self.env.data(&self.store).process.clone();
        let cancelled = move || cancel.as_ref().is_some_and(CancelHandle::is_cancelled);
        let end = move || process.signal_process(Signal::Sigkill);
        let called = watch(&tasks, deadline, cancelled, end, || self.call(function, params));
        called.unwrap_or_else(|error| Ended::Failed(format!("no thread can be started to watch a wait: {error}")))
    }

    /// Whether one more descriptor may be opened.
    pub(crate) fn has_room(&self) -> bool {
        self.descriptors.len() < self.limits.open_files as usize
    }

    /// Calls wasmer-wasix's function of that name, which looks at no memory.
    fn ask(&mut self, name: &str, fds: &[u32]) -> Ended {
        let Some(function) = self.function(PREVIEW1, name) else {
            return Ended::Failed(format!("wasmer-wasix lost its `{name}`"));
        };
        let params: Vec<_> = fds.iter().map(|fd| Value::I32(fd.cast_signed())).collect();
        self.call(&function, &params)
    }

    /// Whether wasmer-wasix holds `fd` open: to renumber it to itself then succeeds, and does nothing.
    fn is_open(&mut self, fd: u32) -> bool {
        matches!(self.ask("fd_renumber", &[fd, fd]), Ended::Returned(results) if results == [Value::I32(0)])
    }

    /// Keeps the books after the guest closed `fd`.
    pub(crate) fn closed(&mut self, fd: u32) {
        let still_open = self.is_open(fd);
        self.descriptors.closed(fd, still_open);
    }

    /// `fd_renumber` of preview 1, which closes `from`. What wasmer-wasix has by that name only duplicates it, as
    /// WASIX has it.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Ended {
        if !self.is_open(to) {
            return Ended::Returned(vec![Value::I32(errno::BAD_FD)]);
        }
        let ended = self.ask("fd_renumber", &[from, to]);
        if from == to || !matches!(&ended, Ended::Returned(results) if *results == [Value::I32(0)]) {
            return ended;
        }
        self.descriptors.opened(to, None);
        let closed = self.ask("fd_close", &[from]);
        self.closed(from);
        closed
    }

    /// Notes that `path` is looked at; false if there are too many different ones.
    pub(crate) fn look(&mut self, path: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let hash = hasher.finish();
        self.paths.contains(&hash) || (self.paths.len() < self.limits.paths && self.paths.insert(hash))
    }
}

/// No threads, no deep sleep, no network.
fn capabilities() -> Capabilities {
    let mut capabilities = Capabilities::new();
    capabilities.threading.max_threads = Some(1);
    capabilities.threading.enable_asynchronous_threading = false;
    capabilities.threading.enable_deep_sleep = false;
    capabilities.max_sock_recv_size = Some(0);
    capabilities
}

/// A root with every directory in it, the names to give them by, and where to start.
type Mounted = (MountFileSystem, Vec<(String, String)>, Option<&'static str>);

fn mounted(dirs: Vec<(String, Arc<dyn FileSystem + Send + Sync>)>) -> Result<Mounted, WasixError> {
    let root = MountFileSystem::new();
    let (mut preopens, mut current) = (Vec::new(), None);
    for (name, dir) in dirs {
        let trimmed = name.strip_prefix("./").unwrap_or(&name).trim_end_matches('/');
        let refused = || WasixError::Directory(name.clone());
        let path = match trimmed {
            "." => {
                current = Some(HERE);
                HERE.to_owned()
            }
            "" => return Err(refused()),
            _ if trimmed.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) => return Err(refused()),
            _ if trimmed.starts_with('/') => trimmed.to_owned(),
            _ if trimmed.starts_with("..") => return Err(refused()),
            _ => format!("/{trimmed}"),
        };
        root.mount(&path, dir).map_err(|_| refused())?;
        preopens.push((name.clone(), path));
    }
    Ok((root, preopens, current))
}
