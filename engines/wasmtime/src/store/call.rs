//! Calls into a guest.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cofferdam_engine::{CallBudget, EngineFault, FuncHandle, Limit, Stop, UNLIMITED_FUEL, Value};
use wasmtime::{AsContextMut, Val, ValRaw};

use super::{Data, WasmtimeStore};
use crate::native::{Pots, Ticking};
use crate::stacks::on_guest_stack;
use crate::traps;
use crate::values;

/// Arguments and results that need no allocation.
const FEW: usize = 8;
const DOING: &str = "calling";

impl WasmtimeStore {
    pub(super) fn run(
        &mut self,
        func: FuncHandle,
        args: &[Value],
        results: &mut [Value],
        budget: &mut CallBudget,
    ) -> Result<(), Stop> {
        budget.consumed = 0;
        let Some(function) = self.inner.data().functions.get(func) else {
            return Err(EngineFault::new(DOING, "the function belongs to another store").into());
        };
        let ty = &function.ty;
        if !Value::all_match(args, ty.params()) || results.len() != ty.results().len() {
            return Err(Stop::BadArguments { expected: ty.to_string() });
        }
        let callee = function.func;
        let (mut few, mut many);
        let slots = if args.len().max(results.len()) <= FEW {
            few = [ValRaw::i64(0); FEW];
            &mut few[..]
        } else {
            many = vec![ValRaw::i64(0); args.len().max(results.len())];
            &mut many[..]
        };
        for (slot, arg) in slots.iter_mut().zip(args) {
            if !values::write_raw(&mut self.inner, arg, slot) {
                return Err(Stop::BadArguments { expected: self.signature(func) });
            }
        }

        let ticking = self.begin(budget)?;
        let inner = &mut self.inner;
        let ended = on_guest_stack(self.stack, || {
            let slots: *mut [ValRaw] = &mut *slots;
            // SAFETY: the function is of this store; the slots are as many as arguments or results, and the
            // arguments have the right types.
            catch_unwind(AssertUnwindSafe(|| unsafe { callee.call_unchecked(&mut *inner, slots) }))
        });
        drop(ticking);
        let ended = ended.map_err(|e| EngineFault::new("making a machine stack for a guest", e))?;

        let left = self.left();
        let context = &self.inner.data().context;
        budget.consumed = context.meter.consumed(left.saturating_sub(context.meter.left(0)));
        let stop = match ended {
            // Charged for more than there was, however it ended.
            _ if left < 0 => Some(Stop::limit(Limit::Fuel)),
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(traps::stop(&error, &self.code)),
            Err(_) => Some(EngineFault::new(DOING, "the engine panicked").into()),
        };
        if let Some(stop) = stop {
            if let Stop::Limit { limit: Limit::Fuel, .. } = stop {
                // What was left could not pay for what came next.
                budget.consumed = budget.fuel.min(UNLIMITED_FUEL);
            }
            return Err(stop);
        }
        for (at, result) in results.iter_mut().enumerate() {
            let ty = self.inner.data().functions.get(func).and_then(|f| f.ty.results().get(at).copied());
            let (Some(ty), Some(slot)) = (ty, slots.get(at)) else { continue };
            // SAFETY: compiled code wrote a value of this type.
            if !unsafe { values::read_raw(&mut self.inner, ty, slot, result) } {
                return Err(EngineFault::new("reading results", "a reference of a type without a name").into());
            }
        }
        Ok(())
    }

    fn signature(&self, func: FuncHandle) -> String {
        self.inner.data().functions.get(func).map_or_else(String::new, |f| f.ty.to_string())
    }

    /// Sets the counters for a call under `budget`.
    fn begin(&mut self, budget: &CallBudget) -> Result<Option<Ticking>, EngineFault> {
        let Data { context, native, .. } = self.inner.data_mut();
        let native = *native;
        let first = context.meter.begin(budget);
        let all = context.meter.left(first);
        let units = i32::try_from(context.limits.stack_units).unwrap_or(i32::MAX);
        let set = self.meters.stack.set(&mut self.inner, Val::I32(units));
        set.map_err(|e| EngineFault::new(DOING, e))?;
        if !native {
            Data::set_counter(&mut self.inner.as_context_mut(), first);
            return Ok(None);
        }
        let pots = Pots::fill(all, 0);
        Data::set_counter(&mut self.inner.as_context_mut(), pots.counter);
        self.inner.set_fuel(pots.operators).map_err(|e| EngineFault::new(DOING, e))?;
        // The clock may be about to move on.
        self.inner.set_epoch_deadline(2);
        let ticking = Ticking::begin();
        Ok(Some(ticking.ok_or_else(|| EngineFault::new(DOING, "the epochs' thread could not be started"))?))
    }

    /// Fuel left after a call. Negative when more was charged than there was.
    fn left(&mut self) -> i64 {
        let counter = Data::counter(&mut self.inner.as_context_mut());
        if !self.inner.data().native {
            return self.inner.data().context.meter.left(counter);
        }
        Pots { operators: self.inner.get_fuel().unwrap_or(0), counter }.left()
    }
}
