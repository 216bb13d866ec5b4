//! What portable and native metering share: which operators are calls, what bulk operators cost, and the
//! operator sequences that count. [`crate::prepare`] writes these sequences into the module; an engine's
//! own middlewares insert the same ones, with the numbers of each [`crate::FunctionPlan`].
//!
//! The host promises of every tick: when it returns, the counter holds at least what the tick asked for.
//! Otherwise it does not return.

use wasm_encoder::InstructionSink;
use wasmparser::{BlockType, Operator};

use crate::names::STACK_EXHAUSTED;
use crate::price::{ENTRY, LOCALS_PER_UNIT, LengthPrice};
pub use crate::price::{price, price_of_name};

/// Fuel charged on entering a function with `locals` locals, parameters included: 1, and 1 per 8 locals.
#[must_use]
pub fn entry_price(locals: u32) -> u64 {
    ENTRY + u64::from(locals) / LOCALS_PER_UNIT
}

/// Whether `operator` calls and comes back.
#[must_use]
pub fn is_call(operator: &Operator<'_>) -> bool {
    matches!(operator, Operator::Call { .. } | Operator::CallIndirect { .. } | Operator::CallRef { .. })
}

/// Whether `operator` calls in place of returning.
#[must_use]
pub fn is_tail_call(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. } | Operator::ReturnCallRef { .. }
    )
}

/// Whether the callee of `operator` may be a host function, in a module that imports `imported` functions.
#[must_use]
pub fn may_reach_host(operator: &Operator<'_>, imported: u32) -> bool {
    match operator {
        Operator::Call { function_index } | Operator::ReturnCall { function_index } => *function_index < imported,
        _ => is_call(operator) || is_tail_call(operator),
    }
}

/// Shapes of a module's memories and tables, by index: what the price of a bulk operator depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Spaces {
    /// Memories, imported ones first.
    pub memories: Vec<MemoryShape>,
    /// Tables, imported ones first: whether indices are 64 bits wide.
    pub tables: Vec<bool>,
}

/// Shape of one memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MemoryShape {
    /// Whether addresses are 64 bits wide.
    pub wide: bool,
    /// Base-2 logarithm of the page size.
    pub page_log2: u8,
}

impl Spaces {
    fn memory(&self, index: u32) -> MemoryShape {
        self.memories.get(index as usize).copied().unwrap_or(MemoryShape { wide: false, page_log2: 16 })
    }

    fn wide_table(&self, index: u32) -> bool {
        self.tables.get(index as usize).copied().unwrap_or(false)
    }
}

/// How a bulk operator is priced by its length, which lies on top of the operand stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bulk {
    /// Whether the length is an `i64`.
    pub wide: bool,
    /// The price is `length << shift`, or `length >> -shift` (rounded down) if negative.
    pub shift: i8,
}

impl Bulk {
    /// How `operator` is priced by its length; `None` if it has none.
    #[must_use]
    pub fn of(operator: &Operator<'_>, spaces: &Spaces) -> Option<Self> {
        let (length, wide, page_log2) = match operator {
            Operator::MemoryFill { mem } | Operator::MemoryDiscard { mem } => {
                (LengthPrice::Bytes, spaces.memory(*mem).wide, 0)
            }
            Operator::MemoryCopy { dst_mem, src_mem } => {
                (LengthPrice::Bytes, spaces.memory(*dst_mem).wide && spaces.memory(*src_mem).wide, 0)
            }
            Operator::MemoryInit { .. } => (LengthPrice::Bytes, false, 0),
            Operator::MemoryGrow { mem } => {
                let shape = spaces.memory(*mem);
                (LengthPrice::PageBytes, shape.wide, shape.page_log2)
            }
            Operator::TableFill { table } | Operator::TableGrow { table } => {
                (LengthPrice::Elements, spaces.wide_table(*table), 0)
            }
            Operator::TableCopy { dst_table, src_table } => {
                (LengthPrice::Elements, spaces.wide_table(*dst_table) && spaces.wide_table(*src_table), 0)
            }
            Operator::TableInit { .. } => (LengthPrice::Elements, false, 0),
            _ => return None,
        };
        Some(Self { wide, shift: length.shift(page_log2.min(16).cast_signed()) })
    }
}

/// Lengths above this are priced as this: no memory or table comes near, and the price of a longer one
/// could wrap around. Only 64-bit lengths can be as large.
const LONGEST: i64 = 1 << 40;

/// Where fuel is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Global index of the counter, a mutable `i64`.
    pub global: u32,
    /// Function index of the tick.
    pub tick: u32,
}

/// One injected operator: what the sequences are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    LocalGet(u32),
    LocalSet(u32),
    LocalTee(u32),
    GlobalGet(u32),
    GlobalSet(u32),
    I32Const(i32),
    I64Const(i64),
    I32Add,
    I32Sub,
    I32LtS,
    I64Sub,
    I64LtS,
    I64LtU,
    I64Shl,
    I64ShrU,
    I64ExtendI32U,
    Select,
    If,
    End,
    Call(u32),
    Unreachable,
    Drop,
}

impl Step {
    pub(crate) fn operator(self) -> Operator<'static> {
        match self {
            Self::LocalGet(local_index) => Operator::LocalGet { local_index },
            Self::LocalSet(local_index) => Operator::LocalSet { local_index },
            Self::LocalTee(local_index) => Operator::LocalTee { local_index },
            Self::GlobalGet(global_index) => Operator::GlobalGet { global_index },
            Self::GlobalSet(global_index) => Operator::GlobalSet { global_index },
            Self::I32Const(value) => Operator::I32Const { value },
            Self::I64Const(value) => Operator::I64Const { value },
            Self::I32Add => Operator::I32Add,
            Self::I32Sub => Operator::I32Sub,
            Self::I32LtS => Operator::I32LtS,
            Self::I64Sub => Operator::I64Sub,
            Self::I64LtS => Operator::I64LtS,
            Self::I64LtU => Operator::I64LtU,
            Self::I64Shl => Operator::I64Shl,
            Self::I64ShrU => Operator::I64ShrU,
            Self::I64ExtendI32U => Operator::I64ExtendI32U,
            Self::Select => Operator::Select,
            Self::If => Operator::If { blockty: BlockType::Empty },
            Self::End => Operator::End,
            Self::Call(function_index) => Operator::Call { function_index },
            Self::Unreachable => Operator::Unreachable,
            Self::Drop => Operator::Drop,
        }
    }

    pub(crate) fn encode(self, sink: &mut InstructionSink<'_>) {
        match self {
            Self::LocalGet(local) => sink.local_get(local),
            Self::LocalSet(local) => sink.local_set(local),
            Self::LocalTee(local) => sink.local_tee(local),
            Self::GlobalGet(global) => sink.global_get(global),
            Self::GlobalSet(global) => sink.global_set(global),
            Self::I32Const(value) => sink.i32_const(value),
            Self::I64Const(value) => sink.i64_const(value),
            Self::I32Add => sink.i32_add(),
            Self::I32Sub => sink.i32_sub(),
            Self::I32LtS => sink.i32_lt_s(),
            Self::I64Sub => sink.i64_sub(),
            Self::I64LtS => sink.i64_lt_s(),
            Self::I64LtU => sink.i64_lt_u(),
            Self::I64Shl => sink.i64_shl(),
            Self::I64ShrU => sink.i64_shr_u(),
            Self::I64ExtendI32U => sink.i64_extend_i32_u(),
            Self::Select => sink.select(),
            Self::If => sink.if_(wasm_encoder::BlockType::Empty),
            Self::End => sink.end(),
            Self::Call(function) => sink.call(function),
            Self::Unreachable => sink.unreachable(),
            Self::Drop => sink.drop(),
        };
    }
}

fn operators(steps: impl IntoIterator<Item = Step>) -> Vec<Operator<'static>> {
    steps.into_iter().map(Step::operator).collect()
}

/// Pushes the price of the length in local `scratch`, an `i64` that is never negative.
pub(crate) fn length_price(bulk: Bulk, scratch: u32) -> Vec<Step> {
    let mut steps = vec![Step::LocalGet(scratch)];
    if bulk.wide {
        // min(length, LONGEST), unsigned
        steps.extend([
            Step::I64Const(LONGEST),
            Step::LocalGet(scratch),
            Step::I64Const(LONGEST),
            Step::I64LtU,
            Step::Select,
        ]);
    } else {
        steps.push(Step::I64ExtendI32U);
    }
    let by = i64::from(bulk.shift.unsigned_abs());
    match bulk.shift {
        0 => {}
        1.. => steps.extend([Step::I64Const(by), Step::I64Shl]),
        ..0 => steps.extend([Step::I64Const(by), Step::I64ShrU]),
    }
    steps
}

/// Takes one activation's weight from the stack counter, into local `left`, and ticks
/// [`STACK_EXHAUSTED`] if there is not enough. Leaves the counter itself alone: callers write it.
pub(crate) fn stack_entry_steps(weight: u32, left: u32, stack: u32, tick: u32) -> [Step; 11] {
    [
        Step::GlobalGet(stack),
        Step::I32Const(weight.cast_signed()),
        Step::I32Sub,
        Step::LocalTee(left),
        Step::I32Const(0),
        Step::I32LtS,
        Step::If,
        Step::I64Const(STACK_EXHAUSTED),
        Step::Call(tick),
        Step::Unreachable,
        Step::End,
    ]
}

/// Tells the callee how much stack is left.
pub(crate) fn before_call_steps(left: u32, stack: u32) -> [Step; 2] {
    [Step::LocalGet(left), Step::GlobalSet(stack)]
}

/// Gives this activation's weight back before a callee takes its place.
pub(crate) fn before_tail_call_steps(weight: u32, left: u32, stack: u32) -> [Step; 4] {
    [Step::LocalGet(left), Step::I32Const(weight.cast_signed()), Step::I32Add, Step::GlobalSet(stack)]
}

/// Native metering's charge: as `Metering` does it, asked for before it is taken, so that the counter is
/// never negative.
pub(crate) fn native_charge(amount: &[Step], counter: Counter) -> Vec<Step> {
    let mut steps = vec![Step::GlobalGet(counter.global)];
    steps.extend(amount);
    steps.extend([Step::I64LtU, Step::If]);
    steps.extend(amount);
    steps.extend([Step::Call(counter.tick), Step::End, Step::GlobalGet(counter.global)]);
    steps.extend(amount);
    steps.extend([Step::I64Sub, Step::GlobalSet(counter.global)]);
    steps
}

/// For native metering, at a function's start, after [`stack_entry`]: charges `plan.entry_price`.
#[must_use]
pub fn entry_charge(entry_price: u64, counter: Counter) -> Vec<Operator<'static>> {
    operators(native_charge(&[Step::I64Const(entry_price.cast_signed())], counter))
}

/// For native metering, at a function's start: the stack check. `left` is `plan.stack_local`, `stack` the
/// global of [`crate::Layout`].
#[must_use]
pub fn stack_entry(weight: u32, left: u32, stack: u32, tick: u32) -> Vec<Operator<'static>> {
    operators(stack_entry_steps(weight, left, stack, tick))
}

/// For native metering, before an operator that [`is_call`].
#[must_use]
pub fn before_call(left: u32, stack: u32) -> Vec<Operator<'static>> {
    operators(before_call_steps(left, stack))
}

/// For native metering, before an operator that [`is_tail_call`].
#[must_use]
pub fn before_tail_call(weight: u32, left: u32, stack: u32) -> Vec<Operator<'static>> {
    operators(before_tail_call_steps(weight, left, stack))
}

/// For native metering, before a bulk operator: charges by the length on top of the operand stack and
/// leaves it there. `scratch` is `plan.scratch64` if the length is wide, or else `plan.scratch32`.
#[must_use]
pub fn bulk_charge(bulk: Bulk, scratch: u32, counter: Counter) -> Vec<Operator<'static>> {
    operators(bulk_charge_steps(bulk, scratch, counter))
}

/// The steps of [`bulk_charge`].
pub(crate) fn bulk_charge_steps(bulk: Bulk, scratch: u32, counter: Counter) -> Vec<Step> {
    let mut steps = vec![Step::LocalSet(scratch)];
    steps.extend(native_charge(&length_price(bulk, scratch), counter));
    steps.push(Step::LocalGet(scratch));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`length_price`] computes for `length`.
    fn priced(bulk: Bulk, length: u64) -> i64 {
        let mut stack: Vec<i64> = Vec::new();
        for step in length_price(bulk, 0) {
            let mut pop = || stack.pop().expect("an operand");
            let value = match step {
                Step::LocalGet(_) => length.cast_signed(),
                Step::I64Const(value) => value,
                // The length stands for an `i32` here.
                Step::I64ExtendI32U => i64::from(u32::try_from(pop()).expect("32 bits")),
                Step::I64LtU => {
                    let right = pop();
                    i64::from(pop().cast_unsigned() < right.cast_unsigned())
                }
                Step::Select => {
                    let (condition, right) = (pop(), pop());
                    let left = pop();
                    if condition != 0 { left } else { right }
                }
                Step::I64Shl => {
                    let by = pop();
                    pop().checked_shl(u32::try_from(by).expect("small")).expect("no wrap")
                }
                Step::I64ShrU => {
                    let by = pop();
                    (pop().cast_unsigned() >> by).cast_signed()
                }
                other => panic!("{other:?}"),
            };
            stack.push(value);
        }
        assert_eq!(stack.len(), 1, "one result");
        stack[0]
    }

    #[test]
    fn lengths_are_priced_without_wrapping_around() {
        let narrow = |shift| Bulk { wide: false, shift };
        assert_eq!(priced(narrow(-3), 800), 100);
        assert_eq!(priced(narrow(-3), 7), 0);
        assert_eq!(priced(narrow(0), 5), 5);
        assert_eq!(priced(narrow(10), 3), 3 << 10);
        assert_eq!(priced(narrow(10), u64::from(u32::MAX)), i64::from(u32::MAX) << 10);
        let wide = |shift| Bulk { wide: true, shift };
        assert_eq!(priced(wide(-3), 800), 100);
        for length in [1 << 40, 1 << 62, 1 << 63, u64::MAX] {
            assert_eq!(priced(wide(10), length), LONGEST << 10, "{length:#x}");
            assert_eq!(priced(wide(0), length), LONGEST, "{length:#x}");
        }
    }

    #[test]
    fn bulk_operators_are_priced_by_what_they_work_on() {
        let spaces = Spaces {
            memories: vec![
                MemoryShape { wide: false, page_log2: 16 },
                MemoryShape { wide: true, page_log2: 16 },
                MemoryShape { wide: true, page_log2: 0 },
            ],
            tables: vec![false, true],
        };
        let of = |operator| Bulk::of(&operator, &spaces).map(|bulk| (bulk.wide, bulk.shift));
        assert_eq!(of(Operator::MemoryFill { mem: 0 }), Some((false, -3)));
        assert_eq!(of(Operator::MemoryFill { mem: 1 }), Some((true, -3)));
        assert_eq!(of(Operator::MemoryCopy { dst_mem: 0, src_mem: 1 }), Some((false, -3)), "the narrower of two");
        assert_eq!(of(Operator::MemoryCopy { dst_mem: 2, src_mem: 1 }), Some((true, -3)));
        assert_eq!(of(Operator::MemoryInit { data_index: 0, mem: 1 }), Some((false, -3)), "segments are narrow");
        assert_eq!(of(Operator::MemoryGrow { mem: 0 }), Some((false, 10)));
        assert_eq!(of(Operator::MemoryGrow { mem: 2 }), Some((true, -6)), "pages of one byte");
        assert_eq!(of(Operator::TableGrow { table: 1 }), Some((true, 0)));
        assert_eq!(of(Operator::TableCopy { dst_table: 1, src_table: 0 }), Some((false, 0)));
        assert_eq!(of(Operator::I32Add), None);
    }

    #[test]
    fn structure_is_free_and_slow_operators_cost_more() {
        for free in [Operator::Nop, Operator::End, Operator::Return, Operator::Block { blockty: BlockType::Empty }] {
            assert_eq!(price(&free), 0, "{free:?}");
        }
        assert_eq!(price(&Operator::I32Add), 1);
        assert!(price(&Operator::I32DivS) > price(&Operator::I32Mul));
        assert!(price(&Operator::I64DivS) > price(&Operator::I32DivS));
        let indirect = Operator::CallIndirect { type_index: 0, table_index: 0 };
        assert!(price(&indirect) > price(&Operator::Call { function_index: 0 }));
        assert!(price(&Operator::MemoryGrow { mem: 0 }) > price(&Operator::MemoryFill { mem: 0 }));
        assert_eq!([0, 7, 8, 50_000].map(entry_price), [1, 1, 2, 6_251]);
    }

    #[test]
    fn only_calls_that_may_leave_the_module_reach_the_host() {
        let reaches = |operator: Operator<'_>| may_reach_host(&operator, 2);
        assert!(reaches(Operator::Call { function_index: 1 }));
        assert!(!reaches(Operator::Call { function_index: 2 }));
        assert!(reaches(Operator::ReturnCall { function_index: 0 }));
        assert!(!reaches(Operator::ReturnCall { function_index: 2 }));
        assert!(reaches(Operator::CallIndirect { type_index: 0, table_index: 0 }));
        assert!(reaches(Operator::CallRef { type_index: 0 }));
        assert!(!reaches(Operator::I32Add));
    }
}
