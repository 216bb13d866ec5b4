//! The operators on tables that Wasmer's own library does not do as we need: `table.grow`, because the cap
//! is on the sum of all tables and Wasmer knows only a maximum for each; `table.init` of `externref`
//! tables, because Wasmer's panics there, which in its library ends the process.
//!
//! Compiled code finds the library's functions in a list inside each instance. Ours take the place of
//! those entries before the instance first runs.

use std::collections::HashMap;

use cofferdam_engine::ValType;
use wasmer_types::{ElemIndex, RawValue, VMBuiltinFunctionIndex};
use wasmer_vm::{
    TableElement, Trap, TrapCode, VMContext, VMExternRef, VMFuncRef, VMInstance, libcalls, on_host_stack,
    raise_lib_trap,
};

use crate::builtins;
use crate::shared::{Running, Shared};
use crate::tunables::has_room;

/// The tables of one instance, as its code numbers them.
pub(crate) struct InstanceTables {
    pub context: *mut VMContext,
    /// How many of them are imported.
    pub imported: usize,
    /// Positions in [`Shared::tables`].
    pub tables: Vec<usize>,
    /// Lengths of the passive segments, as far as they were not dropped.
    pub segments: HashMap<ElemIndex, u32>,
}

/// Puts ours in place of Wasmer's.
///
/// # Safety
/// Nothing runs in the instance yet.
pub(crate) unsafe fn install(instance: &VMInstance) {
    let replaced = [
        (VMBuiltinFunctionIndex::get_table_grow_index(), grow_own as *const ()),
        (VMBuiltinFunctionIndex::get_imported_table_grow_index(), grow_imported as *const ()),
        (VMBuiltinFunctionIndex::get_table_init_index(), init as *const ()),
        (VMBuiltinFunctionIndex::get_elem_drop_index(), drop_segment as *const ()),
    ];
    for (index, function) in replaced {
        // SAFETY: the caller's promise; ours have the types of Wasmer's.
        unsafe { builtins::replace(instance, index, function) }
    }
}

/// What the instance of `context` sees, and its store.
///
/// # Safety
/// The store of `context` runs on this thread and waits for the caller, who has no other reference to it.
unsafe fn find<'a>(context: *mut VMContext) -> Option<(&'a mut Shared, usize)> {
    // SAFETY: the store outlives its compiled code; the caller promises the rest.
    let shared = unsafe { Running::store()?.as_mut() };
    let at = shared.instance_tables.iter().position(|i| i.context == context)?;
    Some((shared, at))
}

/// Wasmer's answer for a growth that was refused: −1.
const REFUSED: u32 = u32::MAX;

unsafe extern "C" fn grow_own(context: *mut VMContext, init: usize, delta: u32, own: u32) -> u32 {
    // SAFETY: compiled code of the instance calls this, so its store runs on this thread and waits without a
    // reference into it; `init` is an operand of the table's type, by validation.
    on_host_stack(|| unsafe {
        let Some((shared, at)) = find(context) else { return REFUSED };
        let index = shared.instance_tables[at].imported + own as usize;
        grow(shared, at, index, init, delta)
    })
}

unsafe extern "C" fn grow_imported(context: *mut VMContext, init: usize, delta: u32, index: u32) -> u32 {
    // SAFETY: compiled code of the instance calls this, so its store runs on this thread and waits without a
    // reference into it; `init` is an operand of the table's type, by validation.
    on_host_stack(|| unsafe {
        let Some((shared, at)) = find(context) else { return REFUSED };
        grow(shared, at, index as usize, init, delta)
    })
}

/// # Safety
/// `init` is a reference of the table's type, as compiled code has it.
unsafe fn grow(shared: &mut Shared, instance: usize, index: usize, init: usize, delta: u32) -> u32 {
    let Some(table) = shared.instance_tables[instance].tables.get(index).and_then(|t| shared.tables.get(*t)) else {
        return REFUSED;
    };
    let mut raw = RawValue::default();
    // SAFETY: the caller's promise.
    let element = unsafe {
        if table.ty.element == Some(ValType::ExternRef) {
            raw.externref = init;
            TableElement::ExternRef(VMExternRef::from_raw(raw))
        } else {
            raw.funcref = init;
            TableElement::FuncRef(VMFuncRef::from_raw(raw))
        }
    };
    // SAFETY: the store's objects outlive its code, and nobody else refers to them meanwhile.
    let vm = table.vm.get_mut(unsafe { shared.objects.as_mut() });
    let after = u64::from(vm.size()) + u64::from(delta);
    // Past its own maximum, or what a table can be at all, no cap is asked.
    if after > table.ty.maximum.unwrap_or(u64::from(u32::MAX)) {
        return REFUSED;
    }
    if !shared.held.take_elements(u64::from(delta)) {
        shared.held.refuse();
        return REFUSED;
    }
    // It is moved to a place that may be twice as large as it was.
    let grown = if has_room(after.max(u64::from(vm.size()) * 2)) { vm.grow(delta, element) } else { None };
    grown.unwrap_or_else(|| {
        shared.held.return_elements(u64::from(delta));
        REFUSED
    })
}

unsafe extern "C" fn init(context: *mut VMContext, table: u32, segment: u32, to: u32, from: u32, len: u32) {
    // SAFETY: compiled code of the instance calls this, so its store runs on this thread and waits without a
    // reference into it.
    let done = on_host_stack(|| unsafe { init_extern(context, table, ElemIndex::from_u32(segment), to, from, len) });
    match done {
        // SAFETY: compiled code passes the context of its own instance, and the references above are gone.
        None => unsafe { libcalls::wasmer_vm_table_init(context, table, segment, to, from, len) },
        Some(true) => {}
        // SAFETY: called from compiled code, and nothing here waits to be dropped.
        Some(false) => unsafe { raise_lib_trap(Trap::lib(TrapCode::TableAccessOutOfBounds)) },
    }
}

/// `None` if the table holds functions. Segments of external references hold nothing but null.
///
/// # Safety
/// As [`find`].
unsafe fn init_extern(
    context: *mut VMContext,
    table: u32,
    segment: ElemIndex,
    to: u32,
    from: u32,
    len: u32,
) -> Option<bool> {
    // SAFETY: the caller's promise.
    let (shared, at) = unsafe { find(context)? };
    let instance = &shared.instance_tables[at];
    let table = shared.tables.get(*instance.tables.get(table as usize)?)?;
    if table.ty.element != Some(ValType::ExternRef) {
        return None;
    }
    let held = instance.segments.get(&segment).copied().unwrap_or(0);
    // SAFETY: the store's objects outlive its code, and nobody else refers to them meanwhile.
    let vm = table.vm.get_mut(unsafe { shared.objects.as_mut() });
    let inside = |start: u32, size: u32| start.checked_add(len).is_some_and(|end| end <= size);
    if !inside(from, held) || !inside(to, vm.size()) {
        return Some(false);
    }
    Some((to..to + len).all(|i| vm.set(i, TableElement::ExternRef(None)).is_ok()))
}

unsafe extern "C" fn drop_segment(context: *mut VMContext, segment: u32) {
    on_host_stack(|| {
        // SAFETY: as in `init`.
        if let Some((shared, at)) = unsafe { find(context) } {
            shared.instance_tables[at].segments.remove(&ElemIndex::from_u32(segment));
        }
    });
    // SAFETY: compiled code passes the context of its own instance, and the references above are gone.
    unsafe { libcalls::wasmer_vm_elem_drop(context, segment) }
}
