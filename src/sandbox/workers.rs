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

/// All threads are taken and the queue is full, or no thread could be had. The call was not begun; try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no thread for another call: there are {threads}, and {queued} calls are queued")]
pub struct Busy {
    /// Threads in the pool.
    pub threads: usize,
    /// Calls that wait for one.
    pub queued: usize,
}

/// At most `max_threads` calls in flight and `max_queue` waiting; more are refused with [`Busy`]. Runners of agents have
/// threads beside these.
pub struct Workers(Arc<Inner>);

struct Inner {
    pool: Mutex<Pool>,
    work: Condvar,
    max_threads: usize,
    /// A thread with nothing to do for this long ends.
    idle: Duration,
    /// A permit for each thread and each place in the queue.
    room: Arc<Semaphore>,
}

/// Room for one job, on a thread or in the queue. Given back when it is dropped.
pub(super) struct Place(OwnedSemaphorePermit);

#[derive(Default)]
struct Pool {
    queue: VecDeque<Job>,
    /// Jobs that have no place and need none: whoever submits them bounds them.
    runners: VecDeque<Job>,
    /// Threads that do a job from `queue`.
    busy: usize,
    idle: usize,
    threads: usize,
    closed: bool,
}

impl Pool {
    /// The next job that may be done now, and whether it came from `queue`.
    fn next(&mut self, most: usize) -> Option<(Job, bool)> {
        if let Some(job) = self.runners.pop_front() {
            return Some((job, false));
        }
        if self.busy >= most {
            return None;
        }
        let job = self.queue.pop_front()?;
        self.busy += 1;
        Some((job, true))
    }

    /// Jobs for which a thread is wanted now.
    fn wanted(&self, most: usize) -> usize {
        self.runners.len() + self.queue.len().min(most.saturating_sub(self.busy))
    }
}

impl Workers {
    /// A pool that starts threads as they are needed.
    #[must_use]
    pub fn new(max_threads: usize, max_queue: usize) -> Self {
        Self::with_idle(max_threads, max_queue, IDLE)
    }

    fn with_idle(max_threads: usize, max_queue: usize, idle: Duration) -> Self {
        let max_threads = max_threads.max(1);
        let room = max_threads.saturating_add(max_queue).min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(room));
        let inner = Inner { pool: Mutex::default(), work: Condvar::new(), max_threads, idle, room };
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
    /// [`Busy`] if no thread can be had and no call is in flight that would leave its own; the job is dropped then.
    pub(super) fn submit_to(&self, place: Place, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        let inner = &self.0;
        let job: Job = Box::new(move || {
            let _place = place.0;
            job();
        });
        let mut pool = inner.pool.lock();
        if pool.busy + pool.queue.len() >= inner.max_threads {
            // One of those that are busy, or on their way to those in the queue, comes to it.
            pool.queue.push_back(job);
            return Ok(());
        }
        if pool.idle > pool.wanted(inner.max_threads) {
            pool.queue.push_back(job);
            inner.work.notify_one();
            return Ok(());
        }
        pool.busy += 1;
        let Some(job) = inner.spawn(&mut pool, job, true) else { return Ok(()) };
        pool.busy -= 1;
        if pool.busy == 0 {
            // Runners of agents may never end: no job waits for one of their threads.
            let busy = Busy { threads: pool.threads, queued: pool.queue.len() };
            drop(pool);
            drop(job);
            return Err(busy);
        }
        // The threads of the calls in flight will come to it.
        pool.queue.push_back(job);
        Ok(())
    }

    /// Runs `job` on a thread of the pool, beside all that have a place. Whoever submits such jobs bounds their
    /// number.
    ///
    /// # Errors
    /// [`Busy`] if no thread can be had; the job is dropped then.
    pub(super) fn submit_runner(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        let inner = &self.0;
        let mut pool = inner.pool.lock();
        if pool.idle > pool.wanted(inner.max_threads) {
            pool.runners.push_back(Box::new(job));
            inner.work.notify_one();
            return Ok(());
        }
        let Some(job) = inner.spawn(&mut pool, Box::new(job), false) else { return Ok(()) };
        let busy = Busy { threads: pool.threads, queued: pool.queue.len() };
        drop(pool);
        drop(job);
        Err(busy)
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
    /// A new thread that begins with `job`, which is given back if there is no thread to be had.
    fn spawn(self: &Arc<Self>, pool: &mut Pool, job: Job, counted: bool) -> Option<Job> {
        let slot = Arc::new(Mutex::new(Some(job)));
        let (worker, first) = (self.clone(), slot.clone());
        pool.threads += 1;
        let named = std::thread::Builder::new().name("cofferdam-worker".into());
        let spawned = named.spawn(move || {
            let first = first.lock().take();
            worker.run(first, counted);
        });
        if spawned.is_ok() {
            return None;
        }
        pool.threads -= 1;
        slot.lock().take()
    }

    fn run(&self, first: Option<Job>, counted: bool) {
        first.into_iter().for_each(run);
        let mut pool = self.pool.lock();
        pool.busy -= usize::from(counted);
        loop {
            if let Some((job, counted)) = pool.next(self.max_threads) {
                parking_lot::MutexGuard::unlocked(&mut pool, || run(job));
                pool.busy -= usize::from(counted);
                continue;
            }
            if pool.closed {
                break;
            }
            pool.idle += 1;
            let waited = self.work.wait_for(&mut pool, self.idle);
            pool.idle -= 1;
            if waited.timed_out() && pool.wanted(self.max_threads) == 0 {
                break;
            }
        }
        // Under the same lock: whoever submits a job either finds this thread or makes another.
        pool.threads -= 1;
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

    #[test]
    fn no_job_is_left_behind_by_a_thread_that_ends() {
        // Every thread ends as soon as it has nothing to do.
        let workers = Workers::with_idle(1, 16, Duration::ZERO);
        let (done, results) = channel();
        for n in 0..20_000 {
            let done = done.clone();
            workers.submit(move || done.send(n).expect("the test receives")).expect("there is room");
            assert_eq!(results.recv(), Ok(n));
        }
    }

    #[test]
    fn runners_have_threads_beside_all_others() {
        let workers = Workers::new(1, 8);
        let (release, gate) = channel::<()>();
        let (done, results) = channel();
        workers.submit(move || gate.recv().expect("the test sends")).expect("the pool is empty");
        let second = done.clone();
        workers.submit(move || second.send(2).expect("the test receives")).expect("the queue is empty");
        for _ in 0..3 {
            let runner = done.clone();
            workers.submit_runner(move || runner.send(1).expect("the test receives")).expect("a thread can be had");
            assert_eq!(results.recv(), Ok(1), "not behind the others, which are one at a time");
        }
        assert!(results.try_recv().is_err());
        release.send(()).expect("the worker waits");
        assert_eq!(results.recv(), Ok(2));
    }
}
