//! Values between the neutral form and the 16-byte slots that Wasmer passes them in, and [`Functions`], the
//! store's handles to functions.

use std::collections::HashMap;
use std::ptr::NonNull;

use cofferdam_engine::{FuncHandle, FuncType, StoreId, ValType, Value};
use wasmer_types::RawValue;
use wasmer_vm::{InternalStoreHandle, VMCallerCheckedAnyfunc, VMFunction};

use crate::signatures::StoreSignatures;

/// One function that somebody outside may name.
pub(crate) struct Function {
    /// Where Wasmer keeps what is needed to call it. Lives as long as the store.
    pub anyfunc: NonNull<VMCallerCheckedAnyfunc>,
    pub ty: FuncType,
    /// Its form as an import, once it was one.
    pub import: Option<InternalStoreHandle<VMFunction>>,
}

/// The functions of a store that have handles. A function has one handle however often it comes by, so
/// a guest cannot fill the host's memory by handing out references.
pub(crate) struct Functions {
    store: StoreId,
    all: Vec<Function>,
    by_address: HashMap<NonNull<VMCallerCheckedAnyfunc>, u32>,
}

impl Functions {
    pub fn new(store: StoreId) -> Self {
        Self { store, all: Vec::new(), by_address: HashMap::new() }
    }

    pub fn get(&self, handle: FuncHandle) -> Option<&Function> {
        self.all.get(handle.index_in(self.store)?)
    }

    pub fn get_mut(&mut self, handle: FuncHandle) -> Option<&mut Function> {
        self.all.get_mut(handle.index_in(self.store)?)
    }

    /// The handle of the function at `anyfunc`, which lives as long as the store.
    pub fn handle(&mut self, anyfunc: NonNull<VMCallerCheckedAnyfunc>, ty: impl FnOnce() -> FuncType) -> FuncHandle {
        let index = *self.by_address.entry(anyfunc).or_insert_with(|| {
            self.all.push(Function { anyfunc, ty: ty(), import: None });
            (self.all.len() - 1) as u32
        });
        FuncHandle::new(self.store, index)
    }

    /// The slot for `value`; `None` for a function of another store and for the one host reference that
    /// has no slot, `u64::MAX`.
    pub fn raw_of(&self, value: Value) -> Option<RawValue> {
        let mut raw = RawValue::default();
        match value {
            Value::I32(v) => raw.i32 = v,
            Value::I64(v) => raw.i64 = v,
            Value::F32(v) => raw.u32 = v,
            Value::F64(v) => raw.u64 = v,
            Value::V128(v) => raw.u128 = v,
            Value::FuncRef(None) | Value::ExternRef(None) => raw.funcref = 0,
            Value::FuncRef(Some(f)) => raw.funcref = self.get(f)?.anyfunc.as_ptr() as usize,
            // Wasmer never looks behind an external reference, so the number itself can travel; zero is null.
            Value::ExternRef(Some(n)) => raw.externref = usize::try_from(n.checked_add(1)?).ok()?,
        }
        Some(raw)
    }

    /// The value in a slot; `None` for a function of a type that cannot cross the border.
    ///
    /// # Safety
    /// `raw` was written as a `ty`, by compiled code of this store or by [`Functions::raw_of`].
    pub unsafe fn value_of(&mut self, ty: ValType, raw: RawValue, signatures: &StoreSignatures) -> Option<Value> {
        // SAFETY: the caller says which field was written, and every field is valid for any bits.
        Some(unsafe {
            match ty {
                ValType::I32 => Value::I32(raw.i32),
                ValType::I64 => Value::I64(raw.i64),
                ValType::F32 => Value::F32(raw.u32),
                ValType::F64 => Value::F64(raw.u64),
                ValType::V128 => Value::V128(raw.u128),
                ValType::ExternRef => Value::ExternRef((raw.externref as u64).checked_sub(1)),
                ValType::FuncRef => match NonNull::new(raw.funcref as *mut VMCallerCheckedAnyfunc) {
                    None => Value::FuncRef(None),
                    Some(anyfunc) => Value::FuncRef(Some(self.referenced(anyfunc, signatures)?)),
                },
            }
        })
    }

    /// The handle of a function that a guest gave a reference to.
    ///
    /// # Safety
    /// `anyfunc` came out of a reference of this store.
    pub unsafe fn referenced(
        &mut self,
        anyfunc: NonNull<VMCallerCheckedAnyfunc>,
        signatures: &StoreSignatures,
    ) -> Option<FuncHandle> {
        // SAFETY: references of this store point to entries that live as long as it does.
        let hash = unsafe { anyfunc.as_ref() }.type_signature_hash;
        let ty = signatures.get(hash)?;
        Some(self.handle(anyfunc, || ty.clone()))
    }
}
