//! Entries into host functions whose signatures are known here, so that a call builds no lists of values:
//! all with up to four integers, more `i32`s, and the longer ones of WASI. Others go through lists.

use cofferdam_engine::{ValType, Value};
use wasmi::{Error, Func};

use crate::host::{Entry, Host};
use crate::traps::stopped;

/// An integer that crosses as it is.
trait Integer {
    fn value(self) -> Value;
    fn of(value: Value) -> Option<Self>
    where
        Self: Sized;
}

impl Integer for i32 {
    fn value(self) -> Value {
        Value::I32(self)
    }
    fn of(value: Value) -> Option<Self> {
        value.i32()
    }
}

impl Integer for i64 {
    fn value(self) -> Value {
        Value::I64(self)
    }
    fn of(value: Value) -> Option<Self> {
        value.i64()
    }
}

fn one<R: Integer>(result: Value) -> Result<R, Error> {
    R::of(result).ok_or_else(|| stopped(cofferdam_engine::HostError::failed("it gave a result of another type")))
}

macro_rules! val_type {
    (i32) => {
        ValType::I32
    };
    (i64) => {
        ValType::I64
    };
}

macro_rules! entries {
    ($($($ty:ident)*;)*) => {
        /// An entry for the signature of `entry`, if it is one of those here.
        pub(crate) fn direct(entry: &Entry, store: &mut wasmi::Store<Host>) -> Option<Func> {
            match entry.func.ty().params() {
                $([$(val_type!($ty)),*] => entries!(@results entry store [$($ty)*] [a b c d e f g h i] []),)*
                _ => None,
            }
        }
    };
    // Pairs each type with a name.
    (@results $entry:ident $store:ident [$ty:ident $($tys:ident)*] [$name:ident $($names:ident)*] [$($done:tt)*]) => {
        entries!(@results $entry $store [$($tys)*] [$($names)*] [$($done)* ($name: $ty)])
    };
    (@results $entry:ident $store:ident [] [$($rest:ident)*] [$(($name:ident: $ty:ident))*]) => {
        match $entry.func.ty().results() {
            [] => {
                let entry = $entry.clone();
                Some(Func::wrap($store, move |mut caller: wasmi::Caller<'_, Host>, $($name: $ty),*| {
                    entry.run(&mut caller, &[$($name.value()),*], &mut [])
                }))
            }
            [ValType::I32] => entries!(@one $entry $store i32 [$(($name: $ty))*]),
            [ValType::I64] => entries!(@one $entry $store i64 [$(($name: $ty))*]),
            _ => None,
        }
    };
    (@one $entry:ident $store:ident $result:ident [$(($name:ident: $ty:ident))*]) => {{
        let entry = $entry.clone();
        Some(Func::wrap($store, move |mut caller: wasmi::Caller<'_, Host>, $($name: $ty),*| {
            let mut result = [(0 as $result).value()];
            entry.run(&mut caller, &[$($name.value()),*], &mut result)?;
            one::<$result>(result[0])
        }))
    }};
}

entries! {
    ;
    i32;
    i64;
    i32 i32;
    i32 i64;
    i64 i32;
    i64 i64;
    i32 i32 i32;
    i32 i32 i64;
    i32 i64 i32;
    i32 i64 i64;
    i64 i32 i32;
    i64 i32 i64;
    i64 i64 i32;
    i64 i64 i64;
    i32 i32 i32 i32;
    i32 i32 i32 i64;
    i32 i32 i64 i32;
    i32 i32 i64 i64;
    i32 i64 i32 i32;
    i32 i64 i32 i64;
    i32 i64 i64 i32;
    i32 i64 i64 i64;
    i64 i32 i32 i32;
    i64 i32 i32 i64;
    i64 i32 i64 i32;
    i64 i32 i64 i64;
    i64 i64 i32 i32;
    i64 i64 i32 i64;
    i64 i64 i64 i32;
    i64 i64 i64 i64;
    i32 i32 i32 i32 i32;
    i32 i32 i32 i32 i32 i32;
    i32 i32 i32 i32 i32 i32 i32;
    i32 i32 i32 i32 i32 i32 i32 i32;
    i32 i32 i32 i32 i32 i32 i32 i32 i32;
    i32 i32 i32 i32 i32 i64 i64 i32 i32;
    i32 i32 i32 i64 i32;
    i32 i32 i32 i32 i64 i64 i32;
}
