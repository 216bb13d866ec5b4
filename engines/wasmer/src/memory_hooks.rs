//! `memory.fill`, `memory.copy` and `memory.init` that can be ended on the way.
//!
//! Wasmer's work runs to its end however long it is, which for some hundred megabytes is far past a
//! deadline. Ours gives it the work in parts; between them others get a turn and the call may end.
//! Everything else is Wasmer's: bounds, traps, and the bytes moved. Fuel is charged before, for the whole.

use std::error::Error;
use std::time::{Duration, Instant};

use wasmer_types::VMBuiltinFunctionIndex;
use wasmer_vm::{VMContext, VMInstance, libcalls, on_host_stack, raise_user_trap};

use crate::builtins;
use crate::host;
use crate::shared::Running;

/// Bytes that are worked on between two looks at the clock: long beside a look, and short beside a slice
/// even where every page is touched for the first time.
const PART: u32 = 256 << 10;
/// Time between turns of other guests: about a slice.
const TURN: Duration = Duration::from_millis(1);

/// Puts ours in place of Wasmer's.
///
/// # Safety
/// Nothing runs in the instance yet.
pub(crate) unsafe fn install(instance: &VMInstance) {
    let replaced = [
        (VMBuiltinFunctionIndex::get_memory_fill_index(), fill_own as *const ()),
        (VMBuiltinFunctionIndex::get_imported_memory_fill_index(), fill_imported as *const ()),
        (VMBuiltinFunctionIndex::get_memory_copy_index(), copy as *const ()),
        (VMBuiltinFunctionIndex::get_memory_init_index(), init as *const ()),
    ];
    for (index, function) in replaced {
        // SAFETY: the caller's promise; ours have the types of Wasmer's.
        unsafe { builtins::replace(instance, index, function) }
    }
}

/// Wasmer's fill: context, memory, destination, value, length.
type Fill = unsafe extern "C" fn(*mut VMContext, u32, u32, u32, u32);
/// Wasmer's copy or init: context, memory, memory or segment, destination, source, length.
type Transfer = unsafe extern "C" fn(*mut VMContext, u32, u32, u32, u32, u32);

unsafe extern "C" fn fill_own(context: *mut VMContext, memory: u32, to: u32, value: u32, len: u32) {
    // SAFETY: compiled code passes the context of its own instance and operands of the types of the library's
    // function, and this function holds nothing that waits to be dropped.
    unsafe { fill(libcalls::wasmer_vm_memory32_fill, context, memory, to, value, len) }
}

unsafe extern "C" fn fill_imported(context: *mut VMContext, memory: u32, to: u32, value: u32, len: u32) {
    // SAFETY: compiled code passes the context of its own instance and operands of the types of the library's
    // function, and this function holds nothing that waits to be dropped.
    unsafe { fill(libcalls::wasmer_vm_imported_memory32_fill, context, memory, to, value, len) }
}

unsafe extern "C" fn copy(context: *mut VMContext, target: u32, source: u32, to: u32, from: u32, len: u32) {
    // SAFETY: compiled code passes the context of its own instance and operands of the types of the library's
    // function, and this function holds nothing that waits to be dropped.
    unsafe { transfer(libcalls::wasmer_vm_memory32_copy, context, target, source, to, from, len) }
}

unsafe extern "C" fn init(context: *mut VMContext, target: u32, segment: u32, to: u32, from: u32, len: u32) {
    // SAFETY: compiled code passes the context of its own instance and operands of the types of the library's
    // function, and this function holds nothing that waits to be dropped.
    unsafe { transfer(libcalls::wasmer_vm_memory32_init, context, target, segment, to, from, len) }
}

// The long ways are functions of their own, in the form of the short ones, so that the short ones come down
// to a comparison and a jump.

/// # Safety
/// Called by compiled code on behalf of `work`, with its arguments.
#[inline(always)]
unsafe fn fill(work: Fill, context: *mut VMContext, memory: u32, to: u32, value: u32, len: u32) {
    if len <= PART {
        // SAFETY: the caller's promise.
        unsafe { work(context, memory, to, value, len) }
    } else {
        // SAFETY: the caller's promise.
        unsafe { long_fill(context, memory, to, value, len, work) }
    }
}

/// # Safety
/// As [`fill`].
#[inline(never)]
unsafe extern "C" fn long_fill(context: *mut VMContext, memory: u32, to: u32, value: u32, len: u32, work: Fill) {
    match to.checked_add(len) {
        // SAFETY: the caller's promise. A fill of no length at the end checks the bounds of the whole, and
        // all parts lie in it.
        Some(end) => unsafe {
            work(context, memory, end, value, 0);
            in_parts(len, false, |at, part| work(context, memory, to + at, value, part));
        },
        // SAFETY: the caller's promise. What wraps around traps here.
        None => unsafe { work(context, memory, to, value, len) },
    }
}

/// # Safety
/// Called by compiled code on behalf of `work`, with its arguments.
#[inline(always)]
unsafe fn transfer(work: Transfer, context: *mut VMContext, a: u32, b: u32, to: u32, from: u32, len: u32) {
    if len <= PART {
        // SAFETY: the caller's promise.
        unsafe { work(context, a, b, to, from, len) }
    } else {
        // SAFETY: the caller's promise.
        unsafe { long_transfer(context, a, b, to, from, len, work) }
    }
}

/// # Safety
/// As [`transfer`].
#[inline(never)]
unsafe extern "C" fn long_transfer(
    context: *mut VMContext,
    a: u32,
    b: u32,
    to: u32,
    from: u32,
    len: u32,
    work: Transfer,
) {
    match (to.checked_add(len), from.checked_add(len)) {
        // SAFETY: the caller's promise. A transfer of no length at the ends checks the bounds of the whole,
        // and all parts lie in it.
        (Some(to_end), Some(from_end)) => unsafe {
            work(context, a, b, to_end, from_end, 0);
            // Within one memory no part may overwrite what a later one reads; elsewhere any order is right.
            in_parts(len, to > from, |at, part| work(context, a, b, to + at, from + at, part));
        },
        // SAFETY: the caller's promise. What wraps around traps here.
        _ => unsafe { work(context, a, b, to, from, len) },
    }
}

/// Calls `work` with start and length of each part of `len`, and raises a trap when the call must end.
///
/// # Safety
/// Called from compiled code, with nothing on the way that waits to be dropped, nor in `work`.
#[inline(never)]
unsafe fn in_parts(len: u32, backwards: bool, work: impl Fn(u32, u32) + Copy) {
    let parts = len.div_ceil(PART);
    let mut turn_began = Instant::now();
    for done in 0..parts {
        if done > 0
            && let Some(stop) = on_host_stack(|| look(&mut turn_began))
        {
            // SAFETY: the caller's promise; the reason itself is given away.
            unsafe { raise_user_trap(stop) }
        }
        let start = PART * if backwards { parts - 1 - done } else { done };
        work(start, PART.min(len - start));
    }
}

/// Why the call that runs on this thread must end now, if it must. Others get a turn, as at a tick, when
/// there was none for a while.
fn look(turn_began: &mut Instant) -> Option<Box<dyn Error + Send + Sync>> {
    // SAFETY: the store outlives its compiled code, which waits for this and holds no reference to it.
    let shared = unsafe { Running::store()?.as_mut() };
    host::must_end(shared, |shared| {
        if turn_began.elapsed() < TURN {
            return shared.context.meter.check();
        }
        let turned = shared.context.meter.give_turn();
        *turn_began = Instant::now();
        turned
    })
}
