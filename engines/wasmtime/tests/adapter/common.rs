//! What the tests of this crate share: text to store in one line.

use std::sync::{Arc, LazyLock};

use cofferdam_engine::{
    CallBudget, CompiledModule, Engine, Extern, FeatureSet, FuelMode, FuncHandle, FuncType, HostFunc, Imports,
    InstanceId, InstantiateError, PreparedModule, Proposal, Stop, Store, StoreLimits, ValType, Value,
};
use cofferdam_prepare::{Gate, PrepareOptions, prepare_for, recognise, validate};
use cofferdam_wasmtime::WasmtimeEngine;

/// One for all tests, as a runtime has it: stores and modules belong to the engine they come from.
pub fn engine() -> &'static WasmtimeEngine {
    static ENGINE: LazyLock<WasmtimeEngine> = LazyLock::new(WasmtimeEngine::new);
    &ENGINE
}

pub const MODES: [FuelMode; 2] = [FuelMode::Portable, FuelMode::Native];

/// Fuel that the tests do not use up unless they mean to.
pub const PLENTY: u64 = 1 << 50;

/// Prepares `wat` with everything allowed that the engine runs.
pub fn prepared(wat: &str, mode: FuelMode) -> PreparedModule {
    let features = engine().descriptor().capabilities.features;
    prepared_with(wat, PrepareOptions { mode, ..PrepareOptions::default() }, features)
}

pub fn prepared_with(wat: &str, options: PrepareOptions, features: FeatureSet) -> PreparedModule {
    let gate = Gate { features, level: "test".into(), ..Gate::default() };
    let bytes = recognise(wat.as_bytes(), &gate.limits).expect("the test's text is WebAssembly");
    let valid = validate(bytes, &gate).expect("the test's module is valid");
    prepare_for(valid, &options, engine().assist()).expect("the test's module can be prepared")
}

/// Whether the engine runs `proposal`.
pub fn runs(proposal: Proposal) -> bool {
    engine().descriptor().capabilities.features.has(proposal)
}

pub fn compiled(wat: &str, mode: FuelMode) -> Arc<dyn CompiledModule> {
    engine().compile(&prepared(wat, mode)).expect("the test's module compiles")
}

pub fn store_with(limits: StoreLimits) -> Box<dyn Store> {
    engine().store(&limits, Box::new(())).expect("a store can be made")
}

/// A store that is asked for one thing after another.
pub struct Guest {
    pub store: Box<dyn Store>,
    pub instance: InstanceId,
    /// Fuel that the last call consumed.
    pub consumed: u64,
}

impl Guest {
    pub fn new(wat: &str, mode: FuelMode) -> Self {
        Self::with(wat, mode, StoreLimits::default(), &Imports::new())
    }

    pub fn limited(wat: &str, mode: FuelMode, limits: StoreLimits) -> Self {
        Self::with(wat, mode, limits, &Imports::new())
    }

    pub fn with(wat: &str, mode: FuelMode, limits: StoreLimits, imports: &Imports) -> Self {
        Self::try_with(wat, mode, limits, imports).expect("the test's module can be instantiated")
    }

    pub fn try_with(
        wat: &str,
        mode: FuelMode,
        limits: StoreLimits,
        imports: &Imports,
    ) -> Result<Self, InstantiateError> {
        let mut store = store_with(limits);
        let instance = store.instantiate(&*compiled(wat, mode), imports)?;
        Ok(Self { store, instance, consumed: 0 })
    }

    pub fn func(&mut self, name: &str) -> FuncHandle {
        match self.store.export(self.instance, name) {
            Some(Extern::Func(f)) => f,
            other => panic!("`{name}` is {other:?}, not a function"),
        }
    }

    /// Calls export `name` with `budget`.
    pub fn call_with(&mut self, name: &str, args: &[Value], budget: &mut CallBudget) -> Result<Vec<Value>, Stop> {
        let func = self.func(name);
        let ty = self.store.func_type(func).expect("the function is the store's");
        let mut results = Value::results_of(&ty);
        let ended = self.store.call(func, args, &mut results, budget);
        self.consumed = budget.consumed;
        ended.map(|()| results)
    }

    /// Calls export `name` with `fuel`.
    pub fn fueled(&mut self, name: &str, args: &[Value], fuel: u64) -> Result<Vec<Value>, Stop> {
        self.call_with(name, args, &mut CallBudget::of_fuel(fuel))
    }

    /// Calls export `name` with plenty of fuel.
    pub fn call(&mut self, name: &str, args: &[Value]) -> Result<Vec<Value>, Stop> {
        self.fueled(name, args, PLENTY)
    }
}

pub fn ty(params: &[ValType], results: &[ValType]) -> FuncType {
    FuncType::new(params, results)
}

/// Imports of host functions under module `h`.
pub fn host(functions: impl IntoIterator<Item = (&'static str, HostFunc)>) -> Imports {
    let mut imports = Imports::new();
    for (name, func) in functions {
        imports.host("h", name, func);
    }
    imports
}

pub fn i32s(values: &[i32]) -> Vec<Value> {
    values.iter().copied().map(Value::I32).collect()
}
