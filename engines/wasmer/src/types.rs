//! Between our neutral types and Wasmer's.

use cofferdam_engine::{FuncType, GlobalType, MemoryType, TableType, ValType};
use wasmer_types::{self as wt, Mutability, Pages, Type};

pub(crate) fn val_type(ty: ValType) -> Type {
    match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::FuncRef => Type::FuncRef,
        ValType::ExternRef => Type::ExternRef,
    }
}

/// `None` for what cannot cross the host border.
pub(crate) fn neutral_val_type(ty: Type) -> Option<ValType> {
    Some(match ty {
        Type::I32 => ValType::I32,
        Type::I64 => ValType::I64,
        Type::F32 => ValType::F32,
        Type::F64 => ValType::F64,
        Type::V128 => ValType::V128,
        Type::FuncRef => ValType::FuncRef,
        Type::ExternRef => ValType::ExternRef,
        Type::ExceptionRef => return None,
    })
}

pub(crate) fn func_type(ty: &FuncType) -> wt::FunctionType {
    let all = |types: &[ValType]| types.iter().copied().map(val_type).collect::<Vec<_>>();
    wt::FunctionType::new(all(ty.params()), all(ty.results()))
}

/// `None` for memories that this engine cannot make or count.
pub(crate) fn memory_type(ty: MemoryType) -> Option<wt::MemoryType> {
    if ty.shared || ty.memory64 || ty.page_size_log2 != 16 {
        return None;
    }
    let pages = |n: u64| u32::try_from(n).ok().map(Pages).filter(|p| *p <= Pages::max_value());
    let maximum = match ty.maximum {
        Some(n) => Some(pages(n)?),
        None => None,
    };
    Some(wt::MemoryType::new(pages(ty.minimum)?, maximum, false))
}

pub(crate) fn neutral_memory_type(ty: wt::MemoryType) -> MemoryType {
    MemoryType {
        minimum: u64::from(ty.minimum.0),
        maximum: ty.maximum.map(|p| u64::from(p.0)),
        shared: ty.shared,
        memory64: false,
        page_size_log2: 16,
    }
}

pub(crate) fn neutral_table_type(ty: wt::TableType) -> TableType {
    TableType {
        element: neutral_val_type(ty.ty),
        minimum: u64::from(ty.minimum),
        maximum: ty.maximum.map(u64::from),
        table64: false,
    }
}

pub(crate) fn neutral_global_type(ty: wt::GlobalType) -> GlobalType {
    GlobalType { value: neutral_val_type(ty.ty), mutable: ty.mutability == Mutability::Var }
}
