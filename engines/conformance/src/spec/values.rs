//! Arguments and expected results of the suite, as values of ours.

use cofferdam_engine::Value;
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};
use wast::{WastArg, WastRet};

use crate::trouble::{Done, Trouble};

/// The value of an argument.
///
/// # Errors
/// [`Trouble::Lacks`] for one that cannot cross the host border.
pub(super) fn argument(arg: &WastArg<'_>) -> Done<Value> {
    let WastArg::Core(arg) = arg else { return Err(border("component values")) };
    Ok(match arg {
        WastArgCore::I32(v) => Value::I32(*v),
        WastArgCore::I64(v) => Value::I64(*v),
        WastArgCore::F32(v) => Value::F32(v.bits),
        WastArgCore::F64(v) => Value::F64(v.bits),
        WastArgCore::V128(v) => Value::V128(u128::from_le_bytes(v.to_le_bytes())),
        WastArgCore::RefNull(HeapType::Abstract { shared: false, ty: AbstractHeapType::Func }) => Value::FuncRef(None),
        WastArgCore::RefNull(HeapType::Abstract { shared: false, ty: AbstractHeapType::Extern }) => {
            Value::ExternRef(None)
        }
        WastArgCore::RefExtern(n) => Value::ExternRef(Some(u64::from(*n))),
        WastArgCore::RefNull(_) | WastArgCore::RefHost(_) => return Err(border("references of another kind")),
    })
}

/// Whether `found` is what `expected` describes.
///
/// # Errors
/// [`Trouble::Lacks`] if it describes what cannot cross the host border.
pub(super) fn fits(found: &Value, expected: &WastRet<'_>) -> Done<bool> {
    match expected {
        WastRet::Core(expected) => core_fits(found, expected),
        _ => Err(border("component values")),
    }
}

fn core_fits(found: &Value, expected: &WastRetCore<'_>) -> Done<bool> {
    Ok(match (expected, found) {
        (WastRetCore::I32(want), Value::I32(got)) => want == got,
        (WastRetCore::I64(want), Value::I64(got)) => want == got,
        (WastRetCore::F32(want), Value::F32(got)) => f32_fits(*got, want),
        (WastRetCore::F64(want), Value::F64(got)) => f64_fits(*got, want),
        (WastRetCore::V128(want), Value::V128(got)) => v128_fits(*got, want),
        (WastRetCore::RefNull(None), Value::FuncRef(None) | Value::ExternRef(None)) => true,
        (WastRetCore::RefNull(Some(HeapType::Abstract { shared: false, ty })), got) => match ty {
            AbstractHeapType::Func | AbstractHeapType::NoFunc => *got == Value::FuncRef(None),
            AbstractHeapType::Extern | AbstractHeapType::NoExtern => *got == Value::ExternRef(None),
            _ => return Err(border("references of another kind")),
        },
        (WastRetCore::RefExtern(want), Value::ExternRef(Some(got))) => want.is_none_or(|n| u64::from(n) == *got),
        // Which function it is cannot be said from outside; the suite only uses the form without an index.
        (WastRetCore::RefFunc(None), Value::FuncRef(got)) => got.is_some(),
        (WastRetCore::Either(any), got) => {
            for one in any {
                if core_fits(got, one)? {
                    return Ok(true);
                }
            }
            false
        }
        (
            WastRetCore::I32(_)
            | WastRetCore::I64(_)
            | WastRetCore::F32(_)
            | WastRetCore::F64(_)
            | WastRetCore::V128(_)
            | WastRetCore::RefNull(None)
            | WastRetCore::RefExtern(_)
            | WastRetCore::RefFunc(None),
            _,
        ) => false,
        _ => return Err(border("references of another kind")),
    })
}

fn border(what: &str) -> Trouble {
    Trouble::Lacks(format!("{what} on the host border"))
}

fn f32_fits(bits: u32, want: &NanPattern<F32>) -> bool {
    match want {
        NanPattern::CanonicalNan => bits & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => bits & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(v) => bits == v.bits,
    }
}

fn f64_fits(bits: u64, want: &NanPattern<F64>) -> bool {
    match want {
        NanPattern::CanonicalNan => bits & 0x7fff_ffff_ffff_ffff == 0x7ff8_0000_0000_0000,
        NanPattern::ArithmeticNan => bits & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
        NanPattern::Value(v) => bits == v.bits,
    }
}

fn v128_fits(got: u128, want: &V128Pattern) -> bool {
    let bytes = got.to_le_bytes();
    match want {
        V128Pattern::I8x16(lanes) => lanes.map(|l| l.to_le_bytes()).as_flattened() == bytes,
        V128Pattern::I16x8(lanes) => lanes.map(i16::to_le_bytes).as_flattened() == bytes,
        V128Pattern::I32x4(lanes) => lanes.map(i32::to_le_bytes).as_flattened() == bytes,
        V128Pattern::I64x2(lanes) => lanes.map(i64::to_le_bytes).as_flattened() == bytes,
        V128Pattern::F32x4(lanes) => lanes.iter().enumerate().all(|(i, lane)| f32_fits((got >> (32 * i)) as u32, lane)),
        V128Pattern::F64x2(lanes) => lanes.iter().enumerate().all(|(i, lane)| f64_fits((got >> (64 * i)) as u64, lane)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_patterns_tell_nans_apart() {
        let quiet = 0x7fc0_0000;
        assert!(f32_fits(quiet, &NanPattern::CanonicalNan) && f32_fits(quiet | 1 << 31, &NanPattern::CanonicalNan));
        assert!(!f32_fits(quiet | 1, &NanPattern::CanonicalNan) && f32_fits(quiet | 1, &NanPattern::ArithmeticNan));
        assert!(!f32_fits(0x7f80_0001, &NanPattern::ArithmeticNan));
        assert!(!f32_fits(0x7f80_0000, &NanPattern::ArithmeticNan));
        let quiet = f64::NAN.to_bits() & !(1 << 63);
        assert!(f64_fits(quiet, &NanPattern::CanonicalNan) && !f64_fits(quiet | 1, &NanPattern::CanonicalNan));
        assert!(f64_fits(quiet | 1, &NanPattern::ArithmeticNan) && !f64_fits(1, &NanPattern::ArithmeticNan));
    }

    #[test]
    fn vectors_are_compared_lane_by_lane() {
        let value = u128::from_le_bytes([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0xc0, 0x7f]);
        assert!(v128_fits(value, &V128Pattern::I32x4([1, 2, 3, 0x7fc0_0000])));
        assert!(!v128_fits(value, &V128Pattern::I32x4([1, 2, 4, 0x7fc0_0000])));
        let lane = |bits| NanPattern::Value(F32 { bits });
        let pattern = [lane(1), lane(2), lane(3), NanPattern::CanonicalNan];
        assert!(v128_fits(value, &V128Pattern::F32x4(pattern)));
        let pattern = [NanPattern::CanonicalNan, lane(2), lane(3), NanPattern::CanonicalNan];
        assert!(!v128_fits(value, &V128Pattern::F32x4(pattern)));
    }
}
