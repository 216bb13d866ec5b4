//! Host functions and the tick, as compiled code calls them.
//!
//! Nothing of a host function unwinds into Wasmtime: what ends a call travels as an error.

use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cofferdam_engine::{Caller, FuncType, HostError, HostFunc, Limit, ValType, Value};
use cofferdam_prepare::names::STACK_EXHAUSTED;
use wasmtime::{AsContextMut, Func, StoreContextMut, UpdateDeadline, ValRaw};

use crate::native::Pots;
use crate::store::Data;
use crate::traps::HostStop;
use crate::values;

type Slots = [MaybeUninit<ValRaw>];

/// Arguments and results of most host functions, and how many more need no allocation either.
const FEW: usize = 5;
const SOME: usize = 16;

/// Makes `func` callable in `store` by instance number `instance`, which is where it finds its memory. `ty` is
/// its type as Wasmtime knows it.
pub(crate) fn function(
    store: impl AsContextMut<Data = Data>,
    func: Arc<HostFunc>,
    ty: wasmtime::FuncType,
    instance: Option<usize>,
) -> Func {
    let body = move |caller: wasmtime::Caller<'_, Data>, slots: &mut Slots| enter(caller, &func, instance, slots);
    // SAFETY: `enter` reads and writes the slots as the type of `func` says, which is what `ty` says.
    unsafe { Func::new_unchecked(store, ty, body) }
}

/// The signature of the tick.
pub(crate) fn tick_type() -> FuncType {
    FuncType::new([ValType::I64], [])
}

/// The tick of `store`.
pub(crate) fn tick(store: impl AsContextMut<Data = Data>, ty: wasmtime::FuncType) -> Func {
    let body = |mut caller: wasmtime::Caller<'_, Data>, slots: &mut Slots| {
        // SAFETY: the tick has one argument, an `i64`, which compiled code wrote before it called.
        let need = slots.first().map_or(0, |slot| unsafe { slot.assume_init_ref() }.get_i64());
        tick_now(&mut caller.as_context_mut(), need).map_err(|why| HostStop(why).into())
    };
    // SAFETY: the tick's type is one `i64` and no results.
    unsafe { Func::new_unchecked(store, ty, body) }
}

/// The counter cannot pay, or the stack budget is spent: goes on with a new slice or ends.
fn tick_now(store: &mut StoreContextMut<'_, Data>, need: i64) -> Result<(), HostError> {
    if need == STACK_EXHAUSTED {
        return Err(HostError::Limit(Limit::Stack));
    }
    let mut fuel = Fuel::load(store);
    let meter = &mut store.data_mut().context.meter;
    let counter = fuel.counter;
    fuel.counter = looked(catch_unwind(AssertUnwindSafe(|| meter.tick(counter, need))))?;
    fuel.store(store, need);
    Ok(())
}

/// What happens each time that the epochs of native fuel move on.
pub(crate) fn epoch(mut store: StoreContextMut<'_, Data>) -> wasmtime::Result<UpdateDeadline> {
    let meter = &mut store.data_mut().context.meter;
    let turn = catch_unwind(AssertUnwindSafe(|| meter.give_turn()));
    looked(turn).map(|()| UpdateDeadline::Continue(1)).map_err(|why| HostStop(why).into())
}

/// What came of asking the meter, which may ask the scheduler: that is the runtime's code and may panic.
fn looked<T>(outcome: std::thread::Result<Result<T, Limit>>) -> Result<T, HostError> {
    match outcome {
        Ok(answer) => answer.map_err(HostError::Limit),
        Err(_) => Err(HostError::failed("the scheduler panicked")),
    }
}

/// The store's fuel as the neutral meter sees it: one counter, however it is kept.
struct Fuel {
    counter: i64,
    /// In native mode: fuel left in all, as loaded.
    native: Option<i64>,
}

impl Fuel {
    #[inline]
    fn load(store: &mut StoreContextMut<'_, Data>) -> Self {
        let counter = Data::counter(store);
        if !store.data().native {
            return Self { counter, native: None };
        }
        let operators = store.get_fuel().unwrap_or(0);
        let left = Pots { operators, counter }.left();
        // The meter adds what it holds in reserve.
        Self { counter: left.saturating_sub(store.data().context.meter.left(0)), native: Some(left) }
    }

    #[inline]
    fn store(&self, store: &mut StoreContextMut<'_, Data>, need: i64) {
        let Some(before) = self.native else { return Data::set_counter(store, self.counter) };
        let left = store.data().context.meter.left(self.counter);
        let counter = Data::counter(store).saturating_sub(before - left);
        if counter >= need.max(0) {
            return Data::set_counter(store, counter);
        }
        let pots = Pots::fill(left, need.max(0));
        Data::set_counter(store, pots.counter);
        // Native stores have fuel switched on, so this cannot fail.
        let _ = store.set_fuel(pots.operators);
    }
}

/// Called by compiled code, with the arguments in `slots`; results go there.
fn enter(
    mut caller: wasmtime::Caller<'_, Data>,
    func: &HostFunc,
    instance: Option<usize>,
    slots: &mut Slots,
) -> wasmtime::Result<()> {
    let store = &mut caller.as_context_mut();
    let ty = func.ty();
    let all = ty.params().len() + ty.results().len();
    if all <= FEW {
        enter_with(store, func, instance, slots, &mut [Value::I32(0); FEW])
    } else if all <= SOME {
        enter_with(store, func, instance, slots, &mut [Value::I32(0); SOME])
    } else {
        enter_with(store, func, instance, slots, &mut vec![Value::I32(0); all])
    }
}

/// The same with room for arguments and results.
#[inline(always)]
fn enter_with(
    store: &mut StoreContextMut<'_, Data>,
    func: &HostFunc,
    instance: Option<usize>,
    slots: &mut Slots,
    room: &mut [Value],
) -> wasmtime::Result<()> {
    let (params_ty, results_ty) = (func.ty().params(), func.ty().results());
    let (params, results) = room.split_at_mut(params_ty.len());
    let results = &mut results[..results_ty.len()];
    for ((param, ty), slot) in params.iter_mut().zip(params_ty).zip(slots.iter()) {
        // SAFETY: compiled code wrote an argument of this type.
        if !unsafe { values::read_raw(&mut *store, *ty, slot.assume_init_ref(), param) } {
            return Err(failed("a reference has a type that cannot cross the border"));
        }
    }
    for (result, ty) in results.iter_mut().zip(results_ty) {
        values::write_default(*ty, result);
    }
    invoke(store, func, instance, params, results).map_err(HostStop)?;
    for (result, slot) in results.iter().zip(slots.iter_mut()) {
        let slot = slot.write(ValRaw::i64(0));
        if !values::write_raw(&mut *store, result, slot) {
            return Err(failed("a result belongs to another store"));
        }
    }
    Ok(())
}

#[cold]
fn failed(why: &str) -> wasmtime::Error {
    HostStop(HostError::failed(why)).into()
}

#[inline(always)]
fn invoke(
    store: &mut StoreContextMut<'_, Data>,
    func: &HostFunc,
    instance: Option<usize>,
    params: &[Value],
    results: &mut [Value],
) -> Result<(), HostError> {
    let mut fuel = Fuel::load(store);
    let memory = instance.and_then(|at| store.data().memories.get(at).copied().flatten());
    let (memory, data) = match memory {
        Some(memory) => memory.data_and_store_mut(&mut *store),
        None => (&mut [][..], store.data_mut()),
    };
    let mut seen = Caller::new(&mut data.context, memory, &mut fuel.counter);
    let outcome = catch_unwind(AssertUnwindSafe(|| func.invoke(&mut seen, params, results)));
    fuel.store(store, 0);
    outcome.unwrap_or_else(|_| Err(HostError::failed("the host panicked around it")))?;
    let fits = Value::all_match(results, func.ty().results());
    fits.then_some(()).ok_or_else(|| HostError::failed("it gave results of another type than it declares"))
}
