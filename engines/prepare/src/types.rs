//! The types that stand on a module's border: value types, signatures, imports and exports.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The type of one WebAssembly value. Reference types beyond these two (GC, exceptions) cannot cross
/// the host border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 128-bit vector.
    V128,
    /// A nullable reference to any function.
    FuncRef,
    /// A nullable reference to something of the host's.
    ExternRef,
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::V128 => "v128",
            Self::FuncRef => "funcref",
            Self::ExternRef => "externref",
        })
    }
}

/// The neutral name of `ty`, if it has one.
pub(crate) fn from_value_type(ty: wasmparser::ValType) -> Option<ValType> {
    Some(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(ty) => return from_ref_type(ty),
    })
}

/// The neutral name of `ty`, if it has one.
pub(crate) fn from_ref_type(ty: wasmparser::RefType) -> Option<ValType> {
    match ty {
        wasmparser::RefType::FUNCREF => Some(ValType::FuncRef),
        wasmparser::RefType::EXTERNREF => Some(ValType::ExternRef),
        _ => None,
    }
}

/// A function signature. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FuncType {
    params: Arc<[ValType]>,
    results: Arc<[ValType]>,
}

impl FuncType {
    /// A signature from parameter and result types.
    pub fn new(params: impl Into<Arc<[ValType]>>, results: impl Into<Arc<[ValType]>>) -> Self {
        Self { params: params.into(), results: results.into() }
    }

    /// The parameter types.
    #[must_use]
    #[inline]
    pub fn params(&self) -> &[ValType] {
        &self.params
    }

    /// The result types.
    #[must_use]
    #[inline]
    pub fn results(&self) -> &[ValType] {
        &self.results
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, types: &[ValType]| {
            f.write_str("(")?;
            for (i, t) in types.iter().enumerate() {
                write!(f, "{}{t}", if i == 0 { "" } else { ", " })?;
            }
            f.write_str(")")
        };
        list(f, &self.params)?;
        f.write_str(" -> ")?;
        list(f, &self.results)
    }
}

impl fmt::Debug for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The type of a linear memory. Sizes are in pages of `1 << page_size_log2` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MemoryType {
    /// Pages at the start.
    pub minimum: u64,
    /// Pages that the module says it will never pass.
    pub maximum: Option<u64>,
    /// Whether threads may share it.
    pub shared: bool,
    /// Whether addresses are 64 bits wide.
    pub memory64: bool,
    /// Base-2 logarithm of the page size; 16 unless custom page sizes are in use.
    pub page_size_log2: u32,
}

impl MemoryType {
    /// The minimum in bytes, saturating.
    #[must_use]
    pub fn minimum_bytes(&self) -> u64 {
        self.minimum.saturating_mul(1 << self.page_size_log2)
    }
}

/// The type of a table. Sizes are in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TableType {
    /// The element type, where the host can name it.
    pub element: Option<ValType>,
    /// Elements at the start.
    pub minimum: u64,
    /// Elements that the module says it will never pass.
    pub maximum: Option<u64>,
    /// Whether indices are 64 bits wide.
    pub table64: bool,
}

/// The type of a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GlobalType {
    /// The type of its value, where the host can name it.
    pub value: Option<ValType>,
    /// Whether it can be written.
    pub mutable: bool,
}

/// The type of an import or export.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExternType {
    /// A function; `None` when its signature has types that cannot cross the host border.
    Func(Option<FuncType>),
    /// A linear memory.
    Memory(MemoryType),
    /// A table.
    Table(TableType),
    /// A global.
    Global(GlobalType),
    /// An exception tag.
    Tag,
}

impl ExternType {
    /// `function`, `memory`, `table`, `global` or `tag`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Func(_) => "function",
            Self::Memory(_) => "memory",
            Self::Table(_) => "table",
            Self::Global(_) => "global",
            Self::Tag => "tag",
        }
    }
}

/// One import that a module asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportType {
    /// The module half of its name.
    pub module: Arc<str>,
    /// The field half of its name.
    pub name: Arc<str>,
    /// What it must be.
    pub ty: ExternType,
}

/// One export that a module offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportType {
    /// Its name.
    pub name: Arc<str>,
    /// What it is.
    pub ty: ExternType,
}
