//! Which of our Wasmtime engines a store belongs to: decided by the first module that is linked into it. What
//! the host made in the store before is made again then.

use std::mem;

use cofferdam_engine::{EngineFault, FuelMode, HostState, StoreLimits, TableHandle, Value};
use wasmtime::Memory;

use super::{Data, Meters, WasmtimeStore};
use crate::stacks::StackSize;
use crate::{host, types};

const DOING: &str = "preparing a store for its first module";

/// A memory, a table or a global as it is, apart from any Wasmtime store.
enum Kept {
    Memory(cofferdam_engine::MemoryType, Vec<u8>),
    Table(cofferdam_engine::TableType, Vec<Value>),
    Global(cofferdam_engine::GlobalType, Value),
}

impl WasmtimeStore {
    /// Moves the store, which has no instances yet, to the engine for `mode` and `stack`.
    pub(super) fn bind(&mut self, mode: FuelMode, stack: StackSize) -> Result<(), EngineFault> {
        let engine = self.engines.running(mode, stack)?;
        if !wasmtime::Engine::same(&engine, self.inner.engine()) {
            let kept = self.keep()?;
            let empty: HostState = Box::new(());
            let limits: StoreLimits = self.inner.data().context.limits.clone();
            let mut inner = wasmtime::Store::new(&engine, Data::new(self.id, &limits, empty));
            inner.limiter(|data| &mut data.held);
            self.meters = Meters::make(&mut inner)?;
            let fuel = inner.data().fuel;
            mem::swap(inner.data_mut(), self.inner.data_mut());
            inner.data_mut().fuel = fuel;
            self.inner = inner;
            self.stack = stack;
            self.make_again(kept)?;
            self.engines.was(mode);
        }
        self.inner.data_mut().native = mode == FuelMode::Native;
        if mode == FuelMode::Native {
            self.inner.epoch_deadline_callback(host::epoch);
        }
        self.mode = Some(mode);
        Ok(())
    }

    /// Takes down everything that the host made, in the order of its handles.
    fn keep(&mut self) -> Result<Vec<Kept>, EngineFault> {
        let lost = || EngineFault::new(DOING, "something that the host made was lost");
        let mut kept = Vec::new();
        for memory in &self.memories {
            let ty = types::neutral_memory_type(&memory.ty(&self.inner));
            kept.push(Kept::Memory(ty, memory.data(&self.inner).to_vec()));
        }
        for at in 0..self.tables.len() {
            let table = TableHandle::new(self.id, at as u32);
            let of = self.table(table).map_err(|_| lost())?;
            let ty = types::neutral_table_type(&of.ty(&self.inner));
            let elements = (0..of.size(&self.inner)).map(|i| self.read_table(table, i)).collect::<Result<_, _>>();
            kept.push(Kept::Table(ty, elements.map_err(|_| lost())?));
        }
        for at in 0..self.globals.len() {
            let value =
                self.read_global(cofferdam_engine::GlobalHandle::new(self.id, at as u32)).map_err(|_| lost())?;
            kept.push(Kept::Global(self.globals[at].1, value));
        }
        Ok(kept)
    }

    fn make_again(&mut self, kept: Vec<Kept>) -> Result<(), EngineFault> {
        let refused = |_| EngineFault::new(DOING, "something that the host made could not be made again");
        self.memories.clear();
        self.tables.clear();
        self.globals.clear();
        self.inner.data_mut().held.forget();
        let mut functions = Vec::new();
        for func in &self.early {
            let ty = types::func_type(self.inner.engine(), func.ty());
            let func = host::function(&mut self.inner, func.clone(), ty, None);
            functions.push((func, func.to_raw(&mut self.inner) as usize));
        }
        self.inner.data_mut().functions.replace(functions);
        for one in kept {
            match one {
                Kept::Memory(ty, bytes) => {
                    let made = self.make_memory(ty).map_err(refused)?;
                    let memory: Memory = self.memory(made).map_err(refused)?;
                    memory.data_mut(&mut self.inner).copy_from_slice(&bytes);
                }
                Kept::Table(ty, elements) => {
                    let null = Value::default_of(ty.element.ok_or_else(|| EngineFault::new(DOING, "an odd table"))?);
                    let table = self.make_table(ty, null).map_err(refused)?;
                    for (at, element) in elements.into_iter().enumerate() {
                        self.write_table(table, at as u64, element).map_err(refused)?;
                    }
                }
                Kept::Global(ty, value) => {
                    self.make_global(ty, value).map_err(refused)?;
                }
            }
        }
        Ok(())
    }
}
