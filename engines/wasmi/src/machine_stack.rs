//! [`MachineStack`]: how much of the machine's stack a call has taken so far.
//!
//! Wasmi goes from one operator to the next by jumping, which the compiler makes of a call in tail position. It
//! does not have to: where a value waits to be dropped it makes a call that stays. In Wasmi 2.0.0, built by
//! rustc 1.95 for x86-64, those are `memory.grow` and `table.grow` and no other: each one that a guest executes
//! leaves some 170 bytes on the machine's stack until the interpreter is left. A guest that grows in a loop would
//! end the process.
//!
//! So the interpreter is left in time. Growing costs 256 fuel or more and a slice is at most 400,000, so a guest
//! takes no more than some 300 KiB between two ticks; a tick that finds the stack far from where it began is taken
//! outside, and the call then resumed. Since a host function that charges much could spare the guest its own
//! ticks, it then leaves the counter empty. A test of this crate runs each operator in a loop and compares where
//! the stack is; it is there to find a compiler that makes another choice.

use std::hint::black_box;

/// A place on the machine's stack of this thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineStack(usize);

/// Bytes that are far: much more than host functions are entered at, and little of any thread's stack.
const FAR: usize = 128 << 10;

impl MachineStack {
    /// About here.
    #[inline]
    pub fn here() -> Self {
        let mark = 0u8;
        Self(std::ptr::from_ref(black_box(&mark)).addr())
    }

    /// Whether the stack has grown far since this place.
    #[inline]
    pub fn is_far(self) -> bool {
        self.0.abs_diff(Self::here().0) > FAR
    }
}
