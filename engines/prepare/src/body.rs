//! Rewrites one function body: adds locals and, in portable mode, the code that counts.

use wasm_encoder::reencode::Reencode;
use wasm_encoder::{BlockType, Encode, InstructionSink, ValType};
use wasmparser::{FunctionBody, Operator};

use crate::code_map::BodyMapBuilder;
use crate::divide::Helpers;
use crate::metering::{
    Bulk, Counter, Step, before_call_steps, before_tail_call_steps, entry_price, is_call, is_tail_call, length_price,
    native_charge, stack_entry_steps,
};
use crate::prepared::{FunctionPlan, Layout};
use crate::rewrite::{Assist, Renumber, RewriteError};
use crate::segments::{Segment, cut};
use crate::validate::Facts;

/// Stack units of an activation beside its values: return address, saved registers, the frame itself.
const FRAME_UNITS: u64 = 32;
/// Stack units of one value, whatever its type: a vector fills them.
const VALUE_UNITS: u64 = 16;

/// In native mode an engine's own middlewares insert code before an operator, and the engine then reports
/// the position *behind* that operator for it. A `nop` (free, and no machine code) behind each operator
/// that can trap or call and gets code inserted, and one at the start, make that position its own.
const NOP: u8 = 0x01;

/// The largest body that engines take, for what comes out of rewriting as for what went in.
pub(crate) const MOST_BODY_BYTES: u64 = 7_654_321;

/// What is inserted into bodies for the meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// All that portable fuel needs.
    Meter,
    /// What an engine's own meter cannot charge for, and the stack budget.
    Charges,
    /// Only locals; the engine's middlewares do the rest.
    Nothing,
}

/// What the stack check costs by the price list, and the engine's own charge for an entry: entries that are
/// dearer are charged for the difference. See [`Inserted::Charges`].
const ENTRY_IN_OPERATORS: u64 = 8;

/// A rewritten body.
pub(crate) struct Rewritten {
    /// Locals and operators, without the size in front.
    pub bytes: Vec<u8>,
    pub plan: FunctionPlan,
    pub map: BodyMapBuilder,
}

/// What a body needs, found by reading it once.
#[derive(Default)]
struct Needs {
    narrow: bool,
    wide: bool,
    /// Values in the largest list of arguments or results of a callee.
    callee_values: u32,
}

/// The locals that are added behind the guest's own.
struct Added {
    /// Copy of the fuel counter; portable only.
    fuel: u32,
    stack: u32,
    scratch32: Option<u32>,
    scratch64: Option<u32>,
}

/// Rewrites the body of defined function `defined`.
pub(crate) fn rewrite_body(
    body: &FunctionBody<'_>,
    defined: usize,
    facts: &Facts,
    layout: &Layout,
    (inserted, assist): (Inserted, Assist),
    helpers: &mut Helpers,
) -> Result<Rewritten, RewriteError> {
    let needs = needs(body, facts)?;
    let params = facts.defined_type(defined).params;
    let mut declared = body.get_locals_reader()?;
    let groups_start = declared.original_position();
    let groups = declared.get_count();
    let mut locals = params;
    for _ in 0..groups {
        locals = locals.saturating_add(declared.read()?.0);
    }
    let groups_end = declared.original_position();

    let mut extra = Vec::with_capacity(4);
    let mut add = |ty: ValType| {
        extra.push(ty);
        locals + u32::try_from(extra.len()).unwrap_or(u32::MAX) - 1
    };
    let portable = inserted == Inserted::Meter;
    let added = Added {
        stack: add(ValType::I32),
        scratch32: needs.narrow.then(|| add(ValType::I32)),
        scratch64: needs.wide.then(|| add(ValType::I64)),
        fuel: if portable { add(ValType::I64) } else { 0 },
    };
    // The cached counter is part of the weight in both modes, so that both trap at the same depth.
    let added_count = 2 + u64::from(needs.narrow) + u64::from(needs.wide);
    let values =
        u64::from(locals) + added_count + u64::from(facts.operand_height(defined)) + u64::from(needs.callee_values);
    let weight = (FRAME_UNITS + VALUE_UNITS * values).min(i32::MAX as u64);
    let plan = FunctionPlan {
        entry_price: entry_price(locals),
        stack_weight: u32::try_from(weight).unwrap_or(i32::MAX as u32),
        stack_local: added.stack,
        scratch32: added.scratch32,
        scratch64: added.scratch64,
    };

    let mut bytes = Vec::with_capacity(body.as_bytes().len() * 3 / 2 + 64);
    groups.saturating_add(u32::try_from(extra.len()).unwrap_or(0)).encode(&mut bytes);
    bytes.extend_from_slice(slice(body, groups_start, groups_end)?);
    for ty in extra {
        1u32.encode(&mut bytes);
        ty.encode(&mut bytes);
    }

    let segments = Vec::new().into_iter().peekable();
    let mut writer = Writer { bytes, layout, added, plan, segments, inserted, assist, helpers };
    if portable {
        let segments = cut(body.get_operators_reader()?, layout.imported_functions, plan.entry_price)?;
        writer.segments = segments.into_iter().peekable();
    }
    let map = writer.operators(body, facts)?;
    if writer.bytes.len() as u64 > MOST_BODY_BYTES {
        return Err(RewriteError::BodyTooLarge { offset: body.range().start, need: writer.bytes.len() as u64 });
    }
    Ok(Rewritten { bytes: writer.bytes, plan, map })
}

fn needs(body: &FunctionBody<'_>, facts: &Facts) -> Result<Needs, RewriteError> {
    let mut needs = Needs::default();
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        let operator = reader.read()?;
        if let Some(bulk) = Bulk::of(&operator, &facts.spaces) {
            needs.wide |= bulk.wide;
            needs.narrow |= !bulk.wide;
        }
        if let Some(callee) = facts.callee(&operator) {
            needs.callee_values = needs.callee_values.max(callee.params).max(callee.results);
        }
    }
    Ok(needs)
}

fn slice<'a>(body: &FunctionBody<'a>, start: u64, end: u64) -> Result<&'a [u8], RewriteError> {
    let base = body.range().start;
    let range = start.checked_sub(base).zip(end.checked_sub(base));
    let found =
        range.and_then(|(start, end)| body.as_bytes().get(usize::try_from(start).ok()?..usize::try_from(end).ok()?));
    found.ok_or(RewriteError::OutOfRange(start))
}

struct Writer<'a> {
    bytes: Vec<u8>,
    layout: &'a Layout,
    added: Added,
    plan: FunctionPlan,
    segments: std::iter::Peekable<std::vec::IntoIter<Segment>>,
    inserted: Inserted,
    assist: Assist,
    helpers: &'a mut Helpers,
}

impl Writer<'_> {
    fn operators(&mut self, body: &FunctionBody<'_>, facts: &Facts) -> Result<BodyMapBuilder, RewriteError> {
        let mut renumber = Renumber::new(self.layout);
        let mut map = BodyMapBuilder::new();
        let mut reader = body.get_operators_reader()?;
        let mut at = 0;
        // What stands before the first operator, the locals, counts as injected.
        let mut injected_from = 0;
        let mut constant = None;
        let mut elses = Elses::default();
        while !reader.eof() {
            let (operator, start) = reader.read_with_offset()?;
            let pushed = match operator {
                Operator::I32Const { value } => Some(u64::from(value.cast_unsigned())),
                Operator::I64Const { value } => Some(value.cast_unsigned()),
                _ => None,
            };
            let by_middlewares = self.inserted == Inserted::Nothing;
            if !by_middlewares {
                self.inject(at, &operator, facts);
            } else if at == 0 {
                self.bytes.push(NOP);
            }
            if self.assist.selects_apart && matches!(operator, Operator::Select | Operator::TypedSelect { .. }) {
                InstructionSink::new(&mut self.bytes).i32_const(0).i32_or();
            } else if self.assist.parameters_apart && has_parameters(&operator, facts) {
                InstructionSink::new(&mut self.bytes).block(BlockType::Empty).end();
            }
            if self.assist.elses_written && elses.is_missing_before(&operator, facts) {
                InstructionSink::new(&mut self.bytes).else_();
            }
            map.operator(injected_from, position(&self.bytes)?, narrow(start)?);
            let marked = by_middlewares && (is_call(&operator) || Bulk::of(&operator, &facts.spaces).is_some());
            if let Some(helper) = self.helpers.instead_of(&operator, constant, &facts.spaces) {
                self.steps([Step::Call(helper)]);
                // Its ticks may have filled the counter.
                if self.inserted == Inserted::Meter {
                    self.steps([Step::GlobalGet(self.layout.fuel), Step::LocalSet(self.added.fuel)]);
                }
            } else if let (true, Some((memarg, lane, wide))) = (self.assist.lane_stores_in_two, lane_store(&operator)) {
                let memarg = renumber.mem_arg(memarg)?;
                let mut sink = InstructionSink::new(&mut self.bytes);
                match wide {
                    false => sink.i8x16_extract_lane_u(lane).i32_store8(memarg),
                    true => sink.i16x8_extract_lane_u(lane).i32_store16(memarg),
                };
            } else if names_shifted_index(&operator) {
                renumber.instruction(operator)?.encode(&mut self.bytes);
            } else {
                // Everything else is copied as it is, which keeps distances and so the map small.
                self.bytes.extend_from_slice(slice(body, start, reader.original_position())?);
            }
            if marked {
                let marker = position(&self.bytes)?;
                map.marker(marker, narrow(start)?);
                self.bytes.push(NOP);
            }
            injected_from = position(&self.bytes)?;
            at += 1;
            constant = pushed;
        }
        Ok(map)
    }

    /// Writes what stands before operator number `at`.
    fn inject(&mut self, at: u32, operator: &Operator<'_>, facts: &Facts) {
        if at == 0 {
            let Layout { stack, tick, .. } = *self.layout;
            self.steps(stack_entry_steps(self.plan.stack_weight, self.added.stack, stack, tick));
            let more = self.plan.entry_price.saturating_sub(ENTRY_IN_OPERATORS);
            if self.inserted == Inserted::Charges && more > 0 {
                self.steps(native_charge(&[Step::I64Const(more.cast_signed())], self.counter()));
            }
        }
        while let Some(segment) = self.segments.next_if(|segment| segment.at == at) {
            self.charge(segment);
        }
        if let Some(bulk) = Bulk::of(operator, &facts.spaces) {
            self.charge_bulk(bulk);
        }
        if is_call(operator) {
            self.steps(before_call_steps(self.added.stack, self.layout.stack));
        } else if is_tail_call(operator) {
            self.steps(before_tail_call_steps(self.plan.stack_weight, self.added.stack, self.layout.stack));
        } else if self.assist.unreachable_apart && matches!(operator, Operator::Unreachable) {
            // A store, which no compiler takes away.
            self.steps([Step::GlobalGet(self.layout.stack), Step::GlobalSet(self.layout.stack)]);
        }
    }

    fn counter(&self) -> Counter {
        Counter { global: self.layout.fuel, tick: self.layout.tick }
    }

    fn steps(&mut self, steps: impl IntoIterator<Item = Step>) {
        let mut sink = InstructionSink::new(&mut self.bytes);
        steps.into_iter().for_each(|step| step.encode(&mut sink));
    }

    fn charge(&mut self, segment: Segment) {
        let (fuel, copy) = (self.layout.fuel, self.added.fuel);
        if segment.cost > 0 {
            self.steps([if segment.reload { Step::GlobalGet(fuel) } else { Step::LocalGet(copy) }]);
            self.steps([Step::I64Const(segment.cost.cast_signed())]);
            self.take();
        } else if segment.reload {
            self.steps([Step::GlobalGet(fuel), Step::LocalSet(copy)]);
        }
        if segment.check {
            self.check();
        }
    }

    fn charge_bulk(&mut self, bulk: Bulk) {
        let scratch = if bulk.wide { self.added.scratch64 } else { self.added.scratch32 };
        let Some(scratch) = scratch else { return };
        if self.inserted == Inserted::Charges {
            self.steps([Step::LocalSet(scratch)]);
            self.steps(native_charge(&length_price(bulk, scratch), self.counter()));
            self.steps([Step::LocalGet(scratch)]);
            return;
        }
        self.steps([Step::LocalSet(scratch), Step::LocalGet(self.added.fuel)]);
        self.steps(length_price(bulk, scratch));
        self.take();
        self.check();
        self.steps([Step::LocalGet(scratch)]);
    }

    /// Subtracts, and writes the counter through, so that a trap never gives fuel back.
    fn take(&mut self) {
        self.steps([Step::I64Sub, Step::LocalTee(self.added.fuel), Step::GlobalSet(self.layout.fuel)]);
    }

    /// Ticks if the counter is negative.
    fn check(&mut self) {
        let (fuel, copy) = (self.layout.fuel, self.added.fuel);
        self.steps([
            Step::LocalGet(copy),
            Step::I64Const(0),
            Step::I64LtS,
            Step::If,
            Step::I64Const(0),
            Step::Call(self.layout.tick),
            Step::GlobalGet(fuel),
            Step::LocalSet(copy),
            Step::End,
        ]);
    }
}

/// Which of the open blocks are an `if` with parameters that has had no `else`.
#[derive(Default)]
struct Elses(Vec<bool>);

impl Elses {
    /// To be asked about each operator in turn: whether it ends such an `if`.
    fn is_missing_before(&mut self, operator: &Operator<'_>, facts: &Facts) -> bool {
        match operator {
            Operator::If { .. } => self.0.push(has_parameters(operator, facts)),
            Operator::Block { .. } | Operator::Loop { .. } | Operator::Try { .. } | Operator::TryTable { .. } => {
                self.0.push(false);
            }
            Operator::Else => {
                if let Some(missing) = self.0.last_mut() {
                    *missing = false;
                }
            }
            Operator::Delegate { .. } => drop(self.0.pop()),
            // The last one ends the function.
            Operator::End => return self.0.pop().unwrap_or(false),
            _ => {}
        }
        false
    }
}

/// Whether `operator` begins a block that takes operands with it.
fn has_parameters(operator: &Operator<'_>, facts: &Facts) -> bool {
    match operator {
        Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
            facts.block_type(*blockty).params > 0
        }
        _ => false,
    }
}

/// What `operator` stores, if it is a store of a lane narrower than 32 bits: where, which lane, and whether of 16 bits.
fn lane_store(operator: &Operator<'_>) -> Option<(wasmparser::MemArg, u8, bool)> {
    match operator {
        Operator::V128Store8Lane { memarg, lane } => Some((*memarg, *lane, false)),
        Operator::V128Store16Lane { memarg, lane } => Some((*memarg, *lane, true)),
        _ => None,
    }
}

fn position(bytes: &[u8]) -> Result<u32, RewriteError> {
    narrow(bytes.len() as u64)
}

pub(crate) fn narrow(offset: u64) -> Result<u32, RewriteError> {
    u32::try_from(offset).map_err(|_| RewriteError::OutOfRange(offset))
}

macro_rules! define_names_shifted_index {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($arity:tt)*))*) => {
        /// Whether `operator` names a function or global: those indices shift.
        fn names_shifted_index(operator: &Operator<'_>) -> bool {
            match operator {
                $(Operator::$op { .. } => false $($(|| shifts!($arg))*)?,)*
                // The list above is every operator there is; the enum is only marked as open.
                _ => true,
            }
        }
    };
}
macro_rules! shifts {
    (function_index) => {
        true
    };
    (global_index) => {
        true
    };
    ($other:ident) => {
        false
    };
}
wasmparser::for_each_operator!(define_names_shifted_index);
