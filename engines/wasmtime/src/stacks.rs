//! The machine stacks that guests run on.
//!
//! Wasmtime runs a guest on the stack of the thread that calls it, and a thread's stack is as large as
//! whoever made the thread thought fit. Guests have stacks of their own here, as large as their budget asks
//! for, and beyond what the guest may use as much again for host functions as a thread of Rust's usually has.

use std::io;

use corosensei::on_stack;
use corosensei::stack::DefaultStack;
use parking_lot::Mutex;

/// Machine stack that only the host can use: host functions, Wasmtime's library calls, the walk of a trap's
/// frames. As much as a thread of Rust's has by default.
const HOST_BYTES: usize = 2 << 20;
/// Stacks of one size that are kept for the next call.
const KEPT: usize = 64;

/// A size of machine stack. Wasmtime knows one limit for each engine, so there are few.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct StackSize(u8);

impl StackSize {
    /// How many sizes there are.
    pub const COUNT: usize = 7;

    /// The smallest that holds `units` of budget and a frame of `heaviest` units on top, each of so many bytes: a
    /// function's frame is there before its check runs, so the heaviest one must still fit when the budget is all but
    /// spent.
    pub fn for_units(units: u32, heaviest: u32, bytes_per_unit: u32) -> Self {
        let need = (u64::from(units) + u64::from(heaviest)) * u64::from(bytes_per_unit);
        let fits = |size: &Self| size.bytes() as u64 >= need;
        let last = Self::COUNT as u8 - 1;
        (0..last).map(Self).find(fits).unwrap_or(Self(last))
    }

    /// What the guest can use: 4 MiB, 16 MiB, and so on up to 16 GiB. Only what is touched takes memory.
    pub const fn bytes(self) -> usize {
        (4 << 20) << (2 * self.0)
    }

    /// From 0 up to [`StackSize::COUNT`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

static SPARE: [Mutex<Vec<DefaultStack>>; StackSize::COUNT] = [const { Mutex::new(Vec::new()) }; StackSize::COUNT];

/// A stack taken for one call; it goes back when dropped.
struct Taken {
    stack: Option<DefaultStack>,
    size: StackSize,
}

impl Taken {
    fn new(size: StackSize) -> io::Result<Self> {
        let spare = SPARE[size.index()].lock().pop();
        let stack = match spare {
            Some(stack) => stack,
            None => DefaultStack::new(size.bytes() + HOST_BYTES)?,
        };
        Ok(Self { stack: Some(stack), size })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(stack) = self.stack.take() else { return };
        let mut spare = SPARE[self.size.index()].lock();
        if spare.len() < KEPT {
            spare.push(stack);
        }
    }
}

/// Runs `guest` on a machine stack of `size`.
///
/// # Errors
/// The machine has no room for such a stack.
pub(crate) fn on_guest_stack<R>(size: StackSize, guest: impl FnOnce() -> R) -> io::Result<R> {
    let mut taken = Taken::new(size)?;
    let Some(stack) = taken.stack.as_mut() else { return Err(io::ErrorKind::OutOfMemory.into()) };
    Ok(on_stack(stack, guest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_hold_four_bytes_for_each_unit() {
        assert_eq!(StackSize::for_units(512 << 10, 1_000, 4).bytes(), 4 << 20);
        assert_eq!(StackSize::for_units(512 << 10, 0, 8).bytes(), 4 << 20);
        assert_eq!(StackSize::for_units(512 << 10, 0, 9).bytes(), 16 << 20);
        assert_eq!(StackSize::for_units(1 << 20, 0, 4).bytes(), 4 << 20);
        assert_eq!(StackSize::for_units(1 << 20, 1, 4).bytes(), 16 << 20);
        assert_eq!(StackSize::for_units(i32::MAX as u32, i32::MAX as u32, 4).bytes(), 16 << 30);
        assert_eq!(StackSize::for_units(u32::MAX, u32::MAX, 16).index(), StackSize::COUNT - 1);
    }

    #[test]
    fn work_moves_to_a_stack_of_its_own_with_room_for_the_host() {
        #[inline(never)]
        fn deep(left: usize) -> usize {
            let page = std::hint::black_box([left; 512]);
            if left == 0 { page[0] } else { deep(left - 1) + page[511] - left + 1 }
        }
        let place = || {
            let here = 0u8;
            std::ptr::from_ref(std::hint::black_box(&here)) as usize
        };
        let outside = place();
        let (inside, deep) =
            on_guest_stack(StackSize::default(), || (place(), deep(400))).expect("there is room for a stack");
        assert!(outside.abs_diff(inside) > 1 << 20, "another stack");
        assert_eq!(deep, 400, "more than the thread would have left is there");
    }
}
