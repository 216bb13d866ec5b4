//! Changes to modules that keep them valid: other constants and operators, code left out, doubled and repeated in
//! loops, bodies exchanged.

use std::mem::discriminant;

use cofferdam_engine::FeatureSet;
use wasm_encoder::{BlockType, Instruction, ValType};

use crate::edit::{Body, Parts, is_valid};
use crate::random::Random;

use Instruction as I;

/// Operators that take and give the same types.
const ALIKE: &[&[Instruction<'static>]] = &[
    &[
        I::I32Add,
        I::I32Sub,
        I::I32Mul,
        I::I32DivS,
        I::I32DivU,
        I::I32RemS,
        I::I32RemU,
        I::I32And,
        I::I32Or,
        I::I32Xor,
        I::I32Shl,
        I::I32ShrS,
        I::I32ShrU,
        I::I32Rotl,
        I::I32Rotr,
        I::I32Eq,
        I::I32Ne,
        I::I32LtS,
        I::I32LtU,
        I::I32GtS,
        I::I32GtU,
        I::I32LeS,
        I::I32LeU,
        I::I32GeS,
        I::I32GeU,
    ],
    &[I::I32Eqz, I::I32Clz, I::I32Ctz, I::I32Popcnt, I::I32Extend8S, I::I32Extend16S],
    &[
        I::I64Add,
        I::I64Sub,
        I::I64Mul,
        I::I64DivS,
        I::I64DivU,
        I::I64RemS,
        I::I64RemU,
        I::I64And,
        I::I64Or,
        I::I64Xor,
        I::I64Shl,
        I::I64ShrS,
        I::I64ShrU,
        I::I64Rotl,
        I::I64Rotr,
    ],
    &[I::I64Eq, I::I64Ne, I::I64LtS, I::I64LtU, I::I64GtS, I::I64GtU, I::I64LeS, I::I64LeU, I::I64GeS, I::I64GeU],
    &[I::I64Clz, I::I64Ctz, I::I64Popcnt, I::I64Extend8S, I::I64Extend16S, I::I64Extend32S],
    &[I::I64ExtendI32S, I::I64ExtendI32U],
    &[I::F32Add, I::F32Sub, I::F32Mul, I::F32Div, I::F32Min, I::F32Max, I::F32Copysign],
    &[I::F32Abs, I::F32Neg, I::F32Ceil, I::F32Floor, I::F32Trunc, I::F32Nearest, I::F32Sqrt],
    &[I::F32Eq, I::F32Ne, I::F32Lt, I::F32Gt, I::F32Le, I::F32Ge],
    &[I::F64Add, I::F64Sub, I::F64Mul, I::F64Div, I::F64Min, I::F64Max, I::F64Copysign],
    &[I::F64Abs, I::F64Neg, I::F64Ceil, I::F64Floor, I::F64Trunc, I::F64Nearest, I::F64Sqrt],
    &[I::F64Eq, I::F64Ne, I::F64Lt, I::F64Gt, I::F64Le, I::F64Ge],
    &[I::I32TruncF32S, I::I32TruncF32U, I::I32TruncSatF32S, I::I32TruncSatF32U, I::I32ReinterpretF32],
    &[I::I32TruncF64S, I::I32TruncF64U, I::I32TruncSatF64S, I::I32TruncSatF64U],
    &[I::I64TruncF32S, I::I64TruncF32U, I::I64TruncSatF32S, I::I64TruncSatF32U],
    &[I::I64TruncF64S, I::I64TruncF64U, I::I64TruncSatF64S, I::I64TruncSatF64U, I::I64ReinterpretF64],
    &[I::F32ConvertI32S, I::F32ConvertI32U, I::F32ReinterpretI32],
    &[I::F32ConvertI64S, I::F32ConvertI64U],
    &[I::F64ConvertI32S, I::F64ConvertI32U],
    &[I::F64ConvertI64S, I::F64ConvertI64U, I::F64ReinterpretI64],
    &[
        I::I8x16Add,
        I::I8x16Sub,
        I::I8x16AddSatS,
        I::I8x16AddSatU,
        I::I8x16SubSatS,
        I::I8x16SubSatU,
        I::I8x16MinS,
        I::I8x16MinU,
        I::I8x16MaxS,
        I::I8x16MaxU,
        I::I8x16AvgrU,
        I::I8x16Swizzle,
        I::I8x16Eq,
        I::I8x16LtS,
        I::I8x16LtU,
        I::I8x16NarrowI16x8S,
        I::I8x16NarrowI16x8U,
        I::I16x8Add,
        I::I16x8Sub,
        I::I16x8Mul,
        I::I16x8AddSatS,
        I::I16x8AddSatU,
        I::I16x8SubSatS,
        I::I16x8SubSatU,
        I::I16x8MinS,
        I::I16x8MaxU,
        I::I16x8AvgrU,
        I::I16x8Q15MulrSatS,
        I::I16x8NarrowI32x4S,
        I::I16x8NarrowI32x4U,
        I::I16x8ExtMulLowI8x16S,
        I::I16x8ExtMulHighI8x16U,
        I::I32x4Add,
        I::I32x4Sub,
        I::I32x4Mul,
        I::I32x4MinS,
        I::I32x4MaxU,
        I::I32x4DotI16x8S,
        I::I32x4ExtMulLowI16x8S,
        I::I32x4ExtMulHighI16x8U,
        I::I64x2Add,
        I::I64x2Sub,
        I::I64x2Mul,
        I::I64x2ExtMulLowI32x4S,
        I::I64x2ExtMulHighI32x4U,
        I::F32x4Add,
        I::F32x4Sub,
        I::F32x4Mul,
        I::F32x4Div,
        I::F32x4Min,
        I::F32x4Max,
        I::F32x4PMin,
        I::F32x4PMax,
        I::F64x2Add,
        I::F64x2Sub,
        I::F64x2Mul,
        I::F64x2Div,
        I::F64x2Min,
        I::F64x2Max,
        I::F64x2PMin,
        I::F64x2PMax,
        I::V128And,
        I::V128AndNot,
        I::V128Or,
        I::V128Xor,
        I::I64x2Eq,
        I::I64x2LtS,
        I::I64x2GeS,
        I::F32x4Lt,
        I::F64x2Ge,
    ],
    &[
        I::V128Not,
        I::I8x16Abs,
        I::I8x16Neg,
        I::I8x16Popcnt,
        I::I16x8Abs,
        I::I16x8Neg,
        I::I16x8ExtAddPairwiseI8x16S,
        I::I16x8ExtAddPairwiseI8x16U,
        I::I16x8ExtendLowI8x16S,
        I::I16x8ExtendHighI8x16U,
        I::I32x4Abs,
        I::I32x4Neg,
        I::I32x4ExtAddPairwiseI16x8S,
        I::I32x4ExtendLowI16x8U,
        I::I32x4TruncSatF32x4S,
        I::I32x4TruncSatF32x4U,
        I::I32x4TruncSatF64x2SZero,
        I::I32x4TruncSatF64x2UZero,
        I::I64x2Abs,
        I::I64x2Neg,
        I::I64x2ExtendLowI32x4S,
        I::F32x4Abs,
        I::F32x4Neg,
        I::F32x4Sqrt,
        I::F32x4Ceil,
        I::F32x4Floor,
        I::F32x4Trunc,
        I::F32x4Nearest,
        I::F32x4ConvertI32x4S,
        I::F32x4ConvertI32x4U,
        I::F32x4DemoteF64x2Zero,
        I::F64x2Abs,
        I::F64x2Neg,
        I::F64x2Sqrt,
        I::F64x2Ceil,
        I::F64x2Floor,
        I::F64x2Trunc,
        I::F64x2Nearest,
        I::F64x2ConvertLowI32x4S,
        I::F64x2ConvertLowI32x4U,
        I::F64x2PromoteLowF32x4,
    ],
    &[
        I::V128AnyTrue,
        I::I8x16AllTrue,
        I::I8x16Bitmask,
        I::I16x8AllTrue,
        I::I16x8Bitmask,
        I::I32x4AllTrue,
        I::I32x4Bitmask,
        I::I64x2AllTrue,
        I::I64x2Bitmask,
    ],
    &[
        I::I8x16Shl,
        I::I8x16ShrS,
        I::I8x16ShrU,
        I::I16x8Shl,
        I::I16x8ShrS,
        I::I16x8ShrU,
        I::I32x4Shl,
        I::I32x4ShrS,
        I::I32x4ShrU,
        I::I64x2Shl,
        I::I64x2ShrS,
        I::I64x2ShrU,
    ],
    &[I::I64Add128, I::I64Sub128],
    &[I::I64MulWideS, I::I64MulWideU],
];

/// `module` with up to `most` changes, each of which kept it valid; `None` if none did, or if it is no module.
#[must_use]
pub fn mutate(random: &mut Random, module: &[u8], features: FeatureSet, most: usize) -> Option<Vec<u8>> {
    let mut parts = Parts::read(module).ok()?;
    if parts.bodies.is_empty() {
        return None;
    }
    let mut best = None;
    for _ in 0..most.saturating_mul(3) {
        let mut tried = parts.clone();
        change(random, &mut tried);
        let bytes = tried.write();
        if is_valid(&bytes, features) {
            parts = tried;
            best = Some(bytes);
        }
    }
    best
}

fn change(random: &mut Random, parts: &mut Parts<'_>) {
    let at = random.index(parts.bodies.len());
    let (functions, other) = (parts.functions, random.index(parts.bodies.len()));
    let other = parts.bodies[other].clone();
    let body = &mut parts.bodies[at];
    match random.below(16) {
        0 => *body = other,
        1 => body.code = if random.one_in(2) { vec![I::Unreachable] } else { Vec::new() },
        2..4 => remove(random, body),
        4 => duplicate(random, body),
        5 => graft(random, body, &other),
        6..9 => repeat(random, body),
        9 => body.locals.push((1 + random.spread(8) as u32, random.pick(&[ValType::I32, ValType::I64, ValType::F64]))),
        _ => {
            for _ in 0..1 + random.below(3) {
                let len = body.code.len();
                if let Some(op) = body.code.get_mut(random.index(len)) {
                    another(random, op, functions);
                }
            }
        }
    }
}

/// A range of `body`, short as a rule.
fn range(random: &mut Random, body: &Body<'_>) -> std::ops::Range<usize> {
    let from = random.index(body.code.len() + 1);
    let len = (random.spread(6) as usize).min(body.code.len() - from);
    from..from + len
}

fn remove(random: &mut Random, body: &mut Body<'_>) {
    let range = range(random, body);
    body.code.drain(range);
}

fn duplicate(random: &mut Random, body: &mut Body<'_>) {
    let range = range(random, body);
    let (copy, at) = (body.code[range.clone()].to_vec(), range.end);
    body.code.splice(at..at, copy);
}

fn graft<'a>(random: &mut Random, body: &mut Body<'a>, other: &Body<'a>) {
    let copy = other.code[range(random, other)].to_vec();
    let at = random.index(body.code.len() + 1);
    body.code.splice(at..at, copy);
}

/// Has a range done some number of times, by a counter of its own.
fn repeat(random: &mut Random, body: &mut Body<'_>) {
    let range = range(random, body);
    let counter = body.params + body.locals.iter().map(|(count, _)| count).sum::<u32>();
    let times = 1 + random.spread(10) as i32;
    body.locals.push((1, ValType::I32));
    let head = [I::I32Const(0), I::LocalSet(counter), I::Loop(BlockType::Empty)];
    let tail = [
        I::LocalGet(counter),
        I::I32Const(1),
        I::I32Add,
        I::LocalTee(counter),
        I::I32Const(times),
        I::I32LtU,
        I::BrIf(0),
        I::End,
    ];
    body.code.splice(range.end..range.end, tail);
    body.code.splice(range.start..range.start, head);
}

fn number(random: &mut Random, old: u64) -> u64 {
    match random.below(6) {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => 1u64.rotate_left(random.below(64) as u32),
        3 => u64::MAX >> random.below(64),
        4 => random.spread(64),
        _ => old.wrapping_neg(),
    }
}

/// Makes another operator of `op`, of the same type as far as one can tell without types.
fn another(random: &mut Random, op: &mut Instruction<'_>, functions: u32) {
    match op {
        I::I32Const(v) => *v = number(random, u64::from(v.cast_unsigned())) as i32,
        I::I64Const(v) => *v = number(random, v.cast_unsigned()).cast_signed(),
        I::F32Const(v) => *v = f32::from_bits(number(random, u64::from(f32::from(*v).to_bits())) as u32).into(),
        I::F64Const(v) => *v = f64::from_bits(number(random, f64::from(*v).to_bits())).into(),
        I::V128Const(v) => *v ^= 0xff << random.below(120),
        I::LocalGet(index) | I::LocalSet(index) | I::LocalTee(index) | I::GlobalGet(index) | I::GlobalSet(index) => {
            *index = random.below(12) as u32;
        }
        I::Br(depth) | I::BrIf(depth) => *depth = random.below(6) as u32,
        I::Call(index) => *index = random.below(functions.into()) as u32,
        I::RefFunc(index) => *index = random.below(functions.into()) as u32,
        I::I32Load(at) | I::I64Load(at) | I::I32Store(at) | I::I64Store(at) | I::V128Load(at) | I::V128Store(at) => {
            at.offset = number(random, at.offset) & 0x1_ffff;
        }
        I::Block(ty) => *op = I::Loop(*ty),
        I::Loop(ty) => *op = I::Block(*ty),
        _ => {
            let class = ALIKE.iter().find(|class| class.iter().any(|like| discriminant(like) == discriminant(op)));
            if let Some(class) = class {
                *op = class[random.index(class.len())].clone();
            }
        }
    }
}
