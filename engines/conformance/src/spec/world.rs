//! [`World`]: the store that one file of the suite runs in, with the instances it has made, the host module
//! `spectest`, and the way from a module's bytes to an instance.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_engine::{
    AccessError, CallBudget, CompiledModule, Extern, FuncType, GlobalType, HostFunc, Import, Imports, InstanceId,
    InstantiateError, MemoryType, Stop, Store, StoreLimits, TableType, ValType, Value,
};
use cofferdam_prepare::{Gate, ModuleLimits, PrepareOptions, Refusal, ValidModule, prepare_for, recognise, validate};

use super::suites::Suite;
use crate::cell::Cell;
use crate::read::PLENTY;
use crate::trouble::{Done, Trouble};

/// Long past what any call of the suite takes: a guest that runs for ever fails instead.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Caps of the store: only the stack budget is meant to be met.
const LIMITS: StoreLimits = StoreLimits {
    memory_bytes: 16 << 30,
    table_elements: 20_000_000,
    stack_units: 512 << 10,
    instances: u32::MAX,
    host_calls: u64::MAX,
};

/// Why something did not come to its end.
pub(super) enum Failure {
    /// Before the guest or the linker had a say.
    Trouble(Trouble),
    /// The instance could not be made.
    Instantiate(InstantiateError),
    /// A call did not return.
    Stop(Stop),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl Failure {
    /// What it is where nothing was to fail.
    pub fn unexpected(self) -> Trouble {
        match self {
            Self::Trouble(trouble) => trouble,
            Self::Instantiate(e) => Trouble::Wrong(format!("not instantiated: {e}")),
            Self::Stop(stop) => Trouble::Wrong(format!("did not return: {stop}")),
        }
    }
}

/// An instance, or why there is none.
type Slot = Done<InstanceId>;

/// The store of one file.
pub(super) struct World<'a> {
    cell: Cell<'a>,
    gate: Gate,
    store: Box<dyn Store>,
    /// What `spectest` has been asked for so far.
    spectest: HashMap<String, Import>,
    definitions: HashMap<String, Done<Arc<dyn CompiledModule>>>,
    /// The module defined last, for `(module instance)` without a name.
    last_definition: Option<Done<Arc<dyn CompiledModule>>>,
    named: HashMap<String, Slot>,
    registered: HashMap<String, Slot>,
    /// The instance made last, which directives without a name are about.
    current: Slot,
}

impl<'a> World<'a> {
    /// An empty one.
    ///
    /// # Errors
    /// The engine's fault.
    pub fn new(cell: Cell<'a>, suite: &Suite) -> Done<Self> {
        let store = cell.engine.store(&LIMITS, Box::new(())).map_err(|e| Trouble::wrong(format!("no store: {e}")))?;
        let mut limits = ModuleLimits::default();
        for (name, _) in ModuleLimits::ALL {
            limits.set(name, u64::MAX);
        }
        Ok(Self {
            cell,
            gate: Gate { features: suite.features, level: suite.policy.into(), limits },
            store,
            spectest: HashMap::new(),
            definitions: HashMap::new(),
            last_definition: None,
            named: HashMap::new(),
            registered: HashMap::new(),
            current: Err(Trouble::wrong("no module was instantiated yet")),
        })
    }

    /// Recognises, validates and gates `module`, binary or text.
    ///
    /// # Errors
    /// The refusal.
    pub fn gated(&self, module: &[u8]) -> Result<ValidModule, Refusal> {
        validate(recognise(module, &self.gate.limits)?, &self.gate)
    }

    /// The whole way from bytes to code.
    ///
    /// # Errors
    /// [`Trouble::Lacks`] if the engine does not offer what the module uses, and refused it by that name.
    pub fn compiled(&self, module: &[u8]) -> Done<Arc<dyn CompiledModule>> {
        let options = PrepareOptions { mode: self.cell.mode, canonical_nans: false };
        let prepared = self.gated(module).and_then(|valid| prepare_for(valid, &options, self.cell.engine.assist()));
        match prepared {
            Ok(prepared) => self.cell.compile_prepared(&prepared),
            Err(Refusal::Unsupported { what, .. }) => Err(Trouble::Lacks(what.to_owned())),
            Err(refusal) => Err(Trouble::Wrong(format!("refused: {refusal}"))),
        }
    }

    /// Makes an instance of `module`, links it with what is registered, and runs its start function.
    ///
    /// # Errors
    /// All there are.
    pub fn instance_of(&mut self, module: &dyn CompiledModule) -> Result<InstanceId, Failure> {
        let mut imports = Imports::new();
        for wanted in module.prepared().imports() {
            let given = match self.registered.get(&*wanted.module) {
                Some(Ok(instance)) => self.store.export(*instance, &wanted.name).map(Import::Extern),
                Some(Err(trouble)) => return Err(trouble.clone().into()),
                None if &*wanted.module == "spectest" => self.spectest(&wanted.name)?,
                None => None,
            };
            if let Some(given) = given {
                imports.define(&wanted.module, &wanted.name, given);
            }
        }
        let instance = self.store.instantiate(module, &imports).map_err(Failure::Instantiate)?;
        if let Some(start) = self.store.start(instance) {
            self.store.call(start, &[], &mut [], &mut budget()).map_err(Failure::Stop)?;
        }
        Ok(instance)
    }

    /// A module of the file: compiled and instantiated, and the current one from now on.
    ///
    /// # Errors
    /// What kept it from being made.
    pub fn module(&mut self, name: Option<&str>, module: &[u8]) -> Done {
        let compiled = self.compiled(module);
        self.definition(name, compiled.clone());
        let made = match compiled {
            Ok(compiled) => self.instance_of(&*compiled).map_err(Failure::unexpected),
            Err(trouble) => Err(trouble),
        };
        self.keep(name, made)
    }

    /// A module that is defined and not instantiated.
    pub fn definition(&mut self, name: Option<&str>, compiled: Done<Arc<dyn CompiledModule>>) {
        if let Some(name) = name {
            self.definitions.insert(name.to_owned(), compiled.clone());
        }
        self.last_definition = Some(compiled);
    }

    /// An instance of a module that was defined before.
    ///
    /// # Errors
    /// What kept it from being made.
    pub fn instance(&mut self, name: Option<&str>, definition: Option<&str>) -> Done {
        let found = match definition {
            Some(definition) => self.definitions.get(definition).cloned(),
            None => self.last_definition.clone(),
        };
        let made = match found.unwrap_or_else(|| Err(Trouble::wrong("no such module was defined"))) {
            Ok(compiled) => self.instance_of(&*compiled).map_err(Failure::unexpected),
            Err(trouble) => Err(trouble),
        };
        self.keep(name, made)
    }

    fn keep(&mut self, name: Option<&str>, made: Slot) -> Done {
        if let Some(name) = name {
            self.named.insert(name.to_owned(), made.clone());
        }
        self.current = made.clone();
        made.map(drop)
    }

    fn find(&self, name: Option<&str>) -> Slot {
        match name {
            None => self.current.clone(),
            Some(name) => match self.named.get(name) {
                Some(slot) => slot.clone(),
                None => Err(Trouble::Wrong(format!("there is no instance `{name}`"))),
            },
        }
    }

    /// Lets later modules import from an instance as `name`.
    ///
    /// # Errors
    /// There is no such instance.
    pub fn register(&mut self, instance: Option<&str>, name: &str) -> Done {
        let found = self.find(instance);
        self.registered.insert(name.to_owned(), found.clone());
        found.map(drop)
    }

    fn export(&mut self, instance: Option<&str>, name: &str) -> Done<Extern> {
        let instance = self.find(instance)?;
        self.store.export(instance, name).ok_or_else(|| Trouble::Wrong(format!("`{name}` is not exported")))
    }

    /// Calls an exported function.
    ///
    /// # Errors
    /// Every way to end but returning.
    pub fn invoke(
        &mut self,
        instance: Option<&str>,
        name: &str,
        args: impl FnOnce() -> Done<Vec<Value>>,
    ) -> Result<Vec<Value>, Failure> {
        let Extern::Func(func) = self.export(instance, name)? else {
            return Err(Trouble::Wrong(format!("`{name}` is no function")).into());
        };
        let args = args()?;
        let ty = self.store.func_type(func).ok_or_else(|| Trouble::wrong("the function has no type"))?;
        let mut results = Value::results_of(&ty);
        self.store.call(func, &args, &mut results, &mut budget()).map_err(Failure::Stop)?;
        Ok(results)
    }

    /// The value of an exported global.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn get(&mut self, instance: Option<&str>, name: &str) -> Done<Value> {
        let Extern::Global(global) = self.export(instance, name)? else {
            return Err(Trouble::Wrong(format!("`{name}` is no global")));
        };
        self.store.global_get(global).map_err(Trouble::wrong)
    }

    /// What `spectest` has under `name`; made when it is first asked for, because not every engine can make all.
    fn spectest(&mut self, name: &str) -> Done<Option<Import>> {
        if let Some(known) = self.spectest.get(name) {
            return Ok(Some(known.clone()));
        }
        let made = match name {
            "table" | "table64" => {
                let table64 = name == "table64";
                let ty = TableType { element: Some(ValType::FuncRef), minimum: 10, maximum: Some(20), table64 };
                self.store.new_table(ty, Value::FuncRef(None)).map(Extern::Table)
            }
            "memory" | "shared_memory" => {
                let shared = name == "shared_memory";
                let ty = MemoryType { minimum: 1, maximum: Some(2), shared, memory64: false, page_size_log2: 16 };
                self.store.new_memory(ty).map(Extern::Memory)
            }
            _ => {
                if let Some(value) = global(name) {
                    let ty = GlobalType { value: Some(value.ty()), mutable: false };
                    self.store.new_global(ty, value).map(Extern::Global)
                } else if let Some(params) = printer(name) {
                    let func = HostFunc::new(FuncType::new(params, []), |_, _, _| Ok(()));
                    return Ok(Some(self.remember(name, Import::Host(Arc::new(func)))));
                } else {
                    return Ok(None);
                }
            }
        };
        match made {
            Ok(made) => Ok(Some(self.remember(name, Import::Extern(made)))),
            Err(AccessError::Unsupported) => Err(Trouble::Lacks(format!("host-made `{name}`"))),
            Err(other) => Err(Trouble::Wrong(format!("`spectest.{name}`: {other}"))),
        }
    }

    fn remember(&mut self, name: &str, import: Import) -> Import {
        self.spectest.insert(name.to_owned(), import.clone());
        import
    }
}

fn budget() -> CallBudget {
    CallBudget { timeout: Some(TIMEOUT), ..CallBudget::of_fuel(PLENTY) }
}

fn global(name: &str) -> Option<Value> {
    Some(match name {
        "global_i32" => Value::from(666_i32),
        "global_i64" => Value::from(666_i64),
        "global_f32" => Value::from(666.6_f32),
        "global_f64" => Value::from(666.6_f64),
        _ => return None,
    })
}

fn printer(name: &str) -> Option<&'static [ValType]> {
    Some(match name {
        "print" => &[],
        "print_i32" => &[ValType::I32],
        "print_i64" => &[ValType::I64],
        "print_f32" => &[ValType::F32],
        "print_f64" => &[ValType::F64],
        "print_i32_f32" => &[ValType::I32, ValType::F32],
        "print_f64_f64" => &[ValType::F64, ValType::F64],
        _ => return None,
    })
}
