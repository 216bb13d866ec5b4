//! What the runtime's async functions share: [`until`] bounds a wait, and [`beside`] does what would hold up other
//! tasks.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use super::timers::{Alarm, Set, Timers};

/// Gives what `future` gives, unless that takes longer than until `at`.
pub(super) async fn until<F: Future>(timers: &Timers, at: Instant, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut alarm = None;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if Instant::now() >= at => Poll::Ready(None),
        Poll::Pending => {
            drop(alarm.take());
            alarm = Some(Set(timers, timers.at(at, Alarm::Wake(context.waker().clone()))));
            Poll::Pending
        }
    })
    .await
}

/// Does `work`, which may take a while, where it holds up no task: beside the executor, if there is one. Not on the
/// workers, all of which may be taken by guests that do not end.
pub(super) async fn beside(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        // It panics only if `work` does, and is given up only with the executor.
        Ok(executor) => drop(executor.spawn_blocking(work).await),
        Err(_) => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slow_work_holds_up_no_task() {
        let (go, wait) = std::sync::mpsc::channel();
        // On the one thread of this executor it would wait for a task that never has its turn.
        let slow = tokio::spawn(beside(move || wait.recv().expect("the other task has its turn")));
        tokio::spawn(async move { go.send(()) }).await.expect("no panic").expect("it waits");
        slow.await.expect("no panic");
    }
}
