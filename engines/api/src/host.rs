//! Host functions: recorded once as neutral definitions, replayed into each store; and [`Caller`], all
//! that one of them sees of its guest.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use cofferdam_prepare::FuncType;

use crate::limits::StoreLimits;
use crate::meter::{CancelHandle, Meter, Wake};
use crate::outcome::{HostError, Limit, TrapKind};
use crate::value::{Extern, Value};

/// The guest's own state on the host's side: whatever the runtime keeps for it.
pub type HostState = Box<dyn Any + Send>;

/// What a store keeps for its guest beside the engine's things. Adapters own one per store, at an
/// address that does not move, and lend it to host functions through [`Caller`].
pub struct StoreContext {
    /// Fuel, deadline, cancellation.
    pub meter: Meter,
    /// The guest's own state.
    pub state: HostState,
    /// The limits the store was made with.
    pub limits: StoreLimits,
    /// Host calls made so far.
    pub host_calls: u64,
    /// When the clock was last read after a host call, and how many host calls may pass before the next time.
    looked: Option<Instant>,
    unseen_calls: u32,
}

/// Host calls that may follow each other without a look at the clock while they are short: reading it takes as
/// long as the call itself.
const UNSEEN_CALLS: u32 = 23;
/// Short means that so many together took no longer than this, the guest's own work included.
const UNSEEN_TIME: Duration = Duration::from_micros(48);

impl StoreContext {
    /// The context of a new store.
    #[must_use]
    pub fn new(limits: StoreLimits, state: HostState) -> Self {
        Self { meter: Meter::default(), state, limits, host_calls: 0, looked: None, unseen_calls: 0 }
    }
}

/// What a host call costs, in fuel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPrice {
    /// For each call.
    pub base: u64,
    /// For each byte that [`Caller::charge_bytes`] is told of, in 1/256 fuel.
    pub per_256_bytes: u64,
}

impl HostPrice {
    /// Price list v1: a call costs what its machine code and the crossing cost on a compiling engine, measured
    /// by the bench `fuel_honesty`; copying costs one fuel for eight bytes.
    pub const V1: Self = Self { base: 40, per_256_bytes: 32 };
}

type SyncBody = dyn Fn(&mut Caller<'_>, &[Value], &mut [Value]) -> Result<(), HostError> + Send + Sync;
type AsyncBody = dyn Fn(&mut Caller<'_>, &[Value]) -> Result<HostFuture, HostError> + Send + Sync;

/// The waiting part of an async host function: it sees nothing of the guest, and ends with what to do
/// once the guest can be seen again.
pub type HostFuture = Pin<Box<dyn Future<Output = Result<HostFinish, HostError>> + Send>>;
/// Writes the outcome of a [`HostFuture`] into guest memory and results.
pub type HostFinish = Box<dyn FnOnce(&mut Caller<'_>, &mut [Value]) -> Result<(), HostError> + Send>;

enum Body {
    Sync(Box<SyncBody>),
    Async(Box<AsyncBody>),
}

/// One host function: signature, price, code. Recorded once and shared by every store.
pub struct HostFunc {
    ty: FuncType,
    price: HostPrice,
    quick: bool,
    body: Body,
}

impl HostFunc {
    /// A host function that does not block. If it does block, the guest's deadline is noticed only when it
    /// returns; among calls that were short so far, at the twenty-fourth at the latest.
    pub fn new(
        ty: FuncType,
        body: impl Fn(&mut Caller<'_>, &[Value], &mut [Value]) -> Result<(), HostError> + Send + Sync + 'static,
    ) -> Self {
        Self { ty, price: HostPrice::V1, quick: false, body: Body::Sync(Box::new(body)) }
    }

    /// A host function that waits. The future is polled on the guest's thread while the guest's turn
    /// goes to others, and dropped at the deadline or on cancellation.
    pub fn asynchronous(
        ty: FuncType,
        body: impl Fn(&mut Caller<'_>, &[Value]) -> Result<HostFuture, HostError> + Send + Sync + 'static,
    ) -> Self {
        Self { ty, price: HostPrice::V1, quick: false, body: Body::Async(Box::new(body)) }
    }

    /// The same with another price.
    #[must_use]
    pub fn priced(mut self, price: HostPrice) -> Self {
        self.price = price;
        self
    }

    /// Declares that a call always takes well under a microsecond, so that the clock need never be read
    /// after it; its price alone brings the next tick.
    #[must_use]
    pub fn quick(mut self) -> Self {
        self.quick = true;
        self
    }

    /// Its signature.
    #[must_use]
    #[inline]
    pub fn ty(&self) -> &FuncType {
        &self.ty
    }

    /// Its price.
    #[must_use]
    pub fn price(&self) -> HostPrice {
        self.price
    }

    /// Runs it for a guest: counts and charges the call, runs the body, looks at the clock. Adapters
    /// call this and nothing else. `results` holds default values of the result types.
    ///
    /// # Errors
    /// Whatever the body ends with; limits reached; a panic of the body as [`HostError::Failed`].
    #[inline]
    pub fn invoke(&self, caller: &mut Caller<'_>, params: &[Value], results: &mut [Value]) -> Result<(), HostError> {
        caller.price = self.price;
        let context = &mut *caller.context;
        context.host_calls += 1;
        if context.host_calls > context.limits.host_calls {
            return Err(HostError::Limit(Limit::HostCalls));
        }
        caller.charge(self.price.base)?;
        // The store is poisoned by the error, so nobody looks at state that a panic left half-made.
        let outcome = catch_unwind(AssertUnwindSafe(|| match &self.body {
            Body::Sync(body) => body(caller, params, results),
            Body::Async(body) => {
                let future = body(caller, params)?;
                let finish = caller.block_on(future)??;
                finish(caller, results)
            }
        }));
        match outcome {
            Ok(done) => done?,
            Err(_) => return Err(HostError::failed("it panicked")),
        }
        // A body that made light of a failed charge must not send the guest on with a negative counter.
        caller.charge(0)?;
        if !self.quick {
            caller.look()?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for HostFunc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostFunc").field("ty", &self.ty).field("price", &self.price).finish_non_exhaustive()
    }
}

/// What is given for one import.
#[derive(Clone, Debug)]
pub enum Import {
    /// A host function.
    Host(Arc<HostFunc>),
    /// Something that already lives in the same store.
    Extern(Extern),
}

/// Everything a module is given to link against.
#[derive(Clone, Debug, Default)]
pub struct Imports {
    modules: HashMap<Arc<str>, HashMap<Arc<str>, Import>>,
}

impl Imports {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives `import` under `module` and `name`; what stood there before is returned.
    pub fn define(&mut self, module: &str, name: &str, import: Import) -> Option<Import> {
        self.modules.entry(module.into()).or_default().insert(name.into(), import)
    }

    /// Gives a host function under `module` and `name`; what stood there before is returned.
    pub fn host(&mut self, module: &str, name: &str, func: HostFunc) -> Option<Import> {
        self.define(module, name, Import::Host(Arc::new(func)))
    }

    /// What is given under `module` and `name`.
    #[must_use]
    pub fn get(&self, module: &str, name: &str) -> Option<&Import> {
        self.modules.get(module)?.get(name)
    }

    /// All of it, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Import)> {
        self.modules.iter().flat_map(|(m, names)| names.iter().map(move |(n, i)| (&**m, &**n, i)))
    }
}

/// A pointer and length that do not lie inside the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pointer and length lie outside the guest's memory")]
pub struct OutOfBounds;

impl From<OutOfBounds> for HostError {
    fn from(_: OutOfBounds) -> Self {
        Self::Trap(TrapKind::MemoryOutOfBounds)
    }
}

/// The calling guest as a host function sees it: its exported memory `memory`, its fuel, its time, its state.
pub struct Caller<'a> {
    context: &'a mut StoreContext,
    memory: &'a mut [u8],
    counter: &'a mut i64,
    price: HostPrice,
}

impl<'a> Caller<'a> {
    /// For adapters: `memory` is the calling instance's exported memory called `memory`, or empty;
    /// `counter` is the fuel counter as the guest left it, to be put back afterwards.
    #[inline]
    pub fn new(context: &'a mut StoreContext, memory: &'a mut [u8], counter: &'a mut i64) -> Self {
        Self { context, memory, counter, price: HostPrice::V1 }
    }

    /// Size of the guest's memory in bytes; 0 if it exports none.
    #[must_use]
    pub fn memory_size(&self) -> usize {
        self.memory.len()
    }

    /// `len` bytes of guest memory at `ptr`.
    ///
    /// # Errors
    /// [`OutOfBounds`] if any of them lies outside.
    #[inline]
    pub fn bytes(&self, ptr: u32, len: u32) -> Result<&[u8], OutOfBounds> {
        let start = ptr as usize;
        self.memory.get(start..start.checked_add(len as usize).ok_or(OutOfBounds)?).ok_or(OutOfBounds)
    }

    /// The same, to be written.
    ///
    /// # Errors
    /// [`OutOfBounds`] if any of them lies outside.
    #[inline]
    pub fn bytes_mut(&mut self, ptr: u32, len: u32) -> Result<&mut [u8], OutOfBounds> {
        let start = ptr as usize;
        self.memory.get_mut(start..start.checked_add(len as usize).ok_or(OutOfBounds)?).ok_or(OutOfBounds)
    }

    /// A little-endian number or array of `N` bytes at `ptr`.
    ///
    /// # Errors
    /// [`OutOfBounds`] if any of it lies outside.
    pub fn array<const N: usize>(&self, ptr: u32) -> Result<[u8; N], OutOfBounds> {
        let start = ptr as usize;
        self.memory
            .get(start..start.checked_add(N).ok_or(OutOfBounds)?)
            .and_then(|b| b.first_chunk::<N>())
            .copied()
            .ok_or(OutOfBounds)
    }

    /// Writes `data` at `ptr`.
    ///
    /// # Errors
    /// [`OutOfBounds`] if it does not fit; nothing is written then.
    pub fn write(&mut self, ptr: u32, data: &[u8]) -> Result<(), OutOfBounds> {
        let start = ptr as usize;
        let end = start.checked_add(data.len()).ok_or(OutOfBounds)?;
        self.memory.get_mut(start..end).ok_or(OutOfBounds)?.copy_from_slice(data);
        Ok(())
    }

    /// Takes `fuel` from the guest.
    ///
    /// # Errors
    /// The limit that ends the guest, if it cannot pay or its time is up.
    #[inline]
    pub fn charge(&mut self, fuel: u64) -> Result<(), HostError> {
        *self.counter = self.counter.saturating_sub(i64::try_from(fuel).unwrap_or(i64::MAX));
        if *self.counter < 0 {
            *self.counter = self.context.meter.tick(*self.counter, 0).map_err(HostError::Limit)?;
        }
        Ok(())
    }

    /// Takes the price of handling `bytes` bytes, by the host function's price.
    ///
    /// # Errors
    /// As [`Caller::charge`].
    pub fn charge_bytes(&mut self, bytes: u64) -> Result<(), HostError> {
        self.charge(bytes.saturating_mul(self.price.per_256_bytes) / 256)
    }

    /// Fuel left.
    #[must_use]
    pub fn fuel_left(&self) -> u64 {
        self.context.meter.left(*self.counter).max(0).cast_unsigned()
    }

    /// Time left; `None` if there is no deadline.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline().map(|d| d.saturating_duration_since(Instant::now()))
    }

    /// When the call must end.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.context.meter.deadline()
    }

    /// What ends the call from outside, if anything can: for waits that this crate knows nothing of.
    #[must_use]
    pub fn cancel_handle(&self) -> Option<CancelHandle> {
        self.context.meter.cancel_handle().cloned()
    }

    /// Whether the guest may go on.
    ///
    /// # Errors
    /// The deadline or the cancellation.
    #[inline]
    pub fn check(&self) -> Result<(), HostError> {
        self.context.meter.check().map_err(HostError::Limit)
    }

    /// As [`Caller::check`], but reads the clock only now and then while calls are short.
    #[inline]
    fn look(&mut self) -> Result<(), HostError> {
        let context = &mut *self.context;
        if context.unseen_calls > 0 {
            context.unseen_calls -= 1;
            return Ok(());
        }
        if !context.meter.is_watched() {
            return Ok(());
        }
        let now = Instant::now();
        let short = context.looked.is_some_and(|before| now.saturating_duration_since(before) <= UNSEEN_TIME);
        context.unseen_calls = if short { UNSEEN_CALLS } else { 0 };
        context.looked = Some(now);
        context.meter.check_at(now).map_err(HostError::Limit)
    }

    /// The limits of the guest's store.
    #[must_use]
    pub fn limits(&self) -> &StoreLimits {
        &self.context.limits
    }

    /// The guest's own state, if it is a `T`.
    ///
    /// # Errors
    /// [`HostError::Failed`] if the runtime keeps something else for this guest.
    pub fn state<T: Any>(&mut self) -> Result<&mut T, HostError> {
        self.context.state.downcast_mut().ok_or_else(|| HostError::failed("this guest keeps another kind of state"))
    }

    /// The guest's own state and its memory at once, for copying between them.
    ///
    /// # Errors
    /// As [`Caller::state`].
    pub fn state_and_memory<T: Any>(&mut self) -> Result<(&mut T, &mut [u8]), HostError> {
        match self.context.state.downcast_mut() {
            Some(state) => Ok((state, self.memory)),
            None => Err(HostError::failed("this guest keeps another kind of state")),
        }
    }

    /// Lets other guests run, as at the end of a slice.
    ///
    /// # Errors
    /// The deadline or the cancellation.
    pub fn give_turn(&mut self) -> Result<(), HostError> {
        self.context.meter.give_turn().map_err(HostError::Limit)
    }

    /// Waits, while others have the processor, until `ready` gives a value.
    ///
    /// # Errors
    /// The deadline or the cancellation, whichever comes first.
    pub fn wait<T>(&mut self, wake: Wake, ready: impl FnMut() -> Option<T>) -> Result<T, HostError> {
        self.context.meter.wait(wake, ready).map_err(HostError::Limit)
    }

    /// Drives `future` on this thread, while others have the processor. At the deadline it is dropped.
    ///
    /// # Errors
    /// The deadline or the cancellation, whichever comes first.
    pub fn block_on<T>(&mut self, mut future: Pin<Box<dyn Future<Output = T> + Send>>) -> Result<T, HostError> {
        struct Unpark(std::thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Arc::new(Unpark(std::thread::current())).into();
        let mut context = Context::from_waker(&waker);
        self.wait(Wake::Unpark, || match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    }
}
