//! Host functions and the tick, as compiled code calls them.
//!
//! Compiled code runs on a stack of its own; a host function runs on the host's. Nothing may unwind across
//! compiled code: a host function that fails raises a trap, which carries the error as a value.

mod entry;

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use cofferdam_engine::{Caller, HostError, HostFunc, Limit, Value};
use cofferdam_prepare::names::STACK_EXHAUSTED;
use wasmer_types::{FunctionType, RawValue};
use wasmer_vm::{
    FunctionBodyPtr, MaybeInstanceOwned, VMCallerCheckedAnyfunc, VMContext, VMDynamicFunctionContext, VMFunction,
    VMFunctionBody, VMFunctionContext, VMFunctionKind, VMMemoryDefinition, VMSignatureHash, VMTrampoline,
    on_host_stack, raise_user_trap,
};

use crate::shared::Shared;
use crate::signatures;

/// How a host function or the tick ends a call: travels through Wasmer as a trap.
#[derive(Debug)]
pub(crate) struct HostStop {
    pub error: HostError,
    /// Machine addresses of the guest code that called, innermost first.
    pub trace: Vec<usize>,
}

impl fmt::Display for HostStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for HostStop {}

/// What the host functions of one instance have in common. Lives as long as the store.
pub(crate) struct InstanceEnv {
    pub shared: NonNull<Shared>,
    /// The instance's exported memory called `memory`, once the instance is made.
    pub memory: Option<NonNull<VMMemoryDefinition>>,
}

/// What a host function finds when compiled code calls it.
pub(crate) struct HostContext {
    func: Arc<HostFunc>,
    env: NonNull<InstanceEnv>,
}

/// The form in which Wasmer's generated trampolines expect it: the entry's address comes first.
pub(crate) type HostBlock = VMDynamicFunctionContext<HostContext>;

/// Makes `func` callable by the instance of `env`. `trampoline` is the adapter that the importing module
/// brings for this signature; without it only the common signatures are possible.
pub(crate) fn function(
    func: Arc<HostFunc>,
    (ty, hash): (FunctionType, VMSignatureHash),
    env: NonNull<InstanceEnv>,
    trampoline: Option<FunctionBodyPtr>,
) -> Option<VMFunction> {
    let body = entry::direct(func.ty()).or(trampoline.map(|t| t.0))?;
    let block: Box<HostBlock> = Box::new(VMDynamicFunctionContext {
        address: entry::by_slots as *const VMFunctionBody,
        ctx: HostContext { func, env },
    });
    let host_env = std::ptr::from_ref::<HostBlock>(&block).cast_mut().cast();
    Some(vm_function(ty, hash, body, host_env, entry::from_host, block))
}

/// The tick of the store that `shared` belongs to.
pub(crate) fn tick(shared: NonNull<Shared>) -> VMFunction {
    let ty = signatures::tick();
    let body = tick_entry as *const VMFunctionBody;
    let hash = signatures::hash(&ty);
    vm_function(crate::types::func_type(&ty), hash, body, shared.as_ptr().cast(), tick_from_host, Box::new(TickData))
}

/// Wasmer takes functions with no data at all for compiled ones.
struct TickData;

fn vm_function(
    signature: FunctionType,
    hash: VMSignatureHash,
    func_ptr: *const VMFunctionBody,
    host_env: *mut std::ffi::c_void,
    call_trampoline: VMTrampoline,
    host_data: Box<dyn Any>,
) -> VMFunction {
    let anyfunc = VMCallerCheckedAnyfunc {
        func_ptr,
        type_signature_hash: hash,
        vmctx: VMFunctionContext { host_env },
        call_trampoline,
    };
    VMFunction {
        anyfunc: MaybeInstanceOwned::Host(Box::new(anyfunc.into())),
        signature,
        // What takes slots is called through a trampoline that has the plain calling convention.
        kind: VMFunctionKind::Static,
        host_data,
    }
}

unsafe extern "C-unwind" fn tick_entry(shared: *mut Shared, need: i64) {
    let ended = on_host_stack(|| {
        // SAFETY: compiled code passes what `tick` stored; the store outlives its functions, and while
        // compiled code runs nobody else holds references into it.
        let shared = unsafe { &mut *shared };
        must_end(shared, |shared| shared.tick(need))
    });
    if let Some(stop) = ended {
        // SAFETY: called from compiled code, and nothing here waits to be dropped.
        unsafe { raise_user_trap(stop) }
    }
}

/// The tick has no handle, so nobody calls it from outside.
unsafe extern "C" fn tick_from_host(_: *mut VMContext, _: *const VMFunctionBody, _: *mut RawValue) {}

/// Why the call that waits on this thread must end now, if it must: what `look` says.
pub(crate) fn must_end(
    shared: &mut Shared,
    look: impl FnOnce(&mut Shared) -> Result<(), Limit>,
) -> Option<Box<dyn Error + Send + Sync>> {
    // The scheduler is the runtime's code and may panic.
    let outcome = catch_unwind(AssertUnwindSafe(|| look(shared)));
    let error = match outcome {
        Ok(Ok(())) => return None,
        Ok(Err(limit)) => HostError::Limit(limit),
        Err(_) => HostError::failed("the scheduler panicked"),
    };
    Some(stopped(error, shared))
}

fn stopped(error: HostError, shared: &Shared) -> Box<dyn Error + Send + Sync> {
    Box::new(HostStop { error, trace: shared.code.trace_here() })
}

/// Runs a host function with `params`, on the host's stack.
///
/// # Safety
/// `block` is what [`function`] made, its store is alive and executes compiled code of this thread that
/// called the function.
unsafe fn invoke(
    block: *const HostBlock,
    params: &[Value],
    results: &mut [Value],
) -> Result<(), Box<dyn Error + Send + Sync>> {
    // SAFETY: the block and the environment live as long as the store.
    let (context, env) = unsafe { (&(*block).ctx, (*block).ctx.env.as_ref()) };
    let shared = env.shared.as_ptr();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: while the host function runs, no compiled code of this store does, and the store's
        // owner waits in a call that holds no references; so memory, counter and context are ours alone.
        // They are three different objects.
        let (memory, counter, context_of_store) = unsafe {
            let memory = match env.memory {
                Some(definition) => {
                    let definition = definition.as_ref();
                    slice::from_raw_parts_mut(definition.base, definition.current_length)
                }
                None => &mut [],
            };
            (memory, &mut (*(*shared).fuel.as_ptr()).val.i64, &mut (*shared).context)
        };
        context.func.invoke(&mut Caller::new(context_of_store, memory, counter), params, results)
    }));
    let outcome = outcome.unwrap_or_else(|_| Err(HostError::failed("the host panicked around it")));
    let typed = outcome.and_then(|()| {
        let fits = Value::all_match(results, context.func.ty().results());
        fits.then_some(()).ok_or_else(|| HostError::failed("it gave results of another type than it declares"))
    });
    // SAFETY: as above, and the other references are gone.
    typed.map_err(|e| stopped(e, unsafe { &*shared }))
}

impl Shared {
    /// The counter cannot pay, or the stack budget is spent: goes on with a new slice or ends.
    fn tick(&mut self, need: i64) -> Result<(), Limit> {
        if need == STACK_EXHAUSTED {
            return Err(Limit::Stack);
        }
        // SAFETY: the counter belongs to this store, whose compiled code waits for this tick.
        let counter = unsafe { &mut (*self.fuel.as_ptr()).val.i64 };
        *counter = self.context.meter.tick(*counter, need)?;
        Ok(())
    }
}
