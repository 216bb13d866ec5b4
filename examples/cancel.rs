//! End guests that never end by themselves: by dropping the future of a call, or from anywhere with a handle.
//!
//! `cargo run --release --example cancel`

use std::time::Duration;

use cofferdam::policy::{Fuel, Limits};
use cofferdam::{CallOptions, CancelHandle, GuestState, Sandbox, engines};

// One thread is enough: guests run on the sandbox's workers.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Nothing but cancellation ends these guests.
    let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
    let sandbox = Sandbox::builder(engines::by_name("auto")?).limits(limits).build()?;
    let module = sandbox.load_async(r#"(module (func (export "spin") (loop (br 0))))"#).await?;

    let mut first = sandbox.guest_async(&module, GuestState::default()).await?;
    match tokio::time::timeout(Duration::from_millis(50), first.call("spin", &[])).await {
        Ok(report) => println!("first: {}", report?.outcome),
        Err(_) => println!("first: its future was dropped, and it ended with it"),
    }

    let cancel = CancelHandle::new();
    let mut second = sandbox.guest_async(&module, GuestState::default()).await?;
    let options = CallOptions::default().cancel(&cancel);
    let shutdown = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.cancel();
    };
    let (report, ()) = tokio::join!(second.call_with("spin", &[], &options), shutdown);
    println!("second: {}", report?.outcome);
    Ok(())
}
