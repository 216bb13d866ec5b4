//! Values between the neutral form and Wasmi's, and the store's handles to functions and other things.

use std::collections::HashMap;
use std::mem::size_of;

use cofferdam_engine::{FuncHandle, FuncType, StoreId, Value};
use wasmi::{AsContextMut, ExternRef, F32, F64, Func, Nullable, Ref, V128, Val};

use crate::host::Host;
use crate::types;

/// Different things of one store have different identities; the same thing always has the same.
pub(crate) trait Thing: Copy {
    fn identity(self) -> u64;
}

macro_rules! things {
    ($($name:ty),*) => {$(
        impl Thing for $name {
            fn identity(self) -> u64 {
                const { assert!(size_of::<$name>() == size_of::<u64>()) };
                // SAFETY: Wasmi 2.0's handles are a store's number and an index, both `u32`: eight bytes without
                // padding, all of them set, and `u64` takes any bits. Should a handle grow, the line above fails;
                // padding within eight bytes would go unseen, so every new version has to be looked at.
                unsafe { std::mem::transmute::<$name, u64>(self) }
            }
        }
    )*};
}

things!(Func, wasmi::Memory, wasmi::Table, wasmi::Global);

/// Things of one kind that somebody outside may name, each under one number however often it comes by, so
/// that a guest cannot fill the host's memory by handing out references.
pub(crate) struct Known<T, Ty> {
    all: Vec<(T, Ty)>,
    by_identity: HashMap<u64, u32>,
}

impl<T: Thing, Ty> Known<T, Ty> {
    pub fn new() -> Self {
        Self { all: Vec::new(), by_identity: HashMap::new() }
    }

    pub fn get(&self, index: usize) -> Option<&(T, Ty)> {
        self.all.get(index)
    }

    pub fn iter(&self) -> impl Iterator<Item = &(T, Ty)> {
        self.all.iter()
    }

    pub fn number(&self, thing: T) -> Option<u32> {
        self.by_identity.get(&thing.identity()).copied()
    }

    /// The number of `thing`.
    pub fn add(&mut self, thing: T, ty: impl FnOnce() -> Ty) -> u32 {
        *self.by_identity.entry(thing.identity()).or_insert_with(|| {
            self.all.push((thing, ty()));
            (self.all.len() - 1) as u32
        })
    }
}

/// The functions and external references of a store that came by.
pub(crate) struct References {
    store: StoreId,
    pub functions: Known<Func, FuncType>,
    externs: HashMap<u64, ExternRef>,
}

/// Different external references that one store takes. Wasmi keeps each until the store is dropped.
const MOST_EXTERNS: usize = 1 << 20;

impl References {
    pub fn new(store: StoreId) -> Self {
        Self { store, functions: Known::new(), externs: HashMap::new() }
    }

    pub fn function(&self, handle: FuncHandle) -> Option<&(Func, FuncType)> {
        self.functions.get(handle.index_in(self.store)?)
    }
}

/// `value` as Wasmi has it; `None` for a function of another store, for `u64::MAX` as an external reference,
/// which no engine of ours takes, and when there are too many different ones.
pub(crate) fn lower(mut ctx: impl AsContextMut<Data = Host>, value: Value) -> Option<Val> {
    Some(match value {
        Value::I32(v) => Val::I32(v),
        Value::I64(v) => Val::I64(v),
        Value::F32(bits) => Val::F32(F32::from_bits(bits)),
        Value::F64(bits) => Val::F64(F64::from_bits(bits)),
        Value::V128(v) => Val::V128(V128::from(v)),
        Value::FuncRef(None) => Val::FuncRef(Nullable::Null),
        Value::ExternRef(None) => Val::ExternRef(Nullable::Null),
        Value::FuncRef(Some(handle)) => {
            Val::FuncRef(Nullable::Val(ctx.as_context().data().references.function(handle)?.0))
        }
        Value::ExternRef(Some(number)) => {
            let mut ctx = ctx.as_context_mut();
            let known = &ctx.data().references.externs;
            let found = match known.get(&number) {
                Some(known) => *known,
                None if number == u64::MAX || known.len() >= MOST_EXTERNS => return None,
                None => {
                    let made = ExternRef::new(&mut ctx, number);
                    ctx.data_mut().references.externs.insert(number, made);
                    made
                }
            };
            Val::ExternRef(Nullable::Val(found))
        }
    })
}

/// `value` in the neutral form; `None` for an external reference that is not ours, of which there are none.
pub(crate) fn lift(ctx: impl AsContextMut<Data = Host>, value: &Val) -> Option<Value> {
    Some(match value {
        Val::I32(v) => Value::I32(*v),
        Val::I64(v) => Value::I64(*v),
        Val::F32(v) => Value::F32(v.to_bits()),
        Val::F64(v) => Value::F64(v.to_bits()),
        Val::V128(v) => Value::V128(v.as_u128()),
        Val::FuncRef(Nullable::Null) => Value::FuncRef(None),
        Val::ExternRef(Nullable::Null) => Value::ExternRef(None),
        Val::FuncRef(Nullable::Val(function)) => Value::FuncRef(Some(handle(ctx, *function))),
        Val::ExternRef(Nullable::Val(reference)) => {
            Value::ExternRef(Some(*reference.data(ctx.as_context()).downcast_ref::<u64>()?))
        }
    })
}

/// The handle of `function`.
pub(crate) fn handle(mut ctx: impl AsContextMut<Data = Host>, function: Func) -> FuncHandle {
    let ctx = ctx.as_context_mut();
    let references = &ctx.data().references;
    if let Some(number) = references.functions.number(function) {
        return FuncHandle::new(references.store, number);
    }
    let ty = types::neutral_func_type(&function.ty(&ctx));
    handle_of_type(ctx, function, &ty)
}

/// The handle of `function`, which is of type `ty`.
pub(crate) fn handle_of_type(mut ctx: impl AsContextMut<Data = Host>, function: Func, ty: &FuncType) -> FuncHandle {
    let mut ctx = ctx.as_context_mut();
    let References { store, functions, .. } = &mut ctx.data_mut().references;
    FuncHandle::new(*store, functions.add(function, || ty.clone()))
}

/// `value` as a reference, if it is one.
pub(crate) fn reference(value: Val) -> Option<Ref> {
    match value {
        Val::FuncRef(function) => Some(Ref::Func(function)),
        Val::ExternRef(external) => Some(Ref::Extern(external)),
        _ => None,
    }
}

/// The value of a reference.
pub(crate) fn of_reference(reference: Ref) -> Val {
    match reference {
        Ref::Func(function) => Val::FuncRef(function),
        Ref::Extern(external) => Val::ExternRef(external),
    }
}
