//! How long a module would take to compile, estimated while it is read. Optimising compilers are not linear:
//! some kilobytes can keep one busy for minutes and fill gigabytes. Caps on counts alone would either let
//! those pass or refuse real programs, so the shapes that cost are weighed.
//!
//! The estimate is in microseconds of one core, fitted to an optimising compiler on the kind of machine that the project
//! is built on: within a factor of 1.5 for real programs from 0.3 to 12 MB of code, and for the worst of each
//! shape. It is a pure function of the module, so a module is accepted or refused everywhere alike.

use wasmparser::{BlockType, Operator};

use crate::metering::{Bulk, may_reach_host};
use crate::validate::{Arity, Facts};

/// A type: the code by which host and guest call each other through it.
const TYPE: u64 = 25;
/// A parameter or result of a type, in that code.
const TYPE_VALUE: u64 = 15;
/// An import.
pub(crate) const IMPORT: u64 = 50;
/// A function, beside what is in it.
const FUNCTION: u64 = 100;
/// Any operator.
const OPERATOR: u64 = 1;
/// A basic block. Checks of fuel and stack bring two more each.
const BLOCK: u64 = 12;
const CHECK_BLOCKS: u64 = 2;
/// A call.
const CALL: u64 = 10;
/// A result of a call beyond the first: those are returned through memory.
const FURTHER_RESULT: u64 = 16;
/// A read or write of a global.
const GLOBAL: u64 = 4;
/// A call through a table or reference.
const INDIRECT_CALL: u64 = 30;
/// An operator that becomes a call into the engine.
const LIBRARY_CALL: u64 = 10;
/// A bulk operator, with the code that charges by its length.
const BULK: u64 = 30;
/// A handler that a call inside `try_table`s could go to.
const HANDLER: u64 = 2;

/// The work of one function, counted operator by operator.
#[derive(Default)]
pub(crate) struct FunctionWork {
    position: u32,
    linear: u64,
    blocks: u64,
    calls: u64,
    /// Blocks times the square of the number of loops around each.
    deep: u64,
    /// Loops around the current operator.
    loops: u64,
    /// Values that merge where control flow does, in the outermost construct around: one for each local set
    /// inside a construct, at each end (or loop header) that is reached in more than one way.
    merges: u64,
    /// What the outermost constructs before cost: merges among those of the same construct.
    merging: u64,
    /// Locals that are used at all.
    locals: u64,
    /// Handlers of all `try_table`s around the current operator.
    handlers: u64,
    frames: Vec<Frame>,
    /// Per local: 0 if never used, 1 if never set, else 2 + position of the last operator that set it.
    last_set: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Block,
    Loop,
    If,
}

struct Frame {
    kind: Kind,
    /// Position of the operator that opened it, plus 2 as in `last_set`.
    opened: u32,
    /// Branches to its label.
    branches: u64,
    /// Values that a branch to its label carries.
    label_values: u64,
    /// Distinct locals set inside.
    sets: u64,
    /// Of those, the ones that every frame around it has counted before.
    known_outside: u64,
    handlers: u64,
}

impl FunctionWork {
    /// Starts on a function with `locals` locals, parameters included.
    pub(crate) fn begin(&mut self, locals: u64) {
        let mut last_set = std::mem::take(&mut self.last_set);
        last_set.clear();
        last_set.resize(usize::try_from(locals).unwrap_or(0), 0);
        *self = Self { linear: FUNCTION, blocks: 2 * CHECK_BLOCKS, last_set, ..Self::default() };
    }

    /// The estimate for the function, with at most `height` operands on its stack.
    pub(crate) fn total(&self, height: u32) -> u64 {
        let alive = self.locals + u64::from(height);
        // Blocks times values that may live through them, blocks among themselves, blocks in deep loops.
        let living = self.blocks.saturating_mul(alive) / 5 * 3;
        let blocks = self.blocks.saturating_mul(self.blocks) / 200;
        let deep = self.deep / 800;
        // An engine's own meter brings three blocks to each call.
        let calls = self.calls.saturating_mul(self.calls) / 2_000;
        // Operands that are alive at once are each compared with all others.
        let operands = u64::from(height).saturating_mul(height.into()) / 110;
        [self.blocks.saturating_mul(BLOCK), living, blocks, deep, calls, operands, self.merging]
            .into_iter()
            .fold(self.linear, u64::saturating_add)
    }

    /// Counts `operator`, before the validator has seen it. `reachable` is whether the place before it is.
    pub(crate) fn operator(&mut self, operator: &Operator<'_>, reachable: bool, facts: &Facts) {
        self.position = self.position.saturating_add(1);
        self.linear += OPERATOR;
        match operator {
            Operator::Block { blockty } => self.open(Kind::Block, 1, *blockty, 0, facts),
            Operator::Loop { blockty } => self.open(Kind::Loop, 1 + CHECK_BLOCKS, *blockty, 0, facts),
            Operator::If { blockty } => self.open(Kind::If, 2, *blockty, 0, facts),
            Operator::TryTable { try_table } => {
                let catches = try_table.catches.len() as u64;
                for catch in &try_table.catches {
                    let (wasmparser::Catch::One { label, .. }
                    | wasmparser::Catch::OneRef { label, .. }
                    | wasmparser::Catch::All { label }
                    | wasmparser::Catch::AllRef { label }) = catch;
                    self.branch(*label, 1);
                }
                self.open(Kind::Block, 1 + catches, try_table.ty, catches, facts);
            }
            Operator::Else => self.add_blocks(1),
            Operator::End => self.close(reachable),
            Operator::Br { relative_depth } => self.branch(*relative_depth, 1),
            Operator::BrIf { relative_depth }
            | Operator::BrOnNull { relative_depth }
            | Operator::BrOnNonNull { relative_depth }
            | Operator::BrOnCast { relative_depth, .. }
            | Operator::BrOnCastFail { relative_depth, .. } => {
                self.add_blocks(1);
                self.branch(*relative_depth, 1);
            }
            Operator::BrTable { targets } => {
                self.add_blocks(1);
                // All labels take the same values.
                self.branch(targets.default(), 1 + u64::from(targets.len()));
                targets.targets().flatten().for_each(|target| self.mark(target));
            }
            Operator::GlobalGet { .. } | Operator::GlobalSet { .. } => self.linear += GLOBAL,
            Operator::LocalGet { local_index } => self.touch(*local_index),
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => self.set(*local_index),
            Operator::Throw { .. } | Operator::ThrowRef => self.linear += INDIRECT_CALL + self.handlers * HANDLER,
            Operator::TableGet { .. }
            | Operator::TableSet { .. }
            | Operator::TableSize { .. }
            | Operator::RefFunc { .. }
            | Operator::MemorySize { .. }
            | Operator::DataDrop { .. }
            | Operator::ElemDrop { .. } => self.linear += LIBRARY_CALL,
            _ => {
                if let Some(callee) = facts.callee(operator) {
                    self.call(operator, callee, facts);
                } else if Bulk::of(operator, &facts.spaces).is_some() {
                    self.linear += BULK;
                    self.add_blocks(CHECK_BLOCKS);
                }
            }
        }
    }

    fn add_blocks(&mut self, blocks: u64) {
        self.blocks += blocks;
        self.deep = self.deep.saturating_add(blocks * self.loops * self.loops);
    }

    fn call(&mut self, operator: &Operator<'_>, callee: Arity, facts: &Facts) {
        self.calls += 1;
        let direct = matches!(operator, Operator::Call { .. } | Operator::ReturnCall { .. });
        self.linear += if direct { CALL } else { INDIRECT_CALL };
        self.linear += u64::from(callee.params) + FURTHER_RESULT * u64::from(callee.results.saturating_sub(1));
        if may_reach_host(operator, facts.imported_functions) {
            self.add_blocks(CHECK_BLOCKS);
        }
        if self.handlers > 0 {
            self.add_blocks(1);
            self.linear = self.linear.saturating_add(self.handlers * HANDLER);
        }
    }

    fn open(&mut self, kind: Kind, blocks: u64, ty: BlockType, handlers: u64, facts: &Facts) {
        self.loops += u64::from(kind == Kind::Loop);
        self.add_blocks(blocks);
        self.handlers += handlers;
        let arity = facts.block_type(ty);
        let label_values = u64::from(if kind == Kind::Loop { arity.params } else { arity.results });
        let opened = self.position.saturating_add(2);
        self.frames.push(Frame { kind, opened, branches: 0, label_values, sets: 0, known_outside: 0, handlers });
    }

    fn close(&mut self, falls_through: bool) {
        let Some(frame) = self.frames.pop() else { return };
        self.handlers = self.handlers.saturating_sub(frame.handlers);
        self.loops = self.loops.saturating_sub(u64::from(frame.kind == Kind::Loop));
        let joins = match frame.kind {
            Kind::Loop => frame.branches > 0,
            Kind::If => true,
            Kind::Block => frame.branches + u64::from(falls_through) > 1,
        };
        if joins {
            self.merges = self.merges.saturating_add(frame.sets + frame.label_values);
        }
        if let Some(around) = self.frames.last_mut() {
            around.sets += frame.sets.saturating_sub(frame.known_outside);
        } else {
            let merges = std::mem::take(&mut self.merges);
            self.merging = self.merging.saturating_add(merges.saturating_mul(merges) / 250);
        }
    }

    /// Counts a branch to the label at `depth` that can be taken in `times` ways.
    fn branch(&mut self, depth: u32, times: u64) {
        self.mark(depth);
        let at = self.frames.len().checked_sub(depth as usize + 1);
        let values = at.and_then(|at| self.frames.get(at)).map_or(0, |frame| frame.label_values);
        self.linear = self.linear.saturating_add(times.saturating_mul(1 + values));
    }

    fn mark(&mut self, depth: u32) {
        let at = self.frames.len().checked_sub(depth as usize + 1);
        if let Some(frame) = at.and_then(|at| self.frames.get_mut(at)) {
            frame.branches += 1;
        }
    }

    fn touch(&mut self, local: u32) {
        if let Some(last @ 0) = self.last_set.get_mut(local as usize) {
            *last = 1;
            self.locals += 1;
        }
    }

    fn set(&mut self, local: u32) {
        self.touch(local);
        let Some(last) = self.last_set.get_mut(local as usize) else { return };
        let before = std::mem::replace(last, self.position.saturating_add(2));
        // The frames that were open when it was set last have counted it; those opened since have not.
        let known = self.frames.partition_point(|frame| frame.opened < before);
        if let Some(outermost) = self.frames.get_mut(known) {
            outermost.known_outside += 1;
            if let Some(innermost) = self.frames.last_mut() {
                innermost.sets += 1;
            }
        }
    }
}

/// The estimate for a function type.
pub(crate) fn type_work(ty: Arity) -> u64 {
    TYPE + TYPE_VALUE * (u64::from(ty.params) + u64::from(ty.results))
}

#[cfg(test)]
mod tests {
    use wasmparser::{Parser, Payload};

    use super::*;

    /// Blocks, distinct locals, and merging of the only function of `(module (func LOCALS CODE))`.
    fn count(code: &str) -> FunctionWork {
        let text = format!("(module (func (local i32 i32 i32) {code}))");
        let module = crate::recognise(text.as_bytes(), &crate::ModuleLimits::default()).expect("text");
        let mut work = FunctionWork::default();
        work.begin(3);
        for payload in Parser::new(0).parse_all(module.bytes()) {
            let Payload::CodeSectionEntry(body) = payload.expect("valid") else { continue };
            for operator in body.get_operators_reader().expect("valid") {
                work.operator(&operator.expect("valid"), true, &Facts::default());
            }
        }
        work
    }

    const SET_0: &str = "i32.const 0 local.set 0 ";
    const SET_ALL: &str = "i32.const 0 local.set 0 i32.const 0 local.set 1 i32.const 0 local.tee 2 drop ";

    #[test]
    fn each_local_merges_once_at_each_end() {
        let looped = |inner: &str, depth: usize| {
            let ends = "i32.const 0 br_if 0 end ".repeat(depth);
            format!("{}{inner}{ends}", "loop ".repeat(depth))
        };
        let many = |inner: &str| looped(inner, 100);
        // 3 locals at 100 headers each: 300 merges, 300 * 300 / 250 units.
        assert_eq!(count(&many(SET_ALL)).merging, 360);
        assert_eq!(count(&many(&SET_ALL.repeat(5))).merging, 360, "a local set again merges no more often");
        assert_eq!(count(&many(SET_0)).merging, 40);
        assert_eq!(count(&many("")).merging, 0);
        assert_eq!(count(&many(SET_ALL).repeat(3)).merging, 3 * 360, "constructs in sequence do not multiply");
    }

    #[test]
    fn a_set_counts_for_the_constructs_opened_since() {
        // Set outside and inside the inner loop: 50 outer and 50 inner headers see it once each.
        let outer = "loop ".repeat(50);
        let ends = "i32.const 0 br_if 0 end ".repeat(50);
        let code = format!("{outer}{SET_0}{outer}{SET_0}{ends}{SET_0}{ends}");
        assert_eq!(count(&code).merging, 100 * 100 / 250);
    }

    #[test]
    fn ends_reached_in_one_way_merge_nothing() {
        for opening in ["loop ", "block "] {
            let code = format!("{}{SET_ALL}{}", opening.repeat(100), "end ".repeat(100));
            assert_eq!(count(&code).merging, 0, "nothing branches to any {opening}");
        }
        let code = format!("{}{SET_ALL}{}", "block i32.const 0 br_if 0 ".repeat(100), "end ".repeat(100));
        assert_eq!(count(&code).merging, 360);
    }

    #[test]
    fn locals_count_when_they_are_used() {
        assert_eq!(count("").locals, 0);
        assert_eq!(count("local.get 1 drop local.get 1 drop").locals, 1);
        assert_eq!(count(SET_ALL).locals, 3);
    }
}
