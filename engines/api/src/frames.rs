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
            // What the processor and the engine put beside it has the usual room.
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

/// The return address and the caller's `rbp`, which each activation begins with.
const SETUP: u32 = 16;

/// The machine stack that an activation of `code`, a function's, takes: all that is subtracted from `rsp` at its
/// beginning, for its frame and for the arguments of its tail calls, and [`SETUP`]. Probes of a large frame are counted
/// as well, and make it twice as large at the most. Other processors' code is not read: 0.
///
/// Bytes that only look like that, as in a constant, can make it larger and never smaller.
fn frame_bytes(code: &[u8]) -> u32 {
    if !cfg!(target_arch = "x86_64") {
        return 0;
    }
    let begin = &code[..code.len().min(PROLOGUE)];
    let subtracted = (0..begin.len()).filter_map(|at| match begin[at..] {
        // REX.W, the opcode for an operator with a constant of 32 bits or of 8, `sub` with `rsp`.
        [0x48, 0x81, 0xec, a, b, c, d, ..] => Some(u32::from_le_bytes([a, b, c, d])),
        [0x48, 0x83, 0xec, a, ..] => Some(u32::from(a & 0x7f)),
        _ => None,
    });
    // A frame is a whole number of values, and engines take none of 128 MiB.
    let sizes = subtracted.filter(|bytes| bytes % 8 == 0 && *bytes < 1 << 28);
    sizes.fold(SETUP, u32::saturating_add)
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
        assert_eq!(bytes_per_unit([(&small[..], 104)]), Ok(4));
        assert_eq!(bytes_per_unit([(&small[..], 103)]), Ok(9), "what each activation begins with counts");
        assert_eq!(bytes_per_unit([(&small[..], 104), (&large[..], 104)]), Ok(14));
        let heavy = HeavyFrame { defined: 1, bytes: 1_616, units: 100 };
        assert_eq!(bytes_per_unit([(&small[..], 104), (&huge[..], 100), (&huge[..], 1)]), Err(heavy));
        assert_eq!(bytes_per_unit([(&huge[..], 404), (&[][..], 64)]), Ok(4));
    }

    #[test]
    fn all_that_is_taken_counts() {
        // `sub rsp, 64` for the arguments of a tail call.
        let mut two = vec![0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 64];
        two.extend(&code(9_600)[4..]);
        assert_eq!(frame_bytes(&two), 9_600 + 64 + SETUP);
        assert_eq!(frame_bytes(&two[..12]), 64 + SETUP, "cut off");
        assert_eq!(frame_bytes(&[]), SETUP);
    }
}
