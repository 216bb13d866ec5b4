//! [`Cell`]: one engine in one fuel mode, and [`Guest`]: a store on it with what rows do to stores.

use std::sync::Arc;

use cofferdam_engine::{
    CallBudget, CompileError, CompiledModule, Engine, Extern, FeatureSet, FuelMode, FuncHandle, Import, Imports,
    InstanceId, InstantiateError, PreparedModule, Proposal, Stop, Store, StoreLimits, Value,
};
use cofferdam_prepare::{Gate, ModuleLimits, PrepareOptions, Refusal, prepare_for, recognise, validate};

use crate::palette::{self, KitState};
use crate::read::PLENTY;
use crate::trouble::{Done, Trouble};

/// One engine in one fuel mode: where a row runs.
#[derive(Clone, Copy)]
pub struct Cell<'a> {
    /// The engine.
    pub engine: &'a Arc<dyn Engine>,
    /// Who counts fuel.
    pub mode: FuelMode,
}

impl<'a> Cell<'a> {
    /// Gates and prepares `module`, text or binary.
    ///
    /// # Errors
    /// The gate's refusal.
    pub fn prepared(
        &self,
        module: &[u8],
        features: FeatureSet,
        canonical_nans: bool,
    ) -> Result<PreparedModule, Refusal> {
        let gate = Gate { features, level: "conformance".into(), limits: ModuleLimits::default() };
        let valid = validate(recognise(module, &gate.limits)?, &gate)?;
        prepare_for(valid, &PrepareOptions { mode: self.mode, canonical_nans }, self.engine.assist())
    }

    /// Gates and prepares `wat` with everything allowed.
    ///
    /// # Errors
    /// [`Trouble::Wrong`] with the gate's refusal.
    pub fn prepare(&self, wat: &str) -> Done<PreparedModule> {
        let all: FeatureSet = Proposal::ALL.iter().copied().collect();
        self.prepared(wat.as_bytes(), all, false).map_err(|e| Trouble::wrong(format!("the row's module: {e}")))
    }

    /// Compiles `module`, which must work if the engine claims the proposals that it uses, and must be refused
    /// by the name of one of them if it does not.
    ///
    /// # Errors
    /// [`Trouble::Lacks`] if the engine refused as it should; [`Trouble::Wrong`] if it did anything else.
    pub fn compile_prepared(&self, module: &PreparedModule) -> Done<Arc<dyn CompiledModule>> {
        let descriptor = self.engine.descriptor();
        let missing = module.used().minus(descriptor.capabilities.features);
        match self.engine.compile(module) {
            Ok(compiled) if missing.is_empty() => Ok(compiled),
            Ok(_) => Err(Trouble::Wrong(format!("compiled a module with {missing:?}, which it does not claim"))),
            Err(CompileError::Unsupported { engine, proposal }) if missing.has(proposal) && engine == descriptor.id => {
                Err(Trouble::Lacks(format!("proposal `{proposal}`")))
            }
            Err(other) if missing.is_empty() => Err(Trouble::Wrong(format!("compiling failed: {other}"))),
            Err(other) => Err(Trouble::Wrong(format!("a module with {missing:?} was not refused by name: {other}"))),
        }
    }

    /// Prepares and compiles `wat`.
    ///
    /// # Errors
    /// As [`Cell::prepare`] and [`Cell::compile_prepared`].
    pub fn compile(&self, wat: &str) -> Done<Arc<dyn CompiledModule>> {
        self.compile_prepared(&self.prepare(wat)?)
    }

    /// A store with nothing in it.
    ///
    /// # Errors
    /// The engine's fault.
    pub fn guest(&self, limits: &StoreLimits) -> Done<Guest> {
        let state = Box::new(KitState::default());
        let store = self.engine.store(limits, state).map_err(|e| Trouble::wrong(format!("no store: {e}")))?;
        Ok(Guest { store, instances: Vec::new(), given: palette::imports(), consumed: 0 })
    }

    /// A store with `wat` in it, as `main`.
    ///
    /// # Errors
    /// Whatever keeps it from being made.
    pub fn guest_of(&self, wat: &str) -> Done<Guest> {
        self.guest_with(wat, &StoreLimits::default())
    }

    /// A store with `wat` in it, as `main`, under `limits`.
    ///
    /// # Errors
    /// Whatever keeps it from being made.
    pub fn guest_with(&self, wat: &str, limits: &StoreLimits) -> Done<Guest> {
        let mut guest = self.guest(limits)?;
        guest.add("main", &*self.compile(wat)?)?;
        Ok(guest)
    }

    /// Whether the engine says that it can do something.
    ///
    /// # Errors
    /// [`Trouble::Lacks`] with `what` if not.
    pub fn needs(&self, can: bool, what: &str) -> Done {
        if can { Ok(()) } else { Err(Trouble::Lacks(what.to_owned())) }
    }
}

/// A store, its instances by name, and what the next one can import.
pub struct Guest {
    /// The store.
    pub store: Box<dyn Store>,
    instances: Vec<(String, InstanceId)>,
    /// Imports by module and name: the palette as `h`, host-made things as `host`, exports of instances.
    pub given: Imports,
    /// Fuel that the last call consumed.
    pub consumed: u64,
}

impl Guest {
    /// Instantiates `module` as `name`, with everything at hand to import.
    ///
    /// # Errors
    /// The engine's, untouched.
    pub fn instantiate(&mut self, name: &str, module: &dyn CompiledModule) -> Result<InstanceId, InstantiateError> {
        let instance = self.store.instantiate(module, &self.given)?;
        self.instances.push((name.to_owned(), instance));
        let exports: Vec<_> = module.prepared().exports().iter().map(|e| e.name.clone()).collect();
        for export in exports {
            if let Some(found) = self.store.export(instance, &export) {
                self.given.define(name, &export, Import::Extern(found));
            }
        }
        Ok(instance)
    }

    /// The same where it must work.
    ///
    /// # Errors
    /// [`Trouble::Wrong`] with the engine's error.
    pub fn add(&mut self, name: &str, module: &dyn CompiledModule) -> Done<InstanceId> {
        self.instantiate(name, module).map_err(|e| Trouble::wrong(format!("`{name}` was not instantiated: {e}")))
    }

    /// The instance called `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn instance(&self, name: &str) -> Done<InstanceId> {
        let found = self.instances.iter().find(|(known, _)| known == name);
        found.map(|(_, id)| *id).ok_or_else(|| Trouble::Wrong(format!("there is no instance `{name}`")))
    }

    /// What `instance` exports as `name`.
    ///
    /// # Errors
    /// Nothing.
    pub fn export(&mut self, instance: &str, name: &str) -> Done<Extern> {
        let id = self.instance(instance)?;
        self.store.export(id, name).ok_or_else(|| Trouble::Wrong(format!("`{instance}` does not export `{name}`")))
    }

    /// The function that `instance` exports as `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn func(&mut self, instance: &str, name: &str) -> Done<FuncHandle> {
        match self.export(instance, name)? {
            Extern::Func(func) => Ok(func),
            other => Err(Trouble::Wrong(format!("`{instance}.{name}` is no function: {other:?}"))),
        }
    }

    /// Calls `func`, and checks what holds for every call: fuel consumed is never above the budget, and all of
    /// it if fuel ran out; whoever does not return writes no results.
    ///
    /// # Errors
    /// [`Trouble::Wrong`] if any of that does not hold.
    pub fn run(&mut self, func: FuncHandle, args: &[Value], budget: &mut CallBudget) -> Done<Result<Vec<Value>, Stop>> {
        let ty = self.store.func_type(func).ok_or_else(|| Trouble::wrong("the function has no type"))?;
        let blank = Value::results_of(&ty);
        let mut results = blank.clone();
        let ended = self.store.call(func, args, &mut results, budget);
        self.consumed = budget.consumed;
        if budget.consumed > budget.fuel {
            let (consumed, fuel) = (budget.consumed, budget.fuel);
            return Err(Trouble::Wrong(format!("consumed {consumed} of a budget of {fuel}")));
        }
        if let Err(Stop::Limit { limit: cofferdam_engine::Limit::Fuel, .. }) = &ended
            && budget.consumed != budget.fuel
        {
            let (consumed, fuel) = (budget.consumed, budget.fuel);
            return Err(Trouble::Wrong(format!("out of fuel with {consumed} of {fuel} consumed")));
        }
        if ended.is_err() && results != blank {
            return Err(Trouble::Wrong(format!("a call that did not return wrote results: {results:?}")));
        }
        Ok(ended.map(|()| results))
    }

    /// Calls export `name` of `main` with plenty of fuel.
    ///
    /// # Errors
    /// As [`Guest::run`].
    pub fn call(&mut self, name: &str, args: &[Value]) -> Done<Result<Vec<Value>, Stop>> {
        self.call_with(name, args, &mut CallBudget::of_fuel(PLENTY))
    }

    /// Calls export `name` of `main` with `budget`.
    ///
    /// # Errors
    /// As [`Guest::run`].
    pub fn call_with(&mut self, name: &str, args: &[Value], budget: &mut CallBudget) -> Done<Result<Vec<Value>, Stop>> {
        let func = self.func("main", name)?;
        self.run(func, args, budget)
    }

    /// The kit's state of this guest.
    ///
    /// # Errors
    /// The engine gave back another.
    pub fn kit_state(&mut self) -> Done<&mut KitState> {
        self.store.state().downcast_mut().ok_or_else(|| Trouble::wrong("the store lost the guest's state"))
    }
}
