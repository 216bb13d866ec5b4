//! Values that cross the border between host and guest, and handles to what lives in a store.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use cofferdam_prepare::{FuncType, ValType};

/// Which store a handle belongs to. Unique within the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StoreId(u64);

impl StoreId {
    /// A number never given before in this process.
    #[must_use]
    pub fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub struct $name { store: StoreId, index: u32 }

        impl $name {
            /// A handle to entry `index` of `store`. Adapters make these; a made-up one is refused when used.
            #[must_use]
            pub const fn new(store: StoreId, index: u32) -> Self { Self { store, index } }

            /// The entry number, if this handle belongs to `store`.
            #[must_use]
            pub fn index_in(self, store: StoreId) -> Option<usize> {
                (self.store == store).then_some(self.index as usize)
            }
        }
    )*};
}

handles! {
    /// An instance in a store.
    InstanceId,
    /// A function in a store.
    FuncHandle,
    /// A linear memory in a store.
    MemoryHandle,
    /// A table in a store.
    TableHandle,
    /// A global in a store.
    GlobalHandle
}

/// Something an instance exports, by handle.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Extern {
    /// A function.
    Func(FuncHandle),
    /// A linear memory.
    Memory(MemoryHandle),
    /// A table.
    Table(TableHandle),
    /// A global.
    Global(GlobalHandle),
}

/// One WebAssembly value. Floats are kept as bits, so that NaN payloads survive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    /// 32-bit integer.
    I32(i32),
    /// 64-bit integer.
    I64(i64),
    /// Bits of a 32-bit float.
    F32(u32),
    /// Bits of a 64-bit float.
    F64(u64),
    /// 128-bit vector, little endian lanes.
    V128(u128),
    /// A function of the same store, or null.
    FuncRef(Option<FuncHandle>),
    /// A number that stands for something of the host's, or null. The guest can keep it and give it
    /// back; it cannot make one.
    ExternRef(Option<u64>),
}

impl Value {
    /// The type of this value.
    #[must_use]
    pub const fn ty(&self) -> ValType {
        match self {
            Self::I32(_) => ValType::I32,
            Self::I64(_) => ValType::I64,
            Self::F32(_) => ValType::F32,
            Self::F64(_) => ValType::F64,
            Self::V128(_) => ValType::V128,
            Self::FuncRef(_) => ValType::FuncRef,
            Self::ExternRef(_) => ValType::ExternRef,
        }
    }

    /// Zero, or null, of type `ty`.
    #[must_use]
    pub const fn default_of(ty: ValType) -> Self {
        match ty {
            ValType::I32 => Self::I32(0),
            ValType::I64 => Self::I64(0),
            ValType::F32 => Self::F32(0),
            ValType::F64 => Self::F64(0),
            ValType::V128 => Self::V128(0),
            ValType::FuncRef => Self::FuncRef(None),
            ValType::ExternRef => Self::ExternRef(None),
        }
    }

    /// The integer, if this is an `i32`.
    #[must_use]
    pub const fn i32(&self) -> Option<i32> {
        if let Self::I32(v) = self { Some(*v) } else { None }
    }

    /// The integer, if this is an `i64`.
    #[must_use]
    pub const fn i64(&self) -> Option<i64> {
        if let Self::I64(v) = self { Some(*v) } else { None }
    }

    /// Whether `values` are what `types` ask for, in number and type.
    #[must_use]
    pub fn all_match(values: &[Self], types: &[ValType]) -> bool {
        values.len() == types.len() && values.iter().zip(types).all(|(v, t)| v.ty() == *t)
    }

    /// Default values for the results of `ty`: what a `call` fills in.
    #[must_use]
    pub fn results_of(ty: &FuncType) -> Vec<Self> {
        ty.results().iter().copied().map(Self::default_of).collect()
    }
}

impl From<i32> for Value {
    fn from(v: i32) -> Self {
        Self::I32(v)
    }
}
impl From<u32> for Value {
    fn from(v: u32) -> Self {
        Self::I32(v.cast_signed())
    }
}
impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Self::I64(v)
    }
}
impl From<u64> for Value {
    fn from(v: u64) -> Self {
        Self::I64(v.cast_signed())
    }
}
impl From<f32> for Value {
    fn from(v: f32) -> Self {
        Self::F32(v.to_bits())
    }
}
impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Self::F64(v.to_bits())
    }
}

/// The value alone, as a person or a test would write it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I32(v) => write!(f, "{v}"),
            Self::I64(v) => write!(f, "{v}"),
            Self::F32(bits) => write!(f, "{}", f32::from_bits(*bits)),
            Self::F64(bits) => write!(f, "{}", f64::from_bits(*bits)),
            Self::V128(v) => write!(f, "0x{v:032x}"),
            Self::FuncRef(None) | Self::ExternRef(None) => f.write_str("null"),
            Self::FuncRef(Some(_)) => f.write_str("funcref"),
            Self::ExternRef(Some(n)) => write!(f, "extern {n}"),
        }
    }
}
