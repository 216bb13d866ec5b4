//! One guest, safely: bytes in, outcome out. A module goes one way (recognise, validate and gate, check
//! imports, prepare, compile, instantiate, call) and each step can only be reached through the one
//! before. This room knows engines only as [`Engine`] values and asks `policy` what is allowed.

mod asynchronous;
mod bytes;
mod command;
mod error;
mod globals;
mod guest;
mod load;
mod memory;
mod outcome;
mod permits;
mod resources;
mod typed;
mod workers;

use std::path::PathBuf;
use std::sync::Arc;

use cofferdam_engine::{
    AccessError, ArtefactKey, Engine, EngineFault, Extern, ExternType, HostFunc, Import, Imports, InstantiateError,
    MemoryType, Store, TableType, ValType, Value,
};
use cofferdam_prepare::{ModuleBytes, recognise};

use crate::cache::within_reach;
use crate::host::{self, GuestState, wasi};
use crate::policy::{CannotEnforce, Limits, SecurityPolicy};

pub use asynchronous::{AsyncCallError, AsyncGuest, NotRun};
pub(crate) use asynchronous::{CancelOnDrop, work_on};
pub use bytes::{BytesAbi, Packed};
pub use command::{Command, CommandError, CommandOutput};
pub use error::{CallError, CallErrorKind};
pub use globals::GlobalError;
pub use guest::{COMMAND, CallOptions, Guest};
pub(crate) use load::is_hidden;
pub use load::{ImportRefusal, LoadError, Module, Printable, refused_imports};
pub use memory::{GuestMemory, MemoryError, Number};
pub use outcome::{CallRefusal, Outcome, Receipt, Report};
pub(crate) use permits::set_interlude;
pub use permits::{Permit, RunPermits};
pub(crate) use resources::{Counted, Reservation};
pub use resources::{HostMemorySpent, ResourceConfig, Resources};
pub use typed::TypedFunc;
pub use workers::{Busy, Workers};

/// An engine, a policy and the host functions that guests may be given: where modules are loaded and
/// guests are made. Clones are the same sandbox; everything on it may be called from many threads.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    policy: SecurityPolicy,
    host: Imports,
    resources: Arc<Resources>,
}

/// Puts a [`Sandbox`] together.
pub struct SandboxBuilder {
    engine: Arc<dyn Engine>,
    policy: SecurityPolicy,
    host: Imports,
    /// Imports to be granted beside the policy's own grants.
    granted: Vec<(String, String)>,
    wasix: bool,
    limits: Option<Limits>,
    resources: Option<Arc<Resources>>,
}

impl SandboxBuilder {
    /// The policy; [`SecurityPolicy::standard`] if none is given.
    #[must_use]
    pub fn policy(mut self, policy: SecurityPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Host functions beside WASI and those of agents. The policy's grants decide which of them a guest is linked with.
    #[must_use]
    pub fn host(mut self, imports: &Imports) -> Self {
        for (module, name, import) in imports.iter() {
            self.host.define(module, name, import.clone());
        }
        self
    }

    /// One host function, given and granted at once.
    ///
    /// ```
    /// use cofferdam::{engines, GuestState, HostFunc, Sandbox};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if engines::names().is_empty() { return Ok(()); }
    /// let sandbox = Sandbox::builder(engines::by_name("auto")?)
    ///     .func("env", "double", HostFunc::typed(|_, n: u32| Ok(n.wrapping_mul(2))))
    ///     .build()?;
    /// let module = sandbox.load(br#"(module (import "env" "double" (func $double (param i32) (result i32)))
    ///     (func (export "quadruple") (param i32) (result i32) (call $double (call $double (local.get 0)))))"#)?;
    /// let mut guest = sandbox.guest(&module, GuestState::default())?;
    /// assert_eq!(guest.typed::<u32, u32>("quadruple")?.call(&mut guest, 3)?, 12);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn func(mut self, module: &str, name: &str, func: HostFunc) -> Self {
        self.host.host(module, name, func);
        self.granted.push((module.to_owned(), name.to_owned()));
        self
    }

    /// Grants WASI preview 1, whatever the policy grants. What it reaches is decided for each guest.
    #[must_use]
    pub fn wasi(mut self) -> Self {
        self.granted.extend(wasi::imports().iter().map(|(module, name, _)| (module.to_owned(), name.to_owned())));
        self
    }

    /// Runs guests as WASIX programs, without any of WASIX's permissions, and grants them WASI preview 1 as well,
    /// which such programs use beside it. Needs the cargo feature `wasix` and the engine `wasmer-cranelift`.
    #[must_use]
    pub fn wasix(mut self) -> Self {
        self.wasix = true;
        self.wasi()
    }

    /// How much each guest may use, whatever the policy says.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// What this sandbox shares with others.
    #[must_use]
    pub fn resources(mut self, resources: Arc<Resources>) -> Self {
        self.resources = Some(resources);
        self
    }

    /// The sandbox.
    ///
    /// # Errors
    /// A limit or determinism that the policy requires and the engine cannot enforce.
    pub fn build(mut self) -> Result<Sandbox, CannotEnforce> {
        for (module, name) in &self.granted {
            self.policy.grants = self.policy.grants.import(module, name);
        }
        if let Some(limits) = self.limits {
            self.policy.limits = limits;
        }
        if self.wasix {
            self.policy.wasix.get_or_insert_default();
        }
        let descriptor = self.engine.descriptor();
        self.policy.check(descriptor.id, &descriptor.capabilities)?;
        #[cfg(feature = "wasix")]
        if self.policy.wasix.is_some() {
            let requirement = "WASIX (the crate wasmer-wasix is not as expected)";
            let imports = host::wasix::imports().map_err(|_| CannotEnforce { engine: descriptor.id, requirement })?;
            for (module, name, import) in imports.iter() {
                self.host.define(module, name, import.clone());
                if module != wasi::MODULE {
                    self.policy.grants = self.policy.grants.import(module, name);
                }
            }
        }
        let resources = self.resources.unwrap_or_else(|| Resources::new(&ResourceConfig::default()));
        Ok(Sandbox(Arc::new(Inner { engine: self.engine, policy: self.policy, host: self.host, resources })))
    }
}

/// Why a guest could not be made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// Its module could not be instantiated.
    #[error(transparent)]
    Instantiate(#[from] InstantiateError),
    /// The host has no memory left to promise.
    #[error(transparent)]
    HostMemory(#[from] HostMemorySpent),
    /// A stand-in for an unknown memory, table or global could not be made.
    #[error("no stand-in for {kind} import `{import}` can be made: {error}")]
    StandIn {
        /// The import.
        import: Printable,
        /// What it would have to be.
        kind: &'static str,
        /// Why.
        error: AccessError,
    },
    /// It would reach the artefact cache, and with it could forge machine code for the next run.
    #[error(
        "the directory {} cannot be given to a guest: through it the guest could reach the artefact cache in {}, and \
         put code there that the next run would believe; give it another directory, or keep the cache elsewhere",
        directory.display(), cache.display()
    )]
    CacheWithinReach {
        /// The directory on the host.
        directory: PathBuf,
        /// Where the cache is.
        cache: PathBuf,
    },
    /// It cannot be made a WASIX program.
    #[error("{0}")]
    Wasix(String),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineFault),
    /// It was to be made on a worker, and was not.
    #[error(transparent)]
    NotRun(#[from] NotRun),
}

impl Sandbox {
    /// A sandbox on `engine`.
    #[must_use]
    pub fn builder(engine: Arc<dyn Engine>) -> SandboxBuilder {
        SandboxBuilder {
            engine,
            policy: SecurityPolicy::default(),
            host: host::imports(),
            granted: Vec::new(),
            wasix: false,
            limits: None,
            resources: None,
        }
    }

    /// The policy it was built with.
    #[must_use]
    pub fn policy(&self) -> &SecurityPolicy {
        &self.0.policy
    }

    /// The engine it runs on.
    #[must_use]
    pub fn engine(&self) -> &dyn Engine {
        &*self.0.engine
    }

    /// The host functions that its policy grants, as module and name, in order.
    #[must_use]
    pub fn granted(&self) -> Vec<(String, String)> {
        let all = self.0.host.iter().map(|(module, name, _)| (module.to_owned(), name.to_owned()));
        let mut granted: Vec<_> = all.filter(|(module, name)| self.0.policy.grants.allows(module, name)).collect();
        granted.sort();
        granted
    }

    /// What it shares with others.
    #[must_use]
    pub fn resources(&self) -> &Arc<Resources> {
        &self.0.resources
    }

    /// Takes a module (binary or text) through every gate and compiles it, or finds it compiled.
    ///
    /// # Errors
    /// What is wrong with it, what the policy does not allow, or the engine's failure.
    pub fn load(&self, module: &[u8]) -> Result<Module, LoadError> {
        self.make(recognise(module, &self.0.policy.module_limits)?)
    }

    fn make(&self, bytes: ModuleBytes) -> Result<Module, LoadError> {
        self.loader().load(&bytes)
    }

    /// The module if it is compiled already; its bytes if it is not.
    fn find(&self, module: &[u8]) -> Result<Result<Module, ModuleBytes>, LoadError> {
        let bytes = recognise(module, &self.0.policy.module_limits)?;
        match self.loader().find(&bytes) {
            Some(found) => found.map(Ok),
            None => Ok(Err(bytes)),
        }
    }

    /// Compiles a module and puts it, with its code sealed by `key`, into one file to be kept or shipped; see
    /// [`bundle`](crate::cache::bundle).
    ///
    /// # Errors
    /// As [`Sandbox::load`].
    pub fn compile(&self, module: &[u8], key: &ArtefactKey) -> Result<Vec<u8>, LoadError> {
        self.loader().bundle(module, key)
    }

    /// Loads what [`Sandbox::compile`] made. Its code is taken only if a key of `trusted` sealed it and it was
    /// made for the same engine, processor and policy. Otherwise the module in it is compiled like any other,
    /// and the second value says why.
    ///
    /// # Errors
    /// As [`Sandbox::load`].
    pub fn load_compiled(
        &self,
        file: &[u8],
        trusted: &[ArtefactKey],
    ) -> Result<(Module, Option<&'static str>), LoadError> {
        self.loader().load_bundle(file, trusted)
    }

    fn loader(&self) -> load::Loader<'_> {
        let inner = &*self.0;
        load::Loader {
            engine: &*inner.engine,
            policy: &inner.policy,
            host: &inner.host,
            cache: &inner.resources.cache,
            disk: inner.resources.disk.as_deref(),
        }
    }

    /// Makes a guest: a store of its own with one instance of `module`. No guest code runs yet.
    ///
    /// # Errors
    /// A cap that the module's own minimum is above, the host's memory budget, or the engine's failure.
    pub fn guest(&self, module: &Module, state: GuestState) -> Result<Guest, GuestError> {
        self.guest_with(module, state, self.0.policy.limits.clone())
    }

    /// The same with other limits than the policy's.
    ///
    /// # Errors
    /// As [`Sandbox::guest`].
    pub fn guest_with(&self, module: &Module, mut state: GuestState, limits: Limits) -> Result<Guest, GuestError> {
        state.apply(&limits, self.0.policy.determinism);
        if let (Some(cache), Some(wasi)) = (&self.0.resources.disk, &state.wasi) {
            let cache = cache.path();
            if let Some(directory) = wasi.host_directories().iter().find(|directory| within_reach(directory, cache)) {
                return Err(GuestError::CacheWithinReach { directory: directory.clone(), cache: cache.to_owned() });
            }
        }
        #[cfg(feature = "wasix")]
        if self.0.policy.wasix.is_some() {
            state.with_wasix().map_err(|error| GuestError::Wasix(error.to_string()))?;
        }
        // Whatever else the host would hold for it; unlimited caps of many guests must still add up.
        let beside = state.host_bytes().min(1 << 48);
        let reservation = self.0.resources.reserve(limits.memory.get().saturating_add(beside))?;
        let mut store = self.0.engine.store(&limits.store(), Box::new(state))?;
        let instance = if module.stand_ins.is_empty() {
            store.instantiate(&*module.compiled, &module.imports)?
        } else {
            let imports = with_stand_ins(&mut *store, module)?;
            store.instantiate(&*module.compiled, &imports)?
        };
        let descriptor = self.0.engine.descriptor();
        let engine = (descriptor.id, descriptor.version);
        Ok(Guest::new(store, instance, module.clone(), limits, engine, self.0.resources.clone(), reservation))
    }
}

/// Makes the smallest memory, table or global that fits each import that nobody provides.
fn with_stand_ins(store: &mut dyn Store, module: &Module) -> Result<Imports, GuestError> {
    let mut imports = module.imports.clone();
    for import in &module.stand_ins {
        let made = match &import.ty {
            ExternType::Memory(ty) => store.new_memory(MemoryType { ..*ty }).map(Extern::Memory),
            ExternType::Table(ty) => {
                let element = ty.element.unwrap_or(ValType::FuncRef);
                store.new_table(TableType { ..*ty }, Value::default_of(element)).map(Extern::Table)
            }
            ExternType::Global(ty) => match ty.value {
                Some(value) => store.new_global(*ty, Value::default_of(value)).map(Extern::Global),
                None => Err(AccessError::Unsupported),
            },
            ExternType::Func(_) | ExternType::Tag => Err(AccessError::Unsupported),
        };
        let made = made.map_err(|error| GuestError::StandIn {
            import: Printable::new(&format!("{}.{}", import.module, import.name)),
            kind: import.ty.kind(),
            error,
        })?;
        imports.define(&import.module, &import.name, Import::Extern(made));
    }
    Ok(imports)
}
