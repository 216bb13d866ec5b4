//! The host functions that rows may import from module `h`, and the state they keep.

use cofferdam_engine::{
    CancelHandle, FuncType, HostError, HostFinish, HostFunc, HostFuture, Import, Imports, Limit, TrapKind, ValType,
    Value,
};

use ValType::{ExternRef, F32, F64, FuncRef, I32, I64, V128};

/// What the host keeps for a guest of the kit.
#[derive(Debug, Default)]
pub struct KitState {
    /// What `h.log` was told.
    pub trace: Vec<i32>,
    /// What `h.cancel` cancels: the handle of the call under way.
    pub cancel: CancelHandle,
}

fn func(
    params: &[ValType],
    results: &[ValType],
    body: impl Fn(&mut cofferdam_engine::Caller<'_>, &[Value], &mut [Value]) -> Result<(), HostError>
    + Send
    + Sync
    + 'static,
) -> HostFunc {
    HostFunc::new(FuncType::new(params, results), body)
}

fn i32_at(args: &[Value], at: usize) -> Result<i32, HostError> {
    args.get(at).and_then(Value::i32).ok_or_else(|| HostError::failed("the argument is no i32"))
}

fn give(results: &mut [Value], value: Value) -> Result<(), HostError> {
    *results.first_mut().ok_or_else(|| HostError::failed("there is no place for a result"))? = value;
    Ok(())
}

/// One that gives its argument back.
fn identity(ty: ValType) -> HostFunc {
    func(&[ty], &[ty], |_, args, results| {
        give(results, *args.first().ok_or_else(|| HostError::failed("no argument came"))?)
    })
}

/// All of them, as imports of module `h`.
#[must_use]
pub fn imports() -> Imports {
    let mut imports = Imports::new();
    for (name, func) in functions() {
        imports.define("h", name, Import::Host(std::sync::Arc::new(func)));
    }
    imports
}

fn functions() -> Vec<(&'static str, HostFunc)> {
    vec![
        ("nop", func(&[], &[], |_, _, _| Ok(()))),
        ("quick", func(&[], &[], |_, _, _| Ok(())).quick()),
        (
            "add_one",
            func(&[I32], &[I32], |_, args, results| give(results, Value::I32(i32_at(args, 0)?.wrapping_add(1)))),
        ),
        (
            "log",
            func(&[I32], &[], |caller, args, _| {
                let told = i32_at(args, 0)?;
                caller.state::<KitState>()?.trace.push(told);
                Ok(())
            }),
        ),
        // Fuel.
        ("charge", func(&[I32], &[], |caller, args, _| caller.charge(u64::from(i32_at(args, 0)?.cast_unsigned())))),
        (
            "charge_bytes",
            func(&[I32], &[], |caller, args, _| caller.charge_bytes(u64::from(i32_at(args, 0)?.cast_unsigned()))),
        ),
        // What it charged could not be paid, and it makes light of it.
        (
            "careless",
            func(&[I32], &[], |caller, args, _| {
                drop(caller.charge(u64::from(i32_at(args, 0)?.cast_unsigned())));
                Ok(())
            }),
        ),
        (
            "fuel_left",
            func(&[], &[I64], |caller, _, results| {
                let left = caller.fuel_left();
                give(results, Value::from(left))
            }),
        ),
        // Memory.
        (
            "memory_size",
            func(&[], &[I32], |caller, _, results| {
                let size = u32::try_from(caller.memory_size()).unwrap_or(u32::MAX);
                give(results, Value::from(size))
            }),
        ),
        (
            "poke",
            func(&[I32, I32], &[], |caller, args, _| {
                let (at, byte) = (i32_at(args, 0)?, i32_at(args, 1)?);
                Ok(caller.write(at.cast_unsigned(), &[byte as u8])?)
            }),
        ),
        (
            "peek",
            func(&[I32], &[I32], |caller, args, results| {
                let [byte] = caller.array::<1>(i32_at(args, 0)?.cast_unsigned())?;
                give(results, Value::from(u32::from(byte)))
            }),
        ),
        // Ends.
        ("fail", func(&[], &[], |_, _, _| Err(HostError::failed("as the row wants it")))),
        // Past the panic hook, so that nothing is printed.
        ("panic", func(&[], &[], |_, _, _| std::panic::resume_unwind(Box::new("as the row wants it")))),
        ("exit", func(&[I32], &[], |_, args, _| Err(HostError::Exit(i32_at(args, 0)?.cast_unsigned())))),
        ("trap", func(&[], &[], |_, _, _| Err(HostError::Trap(TrapKind::MemoryOutOfBounds)))),
        ("output", func(&[], &[], |_, _, _| Err(HostError::Limit(Limit::Output)))),
        // Nine arguments, as WASI's longest function has; ends the call if the first is negative.
        (
            "many",
            func(&[I32, I64, I32, I32, I64, I64, I32, I64, I32], &[I64], |_, args, results| {
                if i32_at(args, 0)? < 0 {
                    return Err(HostError::Trap(TrapKind::MemoryOutOfBounds));
                }
                let wide = |value: &Value| value.i64().or(value.i32().map(i64::from)).unwrap_or_default();
                give(
                    results,
                    Value::I64(args.iter().map(wide).fold(0, |sum, next| sum.wrapping_mul(3).wrapping_add(next))),
                )
            }),
        ),
        ("mistyped", func(&[], &[I32], |_, _, results| give(results, Value::I64(1)))),
        // Time.
        (
            "cancel",
            func(&[], &[], |caller, _, _| {
                caller.state::<KitState>()?.cancel.cancel();
                Ok(())
            }),
        ),
        (
            "sleep",
            func(&[I32], &[], |_, args, _| {
                std::thread::sleep(std::time::Duration::from_millis(u64::from(i32_at(args, 0)?.cast_unsigned())));
                Ok(())
            }),
        ),
        ("pending", HostFunc::asynchronous(FuncType::new([], []), |_, _| Ok(Box::pin(std::future::pending())))),
        (
            "later",
            HostFunc::asynchronous(FuncType::new([I32], [I32]), |_, args| {
                let given = i32_at(args, 0)?;
                Ok(later(given))
            }),
        ),
        // Values.
        ("id_i32", identity(I32)),
        ("id_i64", identity(I64)),
        ("id_f32", identity(F32)),
        ("id_f64", identity(F64)),
        ("id_v128", identity(V128)),
        ("id_func", identity(FuncRef)),
        ("id_extern", identity(ExternRef)),
        (
            "reverse",
            func(&[I32, I64, F32, F64, ExternRef], &[ExternRef, F64, F32, I64, I32], |_, args, results| {
                for (result, arg) in results.iter_mut().zip(args.iter().rev()) {
                    *result = *arg;
                }
                Ok(())
            }),
        ),
    ]
}

/// Ready only when asked for the second time.
fn later(given: i32) -> HostFuture {
    let mut asked = false;
    Box::pin(std::future::poll_fn(move |context| {
        if !asked {
            asked = true;
            context.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        let finish: HostFinish = Box::new(move |_, results| give(results, Value::I32(given.wrapping_mul(2))));
        std::task::Poll::Ready(Ok(finish))
    }))
}
