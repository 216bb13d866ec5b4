//! Calls into a guest.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cofferdam_engine::{CallBudget, EngineFault, FuncHandle, Limit, Stop, UNLIMITED_FUEL, Value};
use wasmer_types::RawValue;
use wasmer_vm::wasmer_call_trampoline;

use super::WasmerStore;
use crate::shared::{Running, Shared};
use crate::traps;

/// Arguments and results that need no allocation.
const FEW: usize = 8;

impl WasmerStore {
    pub(super) fn run(
        &mut self,
        func: FuncHandle,
        args: &[Value],
        results: &mut [Value],
        budget: &mut CallBudget,
    ) -> Result<(), Stop> {
        budget.consumed = 0;
        let shared = self.shared.ptr().as_ptr();
        // SAFETY: no guest runs yet, so nobody else refers to what the store shares with guests.
        let Shared { functions, context, .. } = unsafe { &mut *shared };
        let Some(function) = functions.get(func) else {
            return Err(EngineFault::new("calling", "the function belongs to another store").into());
        };
        let ty = &function.ty;
        let bad = || Stop::BadArguments { expected: ty.to_string() };
        if !Value::all_match(args, ty.params()) || results.len() != ty.results().len() {
            return Err(bad());
        }
        let (mut few, mut many);
        let slots = if args.len().max(results.len()) <= FEW {
            few = [RawValue::default(); FEW];
            &mut few[..]
        } else {
            many = vec![RawValue::default(); args.len().max(results.len())];
            &mut many[..]
        };
        for (slot, arg) in slots.iter_mut().zip(args) {
            *slot = functions.raw_of(*arg).ok_or_else(bad)?;
        }
        // SAFETY: entries of functions live as long as the store.
        let callee = unsafe { *function.anyfunc.as_ptr() };

        let first = context.meter.begin(budget);
        let units = i32::try_from(context.limits.stack_units).unwrap_or(i32::MAX);
        // SAFETY: the counters are globals of this store, of these types, and no guest runs yet.
        unsafe {
            (*(*shared).fuel.as_ptr()).val.i64 = first;
            (*self.stack.as_ptr()).val.i32 = units;
        }
        let running = Running::enter(self.shared.ptr());
        let (config, values) = (&self.config, slots.as_mut_ptr().cast::<u8>());
        // SAFETY: the entry is a function of this store, whose code and instance live as long as it; the
        // slots are as many as arguments or results, and the arguments have the right types. Until it
        // returns no reference into the store is used here.
        let ended = catch_unwind(AssertUnwindSafe(|| unsafe {
            wasmer_call_trampoline(None, config, callee.vmctx, callee.call_trampoline, callee.func_ptr, values)
        }));
        drop(running);

        // SAFETY: the guest has ended, so nobody else refers to what it shared.
        let (Shared { functions, signatures, context, code, .. }, counter) =
            unsafe { (&mut *shared, (*(*shared).fuel.as_ptr()).val.i64) };
        budget.consumed = context.meter.consumed(counter);
        let stop = match ended {
            // Charged for more than there was, however it ended.
            _ if context.meter.left(counter) < 0 => Some(Stop::limit(Limit::Fuel)),
            Ok(Ok(())) => None,
            Ok(Err(trap)) => Some(traps::stop(trap, code)),
            Err(_) => Some(EngineFault::new("calling", "the engine panicked").into()),
        };
        if let Some(stop) = stop {
            if let Stop::Limit { limit: Limit::Fuel, .. } = stop {
                // What was left could not pay for what came next.
                budget.consumed = budget.fuel.min(UNLIMITED_FUEL);
            }
            return Err(stop);
        }
        for (at, (result, slot)) in results.iter_mut().zip(slots).enumerate() {
            let Some(ty) = functions.get(func).and_then(|f| f.ty.results().get(at).copied()) else { continue };
            // SAFETY: compiled code wrote a value of this type.
            let value = unsafe { functions.value_of(ty, *slot, signatures) };
            *result =
                value.ok_or_else(|| EngineFault::new("reading results", "a reference of a type without a name"))?;
        }
        Ok(())
    }
}
