//! Between our neutral types and Wasmtime's.

use cofferdam_engine::{FuncType, GlobalType, MemoryType, TableType, ValType};
use wasmtime::{self as wt, HeapType, MemoryTypeBuilder, Mutability, RefType};

pub(crate) fn val_type(ty: ValType) -> wt::ValType {
    match ty {
        ValType::I32 => wt::ValType::I32,
        ValType::I64 => wt::ValType::I64,
        ValType::F32 => wt::ValType::F32,
        ValType::F64 => wt::ValType::F64,
        ValType::V128 => wt::ValType::V128,
        ValType::FuncRef => wt::ValType::FUNCREF,
        ValType::ExternRef => wt::ValType::EXTERNREF,
    }
}

fn neutral_ref_type(ty: &RefType) -> Option<ValType> {
    match (ty.is_nullable(), ty.heap_type()) {
        (true, HeapType::Func) => Some(ValType::FuncRef),
        (true, HeapType::Extern) => Some(ValType::ExternRef),
        _ => None,
    }
}

/// `None` for what cannot cross the host border.
fn neutral_val_type(ty: &wt::ValType) -> Option<ValType> {
    Some(match ty {
        wt::ValType::I32 => ValType::I32,
        wt::ValType::I64 => ValType::I64,
        wt::ValType::F32 => ValType::F32,
        wt::ValType::F64 => ValType::F64,
        wt::ValType::V128 => ValType::V128,
        wt::ValType::Ref(ty) => return neutral_ref_type(ty),
    })
}

pub(crate) fn func_type(engine: &wt::Engine, ty: &FuncType) -> wt::FuncType {
    let all = |types: &[ValType]| types.iter().copied().map(val_type).collect::<Vec<_>>();
    wt::FuncType::new(engine, all(ty.params()), all(ty.results()))
}

/// `None` if something in it cannot cross the host border.
pub(crate) fn neutral_func_type(ty: &wt::FuncType) -> Option<FuncType> {
    let params = ty.params().map(|t| neutral_val_type(&t)).collect::<Option<Vec<_>>>()?;
    let results = ty.results().map(|t| neutral_val_type(&t)).collect::<Option<Vec<_>>>()?;
    Some(FuncType::new(params, results))
}

/// `None` for memories that this engine cannot make or count.
pub(crate) fn memory_type(ty: MemoryType) -> Option<wt::MemoryType> {
    if ty.shared {
        return None;
    }
    let page_size_log2 = u8::try_from(ty.page_size_log2).ok()?;
    let mut builder = MemoryTypeBuilder::new();
    builder.memory64(ty.memory64).min(ty.minimum).max(ty.maximum).page_size_log2(page_size_log2);
    builder.build().ok()
}

pub(crate) fn neutral_memory_type(ty: &wt::MemoryType) -> MemoryType {
    MemoryType {
        minimum: ty.minimum(),
        maximum: ty.maximum(),
        shared: ty.is_shared(),
        memory64: ty.is_64(),
        page_size_log2: u32::from(ty.page_size_log2()),
    }
}

/// `None` for tables that this engine cannot make.
pub(crate) fn table_type(ty: TableType) -> Option<wt::TableType> {
    let wt::ValType::Ref(element) = val_type(ty.element?) else { return None };
    if ty.table64 {
        return Some(wt::TableType::new64(element, ty.minimum, ty.maximum));
    }
    let maximum = match ty.maximum {
        Some(most) => Some(u32::try_from(most).ok()?),
        None => None,
    };
    Some(wt::TableType::new(element, u32::try_from(ty.minimum).ok()?, maximum))
}

pub(crate) fn neutral_table_type(ty: &wt::TableType) -> TableType {
    TableType {
        element: neutral_ref_type(ty.element()),
        minimum: ty.minimum(),
        maximum: ty.maximum(),
        table64: ty.is_64(),
    }
}

/// `None` for a value that cannot cross the host border.
pub(crate) fn global_type(ty: GlobalType) -> Option<wt::GlobalType> {
    let mutability = if ty.mutable { Mutability::Var } else { Mutability::Const };
    Some(wt::GlobalType::new(val_type(ty.value?), mutability))
}

pub(crate) fn neutral_global_type(ty: &wt::GlobalType) -> GlobalType {
    GlobalType { value: neutral_val_type(ty.content()), mutable: ty.mutability() == Mutability::Var }
}
