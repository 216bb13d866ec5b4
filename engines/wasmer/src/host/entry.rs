//! The addresses that compiled code jumps to when it calls a host function.
//!
//! Signatures of up to ten integers with at most one integer result are entered directly, with the arguments
//! where the machine's calling convention has them. All others go through a trampoline that the importing
//! module brings along and that puts the arguments into slots in memory; the machine stack cannot be traced
//! through it, so a call that ends there has no frames.

use std::error::Error;

use cofferdam_engine::{FuncType, HostError, ValType, Value};
use wasmer_types::RawValue;
use wasmer_vm::{VMContext, VMFunctionBody, on_host_stack, raise_user_trap};

use super::{HostBlock, invoke, stopped};

/// An integer parameter.
trait Param: Copy {
    fn value(self) -> Value;
}

impl Param for i32 {
    fn value(self) -> Value {
        Value::I32(self)
    }
}

impl Param for i64 {
    fn value(self) -> Value {
        Value::I64(self)
    }
}

/// No result, or an integer.
trait Outcome: Copy {
    const TYPES: &'static [ValType];
    /// From values of exactly these types, which is checked before.
    fn take(values: &[Value]) -> Self;
}

impl Outcome for () {
    const TYPES: &'static [ValType] = &[];
    fn take(_: &[Value]) {}
}

impl Outcome for i32 {
    const TYPES: &'static [ValType] = &[ValType::I32];
    fn take(values: &[Value]) -> Self {
        values.first().and_then(Value::i32).unwrap_or_default()
    }
}

impl Outcome for i64 {
    const TYPES: &'static [ValType] = &[ValType::I64];
    fn take(values: &[Value]) -> Self {
        values.first().and_then(Value::i64).unwrap_or_default()
    }
}

/// # Safety
/// As [`invoke`].
#[inline]
unsafe fn run<R: Outcome>(block: *const HostBlock, params: &[Value]) -> Result<R, Box<dyn Error + Send + Sync>> {
    match R::TYPES {
        // SAFETY: the caller's promise.
        [] => unsafe { invoke(block, params, &mut []) }.map(|()| R::take(&[])),
        types => {
            let mut results = [Value::default_of(types[0])];
            // SAFETY: the caller's promise.
            unsafe { invoke(block, params, &mut results) }.map(|()| R::take(&results))
        }
    }
}

macro_rules! direct_entries {
    ($($name:ident($($arg:ident: $Param:ident),*);)*) => {$(
        unsafe extern "C-unwind" fn $name<$($Param: Param,)* R: Outcome>(block: *mut HostBlock, $($arg: $Param),*) -> R {
            // SAFETY: compiled code passes the block that it was linked with.
            match on_host_stack(|| unsafe { run::<R>(block, &[$($arg.value()),*]) }) {
                Ok(result) => result,
                // SAFETY: called from compiled code, and nothing here waits to be dropped.
                Err(stop) => unsafe { raise_user_trap(stop) },
            }
        }
    )*};
}

direct_entries! {
    none();
    one(a: A);
    two(a: A, b: B);
    three(a: A, b: B, c: C);
    four(a: A, b: B, c: C, d: D);
}

/// An integer argument of either width as it lies in a register or a slot of the stack: 64 bits, of which an `i32`
/// has the lower half and the rest is whatever it was.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Wide(u64);

impl Wide {
    fn value(self, ty: ValType) -> Value {
        match ty {
            ValType::I32 => Value::I32((self.0 as u32).cast_signed()),
            _ => Value::I64(self.0.cast_signed()),
        }
    }
}

/// Whether integers of both widths are passed alike, each in a register or eight bytes of the stack: so say System V
/// for x86-64 and AArch64's own, and Apple's variant of the latter does not.
const WIDE: bool = cfg!(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(target_vendor = "apple")));

macro_rules! wide_entries {
    ($($name:ident($($arg:ident),*);)*) => {$(
        unsafe extern "C-unwind" fn $name<R: Outcome>(block: *mut HostBlock, $($arg: Wide),*) -> R {
            let given = [$($arg),*];
            let ended = on_host_stack(|| {
                let mut params = [Value::I32(0); 10];
                // SAFETY: compiled code passes the block that it was linked with.
                let ty = unsafe { (*block).ctx.func.ty() };
                for ((param, given), ty) in params.iter_mut().zip(given).zip(ty.params()) {
                    *param = given.value(*ty);
                }
                // SAFETY: as above.
                unsafe { run::<R>(block, &params[..given.len()]) }
            });
            match ended {
                Ok(result) => result,
                // SAFETY: called from compiled code, and nothing here waits to be dropped.
                Err(stop) => unsafe { raise_user_trap(stop) },
            }
        }
    )*};
}

wide_entries! {
    five(a, b, c, d, e);
    six(a, b, c, d, e, f);
    seven(a, b, c, d, e, f, g);
    eight(a, b, c, d, e, f, g, h);
    nine(a, b, c, d, e, f, g, h, i);
    ten(a, b, c, d, e, f, g, h, i, j);
}

fn wide_with<R: Outcome>(params: &[ValType]) -> Option<*const ()> {
    let integers = params.iter().all(|ty| matches!(ty, ValType::I32 | ValType::I64));
    match params.len() {
        _ if !WIDE || !integers => None,
        5 => Some(five::<R> as *const ()),
        6 => Some(six::<R> as *const ()),
        7 => Some(seven::<R> as *const ()),
        8 => Some(eight::<R> as *const ()),
        9 => Some(nine::<R> as *const ()),
        10 => Some(ten::<R> as *const ()),
        _ => None,
    }
}

/// `$then` with `$T` standing for the integer type that `$ty` is.
macro_rules! int {
    ($ty:expr, $T:ident => $then:expr) => {
        match $ty {
            ValType::I32 => {
                type $T = i32;
                $then
            }
            ValType::I64 => {
                type $T = i64;
                $then
            }
            _ => return None,
        }
    };
}

fn direct_with<R: Outcome>(params: &[ValType]) -> Option<*const ()> {
    Some(match params {
        [] => none::<R> as *const (),
        [a] => int!(a, A => one::<A, R> as *const ()),
        [a, b] => int!(a, A => int!(b, B => two::<A, B, R> as *const ())),
        [a, b, c] => int!(a, A => int!(b, B => int!(c, C => three::<A, B, C, R> as *const ()))),
        [a, b, c, d] => {
            int!(a, A => int!(b, B => int!(c, C => int!(d, D => four::<A, B, C, D, R> as *const ()))))
        }
        _ => return wide_with::<R>(params),
    })
}

/// The direct entry for `ty`, if there is one.
pub(super) fn direct(ty: &FuncType) -> Option<*const VMFunctionBody> {
    let entry = match ty.results() {
        [] => direct_with::<()>(ty.params()),
        [ValType::I32] => direct_with::<i32>(ty.params()),
        [ValType::I64] => direct_with::<i64>(ty.params()),
        _ => None,
    };
    entry.map(<*const ()>::cast)
}

/// Arguments or results in slots that need no allocation.
const FEW: usize = 12;

/// Entered by trampolines: arguments are in `slots`, results go there.
pub(super) unsafe extern "C-unwind" fn by_slots(block: *mut HostBlock, slots: *mut RawValue) {
    // SAFETY: compiled code passes the block that it was linked with, and as many slots as the signature
    // has arguments or results, whichever are more.
    if let Err(stop) = on_host_stack(|| unsafe { run_slots(block, slots) }) {
        // SAFETY: called from compiled code, and nothing here waits to be dropped.
        unsafe { raise_user_trap(stop) }
    }
}

/// Entered when the host itself calls a host function by its handle.
pub(super) unsafe extern "C" fn from_host(context: *mut VMContext, _: *const VMFunctionBody, slots: *mut RawValue) {
    // SAFETY: the context of a host function is its block; see `super::function`.
    unsafe { by_slots(context.cast(), slots) }
}

/// # Safety
/// As [`invoke`]; `slots` are as [`by_slots`] says.
unsafe fn run_slots(block: *const HostBlock, slots: *mut RawValue) -> Result<(), Box<dyn Error + Send + Sync>> {
    // SAFETY: the caller's promise; the store's own things are borrowed only between the calls.
    unsafe {
        let ty = (*block).ctx.func.ty();
        let shared = (*block).ctx.env.as_ref().shared.as_ptr();
        let foreign = |what| stopped(HostError::failed(what), &*shared);

        let (count, results_count) = (ty.params().len(), ty.results().len());
        let mut few = [Value::I32(0); FEW];
        let mut many = Vec::new();
        let values = if count + results_count <= FEW {
            &mut few[..count + results_count]
        } else {
            many.resize(count + results_count, Value::I32(0));
            &mut many[..]
        };
        let (params, results) = values.split_at_mut(count);
        for (at, (param, ty)) in params.iter_mut().zip(ty.params()).enumerate() {
            let value = (*shared).functions.value_of(*ty, slots.add(at).read(), &(*shared).signatures);
            *param = value.ok_or_else(|| foreign("a reference has a type that cannot cross the border"))?;
        }
        for (result, ty) in results.iter_mut().zip(ty.results()) {
            *result = Value::default_of(*ty);
        }
        invoke(block, params, results)?;
        for (at, result) in results.iter().enumerate() {
            let raw = (*shared).functions.raw_of(*result);
            slots.add(at).write(raw.ok_or_else(|| foreign("a result belongs to another store"))?);
        }
        Ok(())
    }
}
