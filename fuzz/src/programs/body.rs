//! One function body: its operand stack, its blocks and branches. Values are made in `values`.

use cofferdam_engine::Proposal;
use wasm_encoder::{BlockType, Instruction, ValType};

use super::Plan;
use super::operators::computing;
use crate::random::Random;

use Instruction as I;
use ValType::{I32, I64, V128};

/// Blocks in one another.
const DEEPEST: usize = 9;
/// Loops in one another.
const MOST_LOOPS: usize = 3;

/// A value on the operand stack.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub ty: ValType,
    /// The local it was read from, for as long as nothing was done with it: setting that local now is what engines
    /// that put off reading locals must get right.
    pub from: Option<u32>,
}

/// A block that is open.
pub(super) struct Frame {
    /// Operands below it.
    pub base: usize,
    /// What a branch to it carries.
    pub label: Vec<ValType>,
    /// Of a loop: the local that counts its turns, and how many there are.
    pub turns: Option<(u32, i32)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Block,
    Loop,
    If,
}

/// A body while it is written. It is valid at every step.
pub(super) struct Body<'a> {
    pub random: &'a mut Random,
    pub plan: &'a mut Plan,
    pub code: Vec<I<'static>>,
    pub operands: Vec<Operand>,
    /// Operands that the code being written may not touch.
    pub floor: usize,
    pub frames: Vec<Frame>,
    pub locals: Vec<ValType>,
    /// Locals that code may set; those behind count turns.
    pub settable: usize,
    pub results: Vec<ValType>,
    /// Operators still to be written, about.
    pub left: i64,
    /// Values that are being made for one another.
    pub depth: usize,
}

impl<'a> Body<'a> {
    pub fn new(random: &'a mut Random, plan: &'a mut Plan, params: &[ValType], results: &[ValType]) -> Self {
        let mut locals = params.to_vec();
        for _ in 0..2 + random.below(6) {
            locals.push(plan.any_type(random));
        }
        locals.extend([I32, I64]);
        let left = random.pick(&[20, 60, 60, 150, 150, 400]);
        let frame = Frame { base: 0, label: results.to_vec(), turns: None };
        Self {
            random,
            plan,
            code: Vec::new(),
            operands: Vec::new(),
            floor: 0,
            frames: vec![frame],
            settable: locals.len(),
            locals,
            results: results.to_vec(),
            left,
            depth: 0,
        }
    }

    /// Writes all of it.
    pub fn write(&mut self) {
        self.enter();
        while self.left > 0 {
            self.step();
        }
        for local in 0..self.settable as u32 {
            if self.random.one_in(2) {
                let ty = self.locals[local as usize];
                self.apply(I::LocalGet(local), 0, &[ty]);
                self.hash();
            }
        }
        let results = self.results.clone();
        self.settle(&results);
    }

    /// Ends calls in one another: each takes one off a global, and at zero it returns at once.
    fn enter(&mut self) {
        self.code.extend([I::GlobalGet(Plan::CALLS), I::I32Const(1), I::I32Sub, I::GlobalSet(Plan::CALLS)]);
        self.code.extend([I::GlobalGet(Plan::CALLS), I::I32Const(0), I::I32LtS, I::If(BlockType::Empty)]);
        for ty in self.results.clone() {
            self.constant(ty);
        }
        self.operands.clear();
        self.code.extend([I::Return, I::End]);
    }

    pub fn apply(&mut self, op: I<'static>, takes: usize, gives: &[ValType]) {
        self.code.push(op);
        self.left -= 1;
        self.operands.truncate(self.operands.len() - takes);
        self.operands.extend(gives.iter().map(|ty| Operand { ty: *ty, from: None }));
    }

    /// Operands that may be taken.
    fn above(&self) -> usize {
        self.operands.len() - self.floor
    }

    fn top(&self, count: usize) -> Vec<ValType> {
        self.operands[self.operands.len() - count..].iter().map(|operand| operand.ty).collect()
    }

    pub fn new_local(&mut self, ty: ValType) -> u32 {
        self.locals.push(ty);
        self.locals.len() as u32 - 1
    }

    /// A local of `ty` that may be set: rather one that lies on the operand stack.
    pub fn settable_local(&mut self, ty: ValType) -> Option<u32> {
        let all: Vec<u32> = (0..self.settable as u32).filter(|at| self.locals[*at as usize] == ty).collect();
        let read: Vec<u32> =
            all.iter().copied().filter(|at| self.operands.iter().any(|operand| operand.from == Some(*at))).collect();
        let from = if read.is_empty() || self.random.one_in(3) { all } else { read };
        (!from.is_empty()).then(|| self.random.pick(&from))
    }

    /// Mixes the topmost operand into the hash.
    pub fn hash(&mut self) {
        let Some(Operand { ty, .. }) = self.operands.pop() else { return };
        match ty {
            I32 => self.code.push(I::I64ExtendI32U),
            I64 => {}
            ValType::F32 => self.code.extend([I::I32ReinterpretF32, I::I64ExtendI32U]),
            ValType::F64 => self.code.push(I::I64ReinterpretF64),
            V128 => {
                let scratch = self.new_local(V128);
                self.code.extend([I::LocalTee(scratch), I::I64x2ExtractLane(0), I::LocalGet(scratch)]);
                self.code.extend([I::I64x2ExtractLane(1), I::I64Const(31), I::I64Rotl, I::I64Xor]);
            }
            ValType::Ref(_) => self.code.extend([I::RefIsNull, I::I64ExtendI32U]),
        }
        self.code.extend([I::GlobalGet(Plan::HASH), I::I64Const(29), I::I64Rotl, I::I64Xor]);
        self.code.extend([I::I64Const(0x1e37_79b9_7f4a_7c15), I::I64Mul, I::GlobalSet(Plan::HASH)]);
    }

    /// Takes the topmost operand away: into a local, into the hash, or not at all.
    fn discard(&mut self) {
        let Some(operand) = self.operands.last().copied() else { return };
        let local = self.settable_local(operand.ty);
        match (self.random.below(4), local) {
            (0, _) => self.apply(I::Drop, 1, &[]),
            (1, _) => self.hash(),
            (_, Some(local)) => self.apply(I::LocalSet(local), 1, &[]),
            (_, None) => self.apply(I::Drop, 1, &[]),
        }
    }

    /// Puts values of `types` on top.
    pub fn want(&mut self, types: &[ValType]) {
        if self.above() >= types.len() && self.top(types.len()) == types && self.random.one_in(2) {
            return;
        }
        let floor = self.floor;
        for ty in types {
            self.floor = self.operands.len();
            self.value(*ty);
            if self.left > 0 && self.depth < 6 && self.random.one_in(8) {
                self.aside();
            }
        }
        self.floor = floor;
    }

    /// Leaves nothing but values of `types` above what the innermost block began with.
    pub fn settle(&mut self, types: &[ValType]) {
        let base = self.frames.last().map_or(0, |frame| frame.base);
        let same = self.operands[base..].iter().zip(types).take_while(|(operand, ty)| operand.ty == **ty).count();
        let keep = if self.random.one_in(3) { 0 } else { same };
        while self.operands.len() > base + keep {
            self.discard();
        }
        let floor = self.floor;
        for ty in &types[keep..] {
            self.floor = self.operands.len();
            self.value(*ty);
        }
        self.floor = floor;
    }

    /// Something that leaves the operand stack as it is.
    fn aside(&mut self) {
        let (floor, height) = (self.floor, self.operands.len());
        self.floor = height;
        self.step();
        while self.operands.len() > height {
            self.discard();
        }
        self.floor = floor;
    }

    /// Something.
    pub fn step(&mut self) {
        self.left -= 1;
        if self.above() > 9 {
            for _ in 0..4 {
                self.discard();
            }
        }
        match self.random.below(100) {
            0..22 => {
                let ty = self.plan.any_type(self.random);
                self.value(ty);
            }
            22..32 if self.above() > 0 => self.discard(),
            22..44 => {
                let local = self.random.index(self.settable) as u32;
                let ty = self.locals[local as usize];
                let local = self.settable_local(ty).unwrap_or(local);
                self.want(&[ty]);
                if self.random.one_in(3) {
                    self.apply(I::LocalTee(local), 1, &[ty]);
                } else {
                    self.apply(I::LocalSet(local), 1, &[]);
                }
            }
            44..62 => {
                let results = self.some_types(3);
                self.block(&results, false);
            }
            62..72 => self.branch_if(),
            72..76 => self.switch(),
            76..80 => self.on_top(),
            80..87 => self.call(),
            _ => self.effect(),
        }
    }

    /// Up to `most` types, or one where no more are allowed.
    pub fn some_types(&mut self, most: u64) -> Vec<ValType> {
        let most = if self.plan.has(Proposal::MultiValue) { most } else { 1 };
        (0..self.random.below(most + 1)).map(|_| self.plan.any_type(self.random)).collect()
    }

    /// An operator on what lies on top, if one fits.
    fn on_top(&mut self) {
        for _ in 0..6 {
            let ty = self.plan.any_type(self.random);
            let all = computing(ty, self.plan.features);
            let fit: Vec<_> = all
                .iter()
                .filter(|(takes, _)| self.above() >= takes.len() && self.top(takes.len()) == *takes)
                .collect();
            if !fit.is_empty() {
                let (takes, op) = fit[self.random.index(fit.len())].clone();
                return self.apply(op, takes.len(), &[ty]);
            }
        }
    }

    fn block_type(&mut self, params: &[ValType], results: &[ValType]) -> BlockType {
        match (params, results) {
            ([], []) => BlockType::Empty,
            ([], [one]) if !self.random.one_in(4) || !self.plan.has(Proposal::MultiValue) => BlockType::Result(*one),
            _ => BlockType::FunctionType(self.plan.ty(params, results)),
        }
    }

    /// A block, loop or `if` that leaves `results` on what is there, and may take some of that with it: `all` of it
    /// where nothing else may stay.
    pub fn block(&mut self, results: &[ValType], all: bool) {
        if self.frames.len() > DEEPEST || self.depth > 7 || self.left <= 0 {
            return self.want_new(results);
        }
        self.depth += 1;
        let loops = self.frames.iter().filter(|frame| frame.turns.is_some()).count();
        let kind = match self.random.below(6) {
            0 | 1 if loops < MOST_LOOPS => Kind::Loop,
            0..4 => Kind::If,
            _ => Kind::Block,
        };
        let several = self.plan.has(Proposal::MultiValue);
        while several && self.above() < 3 && self.random.one_in(2) {
            let ty = self.plan.any_type(self.random);
            self.value(ty);
        }
        let turns = (kind == Kind::Loop).then(|| {
            let counter = self.new_local(I32);
            self.code.extend([I::I32Const(0), I::LocalSet(counter)]);
            (counter, if loops > 0 { 2 } else { self.random.pick(&[1, 2, 3, 5]) })
        });
        if kind == Kind::If {
            self.condition();
            self.operands.pop();
        }
        let taken = match several {
            true if all => self.above(),
            true => self.random.index(self.above().min(4) + 1),
            false => 0,
        };
        let params = self.top(taken);
        let ty = self.block_type(&params, results);
        self.code.push(match kind {
            Kind::Block => I::Block(ty),
            Kind::Loop => I::Loop(ty),
            Kind::If => I::If(ty),
        });
        let (floor, base) = (self.floor, self.operands.len() - taken);
        let begin = self.operands[base..].to_vec();
        self.floor = base;
        let label = if kind == Kind::Loop { params.clone() } else { results.to_vec() };
        self.frames.push(Frame { base, label, turns });
        self.inside(results, kind);
        if kind == Kind::If && (params != results || !self.random.one_in(3)) {
            self.code.push(I::Else);
            self.operands.truncate(base);
            self.operands.extend(begin);
            self.floor = base;
            self.inside(results, kind);
        }
        self.code.push(I::End);
        self.frames.pop();
        self.floor = floor;
        self.operands.truncate(base);
        self.operands.extend(results.iter().map(|ty| Operand { ty: *ty, from: None }));
        self.depth -= 1;
    }

    fn want_new(&mut self, types: &[ValType]) {
        let floor = self.floor;
        for ty in types {
            self.floor = self.operands.len();
            self.value(*ty);
        }
        self.floor = floor;
    }

    fn inside(&mut self, results: &[ValType], kind: Kind) {
        for _ in 0..self.random.below(5) {
            if self.left > 0 {
                self.step();
            }
        }
        if kind == Kind::Loop && !self.random.one_in(8) {
            self.branch_if_to(self.frames.len() - 1);
        }
        let base = self.frames.last().map_or(0, |frame| frame.base);
        match self.random.below(10) {
            // Carries its results past whatever is left.
            0 | 1 if kind != Kind::Loop => {
                self.want(results);
                self.code.push(I::Br(0));
            }
            2 | 3 if kind == Kind::If => self.leave(),
            _ => return self.settle(results),
        }
        // What follows is never reached, and has to be valid all the same.
        self.operands.truncate(base);
        if self.random.one_in(2) {
            self.settle(results);
        }
    }

    /// Goes away for good.
    fn leave(&mut self) {
        let results = self.results.clone();
        let same: Vec<u32> = (0..self.plan.functions.len() as u32)
            .filter(|at| self.plan.types[self.plan.functions[*at as usize] as usize].1 == results)
            .collect();
        match self.random.below(8) {
            0 if self.plan.traps => self.code.push(I::Unreachable),
            0 | 1 => {
                self.want(&results);
                self.code.push(I::Return);
            }
            2 | 3 if self.plan.has(Proposal::TailCalls) && !same.is_empty() => {
                let function = self.random.pick(&same);
                let ty = self.plan.functions[function as usize];
                let params = self.plan.types[ty as usize].0.clone();
                self.want(&params);
                if self.random.one_in(2) {
                    self.code.push(I::ReturnCall(self.plan.imported.len() as u32 + function));
                } else {
                    let indirect = I::ReturnCallIndirect { type_index: ty, table_index: 0 };
                    self.code.extend([I::I32Const(function as i32), indirect]);
                }
            }
            4 => {
                let targets = self.targets(None);
                self.table_to(&targets);
            }
            _ => {
                let targets = self.targets(None);
                let target = self.random.pick(&targets);
                let label = self.frames[target].label.clone();
                self.want(&label);
                self.code.push(I::Br(self.distance(target)));
            }
        }
    }

    fn distance(&self, target: usize) -> u32 {
        (self.frames.len() - 1 - target) as u32
    }

    /// Blocks that may be left at any time, not begun again, by index: those that take `label`, or any that take the
    /// same.
    fn targets(&mut self, label: Option<&[ValType]>) -> Vec<usize> {
        let all: Vec<usize> = (0..self.frames.len()).filter(|at| self.frames[*at].turns.is_none()).collect();
        // The body itself is one.
        let one = self.random.pick(&all);
        let label = label.map_or_else(|| self.frames[one].label.clone(), <[_]>::to_vec);
        all.into_iter().filter(|at| self.frames[*at].label == label).collect()
    }

    fn branch_if(&mut self) {
        let target = self.random.index(self.frames.len());
        self.branch_if_to(target);
    }

    fn branch_if_to(&mut self, target: usize) {
        let label = self.frames[target].label.clone();
        let turns = self.frames[target].turns;
        self.want(&label);
        if let Some(turns) = turns {
            self.again(turns);
            if self.random.one_in(2) {
                self.condition();
                self.apply(I::I32And, 2, &[I32]);
            }
        } else {
            self.condition();
        }
        self.apply(I::BrIf(self.distance(target)), 1, &[]);
        // Engines may keep the values elsewhere from here on.
        let carried = self.operands.len() - label.len();
        if self.random.one_in(2) {
            self.operands[carried..].iter_mut().for_each(|operand| operand.from = None);
        }
    }

    /// Counts a turn of a loop; one if there is another.
    fn again(&mut self, (counter, turns): (u32, i32)) {
        self.apply(I::LocalGet(counter), 0, &[I32]);
        self.code.extend([I::I32Const(1), I::I32Add, I::LocalTee(counter), I::I32Const(turns), I::I32LtU]);
    }

    /// A `br_table` to some of `targets`, which take the same.
    fn table_to(&mut self, targets: &[usize]) {
        let label = self.frames[targets[0]].label.clone();
        let mut chosen: Vec<usize> = (0..=self.random.below(6)).map(|_| self.random.pick(targets)).collect();
        let base = self.frames[chosen[0]].base;
        let one_height = chosen.iter().all(|at| self.frames[*at].base == base);
        let in_memory = label.len() > 1 || label.contains(&V128);
        let innermost = self.frames.last().is_some_and(|frame| frame.base == base);
        if one_height && in_memory && !self.plan.carries {
            // Wasmi's adapter refuses it past others: only some programs have that.
            if innermost {
                self.settle(&label);
            } else {
                let condition = self.targets(None);
                let target = self.random.pick(&condition);
                let label = self.frames[target].label.clone();
                self.want(&label);
                return self.code.push(I::Br(self.distance(target)));
            }
        } else {
            self.want(&label);
        }
        let floor = self.floor;
        self.floor = self.operands.len();
        self.value(I32);
        self.floor = floor;
        if !self.random.one_in(3) {
            self.code.extend([I::I32Const(self.random.pick(&[1, 3, 7])), I::I32And]);
        }
        self.operands.pop();
        let default = chosen.pop().unwrap_or(targets[0]);
        let list: Vec<u32> = chosen.iter().map(|at| self.distance(*at)).collect();
        self.code.push(I::BrTable(list.into(), self.distance(default)));
    }

    /// Blocks in one another that a `br_table` chooses between.
    fn switch(&mut self) {
        if self.frames.len() + 4 > DEEPEST || self.depth > 6 {
            return;
        }
        self.depth += 2;
        let label = self.some_types(3);
        let count = 1 + self.random.index(4);
        let mut floors = Vec::new();
        for _ in 0..count {
            if self.random.one_in(2) {
                let ty = self.plan.any_type(self.random);
                self.value(ty);
            }
            let ty = self.block_type(&[], &label);
            self.code.push(I::Block(ty));
            floors.push(self.floor);
            self.floor = self.operands.len();
            self.frames.push(Frame { base: self.floor, label: label.clone(), turns: None });
        }
        if self.random.one_in(2) {
            let ty = self.plan.any_type(self.random);
            self.value(ty);
        }
        let targets = self.targets(Some(&label));
        self.table_to(&targets);
        for (at, floor) in floors.into_iter().enumerate().rev() {
            let base = self.frames.pop().map_or(0, |frame| frame.base);
            self.code.push(I::End);
            self.floor = floor;
            self.operands.truncate(base);
            self.operands.extend(label.iter().map(|ty| Operand { ty: *ty, from: None }));
            if at > 0 {
                for _ in 0..self.random.below(3) {
                    self.step();
                }
                if self.random.one_in(3) {
                    self.want(&label);
                    self.code.push(I::Br(0));
                    let base = self.frames.last().map_or(0, |frame| frame.base);
                    self.operands.truncate(base);
                } else {
                    self.settle(&label);
                }
            }
        }
        self.depth -= 2;
    }
}
