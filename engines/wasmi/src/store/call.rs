//! Calls into a guest.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cofferdam_engine::{CallBudget, EngineFault, FuelMode, FuncHandle, HostError, Limit, Stop, UNLIMITED_FUEL, Value};
use wasmi::{Func, ResumableCall, Val};

use super::WasmiStore;
use crate::host::{self, Host, counter, set_counter};
use crate::machine_stack::MachineStack;
use crate::traps::{self, TickOutside};
use crate::values::{lift, lower};

/// Arguments and results, together, that need no allocation.
const FEW: usize = 8;

impl WasmiStore {
    pub(super) fn run(
        &mut self,
        func: FuncHandle,
        args: &[Value],
        results: &mut [Value],
        budget: &mut CallBudget,
    ) -> Result<(), Stop> {
        budget.consumed = 0;
        if let Some(why) = self.broken {
            return Err(EngineFault::new("calling", why).into());
        }
        let Some((callee, ty)) = self.vm.data().references.function(func) else {
            return Err(EngineFault::new("calling", "the function belongs to another store").into());
        };
        let bad = |ty: &cofferdam_engine::FuncType| Stop::BadArguments { expected: ty.to_string() };
        if !Value::all_match(args, ty.params()) || results.len() != ty.results().len() {
            return Err(bad(ty));
        }
        let callee = *callee;
        let (mut few, mut many);
        let values = if args.len() + results.len() <= FEW {
            few = [const { Val::I32(0) }; FEW];
            &mut few[..args.len() + results.len()]
        } else {
            many = vec![Val::I32(0); args.len() + results.len()];
            &mut many[..]
        };
        let (inputs, outputs) = values.split_at_mut(args.len());
        for (input, arg) in inputs.iter_mut().zip(args) {
            match lower(&mut self.vm, *arg) {
                Some(value) => *input = value,
                None => return Err(self.vm.data().references.function(func).map_or_else(lost, |(_, ty)| bad(ty))),
            }
        }

        self.begin(budget)?;
        let vm = &mut self.vm;
        let ended = catch_unwind(AssertUnwindSafe(|| drive(vm, callee, inputs, outputs)));
        let ended = ended.unwrap_or_else(|_| {
            self.broken = Some("the engine panicked in an earlier call");
            Err(EngineFault::new("calling", "the engine panicked").into())
        });

        let last = self.vm.data().overdrawn.map_or_else(|| counter(&self.vm), Ok)?;
        let meter = &self.vm.data().context.meter;
        budget.consumed = meter.consumed(last);
        // Charged for more than there was, however it ended.
        let ended = if meter.left(last) < 0 { Err(Stop::limit(Limit::Fuel)) } else { ended };
        if let Err(stop) = ended {
            if let Stop::Limit { limit: Limit::Fuel, .. } = stop {
                // What was left could not pay for what came next.
                budget.consumed = budget.fuel.min(UNLIMITED_FUEL);
            }
            return Err(stop);
        }
        for (result, output) in results.iter_mut().zip(outputs) {
            let value = lift(&mut self.vm, output);
            *result = value.ok_or_else(|| EngineFault::new("reading results", "a reference of unknown origin"))?;
        }
        Ok(())
    }

    /// Fills the counters.
    fn begin(&mut self, budget: &CallBudget) -> Result<(), HostError> {
        let host = self.vm.data_mut();
        host.overdrawn = None;
        let first = host.context.meter.begin(budget);
        let units = i32::try_from(host.context.limits.stack_units).unwrap_or(i32::MAX);
        let (meters, mode) = (host.meters, host.mode);
        if let Some(meters) = meters {
            meters.stack.set(&mut self.vm, Val::I32(units)).map_err(HostError::failed)?;
            if mode == FuelMode::Native {
                meters.fuel.set(&mut self.vm, Val::I64(0)).map_err(HostError::failed)?;
            }
        }
        set_counter(&mut self.vm, first)
    }
}

fn lost() -> Stop {
    EngineFault::new("calling", "the function was lost").into()
}

/// Calls `callee`, and lets it go on where it left the interpreter only to come back: at the end of a slice of
/// Wasmi's own fuel, and for ticks that are taken outside.
fn drive(vm: &mut wasmi::Store<Host>, callee: Func, inputs: &[Val], outputs: &mut [Val]) -> Result<(), Stop> {
    vm.data_mut().stack_began = MachineStack::here();
    let mut call = callee.call_resumable(&mut *vm, inputs, outputs);
    loop {
        call = match call.map_err(traps::stop)? {
            ResumableCall::Finished => return Ok(()),
            ResumableCall::OutOfFuel(waiting) => {
                refill(vm, waiting.required_fuel())?;
                waiting.resume(&mut *vm, outputs)
            }
            ResumableCall::HostTrap(waiting) => match waiting.host_error().downcast_ref() {
                Some(TickOutside(need)) => {
                    host::tick(&mut *vm, *need)?;
                    waiting.resume(&mut *vm, &[], outputs)
                }
                None => return Err(traps::stop(waiting.into_host_error())),
            },
        };
    }
}

/// Another slice for Wasmi's own meter.
fn refill(vm: &mut wasmi::Store<Host>, need: u64) -> Result<(), HostError> {
    let left = counter(&*vm)?;
    let need = i64::try_from(need).unwrap_or(i64::MAX);
    let meter = &mut vm.data_mut().context.meter;
    // The scheduler is the runtime's code and may panic.
    let filled = catch_unwind(AssertUnwindSafe(|| meter.tick(left, need)))
        .map_err(|_| HostError::failed("the scheduler panicked"))?;
    set_counter(&mut *vm, filled.map_err(HostError::Limit)?)
}
