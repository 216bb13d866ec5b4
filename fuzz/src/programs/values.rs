//! What a body computes: values, calls, and what it does to memories, tables and globals.

use cofferdam_engine::Proposal;
use wasm_encoder::{HeapType, Ieee32, Ieee64, Instruction, MemArg, RefType, ValType};

use super::Plan;
use super::body::{Body, Operand};
use super::operators::{computing, loads, stores, trapping};

use Instruction as I;
use ValType::{F32, F64, I32, I64, V128};

const EDGES: [i64; 22] = [
    0,
    1,
    -1,
    2,
    3,
    7,
    31,
    32,
    33,
    63,
    64,
    127,
    -128,
    255,
    65_535,
    32_768,
    0x7fff_ffff,
    -0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX,
    i64::MIN,
];
const FLOATS: [f64; 14] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    3.7,
    f64::INFINITY,
    f64::NEG_INFINITY,
    2_147_483_648.0,
    -2_147_483_649.0,
    4_294_967_296.0,
    9_223_372_036_854_775_808.0,
    1e-45,
    3.5e38,
];
/// Bits of NaNs: canonical, negative, with a payload, signalling.
const NANS: [u64; 4] = [0x7ff8_0000_0000_0000, 0xfff8_0000_0000_0000, 0x7ffc_0000_0000_1234, 0x7ff4_0000_0000_0000];

impl Body<'_> {
    /// One value of type `ty` on top.
    pub fn value(&mut self, ty: ValType) {
        if self.left <= 0 || self.depth > 9 || self.random.one_in(3) {
            return self.leaf(ty);
        }
        self.depth += 1;
        match self.random.below(16) {
            0 | 1 if !loads(ty).is_empty() => self.load(ty),
            2 | 3 => self.select(ty),
            4 => {
                self.value(ty);
                if let Some(local) = self.settable_local(ty) {
                    self.apply(I::LocalTee(local), 1, &[ty]);
                }
            }
            5 => {
                let floor = self.floor;
                self.floor = self.operands.len();
                self.block(&[ty], true);
                self.floor = floor;
            }
            6 => self.call_for(ty),
            7 if ty == I32 => self.observed(),
            8 if self.plan.traps && self.random.one_in(4) => self.computed(ty, true),
            _ => self.computed(ty, false),
        }
        self.depth -= 1;
    }

    fn leaf(&mut self, ty: ValType) {
        let locals: Vec<u32> = (0..self.locals.len() as u32).filter(|at| self.locals[*at as usize] == ty).collect();
        let globals = self.plan.globals_of(ty);
        match self.random.below(10) {
            0..6 if !locals.is_empty() => {
                let local = self.random.pick(&locals);
                self.apply(I::LocalGet(local), 0, &[]);
                self.operands.push(Operand { ty, from: Some(local) });
            }
            6 if !globals.is_empty() => {
                let global = self.random.pick(&globals);
                self.apply(I::GlobalGet(global), 0, &[ty]);
            }
            _ => self.constant(ty),
        }
    }

    pub fn constant(&mut self, ty: ValType) {
        let random = &mut *self.random;
        let integer = match random.below(3) {
            0 => random.pick(&EDGES),
            1 => random.below(600) as i64 - 300,
            _ => random.draw().cast_signed(),
        };
        let nan = random.one_in(8).then(|| random.pick(&NANS));
        let float = random.pick(&FLOATS);
        let op = match ty {
            I32 => I::I32Const(integer as i32),
            I64 => I::I64Const(integer),
            F32 => {
                I::F32Const(Ieee32::new(nan.map_or((float as f32).to_bits(), |nan| (nan >> 32) as u32 | 0x7f80_0000)))
            }
            F64 => I::F64Const(Ieee64::new(nan.unwrap_or(float.to_bits()))),
            V128 => I::V128Const(i128::from(integer) << 64 | i128::from(random.draw())),
            ValType::Ref(ty) => return self.reference(ty),
        };
        self.apply(op, 0, &[ty]);
    }

    fn reference(&mut self, ty: RefType) {
        let table = self.plan.tables.iter().position(|table| *table == ty).unwrap_or(0) as u32;
        let function = self.plan.imported.len() + self.random.index(self.plan.functions.len());
        let null = if ty == RefType::FUNCREF { HeapType::FUNC } else { HeapType::EXTERN };
        match self.random.below(6) {
            0..3 if ty == RefType::FUNCREF => self.apply(I::RefFunc(function as u32), 0, &[ValType::Ref(ty)]),
            3 => {
                let index = self.random.below(Plan::ELEMENTS) as i32;
                self.apply(I::I32Const(index), 0, &[I32]);
                self.apply(I::TableGet(table), 1, &[ValType::Ref(ty)]);
            }
            _ => self.apply(I::RefNull(null), 0, &[ValType::Ref(ty)]),
        }
    }

    fn computed(&mut self, ty: ValType, traps: bool) {
        let wide = self.plan.has(Proposal::WideArithmetic) && ty == I64;
        if wide && self.random.one_in(8) {
            let all = [(4, I::I64Add128), (4, I::I64Sub128), (2, I::I64MulWideS), (2, I::I64MulWideU)];
            let (takes, op) = all[self.random.index(all.len())].clone();
            self.want_apart(&[I64; 4][..takes]);
            self.apply(op, takes, &[I64, I64]);
            return self.apply(I::I64Xor, 2, &[I64]);
        }
        let all = if traps { trapping(ty, self.plan.features) } else { computing(ty, self.plan.features) };
        if all.is_empty() {
            return self.leaf(ty);
        }
        let (takes, op) = all[self.random.index(all.len())].clone();
        self.want_apart(takes);
        self.apply(op, takes.len(), &[ty]);
    }

    /// Values of `types` that were not there before.
    fn want_apart(&mut self, types: &[ValType]) {
        let floor = self.floor;
        self.floor = self.operands.len();
        self.want(types);
        self.floor = floor;
    }

    fn select(&mut self, ty: ValType) {
        self.want_apart(&[ty, ty]);
        self.condition();
        let typed = matches!(ty, ValType::Ref(_)) || self.plan.has(Proposal::ReferenceTypes) && self.random.one_in(3);
        self.apply(if typed { I::TypedSelect(ty) } else { I::Select }, 3, &[ty]);
    }

    /// A decision that depends on what the program was given or did so far.
    pub fn condition(&mut self) {
        let floor = self.floor;
        self.floor = self.operands.len();
        match self.random.below(9) {
            0 => {
                self.leaf(I32);
                self.apply(I::I32Eqz, 1, &[I32]);
            }
            1 => self.leaf(I32),
            2 => {
                self.apply(I::GlobalGet(Plan::CALLS), 0, &[I32]);
                self.code.extend([I::I32Const(1), I::I32And]);
            }
            3 | 4 => {
                self.value(I32);
                self.code.extend([I::I32Const(self.random.pick(&[1, 1, 2, 4])), I::I32And]);
            }
            5 => {
                self.value(I64);
                self.apply(I::I64Eqz, 1, &[I32]);
            }
            6 => {
                self.load(I32);
                self.code.extend([I::I32Const(1), I::I32And]);
            }
            _ => self.computed(I32, false),
        }
        self.floor = floor;
    }

    /// An `i32` that tells something about memories, tables or references.
    fn observed(&mut self) {
        let memory = self.random.below(self.plan.memories.into()) as u32;
        let references = self.plan.has(Proposal::ReferenceTypes);
        match self.random.below(5) {
            0 => self.apply(I::MemorySize(memory), 0, &[I32]),
            1 => {
                let by = self.random.pick(&[0, 0, 1, 1, 40_000]);
                self.apply(I::I32Const(by), 0, &[I32]);
                self.apply(I::MemoryGrow(memory), 1, &[I32]);
            }
            2 if references => {
                let table = self.random.index(self.plan.tables.len()) as u32;
                self.apply(I::TableSize(table), 0, &[I32]);
            }
            3 if references => {
                let table = 1 + self.random.index(self.plan.tables.len() - 1);
                let ty = ValType::Ref(self.plan.tables[table]);
                self.want_apart(&[ty]);
                let by = self.random.pick(&[0, 1, 3, 1_000]);
                self.apply(I::I32Const(by), 0, &[I32]);
                self.apply(I::TableGrow(table as u32), 2, &[I32]);
            }
            _ if references => {
                let ty = ValType::Ref(self.random.pick(&self.plan.tables));
                self.want_apart(&[ty]);
                self.apply(I::RefIsNull, 1, &[I32]);
            }
            _ => self.computed(I32, false),
        }
    }

    /// An address, and what stands in the operator beside it: mostly in bounds.
    fn address(&mut self, width: u64) -> MemArg {
        self.want_apart(&[I32]);
        let mask = self.random.pick(&[0xff, 0xfff, 0x3fff]);
        self.code.extend([I::I32Const(mask), I::I32And]);
        let far = self.plan.traps && self.random.one_in(40);
        let offsets: &[u64] = if far { &[65_530, 70_000, 254_063] } else { &[0, 0, 1, 7, 8, 4_000, 40_000] };
        let offset = self.random.pick(offsets);
        let align = self.random.below(width + 1) as u32;
        MemArg { offset, align, memory_index: self.random.below(self.plan.memories.into()) as u32 }
    }

    fn load(&mut self, ty: ValType) {
        let (make, width) = self.random.pick(loads(ty));
        let memarg = self.address(width);
        self.apply(make(memarg), 1, &[ty]);
    }

    /// A call that gives one `ty`.
    fn call_for(&mut self, ty: ValType) {
        let gives = |at: &u32| self.plan.types[self.plan.type_of(*at) as usize].1 == [ty];
        let fit: Vec<u32> = (0..self.plan.callable()).filter(gives).collect();
        if fit.is_empty() {
            return self.leaf(ty);
        }
        let function = self.random.pick(&fit);
        self.call_to(function);
    }

    pub fn call(&mut self) {
        let function = self.random.below(self.plan.callable().into()) as u32;
        self.call_to(function);
    }

    fn call_to(&mut self, function: u32) {
        let ty = self.plan.type_of(function);
        let (params, results) = self.plan.types[ty as usize].clone();
        self.want(&params);
        let Some(defined) = function.checked_sub(self.plan.imported.len() as u32) else {
            return self.apply(I::Call(function), params.len(), &results);
        };
        if self.random.one_in(2) {
            return self.apply(I::Call(function), params.len(), &results);
        }
        self.apply(I::I32Const(defined as i32), 0, &[I32]);
        let alike: Vec<usize> =
            (0..self.plan.functions.len()).filter(|other| self.plan.functions[*other] == ty).collect();
        if self.random.one_in(2) {
            let other = self.random.pick(&alike);
            self.apply(I::I32Const(other as i32), 0, &[I32]);
            self.condition();
            self.apply(I::Select, 3, &[I32]);
        } else if self.plan.traps && self.random.one_in(16) {
            // Another type, null, or past the end.
            self.want_apart(&[I32]);
            self.apply(I::I32Add, 2, &[I32]);
        }
        let table_index = if self.plan.tables.len() > 1 && self.plan.traps && self.random.one_in(8) { 1 } else { 0 };
        self.apply(I::CallIndirect { type_index: ty, table_index }, params.len() + 1, &results);
    }

    /// Changes a memory, a table or a global.
    pub fn effect(&mut self) {
        let memory = self.random.below(self.plan.memories.into()) as u32;
        let other = self.random.below(self.plan.memories.into()) as u32;
        match self.random.below(12) {
            0..6 => {
                let ty = self.plan.any_number(self.random);
                let (make, width) = self.random.pick(stores(ty));
                let floor = self.floor;
                self.floor = self.operands.len();
                let memarg = self.address(width);
                self.floor = self.operands.len();
                self.value(ty);
                self.floor = floor;
                self.apply(make(memarg), 2, &[]);
            }
            6 | 7 => {
                let ty = self.plan.any_type(self.random);
                let globals = self.plan.globals_of(ty);
                if !globals.is_empty() {
                    let global = self.random.pick(&globals);
                    self.want(&[ty]);
                    self.apply(I::GlobalSet(global), 1, &[]);
                }
            }
            8 | 9 if self.plan.has(Proposal::BulkMemory) => {
                let bulk = match self.random.below(8) {
                    0..3 => I::MemoryFill(memory),
                    3..6 => I::MemoryCopy { src_mem: memory, dst_mem: other },
                    6 => I::MemoryInit { mem: memory, data_index: 0 },
                    _ => return self.apply(I::DataDrop(0), 0, &[]),
                };
                // A dropped segment is empty: anything but nothing traps.
                let most = if matches!(bulk, I::MemoryInit { .. }) && !self.plan.traps { 1 } else { 300 };
                self.bulk(bulk, 4_000, most);
            }
            10 | 11 if self.plan.has(Proposal::ReferenceTypes) => {
                let table = 1 + self.random.index(self.plan.tables.len() - 1);
                let ty = ValType::Ref(self.plan.tables[table]);
                let index = self.random.below(Plan::ELEMENTS) as i32;
                let table = table as u32;
                match self.random.below(6) {
                    0..3 => {
                        self.apply(I::I32Const(index), 0, &[I32]);
                        self.want_apart(&[ty]);
                        self.apply(I::TableSet(table), 2, &[]);
                    }
                    3 if self.plan.has(Proposal::BulkMemory) => {
                        self.apply(I::I32Const(index), 0, &[I32]);
                        self.want_apart(&[ty]);
                        let length = self.random.below(2) as i32;
                        self.apply(I::I32Const(length), 0, &[I32]);
                        self.apply(I::TableFill(table), 3, &[]);
                    }
                    4 if self.plan.has(Proposal::BulkMemory) => {
                        self.bulk(I::TableCopy { src_table: table, dst_table: table }, 4, 4);
                    }
                    5 if self.plan.has(Proposal::BulkMemory) && table == 1 => {
                        let most = if self.plan.traps { 3 } else { 1 };
                        self.bulk(I::TableInit { elem_index: 1, table }, 2, most);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// A bulk operator with constants: two places below `at`, and a length below `most`.
    fn bulk(&mut self, op: I<'static>, at: u64, most: u64) {
        let at = if most == 1 { 1 } else { at };
        for end in [at, at, most] {
            let number = self.random.below(end) as i32;
            self.apply(I::I32Const(number), 0, &[I32]);
        }
        self.apply(op, 3, &[]);
    }
}
