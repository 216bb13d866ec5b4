//! Rust types at the border: [`WasmValue`] for one value, [`WasmValues`] for parameters or results, and
//! host functions made from closures over them.

use std::future::Future;

use cofferdam_prepare::{FuncType, ValType};

use crate::host::{Caller, HostFinish, HostFunc};
use crate::outcome::HostError;
use crate::value::Value;

/// A Rust type that is one WebAssembly value. Signed and unsigned integers are the same `i32` and `i64`
/// to WebAssembly; floats keep their bits.
pub trait WasmValue: Copy + Send + 'static {
    /// What it is to WebAssembly.
    const TYPE: ValType;

    /// The value.
    fn into_value(self) -> Value;

    /// The Rust form, if `value` is of [`WasmValue::TYPE`].
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! wasm_values {
    ($($ty:ty, $variant:ident, $v:ident => $into:expr, $from:expr;)*) => {$(
        impl WasmValue for $ty {
            const TYPE: ValType = ValType::$variant;

            #[inline]
            fn into_value(self) -> Value {
                let $v = self;
                Value::$variant($into)
            }

            #[inline]
            fn from_value(value: Value) -> Option<Self> {
                if let Value::$variant($v) = value { Some($from) } else { None }
            }
        }
    )*};
}

wasm_values! {
    i32, I32, v => v, v;
    u32, I32, v => v.cast_signed(), v.cast_unsigned();
    i64, I64, v => v, v;
    u64, I64, v => v.cast_signed(), v.cast_unsigned();
    f32, F32, v => v.to_bits(), Self::from_bits(v);
    f64, F64, v => v.to_bits(), Self::from_bits(v);
    u128, V128, v => v, v;
}

mod sealed {
    pub trait Sealed {}
}

/// What a function takes or gives: nothing, `()`; one value; or a tuple of up to ten. A `u128` is a `v128`,
/// little-endian lanes.
pub trait WasmValues: sealed::Sealed + Sized {
    /// The types, in order.
    const TYPES: &'static [ValType];

    /// An array of as many values: no allocation stands between a typed call and the engine.
    type Array: AsRef<[Value]> + AsMut<[Value]>;

    /// The values.
    fn into_values(self) -> Self::Array;

    /// Zeros, to be overwritten.
    fn zeros() -> Self::Array;

    /// The Rust form, if `values` are of [`WasmValues::TYPES`].
    fn from_values(values: &[Value]) -> Option<Self>;
}

impl<T: WasmValue> sealed::Sealed for T {}

impl<T: WasmValue> WasmValues for T {
    const TYPES: &'static [ValType] = &[T::TYPE];
    type Array = [Value; 1];

    #[inline]
    fn into_values(self) -> [Value; 1] {
        [self.into_value()]
    }

    #[inline]
    fn zeros() -> [Value; 1] {
        [Value::default_of(T::TYPE)]
    }

    #[inline]
    fn from_values(values: &[Value]) -> Option<Self> {
        if let [value] = values { T::from_value(*value) } else { None }
    }
}

macro_rules! tuples {
    ($($count:literal: $($name:ident)*;)*) => {$(
        impl<$($name: WasmValue),*> sealed::Sealed for ($($name,)*) {}

        impl<$($name: WasmValue),*> WasmValues for ($($name,)*) {
            const TYPES: &'static [ValType] = &[$($name::TYPE),*];
            type Array = [Value; $count];

            #[inline]
            #[expect(non_snake_case, reason = "the type parameters lend their names")]
            fn into_values(self) -> [Value; $count] {
                let ($($name,)*) = self;
                [$($name.into_value()),*]
            }

            #[inline]
            fn zeros() -> [Value; $count] {
                [$(Value::default_of($name::TYPE)),*]
            }

            #[inline]
            #[expect(non_snake_case, reason = "the type parameters lend their names")]
            fn from_values(values: &[Value]) -> Option<Self> {
                let [$($name),*] = values else { return None };
                Some(($($name::from_value(*$name)?,)*))
            }
        }
    )*};
}

impl sealed::Sealed for () {}

impl WasmValues for () {
    const TYPES: &'static [ValType] = &[];
    type Array = [Value; 0];

    fn into_values(self) -> [Value; 0] {
        []
    }

    fn zeros() -> [Value; 0] {
        []
    }

    fn from_values(values: &[Value]) -> Option<Self> {
        values.is_empty().then_some(())
    }
}

tuples! {
    1: A;
    2: A B;
    3: A B C;
    4: A B C D;
    5: A B C D E;
    6: A B C D E F;
    7: A B C D E F G;
    8: A B C D E F G H;
    9: A B C D E F G H I;
    10: A B C D E F G H I J;
}

/// The signature of a function that takes `P` and gives `R`.
#[must_use]
pub fn signature<P: WasmValues, R: WasmValues>() -> FuncType {
    FuncType::new(P::TYPES, R::TYPES)
}

/// Engines check types before they call; this is what is said should one not.
fn mistyped() -> HostError {
    HostError::failed("the engine called it with values of other types")
}

impl HostFunc {
    /// A host function from a closure; its signature is that of the closure. It must not block, as with
    /// [`HostFunc::new`].
    ///
    /// ```
    /// use cofferdam_engine::{HostFunc, OutOfBounds};
    /// let add = HostFunc::typed(|_, (a, b): (i32, i32)| Ok(a.wrapping_add(b)));
    /// assert_eq!(add.ty().to_string(), "(i32, i32) -> (i32)");
    /// // Pointers come from the guest: reading through them is checked.
    /// let count = HostFunc::typed(|caller, (ptr, len): (u32, u32)| {
    ///     caller.charge_bytes(len.into())?;
    ///     Ok(caller.bytes(ptr, len)?.iter().filter(|b| **b == b'\n').count() as u64)
    /// });
    /// assert_eq!(count.ty().to_string(), "(i32, i32) -> (i64)");
    /// ```
    pub fn typed<P, R, F>(body: F) -> Self
    where
        P: WasmValues,
        R: WasmValues,
        F: Fn(&mut Caller<'_>, P) -> Result<R, HostError> + Send + Sync + 'static,
    {
        Self::new(signature::<P, R>(), move |caller, params, results| {
            let given = body(caller, P::from_values(params).ok_or_else(mistyped)?)?;
            write(given, results)
        })
    }

    /// A host function that waits, from a closure that gives a future; see [`HostFunc::asynchronous`]. What
    /// it needs of the guest it reads before it gives the future.
    ///
    /// ```
    /// use cofferdam_engine::{HostError, HostFunc};
    /// let answer = HostFunc::typed_async(|_, (question,): (u32,)| {
    ///     Ok(async move { if question == 0 { Err(HostError::failed("no question")) } else { Ok(42i32) } })
    /// });
    /// assert_eq!(answer.ty().to_string(), "(i32) -> (i32)");
    /// ```
    pub fn typed_async<P, R, F, W>(body: F) -> Self
    where
        P: WasmValues,
        R: WasmValues + Send + 'static,
        F: Fn(&mut Caller<'_>, P) -> Result<W, HostError> + Send + Sync + 'static,
        W: Future<Output = Result<R, HostError>> + Send + 'static,
    {
        Self::asynchronous(signature::<P, R>(), move |caller, params| {
            let future = body(caller, P::from_values(params).ok_or_else(mistyped)?)?;
            Ok(Box::pin(async move {
                let given = future.await?;
                Ok(Box::new(move |_: &mut Caller<'_>, results: &mut [Value]| write(given, results)) as HostFinish)
            }))
        })
    }
}

fn write<R: WasmValues>(given: R, results: &mut [Value]) -> Result<(), HostError> {
    let given = given.into_values();
    if results.len() != given.as_ref().len() {
        return Err(mistyped());
    }
    results.copy_from_slice(given.as_ref());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round<V: WasmValues + PartialEq + Copy + std::fmt::Debug>(values: V) {
        let array = values.into_values();
        assert!(Value::all_match(array.as_ref(), V::TYPES) && Value::all_match(V::zeros().as_ref(), V::TYPES));
        assert_eq!(V::from_values(array.as_ref()), Some(values));
        let longer: Vec<_> = array.as_ref().iter().copied().chain([Value::I32(0)]).collect();
        assert_eq!(V::from_values(&longer), None);
    }

    #[test]
    fn values_go_over_and_come_back() {
        round(());
        round(-5i32);
        round((u32::MAX, u64::MAX, i64::MIN));
        round((1i32, 2i64, 1.5f32, -0.25f64, 3u32, 4u64, u128::MAX, i32::MIN));
        round((1i32, 2i32, 3i32, 4i32, 5i32, 6i32, 7i32, 8i32, 9i32, 10i32));
        let nan = f32::from_bits(0x7fc0_1234);
        assert_eq!(f32::from_value(nan.into_value()).map(f32::to_bits), Some(0x7fc0_1234));
        assert_eq!(<(i32, i64)>::from_values(&[Value::I32(1), Value::I32(2)]), None);
        assert_eq!(<(i32,)>::from_values(&[Value::F32(1)]), None);
    }
}
