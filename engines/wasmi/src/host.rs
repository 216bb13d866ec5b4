//! [`Host`]: what a store keeps beside Wasmi's things; the tick; host functions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use cofferdam_engine::{Caller, FuelMode, HostError, HostFunc, Limit, StoreContext, StoreId, StoreLimits, Value};
use cofferdam_prepare::names::STACK_EXHAUSTED;
use wasmi::{AsContext, AsContextMut, Error, Func, Global, Memory, Mutability, Val};

use crate::accounting::Held;
use crate::entries;
use crate::machine_stack::MachineStack;
use crate::traps::{TickOutside, stopped};
use crate::types;
use crate::values::{References, lift, lower};

/// What host functions and the limiter find in the store.
pub(crate) struct Host {
    pub context: StoreContext,
    pub held: Held,
    pub references: References,
    /// Who counts fuel: the global of [`Meters`] or Wasmi itself.
    pub mode: FuelMode,
    pub meters: Option<Meters>,
    /// The fuel counter at the end of a call that was charged more than it had.
    pub overdrawn: Option<i64>,
    /// Where the machine's stack was when the call began.
    pub stack_began: MachineStack,
}

/// What all modules of a store import: one of each.
#[derive(Clone, Copy)]
pub(crate) struct Meters {
    pub tick: Func,
    pub fuel: Global,
    pub stack: Global,
}

impl Host {
    pub fn new(id: StoreId, limits: &StoreLimits, state: cofferdam_engine::HostState) -> Self {
        Self {
            context: StoreContext::new(limits.clone(), state),
            held: Held::new(limits),
            references: References::new(id),
            mode: FuelMode::Portable,
            meters: None,
            overdrawn: None,
            stack_began: MachineStack::here(),
        }
    }
}

/// Makes the meters of a new store.
pub(crate) fn meters(store: &mut wasmi::Store<Host>) -> Meters {
    let tick = Func::wrap(&mut *store, |mut caller: wasmi::Caller<'_, Host>, need: i64| {
        if caller.data().stack_began.is_far() && need != STACK_EXHAUSTED {
            return Err(Error::host(TickOutside(need)));
        }
        tick(&mut caller, need).map_err(stopped)
    });
    let fuel = Global::new(&mut *store, Val::I64(0), Mutability::Var);
    let stack = Global::new(&mut *store, Val::I32(0), Mutability::Var);
    Meters { tick, fuel, stack }
}

/// The guest's code cannot pay, or its stack budget is spent: goes on with a new slice or ends.
pub(crate) fn tick(ctx: impl AsContextMut<Data = Host>, need: i64) -> Result<(), HostError> {
    // The scheduler is the runtime's code and may panic.
    let outcome = catch_unwind(AssertUnwindSafe(|| take_tick(ctx, need)));
    outcome.unwrap_or_else(|_| Err(HostError::failed("the scheduler panicked")))
}

fn take_tick(mut ctx: impl AsContextMut<Data = Host>, need: i64) -> Result<(), HostError> {
    let caller = &mut ctx.as_context_mut();
    if need == STACK_EXHAUSTED {
        return Err(HostError::Limit(Limit::Stack));
    }
    let counter = counter(&*caller)?;
    match caller.data().mode {
        FuelMode::Portable => {
            let filled = caller.data_mut().context.meter.tick(counter, need).map_err(HostError::Limit)?;
            set_counter(&mut *caller, filled)
        }
        // A bulk operator, about to take its price from a global that is empty between such operators.
        FuelMode::Native => {
            let left = counter.saturating_sub(need.max(0));
            let left = if left < 0 {
                let data = caller.data_mut();
                data.overdrawn = Some(left);
                let filled = data.context.meter.tick(left, 0).map_err(HostError::Limit)?;
                data.overdrawn = None;
                filled
            } else {
                left
            };
            set_counter(&mut *caller, left)?;
            let meters = caller.data().meters.ok_or_else(|| HostError::failed("the store has no meters"))?;
            meters.fuel.set(&mut *caller, Val::I64(need)).map_err(HostError::failed)
        }
    }
}

/// The fuel counter as the guest left it.
#[inline(always)]
pub(crate) fn counter(ctx: impl AsContext<Data = Host>) -> Result<i64, HostError> {
    let ctx = ctx.as_context();
    let host = ctx.data();
    #[cold]
    fn lost() -> HostError {
        HostError::failed("the fuel counter is lost")
    }
    match host.mode {
        FuelMode::Portable => match host.meters.ok_or_else(lost)?.fuel.get(ctx) {
            Val::I64(counter) => Ok(counter),
            _ => Err(lost()),
        },
        FuelMode::Native => Ok(ctx.get_fuel().map_err(HostError::failed)?.cast_signed()),
    }
}

/// Sets the fuel counter. Wasmi's own cannot be negative; what it is short of is noted beside.
#[inline(always)]
pub(crate) fn set_counter(mut ctx: impl AsContextMut<Data = Host>, counter: i64) -> Result<(), HostError> {
    let mut ctx = ctx.as_context_mut();
    #[cold]
    fn lost() -> HostError {
        HostError::failed("the fuel counter is lost")
    }
    match ctx.data().mode {
        FuelMode::Portable => {
            let fuel = ctx.data().meters.ok_or_else(lost)?.fuel;
            fuel.set(ctx, Val::I64(counter)).map_err(HostError::failed)
        }
        FuelMode::Native => {
            ctx.data_mut().overdrawn = (counter < 0).then_some(counter);
            ctx.set_fuel(counter.max(0).cast_unsigned()).map_err(HostError::failed)
        }
    }
}

/// What the host functions of one instance share: the exported memory called `memory`, once it is there.
pub(crate) type Env = Arc<OnceLock<Memory>>;

/// One host function, as one instance imports it.
#[derive(Clone)]
pub(crate) struct Entry {
    pub func: Arc<HostFunc>,
    pub env: Env,
}

impl Entry {
    /// Makes it callable in `store`; `None` for a signature that Wasmi does not take.
    pub fn make(self, store: &mut wasmi::Store<Host>) -> Option<Func> {
        if let Some(direct) = entries::direct(&self, store) {
            return Some(direct);
        }
        let ty = types::func_type(self.func.ty())?;
        Some(Func::new(store, ty, move |caller, params, results| self.by_values(caller, params, results)))
    }

    /// Runs the host function for a guest.
    #[inline]
    pub fn run(
        &self,
        caller: &mut wasmi::Caller<'_, Host>,
        params: &[Value],
        results: &mut [Value],
    ) -> Result<(), Error> {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.invoke(caller, params, results)));
        outcome.unwrap_or_else(|_| Err(HostError::failed("the host panicked around it"))).map_err(stopped)
    }

    #[inline]
    fn invoke(
        &self,
        caller: &mut wasmi::Caller<'_, Host>,
        params: &[Value],
        results: &mut [Value],
    ) -> Result<(), HostError> {
        let mut left = counter(&*caller)?;
        let (memory, host) = match self.env.get() {
            Some(memory) => memory.data_and_store_mut(&mut *caller),
            None => (&mut [][..], caller.data_mut()),
        };
        let outcome = self.func.invoke(&mut Caller::new(&mut host.context, memory, &mut left), params, results);
        if host.stack_began.is_far() {
            // Only a tick of the guest's own leads out of the interpreter.
            left = host.context.meter.recall(left);
        }
        set_counter(caller, left)?;
        outcome?;
        let fits = Value::all_match(results, self.func.ty().results());
        fits.then_some(()).ok_or_else(|| HostError::failed("it gave results of another type than it declares"))
    }

    /// Runs the host function with values in Wasmi's form.
    fn by_values(&self, mut caller: wasmi::Caller<'_, Host>, params: &[Val], results: &mut [Val]) -> Result<(), Error> {
        let ty = self.func.ty();
        let (mut few, mut many);
        let values = if params.len() + results.len() <= FEW {
            few = [Value::I32(0); FEW];
            &mut few[..params.len() + results.len()]
        } else {
            many = vec![Value::I32(0); params.len() + results.len()];
            &mut many[..]
        };
        let (args, given) = values.split_at_mut(params.len());
        for (arg, param) in args.iter_mut().zip(params) {
            let lifted = lift(&mut caller, param);
            *arg = lifted.ok_or_else(|| stopped(HostError::failed("a reference cannot cross the border")))?;
        }
        for (value, ty) in given.iter_mut().zip(ty.results()) {
            *value = Value::default_of(*ty);
        }
        self.run(&mut caller, args, given)?;
        for (result, value) in results.iter_mut().zip(given) {
            let lowered = lower(&mut caller, *value);
            *result = lowered.ok_or_else(|| {
                stopped(HostError::failed("a result belongs to another store, or is one reference too many"))
            })?;
        }
        Ok(())
    }
}

/// Values that a host call converts without an allocation of ours.
const FEW: usize = 8;
