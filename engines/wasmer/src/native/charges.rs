//! [`Charges`]: function entries, lengths of bulk operators, and the stack budget, with the sequences and
//! numbers that portable fuel uses too.

use std::fmt;

use cofferdam_engine::PreparedModule;
use cofferdam_prepare::metering::{self, Bulk, Counter};
use cofferdam_prepare::{FunctionPlan, Layout};
use wasmer::sys::{FunctionMiddleware, MiddlewareError, MiddlewareReaderState, ModuleMiddleware};
use wasmer::wasmparser::Operator;
use wasmer_types::LocalFunctionIndex;
use wasmer_types::entity::EntityRef;

pub(crate) struct Charges(pub PreparedModule);

impl fmt::Debug for Charges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Charges")
    }
}

impl ModuleMiddleware for Charges {
    fn generate_function_middleware<'a>(&self, function: LocalFunctionIndex) -> Box<dyn FunctionMiddleware<'a> + 'a> {
        let plan = self.0.function_plans().get(function.index()).copied();
        Box::new(FunctionCharges { module: self.0.clone(), layout: self.0.layout(), plan, begun: false })
    }
}

struct FunctionCharges {
    module: PreparedModule,
    layout: Layout,
    plan: Option<FunctionPlan>,
    begun: bool,
}

impl fmt::Debug for FunctionCharges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FunctionCharges")
    }
}

impl<'a> FunctionMiddleware<'a> for FunctionCharges {
    fn feed(&mut self, operator: Operator<'a>, state: &mut MiddlewareReaderState<'a>) -> Result<(), MiddlewareError> {
        let unplanned = || MiddlewareError::new("charges", "a function or bulk operator was not planned for");
        let plan = self.plan.ok_or_else(unplanned)?;
        let Layout { tick, fuel, stack, .. } = self.layout;
        let counter = Counter { global: fuel, tick };
        if !std::mem::replace(&mut self.begun, true) {
            state.extend(metering::stack_entry(plan.stack_weight, plan.stack_local, stack, tick));
            state.extend(metering::entry_charge(plan.entry_price, counter));
        }
        if let Some(bulk) = Bulk::of(&operator, self.module.spaces()) {
            let scratch = if bulk.wide { plan.scratch64 } else { plan.scratch32 };
            state.extend(metering::bulk_charge(bulk, scratch.ok_or_else(unplanned)?, counter));
        }
        if metering::is_call(&operator) {
            state.extend(metering::before_call(plan.stack_local, stack));
        } else if metering::is_tail_call(&operator) {
            state.extend(metering::before_tail_call(plan.stack_weight, plan.stack_local, stack));
        }
        state.push_operator(operator);
        Ok(())
    }
}
