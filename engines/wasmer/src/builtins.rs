//! Putting our own functions in the place of Wasmer's library.
//!
//! Compiled code finds the library's functions in a list inside each instance. Ours take the place of
//! those entries before the instance first runs.

use wasmer_types::VMBuiltinFunctionIndex;
use wasmer_vm::VMInstance;

/// Makes the code of `instance` call `function` where it would call the library's function of `index`.
///
/// # Safety
/// Nothing runs in the instance yet, and `function` is an `extern "C"` function with the parameters and
/// result of the one that it replaces.
pub(crate) unsafe fn replace(instance: &VMInstance, index: VMBuiltinFunctionIndex, function: *const ()) {
    let offset = instance.vmoffsets().vmctx_builtin_function(index) as usize;
    // SAFETY: the offset is that of the list's entry for `index`, a function address, which nobody reads
    // meanwhile.
    unsafe { instance.vmctx_ptr().byte_add(offset).cast::<usize>().write(function as usize) }
}
