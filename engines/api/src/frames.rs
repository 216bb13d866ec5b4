//! Machine frames against the stack budget, for adapters whose engines make machine code.
//!
//! The budget is counted in units that are the same on every engine, and a machine stack is sized so that the budget is
//! always spent first. That rests on how much machine stack a unit stands for. An optimiser may keep more values alive
//! than a function has parameters, locals and operands: what is the same in every pass of a loop is computed once,
//! before it, and kept. So each function's frame is read off its code and held against its weight.

use std::fmt;

/// Bytes of machine stack that a unit of the stack budget stands for where nothing else is known: sixteen units are a
/// value, for which a frame has at most eight bytes, or sixteen for a vector, and half of that again is rarely used.
pub const BYTES_PER_UNIT: u32 = 4;

/// The most bytes of machine stack that a unit may stand for: with the default budget, 8 MiB for a guest. Beyond that
/// a module is refused.
pub const MOST_BYTES_PER_UNIT: u32 = 16;

/// A function whose frame is too large for its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeavyFrame {
    /// Its number among the functions that the module defines.
    pub defined: usize,
    /// Bytes of machine stack that one activation of it takes.
    pub bytes: u32,
    /// Units of the stack budget that one activation is counted with.
    pub units: u32,
}

impl fmt::Display for HeavyFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { defined, bytes, units } = self;
        write!(
            f,
            "an activation of its function {defined} (not counting imports) takes {bytes} bytes of machine stack for \
             {units} units of the stack budget, so that the budget could not be kept"
        )
    }
}

/// The bytes of machine stack that a unit stands for in a module, from each function's machine code and weight in
/// units: at least [`BYTES_PER_UNIT`].
///
/// # Errors
/// The first function for which it would be more than [`MOST_BYTES_PER_UNIT`].
pub fn bytes_per_unit<'a>(functions: impl IntoIterator<Item = (&'a [u8], u32)>) -> Result<u32, HeavyFrame> {
    let mut most = BYTES_PER_UNIT;
    for (defined, (code, units)) in functions.into_iter().enumerate() {
        let bytes = frame_bytes(code);
        if bytes > units.saturating_mul(BYTES_PER_UNIT) {
            // What is not in the number that was read, such as saved registers, has the usual room beside it.
            let each = bytes.div_ceil(units.max(1)).saturating_add(BYTES_PER_UNIT);
            if each > MOST_BYTES_PER_UNIT {
                return Err(HeavyFrame { defined, bytes, units });
            }
            most = most.max(each);
        }
    }
    Ok(most)
}

/// Bytes of code that a function begins with before it has taken its frame, at the most: what Cranelift writes there
/// (`gen_prologue` of `machinst/abi.rs` and `isa/x64/abi.rs`, versions 0.135), twice over.
const PROLOGUE: usize = 256;

/// The size of the frame that `code`, a function's, takes: the largest `sub rsp, imm32` at its beginning. Smaller ones
/// and other processors are not read: 0.
///
/// Bytes that only look like that, as in a constant, can make it larger and never smaller.
fn frame_bytes(code: &[u8]) -> u32 {
    if !cfg!(target_arch = "x86_64") {
        return 0;
    }
    let begin = &code[..code.len().min(PROLOGUE)];
    let subtracted = begin.windows(7).filter_map(|bytes| match bytes {
        // REX.W, the opcode for an operator with a constant of 32 bits, `sub` with `rsp`.
        [0x48, 0x81, 0xec, a, b, c, d] => Some(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => None,
    });
    // A frame is a whole number of values, and functions are far shorter than this.
    subtracted.filter(|bytes| bytes % 8 == 0 && *bytes < 1 << 28).max().unwrap_or(0)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// `push rbp`, `mov rbp, rsp`, `sub rsp, bytes`.
    fn code(bytes: u32) -> Vec<u8> {
        let mut code = vec![0x55, 0x48, 0x89, 0xe5, 0x48, 0x81, 0xec];
        code.extend(bytes.to_le_bytes());
        code.push(0xc3);
        code
    }

    #[test]
    fn the_heaviest_frame_for_its_units_decides() {
        let (small, large, huge) = (code(400), code(1_000), code(1_600));
        assert_eq!(bytes_per_unit([(&small[..], 100)]), Ok(4));
        assert_eq!(bytes_per_unit([(&small[..], 100), (&large[..], 100)]), Ok(14));
        let heavy = HeavyFrame { defined: 1, bytes: 1_600, units: 100 };
        assert_eq!(bytes_per_unit([(&small[..], 100), (&huge[..], 100), (&huge[..], 1)]), Err(heavy));
        assert_eq!(bytes_per_unit([(&huge[..], 400), (&[][..], 0)]), Ok(4));
    }

    #[test]
    fn probes_before_the_frame_do_not_hide_it() {
        let mut probed = code(4_096);
        probed.extend(&code(9_600)[4..]);
        assert_eq!(frame_bytes(&probed), 9_600);
        assert_eq!(frame_bytes(&probed[..9]), 0, "cut off");
    }
}
