//! [`Tasks`]: what wasmer-wasix may do beside the call it is in, which is to wait; and [`watch`], which ends a
//! wait at the guest's deadline or cancellation.
//!
//! There is no runtime behind it: timers are kept here, and a thread that lives only as long as one waiting call
//! wakes them. So nothing outlives a call, and a guest cannot make threads, tasks or processes even if one of
//! wasmer-wasix's functions tried to.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use wasmer_wasix::runtime::task_manager::TaskWasm;
use wasmer_wasix::{VirtualTaskManager, WasiThreadError};

/// How late a cancellation may be seen.
const PATIENCE: Duration = Duration::from_millis(5);

/// The timers of one guest.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    timers: Mutex<Timers>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Timers {
    /// When to wake whom.
    waiting: Vec<(Instant, Waker)>,
    /// The call that waited is over.
    done: bool,
}

/// A wait until a moment; for ever if the clock has no such moment.
struct Sleep {
    tasks: Arc<Tasks>,
    until: Option<Instant>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.until else { return Poll::Pending };
        if Instant::now() >= until {
            return Poll::Ready(());
        }
        let mut timers = self.tasks.timers.lock();
        timers.waiting.push((until, context.waker().clone()));
        self.tasks.changed.notify_all();
        Poll::Pending
    }
}

/// The guest's timers as wasmer-wasix wants them.
#[derive(Clone, Debug)]
pub(crate) struct TaskManager(pub Arc<Tasks>);

impl VirtualTaskManager for TaskManager {
    fn sleep_now(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync + 'static>> {
        Box::pin(Sleep { tasks: self.0.clone(), until: Instant::now().checked_add(time) })
    }

    fn task_shared(
        &self,
        _: Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>,
    ) -> Result<(), WasiThreadError> {
        Err(WasiThreadError::Unsupported)
    }

    fn task_wasm(&self, _: TaskWasm) -> Result<(), WasiThreadError> {
        Err(WasiThreadError::Unsupported)
    }

    fn task_dedicated(&self, _: Box<dyn FnOnce() + Send>) -> Result<(), WasiThreadError> {
        Err(WasiThreadError::Unsupported)
    }

    fn thread_parallelism(&self) -> Result<usize, WasiThreadError> {
        Ok(1)
    }
}

impl Tasks {
    /// Wakes timers until [`Tasks::finish`]; from the moment that `over` says so, calls `end` again and again.
    fn serve(&self, over: impl Fn() -> bool, deadline: Option<Instant>, end: impl Fn()) {
        let mut timers = self.timers.lock();
        while !timers.done {
            let now = Instant::now();
            let mut next = now + PATIENCE;
            if over() {
                drop(timers);
                // Again and again: the call may not have begun to wait when the first one came.
                end();
                timers = self.timers.lock();
            } else {
                next = deadline.map_or(next, |deadline| next.min(deadline));
            }
            let mut due = Vec::new();
            timers.waiting.retain(|(at, waker)| {
                let keep = *at > now;
                if !keep {
                    due.push(waker.clone());
                }
                keep
            });
            next = timers.waiting.iter().map(|(at, _)| *at).min().map_or(next, |at| next.min(at));
            if !due.is_empty() {
                drop(timers);
                due.into_iter().for_each(Waker::wake);
                timers = self.timers.lock();
            }
            if !timers.done {
                self.changed.wait_until(&mut timers, next);
            }
        }
    }

    fn finish(&self) {
        self.timers.lock().done = true;
        self.changed.notify_all();
    }
}

/// Ends the watch, however the call ends.
struct Finish<'a>(&'a Tasks);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Runs `call`, which may wait. From `deadline` on, or when `cancelled` says so, `end` is called until it returns.
///
/// # Errors
/// No thread can be started; then `call` was not run.
pub(crate) fn watch<T>(
    tasks: &Tasks,
    deadline: Option<Instant>,
    cancelled: impl Fn() -> bool + Send,
    end: impl Fn() + Send,
    call: impl FnOnce() -> T,
) -> std::io::Result<T> {
    *tasks.timers.lock() = Timers::default();
    let over = move || cancelled() || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("cofferdam-wasix".to_owned())
            .spawn_scoped(scope, move || tasks.serve(over, deadline, end))?;
        let _finish = Finish(tasks);
        Ok(call())
    })
}
