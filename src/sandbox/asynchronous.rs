//! Guests for async programs: [`AsyncGuest`], [`Sandbox::load_async`], [`Sandbox::guest_async`]. All work is
//! done on the workers, never on an executor's thread, and dropping a future ends what it waited for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cofferdam_engine::{CancelHandle, Value, WasmValues};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::bytes::BytesAbi;
use super::error::CallError;
use super::guest::{CallOptions, Guest};
use super::load::{LoadError, Module};
use super::outcome::Report;
use super::resources::Resources;
use super::typed::TypedFunc;
use super::workers::{Busy, Place};
use super::{GuestError, Sandbox};
use crate::host::GuestState;

/// Why an asynchronous call gave no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotRun {
    /// No worker is free and the queue is full. Try again later.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The worker died with the guest: a fault of the host, outside any call.
    #[error("the worker thread that ran the guest died")]
    Lost,
    /// The future of an earlier call was dropped before its end, or its worker died, and the guest with it.
    #[error("the guest ended with an earlier call, whose future was dropped or whose worker died: make a new one")]
    Dropped,
}

/// Why an asynchronous call gave no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AsyncCallError {
    /// It was not run.
    #[error(transparent)]
    NotRun(#[from] NotRun),
    /// It ended otherwise than by returning.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// A guest whose calls are awaited. They run on the workers of its [`Resources`], one at a time; host
/// functions that wait are driven with the caller's tokio runtime entered.
///
/// - **Waiting for a worker.** When all are taken and the queue is full, a call waits its turn, first come,
///   first served; [`AsyncGuest::impatient`] makes it answer [`NotRun::Busy`] at once. The call's time starts
///   when it runs.
/// - **Dropping the future** of a call before its end cancels the call: one that has not begun never does, one that
///   runs ends at its next tick (a millisecond or so), one that waits in a host function ends at once. Its
///   memory may be half-written, so the guest is dropped with it, and calls that follow answer
///   [`NotRun::Dropped`]. A future that was never polled leaves the guest as it was.
///
/// ```
/// use cofferdam::policy::Limits;
/// use cofferdam::{engines, GuestState, Sandbox, SecurityPolicy, Value};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if engines::names().is_empty() { return Ok(()); }
/// let limits = Limits { timeout: None, ..Limits::tool() };
/// let sandbox = Sandbox::builder(engines::by_name("auto")?).policy(SecurityPolicy::standard().limits(limits)).build()?;
/// let module = sandbox.load_async(br#"(module (func (export "spin") (loop (br 0)))
///     (func (export "answer") (result i32) (i32.const 42)))"#).await?;
/// let mut guest = sandbox.guest_async(&module, GuestState::default()).await?;
/// assert_eq!(guest.call("answer", &[]).await?.into_result()?, [Value::I32(42)]);
///
/// let patience = std::time::Duration::from_millis(10);
/// let dropped = tokio::time::timeout(patience, guest.call("spin", &[])).await;
/// assert!(dropped.is_err() && guest.call("answer", &[]).await.is_err());
/// # Ok(())
/// # }
/// ```
pub struct AsyncGuest {
    /// `None` while a call has it, and after a call's future was dropped.
    guest: Option<Guest>,
    resources: Arc<Resources>,
    patient: bool,
}

/// Ends what nobody waits for any more.
pub(crate) struct CancelOnDrop(pub(crate) Option<CancelHandle>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancel) = &self.0 {
            cancel.cancel();
        }
    }
}

impl Guest {
    /// The same guest, for an async program.
    #[must_use]
    pub fn into_async(self) -> AsyncGuest {
        let resources = self.resources().clone();
        AsyncGuest { guest: Some(self), resources, patient: true }
    }

    /// Calls on a worker thread and gives the guest back with the report. Dropping the future cancels
    /// the call; the guest is then dropped when it has stopped. For more than one call see [`AsyncGuest`].
    ///
    /// # Errors
    /// [`NotRun::Busy`] if every worker is taken and the queue is full; the guest is dropped then.
    pub async fn call_async(
        self,
        export: String,
        args: Vec<Value>,
        options: CallOptions,
    ) -> Result<(Self, Report), NotRun> {
        let mut guest = self.into_async().impatient();
        let report = guest.run(move |guest| guest.call_with(&export, &args, &options)).await?;
        guest.into_inner().map(|guest| (guest, report)).ok_or(NotRun::Lost)
    }
}

impl AsyncGuest {
    /// Calls answer [`NotRun::Busy`] instead of waiting for a worker.
    #[must_use]
    pub fn impatient(mut self) -> Self {
        self.patient = false;
        self
    }

    /// The guest, unless a call's future was dropped.
    #[must_use]
    pub fn into_inner(self) -> Option<Guest> {
        self.guest
    }

    /// The guest between calls, unless a call's future was dropped. Only for what is quick: its memory, its
    /// state. Calls block; [`AsyncGuest::run`] makes them elsewhere.
    pub fn get_mut(&mut self) -> Option<&mut Guest> {
        self.guest.as_mut()
    }

    /// [`Guest::call`], awaited.
    ///
    /// # Errors
    /// It was not run.
    pub fn call<'g>(
        &'g mut self,
        export: &str,
        args: &[Value],
    ) -> impl Future<Output = Result<Report, NotRun>> + Send + use<'g> {
        self.call_with(export, args, &CallOptions::default())
    }

    /// [`Guest::call_with`], awaited.
    ///
    /// # Errors
    /// It was not run.
    pub fn call_with<'g>(
        &'g mut self,
        export: &str,
        args: &[Value],
        options: &CallOptions,
    ) -> impl Future<Output = Result<Report, NotRun>> + Send + use<'g> {
        let (export, args, options) = (export.to_owned(), args.to_vec(), options.clone());
        self.run(move |guest| guest.call_with(&export, &args, &options))
    }

    /// [`TypedFunc::call`], awaited.
    ///
    /// # Errors
    /// It was not run, or did not return.
    pub async fn call_typed<P, R>(&mut self, func: &TypedFunc<P, R>, params: P) -> Result<R, AsyncCallError>
    where
        P: WasmValues + Send + 'static,
        R: WasmValues + Send + 'static,
    {
        let func = func.clone();
        Ok(self.run(move |guest| func.call(guest, params)).await??)
    }

    /// [`Guest::call_bytes`], awaited.
    ///
    /// # Errors
    /// It was not run, or gave no bytes.
    pub async fn call_bytes(&mut self, name: &str, input: impl Into<Vec<u8>>) -> Result<Vec<u8>, AsyncCallError> {
        self.call_bytes_with(name, input, &BytesAbi::default(), &CallOptions::default()).await
    }

    /// [`Guest::call_bytes_with`], awaited.
    ///
    /// # Errors
    /// It was not run, or gave no bytes.
    pub async fn call_bytes_with(
        &mut self,
        name: &str,
        input: impl Into<Vec<u8>>,
        abi: &BytesAbi,
        options: &CallOptions,
    ) -> Result<Vec<u8>, AsyncCallError> {
        let (name, input, abi, options) = (name.to_owned(), input.into(), abi.clone(), options.clone());
        Ok(self.run(move |guest| guest.call_bytes_with(&name, &input, &abi, &options)).await??)
    }

    /// Does `work` with the guest on a worker: several calls, or a copy of much memory. Dropping the future
    /// cancels the call that is under way and every later one in `work`.
    ///
    /// # Errors
    /// It was not run; [`NotRun::Lost`] if `work` panicked.
    pub async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Guest) -> T + Send + 'static,
    ) -> Result<T, NotRun> {
        if self.guest.is_none() {
            return Err(NotRun::Dropped);
        }
        let place = self.resources.workers.place(self.patient).await?;
        let Some(mut guest) = self.guest.take() else { return Err(NotRun::Dropped) };
        let cancel = CancelHandle::new();
        guest.scope = Some(cancel.clone());
        // In a slot, so that it can be had back should there be no thread for it.
        let slot = Arc::new(Mutex::new(Some(guest)));
        let lent = slot.clone();
        let mut cancel_on_drop = CancelOnDrop(Some(cancel));
        let answer = on_worker(&self.resources, place, move || {
            let mut guest = lent.lock().take()?;
            let done = work(&mut guest);
            guest.scope = None;
            Some((guest, done))
        });
        let answer = match answer {
            Ok(answer) => answer,
            Err(busy) => {
                // It was not cancelled, only not run.
                cancel_on_drop.0 = None;
                self.guest = slot.lock().take().map(|mut guest| {
                    guest.scope = None;
                    guest
                });
                return Err(busy.into());
            }
        };
        let (guest, done) = answer.await.ok().flatten().ok_or(NotRun::Lost)?;
        cancel_on_drop.0 = None;
        self.guest = Some(guest);
        Ok(done)
    }
}

/// Does `work` on a worker, with this task's runtime entered, unless nobody waits for it any more.
fn on_worker<T: Send + 'static>(
    resources: &Arc<Resources>,
    place: Place,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Answer<T>, Busy> {
    let handle = tokio::runtime::Handle::try_current().ok();
    let (send, receive) = oneshot::channel();
    resources.workers.submit_to(place, move || {
        if send.is_closed() {
            return;
        }
        let _entered = handle.as_ref().map(tokio::runtime::Handle::enter);
        // Should nobody receive it, a guest in it is dropped here.
        let _ = send.send(work());
    })?;
    Ok(Answer { receive, resources: resources.clone() })
}

/// What a worker will give. If nobody waits for it any more when it is there, it is dropped on a worker too:
/// there may be a guest in it, whose memory takes time to give back.
struct Answer<T: Send + 'static> {
    receive: oneshot::Receiver<T>,
    resources: Arc<Resources>,
}

impl<T: Send + 'static> Future for Answer<T> {
    type Output = Result<T, oneshot::error::RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receive).poll(context)
    }
}

impl<T: Send + 'static> Drop for Answer<T> {
    fn drop(&mut self) {
        // What comes after this stays where it was made.
        self.receive.close();
        if let Ok(late) = self.receive.try_recv() {
            // If all of them are taken, it is dropped here after all.
            let _ = self.resources.workers.submit(move || drop(late));
        }
    }
}

/// Does `work` on a worker, waiting for one, and gives what it gave.
pub(crate) async fn work_on<T: Send + 'static>(
    resources: &Arc<Resources>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotRun> {
    let place = resources.workers.place(true).await?;
    on_worker(resources, place, work)?.await.map_err(|_| NotRun::Lost)
}

impl Sandbox {
    /// Does `work` on a worker and gives what it gave.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, NotRun> {
        let sandbox = self.clone();
        work_on(self.resources(), move || work(&sandbox)).await
    }

    /// [`Sandbox::load`], awaited. A module that is compiled already waits for no other's compilation; of those
    /// that are not, as many are compiled at once as guests may run ([`ResourceConfig::run_permits`]).
    /// Compilation cannot be interrupted: if the future is dropped, one that has begun goes on to its end and
    /// into the cache.
    ///
    /// [`ResourceConfig::run_permits`]: super::ResourceConfig::run_permits
    ///
    /// # Errors
    /// As [`Sandbox::load`], and [`LoadError::NotRun`].
    pub async fn load_async(&self, module: impl AsRef<[u8]> + Send + 'static) -> Result<Module, LoadError> {
        let bytes = match self.work(move |sandbox| sandbox.find(module.as_ref())).await?? {
            Ok(compiled) => return Ok(compiled),
            Err(bytes) => bytes,
        };
        // Never closed.
        let turn = self.resources().compilers.clone().acquire_owned().await.ok();
        self.work(move |sandbox| {
            let _turn = turn;
            sandbox.make(bytes)
        })
        .await?
    }

    /// [`Sandbox::guest`], awaited: copying a module's data into a new memory takes time.
    ///
    /// # Errors
    /// As [`Sandbox::guest`], and [`GuestError::NotRun`].
    pub async fn guest_async(&self, module: &Module, state: GuestState) -> Result<AsyncGuest, GuestError> {
        let module = module.clone();
        self.work(move |sandbox| sandbox.guest(&module, state)).await?.map(Guest::into_async)
    }
}

#[cfg(test)]
mod tests {
    use super::super::resources::ResourceConfig;
    use super::*;

    #[tokio::test]
    async fn a_late_answer_is_dropped_on_a_worker() {
        struct Late(std::sync::mpsc::Sender<std::thread::ThreadId>);
        impl Drop for Late {
            fn drop(&mut self) {
                let _ = self.0.send(std::thread::current().id());
            }
        }
        let resources = Resources::new(&ResourceConfig::default());
        let place = resources.workers.place(true).await.expect("it is free");
        let (send, dropped) = std::sync::mpsc::channel();
        let answer = on_worker(&resources, place, move || Late(send)).expect("it is free");
        // Until the answer is there, but not taken.
        while answer.receive.is_empty() {
            tokio::task::yield_now().await;
        }
        drop(answer);
        assert_ne!(dropped.recv().expect("it is dropped"), std::thread::current().id());
    }
}
