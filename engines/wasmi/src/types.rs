//! Between our neutral types and Wasmi's.

use cofferdam_engine::{FuncType, GlobalType, MemoryType, TableType, ValType};
use wasmi::{Mutability, RefType};

pub(crate) fn val_type(ty: ValType) -> wasmi::ValType {
    match ty {
        ValType::I32 => wasmi::ValType::I32,
        ValType::I64 => wasmi::ValType::I64,
        ValType::F32 => wasmi::ValType::F32,
        ValType::F64 => wasmi::ValType::F64,
        ValType::V128 => wasmi::ValType::V128,
        ValType::FuncRef => wasmi::ValType::FuncRef,
        ValType::ExternRef => wasmi::ValType::ExternRef,
    }
}

fn neutral_val_type(ty: wasmi::ValType) -> ValType {
    match ty {
        wasmi::ValType::I32 => ValType::I32,
        wasmi::ValType::I64 => ValType::I64,
        wasmi::ValType::F32 => ValType::F32,
        wasmi::ValType::F64 => ValType::F64,
        wasmi::ValType::V128 => ValType::V128,
        wasmi::ValType::FuncRef => ValType::FuncRef,
        wasmi::ValType::ExternRef => ValType::ExternRef,
    }
}

/// Most parameters, and most results, that a function may have: the limit that all engines share.
const MOST_VALUES: usize = 1_000;

/// `None` for a function with more values than Wasmi takes.
pub(crate) fn func_type(ty: &FuncType) -> Option<wasmi::FuncType> {
    let fits = ty.params().len() <= MOST_VALUES && ty.results().len() <= MOST_VALUES;
    let all = |types: &[ValType]| types.iter().copied().map(val_type).collect::<Vec<_>>();
    fits.then(|| wasmi::FuncType::new(all(ty.params()), all(ty.results())))
}

pub(crate) fn neutral_func_type(ty: &wasmi::FuncType) -> FuncType {
    let all = |types: &[wasmi::ValType]| types.iter().copied().map(neutral_val_type).collect::<Vec<_>>();
    FuncType::new(all(ty.params()), all(ty.results()))
}

/// `None` for memories that this engine cannot make or count.
pub(crate) fn memory_type(ty: MemoryType) -> Option<wasmi::MemoryType> {
    if ty.shared || ty.memory64 {
        return None;
    }
    let mut builder = wasmi::MemoryType::builder();
    builder.min(ty.minimum).max(ty.maximum).page_size_log2(u8::try_from(ty.page_size_log2).ok()?);
    builder.build().ok()
}

/// `None` for tables that this engine cannot make.
pub(crate) fn table_type(ty: TableType) -> Option<wasmi::TableType> {
    let element = match ty.element? {
        ValType::FuncRef => RefType::Func,
        ValType::ExternRef => RefType::Extern,
        _ => return None,
    };
    let maximum = match ty.maximum {
        Some(most) => Some(u32::try_from(most).ok()?),
        None => None,
    };
    (!ty.table64).then_some(wasmi::TableType::new(element, u32::try_from(ty.minimum).ok()?, maximum))
}

pub(crate) fn neutral_table_type(ty: wasmi::TableType) -> TableType {
    let element = match ty.element() {
        RefType::Func => ValType::FuncRef,
        RefType::Extern => ValType::ExternRef,
    };
    TableType { element: Some(element), minimum: ty.minimum(), maximum: ty.maximum(), table64: ty.is_64() }
}

pub(crate) fn neutral_global_type(ty: wasmi::GlobalType) -> GlobalType {
    GlobalType { value: Some(neutral_val_type(ty.content())), mutable: ty.mutability() == Mutability::Var }
}
