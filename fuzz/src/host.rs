//! What a guest of the fuzzer imports: whatever it asks for is made to fit. What a host function does follows from its
//! name and arguments alone, so that it does the same on every engine.

use std::sync::Arc;

use cofferdam_engine::{
    AccessError, Caller, Extern, ExternType, FuncType, HostError, HostFinish, HostFunc, HostFuture, Import, ImportType,
    Imports, Limit, PreparedModule, Store, TableHandle, TrapKind, ValType, Value,
};

/// What the host keeps for a guest.
#[derive(Debug, Default)]
pub struct Kept {
    /// A hash over every host call with its arguments, in order.
    pub trace: u64,
    /// Host calls.
    pub calls: u64,
    /// The last host call ended the guest's.
    pub ended: bool,
}

/// Mixes `more` into `hash`.
#[must_use]
pub fn mix(hash: u64, more: u64) -> u64 {
    (hash.rotate_left(5) ^ more).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A hash of text that is the same everywhere.
#[must_use]
pub fn hash_of(text: &str) -> u64 {
    text.bytes().fold(0x5151, |hash, byte| mix(hash, byte.into()))
}

fn bits_of(value: &Value) -> u64 {
    match value {
        Value::I32(v) => u64::from(v.cast_unsigned()),
        Value::I64(v) => v.cast_unsigned(),
        Value::F32(bits) => u64::from(*bits),
        Value::F64(bits) => *bits,
        Value::V128(v) => (*v as u64) ^ ((*v >> 64) as u64).rotate_left(1),
        Value::FuncRef(func) => u64::from(func.is_some()),
        Value::ExternRef(number) => number.map_or(7, |n| n ^ 0x55),
    }
}

/// A value of type `ty` that follows from `seed`: often one at an edge.
#[must_use]
pub fn value_of(ty: ValType, seed: u64) -> Value {
    const EDGES: [u64; 12] = [
        0,
        1,
        2,
        0xffff_ffff_ffff_ffff,
        0x8000_0000,
        0x8000_0000_0000_0000,
        0x7fff_ffff,
        0x7fff_ffff_ffff_ffff,
        0x7fc0_0000,
        0x7ff8_0000_0000_0000,
        0x7fa0_0000_ff80_0000,
        0x1_0000,
    ];
    let drawn = mix(seed, 0x77);
    let bits = match seed % 4 {
        0 => EDGES[(drawn % 12) as usize],
        1 => drawn % 70_000,
        2 => drawn,
        _ => drawn % 64,
    };
    match ty {
        ValType::I32 => Value::I32(bits as i32),
        ValType::I64 => Value::I64(bits.cast_signed()),
        ValType::F32 if seed.is_multiple_of(3) => Value::F32((bits as f32).to_bits()),
        ValType::F32 => Value::F32(bits as u32),
        ValType::F64 if seed.is_multiple_of(3) => Value::F64((bits as f64).to_bits()),
        ValType::F64 => Value::F64(bits),
        ValType::V128 => Value::V128(u128::from(bits) << 64 | u128::from(mix(drawn, 3))),
        ValType::FuncRef => Value::FuncRef(None),
        ValType::ExternRef => Value::ExternRef((bits % 3 != 0).then_some(bits % 100)),
    }
}

/// What a call does beside its results.
fn effect(caller: &mut Caller<'_>, kind: u64, given: u64) -> Result<(), HostError> {
    match kind {
        // Most do nothing else.
        0..6 => Ok(()),
        6 => caller.charge(given % 3_000),
        7 => caller.charge_bytes(given % 50_000),
        8 => caller.give_turn(),
        9 => match caller.memory_size() {
            0 => Ok(()),
            size => {
                let at = (given as usize % size) as u32;
                let [old] = caller.array::<1>(at)?;
                Ok(caller.write(at, &[old.wrapping_add(1)])?)
            }
        },
        // Now and then past the end.
        10 => Ok(caller.write(given as u32 % (1 << 20), &given.to_le_bytes())?),
        _ => match given % 24 {
            0 => Err(HostError::failed("as the case wants it")),
            1 => Err(HostError::Exit(given as u32 >> 8)),
            2 => Err(HostError::Trap(TrapKind::MemoryOutOfBounds)),
            3 => Err(HostError::Limit(Limit::Output)),
            _ => Ok(()),
        },
    }
}

/// A result of type `ty`: an argument of that type, or a value made from all of them.
fn result(ty: ValType, args: &[Value], seed: u64) -> Value {
    let same = args.iter().find(|arg| arg.ty() == ty);
    match same {
        Some(same) if seed.is_multiple_of(3) || ty == ValType::FuncRef => *same,
        _ => value_of(ty, seed),
    }
}

fn function(name: u64, ty: &FuncType) -> HostFunc {
    let kind = name % 14;
    let types = ty.clone();
    let begin = move |caller: &mut Caller<'_>, args: &[Value]| {
        let given = args.iter().fold(name, |hash, arg| mix(hash, bits_of(arg)));
        let kept = caller.state::<Kept>()?;
        kept.calls += 1;
        kept.trace = mix(kept.trace, given);
        let given = mix(given, kept.calls);
        let done = effect(caller, kind, given);
        caller.state::<Kept>()?.ended = done.is_err();
        done.map(|()| given)
    };
    if kind == 13 {
        return HostFunc::asynchronous(ty.clone(), move |caller, args| {
            let given = begin(caller, args)?;
            let made: Vec<_> =
                types.results().iter().zip(1..).map(|(ty, at)| result(*ty, args, mix(given, at))).collect();
            Ok(later(made))
        });
    }
    let func = HostFunc::new(ty.clone(), move |caller, args, results| {
        let given = begin(caller, args)?;
        for ((slot, ty), at) in results.iter_mut().zip(types.results()).zip(1..) {
            *slot = result(*ty, args, mix(given, at));
        }
        Ok(())
    });
    if kind < 2 { func.quick() } else { func }
}

/// Ready only when asked for the second time.
fn later(made: Vec<Value>) -> HostFuture {
    let mut waiting = Some(made);
    let mut asked = false;
    Box::pin(std::future::poll_fn(move |context| {
        if !asked {
            asked = true;
            context.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        let made = waiting.take().unwrap_or_default();
        let finish: HostFinish = Box::new(move |_, results| {
            for (slot, value) in results.iter_mut().zip(made) {
                *slot = value;
            }
            Ok(())
        });
        std::task::Poll::Ready(Ok(finish))
    }))
}

/// Everything that `module` imports, made in `store`; host functions are made once, by [`functions`].
///
/// # Errors
/// Why something could not be made: which import, and the refusal.
pub fn imports(
    store: &mut dyn Store,
    module: &PreparedModule,
    functions: &Imports,
) -> Result<Imports, (usize, AccessError)> {
    let mut imports = functions.clone();
    for (at, import) in module.imports().iter().enumerate() {
        if imports.get(&import.module, &import.name).is_some() {
            continue;
        }
        let seed = mix(hash_of(&import.module), hash_of(&import.name));
        let made = match &import.ty {
            ExternType::Func(_) | ExternType::Tag => continue,
            ExternType::Memory(ty) => store.new_memory(*ty).map(Extern::Memory),
            ExternType::Table(ty) => {
                let made = store.new_table(*ty, Value::default_of(ty.element.unwrap_or(ValType::FuncRef)));
                if let (Ok(table), Some(ValType::FuncRef)) = (&made, ty.element) {
                    fill(store, *table, ty.minimum, module, seed).map_err(|e| (at, e))?;
                }
                made.map(Extern::Table)
            }
            ExternType::Global(ty) => match ty.value {
                Some(value) => store.new_global(*ty, value_of(value, seed)).map(Extern::Global),
                None => continue,
            },
        };
        imports.define(&import.module, &import.name, Import::Extern(made.map_err(|e| (at, e))?));
    }
    Ok(imports)
}

/// Puts host functions of the module's own types into the first elements of a table.
fn fill(
    store: &mut dyn Store,
    table: TableHandle,
    elements: u64,
    module: &PreparedModule,
    seed: u64,
) -> Result<(), AccessError> {
    for (at, ty) in (0..elements.min(3)).zip(module.signatures()) {
        let func = store.new_func(Arc::new(function(mix(seed, at), ty)))?;
        store.table_set(table, at, Value::FuncRef(Some(func)))?;
    }
    Ok(())
}

/// The host functions that a module with `imports` asks for.
#[must_use]
pub fn functions(imports: &[ImportType]) -> Imports {
    let mut made = Imports::new();
    for import in imports {
        if let ExternType::Func(Some(ty)) = &import.ty
            && made.get(&import.module, &import.name).is_none()
        {
            let seed = mix(hash_of(&import.module), hash_of(&import.name));
            made.define(&import.module, &import.name, Import::Host(Arc::new(function(seed, ty))));
        }
    }
    made
}
