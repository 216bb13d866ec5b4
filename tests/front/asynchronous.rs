//! Guests of async programs: no executor thread ever waits for one, and a dropped future ends its call.
//! Every wait has a bound that is only reached if something is broken.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cofferdam::policy::{Fuel, Limits};
use cofferdam::sandbox::{AsyncCallError, NotRun, ResourceConfig, Resources};
use cofferdam::{
    AsyncGuest, CallOptions, CancelHandle, Engine, FuelMode, GuestState, HostFunc, Limit, Sandbox, SecurityPolicy,
    Value,
};
use tokio::task::JoinHandle;

use crate::matrix::matrix;

const TEXT: &str = r#"(module
  (import "env" "begun" (func $begun))
  (memory (export "memory") 1)
  (func (export "spin") (call $begun) (loop (br 0)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "alloc") (param i32) (result i32) (i32.const 16))
  (func (export "echo") (param i32 i32) (result i32 i32) (local.get 0) (local.get 1)))"#;

/// Endless guests are ended by nothing but cancellation here. With how many of them have begun.
fn endless(engine: Arc<dyn Engine>, mode: FuelMode, threads: usize, queue: usize) -> (Sandbox, Arc<AtomicU64>) {
    let begun = Arc::new(AtomicU64::new(0));
    let counted = begun.clone();
    let count = HostFunc::typed(move |_, ()| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
    let config = ResourceConfig { max_calls_in_flight: threads, max_queued_calls: queue, ..ResourceConfig::default() };
    let sandbox = Sandbox::builder(engine)
        .policy(SecurityPolicy::standard().fuel_mode(mode).limits(limits))
        .func("env", "begun", count)
        .resources(Resources::new(&config))
        .build()
        .expect("it can be enforced");
    (sandbox, begun)
}

async fn new(sandbox: &Sandbox) -> AsyncGuest {
    let module = sandbox.load_async(TEXT).await.expect("it is good");
    sandbox.guest_async(&module, GuestState::default()).await.expect("it fits")
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("nothing is stuck")
}

/// A call that never ends, of a guest that is there already.
fn spin(mut guest: AsyncGuest) -> JoinHandle<Result<cofferdam::Report, NotRun>> {
    tokio::spawn(async move { guest.call("spin", &[]).await })
}

async fn until(happened: impl Fn() -> bool) {
    soon(async {
        while !happened() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_only_executor_thread_goes_on_while_a_guest_loops_for_ever() {
    for (engine, mode) in matrix() {
        let (sandbox, _) = endless(engine, mode, 4, 4);
        let mut guest = new(&sandbox).await;
        let ticks = Arc::new(AtomicU64::new(0));
        let counted = ticks.clone();
        let other = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Both on this thread: if the call blocked it, nothing would ever be counted.
        tokio::select! {
            ended = guest.call("spin", &[]) => panic!("it cannot end: {ended:?}"),
            () = until(|| ticks.load(Ordering::Relaxed) >= 20) => other.abort(),
        }
        assert_eq!(guest.call("spin", &[]).await.map(drop), Err(NotRun::Dropped));
        assert!(guest.get_mut().is_none() && guest.into_inner().is_none());
    }
}

#[tokio::test]
async fn dropping_the_future_frees_the_worker_and_the_memory() {
    for (engine, mode) in matrix() {
        let (sandbox, begun) = endless(engine, mode, 1, 0);
        let mut impatient = new(&sandbox).await.impatient();
        let mut next = new(&sandbox).await;
        let kept = sandbox.resources().reserved_memory();
        for round in 1..=3 {
            let spinning = spin(new(&sandbox).await);
            until(|| begun.load(Ordering::SeqCst) == round).await;
            let busy = impatient.call("add", &[1.into(), 2.into()]).await.map(drop);
            assert!(matches!(busy, Err(NotRun::Busy(_))), "the only worker is taken: {busy:?}");
            spinning.abort();
            assert!(spinning.await.expect_err("it was aborted").is_cancelled());
            // This waits until it has come free.
            let report = soon(next.call("add", &[40.into(), 2.into()])).await.expect("it is run");
            assert_eq!(report.outcome.values(), Some(&[Value::I32(42)][..]), "{mode}");
            assert_eq!(sandbox.resources().reserved_memory(), kept, "the guest is gone, and what it had");
        }
    }
}

#[tokio::test]
async fn a_full_pool_is_waited_for_or_told_of() {
    for (engine, mode) in matrix() {
        let (sandbox, begun) = endless(engine, mode, 1, 1);
        let mut impatient = new(&sandbox).await.impatient();
        let mut patient = new(&sandbox).await;
        let (first, second) = (new(&sandbox).await, new(&sandbox).await);
        let running = spin(first);
        until(|| begun.load(Ordering::SeqCst) == 1).await;
        let queued = spin(second);
        // One executor thread: that task has its place in the queue when this one goes on.
        tokio::task::yield_now().await;
        let busy = impatient.call("add", &[1.into(), 2.into()]).await.map(drop);
        assert!(matches!(busy, Err(NotRun::Busy(busy)) if (busy.threads, busy.queued) == (1, 1)), "{busy:?}");
        // The guest of a call that was refused, or never had its turn, is as it was.
        let mut waits = Box::pin(patient.call("add", &[1.into(), 2.into()]));
        tokio::select! {
            biased;
            _ = &mut waits => panic!("there is no worker for it"),
            () = tokio::task::yield_now() => (),
        }
        drop(waits);
        let mut waits = Box::pin(patient.call("add", &[1.into(), 2.into()]));
        queued.abort();
        assert!(queued.await.expect_err("it was aborted").is_cancelled());
        running.abort();
        let report = soon(&mut waits).await.expect("its turn came");
        assert_eq!(report.outcome.values(), Some(&[Value::I32(3)][..]), "{mode}");
        drop(waits);
        let report = soon(impatient.call("add", &[3.into(), 4.into()])).await.expect("there is room again");
        assert_eq!(report.outcome.values(), Some(&[Value::I32(7)][..]));
        assert_eq!(begun.load(Ordering::SeqCst), 1, "what was dropped in the queue never began");
    }
}

#[tokio::test]
async fn typed_calls_bytes_and_several_calls_at_once_can_be_awaited() {
    for (engine, mode) in matrix() {
        let (sandbox, _) = endless(engine, mode, 4, 4);
        let mut guest = new(&sandbox).await;
        let add = guest.get_mut().expect("it is here").typed::<(i32, i32), i32>("add").expect("it fits");
        assert_eq!(guest.call_typed(&add, (2, 3)).await.expect("it returns"), 5);
        assert_eq!(guest.call_bytes("echo", "héllo").await.expect("it returns"), "héllo".as_bytes());
        let sum = guest.run(move |guest| (0..10).try_fold(0, |sum, n| add.call(guest, (sum, n)))).await;
        assert_eq!(sum.expect("it is run").expect("it returns"), 45);
        let refused = guest.call_bytes("ekko", "x").await.expect_err("there is none");
        assert!(matches!(refused, AsyncCallError::Call(_)), "{refused}");
        let lost: Result<(), _> = guest.run(|_| panic!("the embedder's own fault")).await;
        assert_eq!(lost, Err(NotRun::Lost));
        assert_eq!(guest.call("add", &[]).await.map(drop), Err(NotRun::Dropped));
    }
}

#[tokio::test]
async fn the_callers_own_handle_ends_a_call_too_and_the_guest_comes_back() {
    for (engine, mode) in matrix() {
        let (sandbox, _) = endless(engine, mode, 4, 4);
        let mut guest = new(&sandbox).await;
        let cancel = CancelHandle::new();
        let options = CallOptions::default().cancel(&cancel);
        let later = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            cancel.cancel();
        };
        let (report, ()) = tokio::join!(soon(guest.call_with("spin", &[], &options)), later);
        let error = report.expect("it was run").into_result().expect_err("it was cancelled");
        assert_eq!(error.limit(), Some(Limit::Cancelled), "{mode}");
        assert!(guest.get_mut().expect("it came back").is_poisoned());
    }
}
