//! Bound what a guest may use, and see each limit hold.
//!
//! `cargo run --release --example custom_limits`

use std::time::Duration;

use cofferdam::policy::{Fuel, Limits, MemoryBytes};
use cofferdam::{CallOptions, GuestState, Sandbox, engines};

const GUEST: &str = r#"(module (memory (export "memory") 1)
  (func (export "spin") (loop (br 0)))
  (func $deeper (export "recurse") (call $deeper))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Start from one of the two sets of defaults and change what you need.
    let limits = Limits {
        fuel: Fuel::new(2_000_000),
        memory: MemoryBytes::mib(1),
        timeout: Some(Duration::from_secs(1)),
        ..Limits::agent()
    };
    let sandbox = Sandbox::builder(engines::by_name("auto")?).limits(limits).build()?;
    let module = sandbox.load(GUEST.as_bytes())?;
    let new = || sandbox.guest(&module, GuestState::default());

    // One call may be given less, or more, than the others.
    let quick = CallOptions::default().fuel(Fuel::UNLIMITED).timeout(Duration::from_millis(20));
    for (export, options) in [("spin", CallOptions::default()), ("spin", quick), ("recurse", CallOptions::default())] {
        let report = new()?.call_with(export, &[], &options);
        println!("{export}: {}", report.into_result().expect_err("it has no end"));
    }
    // Memory is refused, as the specification says, and the guest goes on.
    let mut guest = new()?;
    let grow = guest.typed::<u32, i32>("grow")?;
    println!("grow by 15 pages: {}, by one more: {}", grow.call(&mut guest, 15)?, grow.call(&mut guest, 1)?);
    println!("memory: {} bytes, {} growths refused", guest.usage().memory_bytes, guest.usage().refused_growths);
    Ok(())
}
