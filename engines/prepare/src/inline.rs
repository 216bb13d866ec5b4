//! Native fuel for engines that count fuel themselves and let nobody add code while they compile: what their
//! meter does not know of is written into the module beforehand. That is the stack budget, what locals cost
//! on entry, and what bulk operators cost by their length.

use wasm_encoder as encoder;
use wasm_encoder::InstructionSink;
use wasmparser::{FunctionBody, Parser, Payload};

use crate::metering::{
    Bulk, Counter, Step, before_call_steps, before_tail_call_steps, bulk_charge_steps, is_call, is_tail_call, price,
    stack_entry_steps,
};
use crate::prepared::{FunctionPlan, PreparedModule};

/// `module`, prepared for [`crate::FuelMode::Native`], with the stack budget counted in the module, each
/// function's entry price paid in operators that do nothing, and a charge before each bulk operator.
///
/// Bulk operators pay from the fuel counter of [`crate::Layout`], which the host keeps at zero: the tick is
/// asked for the whole price, takes it from the engine's meter, and puts as much into the counter. The
/// operators that are added cost what the engine's meter makes of them. Positions in the code change, so an
/// engine that gives frames has no use for this.
///
/// # Errors
/// Only for a module that [`crate::prepare`] did not make.
pub fn with_inline_charges(module: &PreparedModule) -> wasmparser::Result<Vec<u8>> {
    let bytes = module.bytes();
    let mut out = encoder::Module::new();
    let mut code = encoder::CodeSection::new();
    let mut plans = module.function_plans().iter();
    let mut missing = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        match &payload {
            Payload::CodeSectionStart { count, .. } => missing = *count,
            Payload::CodeSectionEntry(body) => {
                let plan = plans.next().copied();
                code.raw(&Body { module, plan }.rewritten(body)?);
                missing = missing.saturating_sub(1);
                if missing == 0 {
                    out.section(&code);
                }
            }
            other => {
                if let Some((id, range)) = other.as_section() {
                    let data = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
                    let data = data.and_then(|(start, end)| bytes.get(start..end)).unwrap_or_default();
                    out.section(&encoder::RawSection { id, data });
                }
            }
        }
    }
    Ok(out.finish())
}

struct Body<'a> {
    module: &'a PreparedModule,
    plan: Option<FunctionPlan>,
}

impl Body<'_> {
    fn rewritten(&self, body: &FunctionBody<'_>) -> wasmparser::Result<Vec<u8>> {
        let Some(plan) = self.plan else { return Ok(body.as_bytes().to_vec()) };
        let layout = self.module.layout();
        let mut locals = body.get_locals_reader()?;
        for _ in 0..locals.get_count() {
            locals.read()?;
        }
        let mut reader = body.get_operators_reader()?;
        let source = |from: u64, to: u64| {
            let base = body.range().start;
            let range = from.saturating_sub(base) as usize..to.saturating_sub(base) as usize;
            body.as_bytes().get(range).unwrap_or_default()
        };
        let mut bytes = Vec::with_capacity(body.as_bytes().len() * 3 / 2 + 64);
        bytes.extend_from_slice(source(body.range().start, locals.original_position()));
        self.entry(plan, &mut bytes);
        while !reader.eof() {
            let (operator, start) = reader.read_with_offset()?;
            if let Some(bulk) = Bulk::of(&operator, self.module.spaces())
                && let Some(scratch) = if bulk.wide { plan.scratch64 } else { plan.scratch32 }
            {
                let counter = Counter { global: layout.fuel, tick: layout.tick };
                encode(&mut bytes, bulk_charge_steps(bulk, scratch, counter));
            }
            if is_call(&operator) {
                encode(&mut bytes, before_call_steps(plan.stack_local, layout.stack));
            } else if is_tail_call(&operator) {
                encode(&mut bytes, before_tail_call_steps(plan.stack_weight, plan.stack_local, layout.stack));
            }
            bytes.extend_from_slice(source(start, reader.original_position()));
        }
        Ok(bytes)
    }

    /// The stack check, and operators that do nothing for what it does not cost yet of the entry price.
    fn entry(&self, plan: FunctionPlan, bytes: &mut Vec<u8>) {
        let layout = self.module.layout();
        let check = stack_entry_steps(plan.stack_weight, plan.stack_local, layout.stack, layout.tick);
        // Behind the branch stands what only runs when the stack ends.
        let always = check.iter().take_while(|step| !matches!(step, Step::I64Const(_)));
        let paid: u64 = always.map(|step| price(&step.operator())).sum();
        encode(bytes, check);
        for _ in paid..plan.entry_price {
            encode(bytes, [Step::I32Const(0), Step::Drop]);
        }
    }
}

fn encode(bytes: &mut Vec<u8>, steps: impl IntoIterator<Item = Step>) {
    let mut sink = InstructionSink::new(bytes);
    steps.into_iter().for_each(|step| step.encode(&mut sink));
}
