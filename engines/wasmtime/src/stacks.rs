//! The machine stacks that guests run on.
//!
//! Wasmtime runs a guest on the stack of the thread that calls it, and a thread's stack is as large as
//! whoever made the thread thought fit. Guests have stacks of their own here, as large as their budget asks
//! for; host functions run on the thread's own, which the guest cannot use up.

use std::convert::Infallible;
use std::io;
use std::mem;
use std::ptr::NonNull;

use corosensei::stack::DefaultStack;
use corosensei::{CoroutineResult, ScopedCoroutine, Yielder};
use parking_lot::Mutex;

/// Bytes of machine stack for each unit of the stack budget.
const BYTES_PER_UNIT: u64 = 4;
/// Machine stack beside the guest's own: trampolines, Wasmtime's library calls, the walk of a trap's frames.
const MARGIN: usize = 256 << 10;
/// Stacks of one size that are kept for the next call.
const KEPT: usize = 64;

/// A size of machine stack. Wasmtime knows one limit for each engine, so there are few.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct StackSize(u8);

impl StackSize {
    /// How many sizes there are.
    pub const COUNT: usize = 7;

    /// The smallest that holds `units` of budget and a frame of `heaviest` units on top: a function's frame is
    /// there before its check runs, so the heaviest one must still fit when the budget is all but spent.
    pub fn for_units(units: u32, heaviest: u32) -> Self {
        let need = (u64::from(units) + u64::from(heaviest)) * BYTES_PER_UNIT;
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
            None => DefaultStack::new(size.bytes() + MARGIN)?,
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

/// The way from a guest's stack back to its thread's own.
#[derive(Clone, Copy, Default)]
pub(crate) struct WayBack(Option<NonNull<Yielder<(), Infallible>>>);

// SAFETY: there is a way back only while a call runs, and a call stays on its thread.
unsafe impl Send for WayBack {}
// SAFETY: only `&mut` access uses it.
unsafe impl Sync for WayBack {}

impl WayBack {
    /// Runs `work` on the thread's own stack, if a guest runs, and else where it is.
    pub fn host_stack<R>(&self, work: impl FnOnce() -> R) -> R {
        /// Corosensei asks for `Send` so that nobody takes the way back twice; here the closure goes to the
        /// same thread's stack, and what it may use holds no way back but this, which is then not used.
        struct Carried<T>(T);
        // SAFETY: as just said: it stays on its thread.
        unsafe impl<T> Send for Carried<T> {}
        match self.0 {
            None => work(),
            Some(yielder) => {
                let carried = Carried(work);
                // SAFETY: the yielder is on the guest's stack, which the running call keeps.
                unsafe { yielder.as_ref() }.on_parent_stack(move || {
                    let carried = carried;
                    (carried.0)()
                })
            }
        }
    }
}

/// Runs `guest` on a machine stack of `size`; it gets the way back for as long as it runs.
///
/// # Errors
/// The machine has no room for such a stack.
pub(crate) fn on_guest_stack<R>(size: StackSize, guest: impl FnOnce(WayBack) -> R) -> io::Result<R> {
    let mut taken = Taken::new(size)?;
    let Some(stack) = taken.stack.as_mut() else { return Err(io::ErrorKind::OutOfMemory.into()) };
    let coroutine = ScopedCoroutine::with_stack(stack, |yielder: &Yielder<(), Infallible>, ()| {
        guest(WayBack(Some(NonNull::from(yielder))))
    });
    coroutine.scope(|mut running| match running.as_mut().resume(()) {
        CoroutineResult::Return(result) => Ok(result),
        CoroutineResult::Yield(never) => match never {},
    })
}

impl WayBack {
    /// Puts `way` here and returns what was there.
    pub fn replace(&mut self, way: Self) -> Self {
        mem::replace(self, way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_hold_four_bytes_for_each_unit() {
        assert_eq!(StackSize::for_units(512 << 10, 1_000).bytes(), 4 << 20);
        assert_eq!(StackSize::for_units(1 << 20, 0).bytes(), 4 << 20);
        assert_eq!(StackSize::for_units(1 << 20, 1).bytes(), 16 << 20);
        assert_eq!(StackSize::for_units(i32::MAX as u32, i32::MAX as u32).bytes(), 16 << 30);
        assert_eq!(StackSize::for_units(u32::MAX, u32::MAX).index(), StackSize::COUNT - 1);
    }

    #[test]
    fn work_moves_to_a_stack_of_its_own_and_back() {
        let place = |_: &u8| {
            let here = 0u8;
            std::hint::black_box(&here) as *const u8 as usize
        };
        let outside = place(&0);
        let (inside, back) = on_guest_stack(StackSize::default(), |way| {
            let inside = place(&0);
            (inside, way.host_stack(|| place(&0)))
        })
        .expect("there is room for a stack");
        assert!(outside.abs_diff(back) < 1 << 20, "the thread's own stack");
        assert!(outside.abs_diff(inside) > 1 << 20, "another stack");
    }
}
