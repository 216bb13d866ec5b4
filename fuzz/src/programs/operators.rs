//! Which operators there are for each type: what they take, and what proposal they need.

use cofferdam_engine::{FeatureSet, Proposal};
use wasm_encoder::{Instruction, MemArg, ValType};

use Instruction as I;
use ValType::{F32, F64, I32, I64, V128};

/// An operator that computes one value: what it takes, and itself.
pub(super) type Operator = (&'static [ValType], I<'static>);
/// An access to memory: the operator, and the binary logarithm of its width.
pub(super) type Access = (fn(MemArg) -> I<'static>, u64);

const ONE_I32: &[ValType] = &[I32];
const TWO_I32: &[ValType] = &[I32, I32];
const ONE_I64: &[ValType] = &[I64];
const TWO_I64: &[ValType] = &[I64, I64];
const ONE_F32: &[ValType] = &[F32];
const TWO_F32: &[ValType] = &[F32, F32];
const ONE_F64: &[ValType] = &[F64];
const TWO_F64: &[ValType] = &[F64, F64];
const ONE_V: &[ValType] = &[V128];
const TWO_V: &[ValType] = &[V128, V128];
const SHIFT_V: &[ValType] = &[V128, I32];

macro_rules! operators {
    ($($takes:ident: $($op:expr),*;)*) => { &[$($(($takes, $op)),*),*] };
}

const I32_OF_INTEGERS: &[Operator] = operators![
    ONE_I32: I::I32Clz, I::I32Ctz, I::I32Popcnt, I::I32Eqz, I::I32Eqz;
    TWO_I32: I::I32Add, I::I32Add, I::I32Sub, I::I32Sub, I::I32Mul, I::I32And, I::I32And, I::I32Or, I::I32Xor, I::I32Shl,
        I::I32ShrS, I::I32ShrU, I::I32Rotl, I::I32Rotr, I::I32Eq, I::I32Ne, I::I32LtS, I::I32LtU, I::I32GtS, I::I32GtU,
        I::I32LeS, I::I32LeU, I::I32GeS, I::I32GeU;
    ONE_I64: I::I32WrapI64, I::I64Eqz;
    TWO_I64: I::I64Eq, I::I64Ne, I::I64LtS, I::I64LtU, I::I64GtS, I::I64GtU, I::I64LeS, I::I64LeU, I::I64GeS, I::I64GeU;
];
const I32_OF_FLOATS: &[Operator] = operators![
    ONE_F32: I::I32ReinterpretF32;
    TWO_F32: I::F32Eq, I::F32Ne, I::F32Lt, I::F32Gt, I::F32Le, I::F32Ge;
    TWO_F64: I::F64Eq, I::F64Ne, I::F64Lt, I::F64Gt, I::F64Le, I::F64Ge;
];
const I32_SATURATING: &[Operator] = operators![
    ONE_F32: I::I32TruncSatF32S, I::I32TruncSatF32U;
    ONE_F64: I::I32TruncSatF64S, I::I32TruncSatF64U;
];
const I32_EXTENDING: &[Operator] = operators![ONE_I32: I::I32Extend8S, I::I32Extend16S;];
const I32_OF_VECTORS: &[Operator] = operators![
    ONE_V: I::I8x16ExtractLaneS(3), I::I8x16ExtractLaneU(15), I::I16x8ExtractLaneS(7), I::I16x8ExtractLaneU(2),
        I::I32x4ExtractLane(1), I::I32x4ExtractLane(3), I::V128AnyTrue, I::I8x16AllTrue, I::I32x4AllTrue,
        I::I64x2AllTrue, I::I8x16Bitmask, I::I16x8Bitmask, I::I32x4Bitmask, I::I64x2Bitmask;
];
const I64_OF_INTEGERS: &[Operator] = operators![
    ONE_I64: I::I64Clz, I::I64Ctz, I::I64Popcnt;
    TWO_I64: I::I64Add, I::I64Add, I::I64Sub, I::I64Sub, I::I64Mul, I::I64And, I::I64Or, I::I64Xor, I::I64Shl,
        I::I64ShrS, I::I64ShrU, I::I64Rotl, I::I64Rotr;
    ONE_I32: I::I64ExtendI32S, I::I64ExtendI32U;
];
const I64_OF_FLOATS: &[Operator] = operators![ONE_F64: I::I64ReinterpretF64;];
const I64_SATURATING: &[Operator] = operators![
    ONE_F32: I::I64TruncSatF32S, I::I64TruncSatF32U;
    ONE_F64: I::I64TruncSatF64S, I::I64TruncSatF64U;
];
const I64_EXTENDING: &[Operator] = operators![ONE_I64: I::I64Extend8S, I::I64Extend16S, I::I64Extend32S;];
const I64_OF_VECTORS: &[Operator] = operators![ONE_V: I::I64x2ExtractLane(0), I::I64x2ExtractLane(1);];
const F32_ALL: &[Operator] = operators![
    ONE_F32: I::F32Abs, I::F32Neg, I::F32Ceil, I::F32Floor, I::F32Trunc, I::F32Nearest, I::F32Sqrt;
    TWO_F32: I::F32Add, I::F32Sub, I::F32Mul, I::F32Div, I::F32Min, I::F32Max, I::F32Copysign;
    ONE_I32: I::F32ConvertI32S, I::F32ConvertI32U, I::F32ReinterpretI32;
    ONE_I64: I::F32ConvertI64S, I::F32ConvertI64U;
    ONE_F64: I::F32DemoteF64;
];
const F32_OF_VECTORS: &[Operator] = operators![ONE_V: I::F32x4ExtractLane(0), I::F32x4ExtractLane(3);];
const F64_ALL: &[Operator] = operators![
    ONE_F64: I::F64Abs, I::F64Neg, I::F64Ceil, I::F64Floor, I::F64Trunc, I::F64Nearest, I::F64Sqrt;
    TWO_F64: I::F64Add, I::F64Sub, I::F64Mul, I::F64Div, I::F64Min, I::F64Max, I::F64Copysign;
    ONE_I32: I::F64ConvertI32S, I::F64ConvertI32U;
    ONE_I64: I::F64ConvertI64S, I::F64ConvertI64U, I::F64ReinterpretI64;
    ONE_F32: I::F64PromoteF32;
];
const F64_OF_VECTORS: &[Operator] = operators![ONE_V: I::F64x2ExtractLane(0), I::F64x2ExtractLane(1);];
const V128_ALL: &[Operator] = &[
    (ONE_I32, I::I8x16Splat),
    (ONE_I32, I::I16x8Splat),
    (ONE_I32, I::I32x4Splat),
    (ONE_I64, I::I64x2Splat),
    (SHIFT_V, I::I8x16Shl),
    (SHIFT_V, I::I16x8ShrS),
    (SHIFT_V, I::I32x4ShrU),
    (SHIFT_V, I::I64x2ShrS),
    (SHIFT_V, I::I8x16ReplaceLane(9)),
    (SHIFT_V, I::I32x4ReplaceLane(2)),
    (&[V128, I64], I::I64x2ReplaceLane(1)),
    (&[V128, V128, V128], I::V128Bitselect),
    (TWO_V, I::I8x16Shuffle([0, 31, 2, 29, 4, 27, 6, 25, 8, 23, 10, 21, 12, 19, 14, 17])),
    (ONE_V, I::V128Not),
    (ONE_V, I::I8x16Popcnt),
    (ONE_V, I::I16x8Abs),
    (ONE_V, I::I32x4Neg),
    (ONE_V, I::I64x2Neg),
    (ONE_V, I::I16x8ExtAddPairwiseI8x16S),
    (ONE_V, I::I64x2ExtendLowI32x4U),
    (ONE_V, I::I64x2ExtendHighI32x4S),
    (TWO_V, I::I8x16Add),
    (TWO_V, I::I8x16SubSatU),
    (TWO_V, I::I16x8Mul),
    (TWO_V, I::I32x4Mul),
    (TWO_V, I::I64x2Mul),
    (TWO_V, I::I64x2Add),
    (TWO_V, I::V128And),
    (TWO_V, I::V128AndNot),
    (TWO_V, I::V128Xor),
    (TWO_V, I::I8x16Swizzle),
    (TWO_V, I::I8x16Eq),
    (TWO_V, I::I16x8LtU),
    (TWO_V, I::I32x4GtS),
    (TWO_V, I::I64x2LtS),
    (TWO_V, I::I16x8Q15MulrSatS),
    (TWO_V, I::I32x4DotI16x8S),
    (TWO_V, I::I16x8ExtMulHighI8x16U),
    (TWO_V, I::I8x16NarrowI16x8U),
    (TWO_V, I::I8x16AvgrU),
    (TWO_V, I::I32x4MaxU),
];
const V128_OF_FLOATS: &[Operator] = operators![
    ONE_F32: I::F32x4Splat;
    ONE_F64: I::F64x2Splat;
    ONE_V: I::F32x4Neg, I::F32x4Ceil, I::F32x4Sqrt, I::F64x2Abs, I::F64x2Nearest, I::I32x4TruncSatF32x4S,
        I::I32x4TruncSatF64x2UZero, I::F32x4ConvertI32x4U, I::F64x2PromoteLowF32x4, I::F32x4DemoteF64x2Zero;
    TWO_V: I::F32x4Add, I::F32x4Mul, I::F32x4Div, I::F32x4Min, I::F32x4PMax, I::F64x2Add, I::F64x2Max, I::F64x2PMin,
        I::F64x2Div, I::F32x4Le, I::F64x2Ne;
];

const TRAPPING_I32: &[Operator] = operators![TWO_I32: I::I32DivS, I::I32DivU, I::I32RemS, I::I32RemU;];
const TRAPPING_I32_OF_FLOATS: &[Operator] = operators![
    ONE_F32: I::I32TruncF32S, I::I32TruncF32U;
    ONE_F64: I::I32TruncF64S, I::I32TruncF64U;
];
const TRAPPING_I64: &[Operator] = operators![TWO_I64: I::I64DivS, I::I64DivU, I::I64RemS, I::I64RemU;];
const TRAPPING_I64_OF_FLOATS: &[Operator] = operators![
    ONE_F32: I::I64TruncF32S, I::I64TruncF32U;
    ONE_F64: I::I64TruncF64S, I::I64TruncF64U;
];

/// Operators that give a `result` and never trap.
pub(super) fn computing(result: ValType, features: FeatureSet) -> Vec<Operator> {
    use Proposal::{Floats, SaturatingFloatToInt, SignExtension, Simd};
    let has = |needs: &[Proposal]| needs.iter().all(|proposal| features.has(*proposal));
    let groups: &[(&[Proposal], &[Operator])] = match result {
        I32 => &[
            (&[], I32_OF_INTEGERS),
            (&[Floats], I32_OF_FLOATS),
            (&[Floats, SaturatingFloatToInt], I32_SATURATING),
            (&[SignExtension], I32_EXTENDING),
            (&[Simd], I32_OF_VECTORS),
        ],
        I64 => &[
            (&[], I64_OF_INTEGERS),
            (&[Floats], I64_OF_FLOATS),
            (&[Floats, SaturatingFloatToInt], I64_SATURATING),
            (&[SignExtension], I64_EXTENDING),
            (&[Simd], I64_OF_VECTORS),
        ],
        F32 => &[(&[Floats], F32_ALL), (&[Floats, Simd], F32_OF_VECTORS)],
        F64 => &[(&[Floats], F64_ALL), (&[Floats, Simd], F64_OF_VECTORS)],
        V128 => &[(&[Simd], V128_ALL), (&[Simd, Floats], V128_OF_FLOATS)],
        ValType::Ref(_) => &[],
    };
    groups.iter().filter(|(needs, _)| has(needs)).flat_map(|(_, operators)| operators.iter().cloned()).collect()
}

/// Operators that give a `result` and may trap.
pub(super) fn trapping(result: ValType, features: FeatureSet) -> Vec<Operator> {
    let (integers, floats) = match result {
        I32 => (TRAPPING_I32, TRAPPING_I32_OF_FLOATS),
        I64 => (TRAPPING_I64, TRAPPING_I64_OF_FLOATS),
        _ => return Vec::new(),
    };
    let floats = if features.has(Proposal::Floats) { floats } else { &[] };
    integers.iter().chain(floats).cloned().collect()
}

/// What loads a value of type `ty`; none for references.
pub(super) fn loads(ty: ValType) -> &'static [Access] {
    match ty {
        I32 => &[(I::I32Load, 2), (I::I32Load, 2), (I::I32Load8S, 0), (I::I32Load8U, 0), (I::I32Load16S, 1)],
        I64 => &[(I::I64Load, 3), (I::I64Load8U, 0), (I::I64Load16S, 1), (I::I64Load32S, 2), (I::I64Load32U, 2)],
        F32 => &[(I::F32Load, 2)],
        F64 => &[(I::F64Load, 3)],
        V128 => &[
            (I::V128Load, 4),
            (I::V128Load8Splat, 0),
            (I::V128Load16Splat, 1),
            (I::V128Load32x2S, 3),
            (I::V128Load8x8U, 3),
            (I::V128Load64Zero, 3),
            (I::V128Load32Zero, 2),
        ],
        ValType::Ref(_) => &[],
    }
}

/// What stores a value of type `ty`; none for references.
pub(super) fn stores(ty: ValType) -> &'static [Access] {
    match ty {
        I32 => &[(I::I32Store, 2), (I::I32Store, 2), (I::I32Store8, 0), (I::I32Store16, 1)],
        I64 => &[(I::I64Store, 3), (I::I64Store8, 0), (I::I64Store16, 1), (I::I64Store32, 2)],
        F32 => &[(I::F32Store, 2)],
        F64 => &[(I::F64Store, 3)],
        V128 => &[
            (I::V128Store, 4),
            (|memarg| I::V128Store8Lane { memarg, lane: 9 }, 0),
            (|memarg| I::V128Store16Lane { memarg, lane: 5 }, 1),
            (|memarg| I::V128Store32Lane { memarg, lane: 2 }, 2),
            (|memarg| I::V128Store64Lane { memarg, lane: 1 }, 3),
        ],
        ValType::Ref(_) => &[],
    }
}
