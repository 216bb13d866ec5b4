//! [`Workers`]: the bounded pool of threads on which guests of asynchronous callers run, so that guest
//! code never runs on an executor's own threads.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

type Job = Box<dyn FnOnce() + Send>;

/// A thread with nothing to do for this long ends.
const IDLE: Duration = Duration::from_secs(10);

/// All threads are taken and the queue is full. The call was not begun; try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all {threads} calls in flight are taken and {queued} more are queued")]
pub struct Busy {
    /// Threads in the pool.
    pub threads: usize,
    /// Calls that wait for one.
    pub queued: usize,
}

/// At most `max_threads` calls in flight and `max_queue` waiting; more are refused with [`Busy`].
pub struct Workers(Arc<Inner>);

struct Inner {
    pool: Mutex<Pool>,
    work: Condvar,
    max_threads: usize,
    /// A permit for each thread and each place in the queue.
    room: Arc<Semaphore>,
}

/// Room for one job, on a thread or in the queue. Given back when it is dropped.
pub(super) struct Place(OwnedSemaphorePermit);

#[derive(Default)]
struct Pool {
    queue: VecDeque<Job>,
    idle: usize,
    threads: usize,
    closed: bool,
}

impl Workers {
    /// A pool that starts threads as they are needed.
    #[must_use]
    pub fn new(max_threads: usize, max_queue: usize) -> Self {
        let max_threads = max_threads.max(1);
        let room = max_threads.saturating_add(max_queue).min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(room));
        let inner = Inner { pool: Mutex::default(), work: Condvar::new(), max_threads, room };
        Self(Arc::new(inner))
    }

    /// Runs `job` on a thread of the pool.
    ///
    /// # Errors
    /// [`Busy`]; the job is dropped then.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        self.submit_to(self.free_place()?, job)
    }

    /// Threads that there may be.
    pub fn most(&self) -> usize {
        self.0.max_threads
    }

    fn busy(&self) -> Busy {
        let pool = self.0.pool.lock();
        Busy { threads: pool.threads, queued: pool.queue.len() }
    }

    fn free_place(&self) -> Result<Place, Busy> {
        self.0.room.clone().try_acquire_owned().map(Place).map_err(|_| self.busy())
    }

    /// Room for a job, waited for in the order of asking if `patient`.
    pub(super) async fn place(&self, patient: bool) -> Result<Place, Busy> {
        if !patient {
            return self.free_place();
        }
        // The semaphore is never closed.
        self.0.room.clone().acquire_owned().await.map(Place).map_err(|_| self.busy())
    }

    /// Runs `job`, for which there is room, on a thread of the pool.
    ///
    /// # Errors
    /// [`Busy`] if not even one thread can be had; the job is dropped then.
    pub(super) fn submit_to(&self, place: Place, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        let inner = &self.0;
        let job: Job = Box::new(move || {
            let _place = place.0;
            job();
        });
        let mut pool = inner.pool.lock();
        if pool.idle > pool.queue.len() {
            pool.queue.push_back(job);
            inner.work.notify_one();
            return Ok(());
        }
        if pool.threads >= inner.max_threads {
            pool.queue.push_back(job);
            return Ok(());
        }
        // In a slot, so that it can be had back should there be no thread for it.
        let slot = Arc::new(Mutex::new(Some(job)));
        let (worker, first) = (inner.clone(), slot.clone());
        pool.threads += 1;
        let spawned = std::thread::Builder::new().name("cofferdam-worker".into()).spawn(move || worker.run(&first));
        if spawned.is_err() {
            pool.threads -= 1;
            if pool.threads == 0 {
                let busy = Busy { threads: 0, queued: pool.queue.len() };
                drop(pool);
                return Err(busy);
            }
            // The threads that there are will come to it.
            pool.queue.extend(slot.lock().take());
        }
        Ok(())
    }
}

/// A job that panics must not take the thread with it: others are queued for it. Whoever waits for the
/// job's answer learns that there is none.
fn run(job: Job) {
    if catch_unwind(AssertUnwindSafe(job)).is_err() {
        tracing::error!("a call panicked outside guest code");
    }
}

impl Inner {
    fn run(&self, first: &Mutex<Option<Job>>) {
        /// Keeps the count right however this thread ends.
        struct Leave<'a>(&'a Inner);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.pool.lock().threads -= 1;
            }
        }
        let _leave = Leave(self);
        let first = first.lock().take();
        first.into_iter().for_each(run);
        loop {
            let mut pool = self.pool.lock();
            let job = loop {
                if let Some(job) = pool.queue.pop_front() {
                    break job;
                }
                if pool.closed {
                    return;
                }
                pool.idle += 1;
                let waited = self.work.wait_for(&mut pool, IDLE);
                pool.idle -= 1;
                if waited.timed_out() && pool.queue.is_empty() {
                    return;
                }
            };
            drop(pool);
            run(job);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.pool.lock().closed = true;
        self.0.work.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_full_pool_and_queue_say_busy_and_recover() {
        let workers = Workers::new(1, 1);
        let (release, gate) = channel::<()>();
        let (done, results) = channel();
        let first = done.clone();
        workers
            .submit(move || {
                gate.recv().expect("the test sends");
                first.send(1).expect("the test receives");
            })
            .expect("the pool is empty");
        let second = done.clone();
        workers.submit(move || second.send(2).expect("the test receives")).expect("the queue is empty");
        assert_eq!(workers.submit(|| ()), Err(Busy { threads: 1, queued: 1 }));
        release.send(()).expect("the worker waits");
        assert_eq!((results.recv(), results.recv()), (Ok(1), Ok(2)));
        workers.submit(move || done.send(3).expect("the test receives")).expect("there is room again");
        assert_eq!(results.recv(), Ok(3));
    }
}
