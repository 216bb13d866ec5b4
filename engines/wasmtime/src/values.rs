//! Values between the neutral form and Wasmtime's: raw slots for calls, `Val` for everything else; and
//! [`Functions`] and [`Externals`], which give what is referred to a name on our side.

use std::collections::HashMap;

use cofferdam_engine::{FuncHandle, FuncType, StoreId, ValType, Value};
use wasmtime::{AnyRef, AsContextMut, ExternRef, Func, I31, Ref, RootScope, Rooted, Val, ValRaw};

use crate::store::Data;
use crate::types;

/// One function that somebody outside may name.
pub(crate) struct Function {
    pub func: Func,
    pub ty: FuncType,
}

/// The functions of a store that have handles. A function has one handle however often it comes by, so
/// a guest cannot fill the host's memory by handing out references.
pub(crate) struct Functions {
    store: StoreId,
    all: Vec<Function>,
    by_address: HashMap<usize, u32>,
}

impl Functions {
    pub fn new(store: StoreId) -> Self {
        Self { store, all: Vec::new(), by_address: HashMap::new() }
    }

    pub fn get(&self, handle: FuncHandle) -> Option<&Function> {
        self.all.get(handle.index_in(self.store)?)
    }

    /// All functions give place to others of the same number and types.
    pub fn replace(&mut self, with: Vec<(Func, usize)>) {
        self.by_address.clear();
        for (index, (func, address)) in with.into_iter().enumerate() {
            if let Some(known) = self.all.get_mut(index) {
                known.func = func;
                self.by_address.insert(address, index as u32);
            }
        }
    }
}

/// The handle of `func`; `None` if its type cannot cross the border.
pub(crate) fn handle(mut store: impl AsContextMut<Data = Data>, func: Func) -> Option<FuncHandle> {
    let address = func.to_raw(&mut store) as usize;
    let functions = &store.as_context().data().functions;
    let id = functions.store;
    if let Some(index) = functions.by_address.get(&address) {
        return Some(FuncHandle::new(id, *index));
    }
    let ty = types::neutral_func_type(&func.ty(&store))?;
    let mut context = store.as_context_mut();
    let functions = &mut context.data_mut().functions;
    let index = functions.all.len() as u32;
    functions.all.push(Function { func, ty });
    functions.by_address.insert(address, index);
    Some(FuncHandle::new(id, index))
}

/// The host's numbers behind external references. A reference carries 31 bits by itself and needs no place on
/// Wasmtime's collected heap; numbers that do not fit are kept here and the reference carries their place.
#[derive(Default)]
pub(crate) struct Externals {
    kept: Vec<u64>,
    places: HashMap<u64, u32>,
}

/// The bit that says: a place in [`Externals`], not the number itself.
const KEPT: u32 = 1 << 30;
/// Numbers of 30 bits or more that one store keeps.
const MOST_KEPT: usize = 1 << 20;

impl Externals {
    fn encode(&mut self, number: u64) -> Option<u32> {
        if number < u64::from(KEPT) {
            return u32::try_from(number).ok();
        }
        if let Some(place) = self.places.get(&number) {
            return Some(KEPT | place);
        }
        if self.kept.len() >= MOST_KEPT {
            return None;
        }
        let place = self.kept.len() as u32;
        self.kept.push(number);
        self.places.insert(number, place);
        Some(KEPT | place)
    }

    fn decode(&self, code: u32) -> Option<u64> {
        if code & KEPT == 0 { Some(u64::from(code)) } else { self.kept.get((code & !KEPT) as usize).copied() }
    }
}

fn external(mut store: impl AsContextMut<Data = Data>, number: u64) -> Option<Rooted<ExternRef>> {
    let code = store.as_context_mut().data_mut().externals.encode(number)?;
    let any = AnyRef::from_i31(&mut store, I31::wrapping_u32(code));
    ExternRef::convert_any(&mut store, any).ok()
}

fn number(mut store: impl AsContextMut<Data = Data>, external: Rooted<ExternRef>) -> Option<u64> {
    let any = AnyRef::convert_extern(&mut store, external).ok()?;
    let code = any.as_i31(&store).ok()??.get_u32();
    store.as_context().data().externals.decode(code)
}

/// Writes `value` into `slot`. False for a function of another store, and for more large external references
/// than a store keeps.
///
/// Each type is written by itself: a value that passes through a register for all of them has the machine wait
/// for the narrower one that was stored just before.
#[inline(always)]
#[must_use]
pub(crate) fn write_raw(store: impl AsContextMut<Data = Data>, value: &Value, slot: &mut ValRaw) -> bool {
    match *value {
        Value::I32(v) => *slot = ValRaw::i32(v),
        Value::I64(v) => *slot = ValRaw::i64(v),
        Value::F32(v) => *slot = ValRaw::f32(v),
        Value::F64(v) => *slot = ValRaw::f64(v),
        Value::V128(v) => *slot = ValRaw::v128(v),
        Value::FuncRef(None) => *slot = ValRaw::funcref(std::ptr::null_mut()),
        Value::ExternRef(None) => *slot = ValRaw::externref(0),
        reference => match raw_reference(store, reference) {
            Some(raw) => *slot = raw,
            None => return false,
        },
    }
    true
}

#[cold]
fn raw_reference(mut store: impl AsContextMut<Data = Data>, value: Value) -> Option<ValRaw> {
    match value {
        Value::FuncRef(Some(handle)) => {
            let func = store.as_context().data().functions.get(handle)?.func;
            Some(ValRaw::funcref(func.to_raw(&mut store)))
        }
        Value::ExternRef(Some(number)) => {
            let mut scope = RootScope::new(&mut store);
            let raw = external(&mut scope, number)?.to_raw(&mut scope).ok()?;
            Some(ValRaw::externref(raw))
        }
        _ => None,
    }
}

/// Puts zero, or null, of type `ty` into `value`, each type by itself as in [`write_raw`].
#[inline(always)]
pub(crate) fn write_default(ty: ValType, value: &mut Value) {
    match ty {
        ValType::I32 => *value = Value::I32(0),
        ValType::I64 => *value = Value::I64(0),
        ValType::F32 => *value = Value::F32(0),
        ValType::F64 => *value = Value::F64(0),
        ValType::V128 => *value = Value::V128(0),
        ValType::FuncRef => *value = Value::FuncRef(None),
        ValType::ExternRef => *value = Value::ExternRef(None),
    }
}

/// Reads `raw` into `value`. False for a function of a type that cannot cross the border. For why each type is
/// read by itself, see [`write_raw`].
///
/// # Safety
/// `raw` was written as a `ty` by compiled code of this store, or by [`write_raw`].
#[inline(always)]
#[must_use]
pub(crate) unsafe fn read_raw(
    store: impl AsContextMut<Data = Data>,
    ty: ValType,
    raw: &ValRaw,
    value: &mut Value,
) -> bool {
    match ty {
        ValType::I32 => *value = Value::I32(raw.get_i32()),
        ValType::I64 => *value = Value::I64(raw.get_i64()),
        ValType::F32 => *value = Value::F32(raw.get_f32()),
        ValType::F64 => *value = Value::F64(raw.get_f64()),
        ValType::V128 => *value = Value::V128(raw.get_v128()),
        // SAFETY: the caller's promise.
        ValType::FuncRef | ValType::ExternRef => match unsafe { reference_of(store, ty, raw) } {
            Some(reference) => *value = reference,
            None => return false,
        },
    }
    true
}

/// # Safety
/// As [`read_raw`].
#[cold]
unsafe fn reference_of(mut store: impl AsContextMut<Data = Data>, ty: ValType, raw: &ValRaw) -> Option<Value> {
    if ty == ValType::FuncRef {
        // SAFETY: the caller's promise.
        return match unsafe { Func::from_raw(&mut store, raw.get_funcref()) } {
            None => Some(Value::FuncRef(None)),
            Some(func) => Some(Value::FuncRef(Some(handle(store, func)?))),
        };
    }
    let mut scope = RootScope::new(&mut store);
    match ExternRef::from_raw(&mut scope, raw.get_externref()) {
        None => Some(Value::ExternRef(None)),
        Some(external) => Some(Value::ExternRef(Some(number(&mut scope, external)?))),
    }
}

/// The same as Wasmtime's `Val`, which lives no longer than the root scope of `store`.
pub(crate) fn val_of(store: impl AsContextMut<Data = Data>, value: Value) -> Option<Val> {
    Some(match value {
        Value::I32(v) => Val::I32(v),
        Value::I64(v) => Val::I64(v),
        Value::F32(v) => Val::F32(v),
        Value::F64(v) => Val::F64(v),
        Value::V128(v) => Val::V128(v.into()),
        Value::FuncRef(None) => Val::FuncRef(None),
        Value::ExternRef(None) => Val::ExternRef(None),
        Value::FuncRef(Some(handle)) => Val::FuncRef(Some(store.as_context().data().functions.get(handle)?.func)),
        Value::ExternRef(Some(number)) => Val::ExternRef(Some(external(store, number)?)),
    })
}

/// The neutral form of `val`, if it has one.
pub(crate) fn value_of_val(store: impl AsContextMut<Data = Data>, val: &Val) -> Option<Value> {
    Some(match val {
        Val::I32(v) => Value::I32(*v),
        Val::I64(v) => Value::I64(*v),
        Val::F32(v) => Value::F32(*v),
        Val::F64(v) => Value::F64(*v),
        Val::V128(v) => Value::V128(v.as_u128()),
        Val::FuncRef(None) => Value::FuncRef(None),
        Val::FuncRef(Some(func)) => Value::FuncRef(Some(handle(store, *func)?)),
        Val::ExternRef(None) => Value::ExternRef(None),
        Val::ExternRef(Some(external)) => Value::ExternRef(Some(number(store, *external)?)),
        Val::AnyRef(_) | Val::ExnRef(_) | Val::ContRef(_) => return None,
    })
}

/// A table's element for `value`; `None` if it is no reference, or as [`write_raw`].
pub(crate) fn ref_of(store: impl AsContextMut<Data = Data>, value: Value) -> Option<Ref> {
    match val_of(store, value)? {
        Val::FuncRef(func) => Some(Ref::Func(func)),
        Val::ExternRef(external) => Some(Ref::Extern(external)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives_in_31_bits() {
        let mut all = Externals::default();
        for number in [0, 1, u64::from(KEPT) - 1, u64::from(KEPT), 1 << 31, u64::MAX, u64::from(KEPT)] {
            let code = all.encode(number).expect("there is room");
            assert!(code < 1 << 31);
            assert_eq!(all.decode(code), Some(number));
        }
        assert_eq!(all.kept.len(), 3, "each is kept once");
        assert_eq!(all.decode(KEPT | 3), None);
    }
}
